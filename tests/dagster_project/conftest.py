"""A tiny project of two sheets, and the command line called in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from connectors.sdk.clock import FakeClock
from dagster_project.cli import Context, main
from tests.warehouse.quick import quick_syncs

__all__ = ["quick_syncs"]

SHEET = """\
Deal ID,Deal,Company,Stage,Amount,Created,Owner
1,Alpha,Acme,Qualified,1000,2026-01-05,Ann
2,Bravo,Globex,Closed Won,2500,2026-01-06,Bob
3,Charlie,Initech,Lead,,2026-01-07,Ann
"""
SOURCE = """\
type: dagster_project.components.CrmSource
attributes:
  source: {source}
  connector: spreadsheet
  config:
    path: sheets/{source}.csv
    key: Deal ID
    snapshot_date: 2026-02-01
    default_currency: USD
"""
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


class Shell:
    """The command line in a project, with its own environment and a clock that stands still."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env: dict[str, str] = {}
        self.clock = FakeClock(NOW)

    def __call__(self, *argv: str, stdin: str = "") -> Said:
        out, err = io.StringIO(), io.StringIO()
        context = Context(
            env=self.env, cwd=self.root, clock=self.clock, stdin=io.StringIO(stdin), stdout=out, stderr=err
        )
        return Said(main(list(argv), context), out.getvalue(), err.getvalue())

    def add(self, source: str, sheet: str = SHEET, yaml: str | None = None) -> None:
        """One more source with its sheet."""
        (self.root / "sheets").mkdir(exist_ok=True)
        (self.root / "sheets" / f"{source}.csv").write_text(sheet)
        folder = self.root / "defs" / source
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(yaml or SOURCE.format(source=source))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project without sources."""
    root = tmp_path / "hub"
    root.mkdir()
    found = Shell(root)
    assert found("init", ".").code == 0
    return found


@pytest.fixture
def hub(shell: Shell) -> Shell:
    """A project with one sheet."""
    shell.add("tracker")
    return shell


def copied(found: Shell, root: Path) -> Shell:
    """A copy of a project, to be changed."""
    shutil.copytree(found.root, root)
    return Shell(root)


@event.listens_for(Engine, "connect")
def _no_wait_for_the_disk(connection: Any, record: Any) -> None:
    """Dagster commits every event on its own; only a power cut would tell the difference."""
    connection.execute("pragma synchronous = off")


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No MUARA_* is set."""
    for name in list(os.environ):
        if name.startswith("MUARA_"):
            monkeypatch.delenv(name)
