"""Documentation pages made from the code: `python -m dagster_project.pages docs` writes commands, settings, tables and connectors.

A test compares the pages with what the code says now.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from connectors.sdk import Connector, registry
from connectors.sdk.settings import ConnectorSettings, describe
from dagster_project.alerts import AlertSettings
from dagster_project.cli import build_parser
from dagster_project.guard import DISTRIBUTION
from warehouse.runner import load_models
from warehouse.settings import Thresholds, WarehouseSettings

_MADE = "<!-- Made by `python -m dagster_project.pages docs`; edit the code, not this page. -->"


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    found = {"commands.md": commands_page(), "settings.md": settings_page(), "tables.md": tables_page()}
    for row in registry.listed(load=True):
        if row.distribution == DISTRIBUTION and not row.problem:
            found[f"connectors/{row.name}.md"] = connector_page(registry.load(row.name))
    return found


def commands_page() -> str:
    """Every command with its arguments, as `--help` tells them."""
    parts = [
        "# The `muara` command",
        _MADE,
        (
            "Everywhere: `--project DIR` (else `MUARA_PROJECT`, else the current folder), `--json` for programs, `--debug` for tracebacks. "
            "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 partial or suspicious."
        ),
        (
            "Environment: `MUARA_PROJECT` the project folder; `MUARA_HOME` where everything is written (default `.muara` in the project); "
            "`MUARA_LANDING` the landing zone elsewhere; `MUARA_AS_OF` builds as of this instant when `--as-of` is not given. "
            "[Settings](settings.md) tells more of them."
        ),
    ]
    for name, parser in _commands(build_parser(), ()):
        parts.append(f"## `muara {name}`\n\n{parser.description}\n\n{_arguments(parser)}".rstrip())
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Attributes of the two components, and the settings of every connector that comes with Muara."""
    own = [row for row in registry.listed(load=True) if row.distribution == DISTRIBUTION and not row.problem]
    parts = [
        "# Settings",
        _MADE,
        "## `dagster_project.components.CrmSource`",
        _table(
            ["attribute", "meaning"],
            [
                ["`source`", "Your name for it: a-z, 0-9, _. Asset key prefix, and `source_key` in every table."],
                ["`connector`", "Name of an installed connector (`muara connectors`)."],
                ["`schedule`", 'Optional cron line on which it syncs, such as `"*/30 * * * *"`.'],
                [
                    "`freshness`",
                    (
                        "Optional: `{warn_hours: 2, fail_hours: 4}`, hours since a sync read it after which Dagster calls it late. "
                        "Default: a little over one and two missed ticks of `schedule`; without one 25 and 26 h, for files none."
                    ),
                ],
                [
                    "`config`",
                    "Settings of the connector, below. Any value may be `{env: NAME}`: read when the sync runs, never printed.",
                ],
                [
                    "`translation`",
                    "Optional: `key_prefix`, `group`, `owners`, `tags`, `kinds` of its assets in Dagster.",
                ],
            ],
        ),
        "## Settings that every connector has",
        _settings(ConnectorSettings, without=()),
    ]
    common = ConnectorSettings.__struct_fields__
    for row in own:
        connector = registry.load(row.name)
        parts += [f"## `connector: {row.name}`", connector.title, _settings(connector.Settings, without=common)]
    parts += [
        "## `dagster_project.components.Warehouse`",
        (
            "Optional, one per project. Paths are relative to the project folder. `translation` (`key_prefix`, `group`, `owners`, `tags`, `kinds`) "
            "renames its assets in Dagster as it does a source's."
        ),
        _fields(WarehouseSettings),
        "### `thresholds`",
        _fields(Thresholds),
        "## `dagster_project.components.Alerts`",
        "Optional, one per receiver. Tells each thing once, and once more when it is well again; what could not be sent goes out with the next run.",
        _fields(AlertSettings),
        "## Environment",
        _table(["variable", "meaning"], [[f"`{name}`", words] for name, words in _ENVIRONMENT.items()]),
        _BUCKETS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def tables_page() -> str:
    """Every published table with its columns, in the words that stand as comments in the file itself."""
    parts = ["# Tables of the published file", _MADE, _TABLES]
    layers = (
        ("marts", "Marts"),
        ("core", "Core model"),
        ("ops", "`ops`: how far to trust it"),
        ("staging", "`staging`: what the models work with"),
    )
    for layer, title in layers:
        parts.append(f"## {title}")
        for model in sorted(load_models(), key=lambda model: model.name):
            if model.layer == layer and model.about.kept:
                grain = f" Key: {', '.join(f'`{name}`' for name in model.about.grain)}." if model.about.grain else ""
                rows = [[f"`{name}`", " ".join(text.split())] for name, text in model.about.columns.items()]
                parts.append(
                    f"### `{model.name}`\n\n{' '.join(model.about.description.split())}{grain}\n\n{_table(['column', 'meaning'], rows)}"
                )
    return "\n\n".join(parts) + "\n"


def connector_page(connector: type[Connector]) -> str:
    """What a connector says of itself: facts of the API, set-up in the CRM, what it cannot do, streams, settings."""
    facts = inspect.cleandoc(sys.modules[connector.__module__].__doc__ or "")
    first, _, rest = facts.partition("\n")
    impossible = [[f"`{name}`", why] for name, why in connector.capabilities.impossible().items()]
    noted = [
        [f"`{name}`", why]
        for name, why in connector.capabilities.notes.items()
        if name not in connector.capabilities.impossible()
    ]
    streams = [
        [f"`{decl.method}`", " ".join(decl.description.split()), decl.cursor or "whole, every sync"]
        for decl in connector.streams()
    ]
    parts = [
        f"# {connector.title or connector.name}",
        _MADE,
        first,
        f"```text\n{rest.strip()}\n```" if rest.strip() else "",
        "## Set-up" if connector.setup_guide else "",
        connector.setup_guide.strip(),
        "## What is read" if streams else "",
        _table(["stream", "what", "cursor"], streams) if streams else "",
        "## What is not covered",
        _table(["promise", "why it cannot be kept"], impossible)
        if impossible
        else "Every promise of the connector contract is kept.",
        _table(["promise", "how"], noted) if noted else "",
        "## Settings",
        _settings(connector.Settings, without=()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_ENVIRONMENT: Mapping[str, str] = {
    "MUARA_PROJECT": "The project folder, where `--project` does not name it; else the current folder.",
    "MUARA_HOME": "Where everything is written (relative to the project; default `.muara`).",
    "MUARA_LANDING": "The landing zone elsewhere: a folder, or `s3://bucket/prefix` (`pip install 'muara[s3]'`).",
    "MUARA_LANDING_CACHE_GB": "Local copies of parts of a landing zone on object storage, in gigabytes (default 20); the longest unused go first.",
    "MUARA_AS_OF": "Builds as of this instant where `--as-of` is not given.",
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN": (
        "Credentials for the bucket. Without them the role of the pod, the container or the machine is used; profile files are not read."
    ),
    "AWS_REGION": "Region of the bucket (or `AWS_DEFAULT_REGION`; default us-east-1).",
    "AWS_ENDPOINT_URL": "Another S3 than Amazon's (or `AWS_ENDPOINT_URL_S3`). Plain http for this machine only, unless `AWS_ALLOW_HTTP=true`.",
}
_BUCKETS = """\
### Landing on object storage

Parts, manifests, sync reports lie in the bucket; `MUARA_HOME` keeps local copies of the parts (DuckDB reads those), scratch data and locks.
The published file stays local: copy it, or `muara export`, where others should read it.

The store must be strongly consistent and know conditional puts (`If-Match`, `If-None-Match`): Amazon S3, MinIO, Cloudflare R2 and Ceph do.
An OS lock is only seen on its own machine, so two machines can start a sync of one source at the same time. The manifest is put under a
condition: the first to commit wins, the second fails with a sentence that says so, nothing of the first is lost, and running the second
again brings what it had read. It costs calls, though, so let one machine at a time sync a source; Dagster's pools do that for runs of one
deployment."""

_TABLES = (
    "The same words stand as comments in the file: `select table_name, column_name, comment from duckdb_columns()`. Schema `main` is for analysts. "
    "Money is in the reporting currency unless a column says otherwise; unknown is NULL, never 0; instants are UTC; rates are 0 to 1 and stand "
    "beside their counts."
)


def _commands(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                if not any(isinstance(inner, argparse._SubParsersAction) for inner in child._actions):
                    yield " ".join((*names, name)), child
                yield from _commands(child, (*names, name))


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
        if name in ("--help", "--json", "--project", "--debug"):
            continue
        value = f" {action.metavar or action.dest.upper()}" if action.option_strings and action.nargs != 0 else ""
        rows.append([f"`{name}{value}`", action.help or ""])
    return _table(["argument", "meaning"], rows) if rows else ""


def _settings(model: type[ConnectorSettings], without: Iterable[str]) -> str:
    rows = [row for row in describe(model) if row["name"] not in without]
    return _table(["setting", "type", "default", "meaning"], [_setting(row) for row in rows])


def _setting(row: Mapping[str, Any]) -> list[str]:
    default = "required" if row["required"] else "" if row["default"] in (None, {}, []) else f"`{row['default']}`"
    return [f"`{row['name']}`", str(row["type"]), default, str(row["description"])]


def _fields(model: type[msgspec.Struct]) -> str:
    rows = []
    for field in msgspec.structs.fields(model):
        words = next((extra.description for extra in getattr(field.type, "__metadata__", ()) if extra.description), "")
        default = field.default
        if isinstance(default, tuple):
            default = ", ".join(map(str, default))
        if default is msgspec.NODEFAULT:
            shown = "required"
        else:
            shown = "" if isinstance(default, msgspec.Struct) or default in (None, "") else f"`{default}`"
        rows.append([f"`{field.name}`", shown, words])
    return _table(["setting", "default", "meaning"], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the pages into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
