"""Who may import whom: the table in docs/architecture.md, held over the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ("os.environ", "os.getenv")
HTTP = ("requests", "urllib3")
CLIENTS = (*HTTP, "simple_salesforce", "hubspot", "pipedrive", "python_calamine")


def table(page: str) -> dict[str, dict[str, str]]:
    """Room -> column -> what the cell says."""
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    start = next(number for number, row in enumerate(rows) if row[0] == "may import")
    head = rows[start]
    body = (row for row in rows[start + 2 :] if len(row) >= 2)
    return {row[0]: dict(zip(head[1:], [*row[1:], *[""] * len(head)], strict=False)) for row in body}


def room_of(parts: tuple[str, ...]) -> str:
    if parts[0] != "connectors":
        return parts[0]
    inside = parts[1] if len(parts) > 1 else ""
    return f"connectors/{inside}" if inside in ("sdk", "testing", "sandbox") else "a connector"


def column_of(module: str) -> str | None:
    """The column of the table that an imported module belongs to, None when the table says nothing of it."""
    top, _, rest = module.partition(".")
    if top == "connectors":
        inside = rest.partition(".")[0]
        return inside if inside in ("sdk", "testing", "sandbox") else "connectors" if inside else None
    if top in CLIENTS:
        return "vendor client"
    return top if top in ("dagster", "duckdb", "warehouse", "assets", "dagster_project") else None


def imported(tree: ast.AST, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*(parts[: -node.level] if node.level else ()), *([node.module] if node.module else [])]
            # `from connectors import sdk` imports connectors.sdk.
            names = [[*base, alias.name] for alias in node.names] if base in (["connectors"], ["os"]) else [base]
            yield from ((node.lineno, ".".join(name)) for name in names)
        elif isinstance(node, ast.Attribute) and f"{getattr(node.value, 'id', '')}.{node.attr}" in ENVIRONMENT:
            yield node.lineno, f"os.{node.attr}"


def is_allowed(module: str, parts: tuple[str, ...], rules: dict[str, dict[str, str]]) -> bool:
    room = room_of(parts)
    if module in ENVIRONMENT:
        return room == "dagster_project"
    column = column_of(module)
    if column is None:
        return True
    cell = rules[room].get(column, "")
    own = ".".join(parts[:2]).removesuffix(".py")
    if cell == "itself":
        return f"{module}.".startswith(f"{own}.")
    if cell == "requests":
        return module.partition(".")[0] in HTTP
    return cell in ("yes", "its own")


def violations(root: Path, page: str) -> list[str]:
    rules = table(page)
    return [
        f"{path.relative_to(root)}:{line} imports {module}"
        for top in ("connectors", "warehouse", "assets", "dagster_project")
        for path in sorted((root / top).rglob("*.py"))
        for line, module in imported(ast.parse(path.read_text()), path.relative_to(root).parts)
        if not is_allowed(module, path.relative_to(root).parts, rules)
    ]


PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_room_keeps_to_the_table():
    assert violations(ROOT, PAGE) == []
    assert len(list(ROOT.glob("connectors/sdk/*.py"))) > 10


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("connectors/sdk/client.py", "import warehouse.landing"),
        ("connectors/sdk/client.py", "import simple_salesforce"),
        ("connectors/sdk/client.py", "from connectors import salesforce"),
        ("connectors/sandbox/world.py", "from connectors.sdk.clock import Clock"),
        ("connectors/testing/suite.py", "import connectors.hubspot"),
        ("connectors/hubspot.py", "from connectors.salesforce import Salesforce"),
        ("connectors/hubspot.py", "import duckdb"),
        ("connectors/hubspot.py", "from connectors.testing import suite"),
        ("connectors/hubspot/client.py", "from connectors.hubspot_other import x"),
        ("connectors/hubspot/client.py", "from ..salesforce import Salesforce"),
        ("connectors/hubspot/client.py", "from .. import salesforce"),
        ("warehouse/sync.py", "def late():\n    import dagster"),
        ("warehouse/sync.py", "import connectors.pipedrive"),
        ("warehouse/sync.py", "import os\nhome = os.environ['MUARA_HOME']"),
        ("warehouse/sync.py", "from os import getenv"),
        ("assets/raw.py", "import duckdb"),
        ("assets/raw.py", "from dagster_project.cli import main"),
        ("dagster_project/cli.py", "from connectors.spreadsheet import Spreadsheet"),
    ],
)
def test_a_broken_tree_is_caught(tmp_path, path, line):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert [found.split(":")[0] for found in violations(tmp_path, PAGE)] == [path]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("connectors/sdk/client.py", "import requests, urllib3"),
        (
            "connectors/hubspot/client.py",
            "import hubspot\nfrom connectors.hubspot import mapping\nfrom . import codes\nfrom connectors.sdk import Deal",
        ),
        ("connectors/hubspot.py", "from connectors.sdk import Deal"),
        ("connectors/testing/suite.py", "from connectors.testing import checks"),
        ("warehouse/sync.py", "import duckdb\nfrom connectors.sdk import records"),
        (
            "dagster_project/cli.py",
            "import os, dagster\nos.environ\nimport assets.keys, warehouse.sync, connectors.sandbox.world",
        ),
    ],
)
def test_what_the_table_allows_is_allowed(tmp_path, path, line):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert violations(tmp_path, PAGE) == []
