"""Publishing: one rename, three kept builds, rollback, and a kill at every write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from connectors.sdk.errors import ConfigError
from warehouse import publish
from warehouse.home import Home
from warehouse.publish import BuildFacts, Files, PublishError


def make_build(home: Home, number: int, *, version: str = "v1.0.0") -> BuildFacts:
    facts = BuildFacts(
        build_id=f"{number:06d}-x", as_of_at="2026-01-01", built_at="2026-01-01", sequences={"a": number}
    )
    building = home.builds / f"{facts.build_id}.building"
    with duckdb.connect(str(building), config={"storage_compatibility_version": version}) as con:
        con.execute(f"create schema ops; create table ops.build_info as select {number} as n; checkpoint")
    publish.seal(building, home.builds / f"{facts.build_id}.duckdb", Files())
    return facts


def published_number(home: Home) -> int:
    with duckdb.connect(str(home.published), read_only=True) as con:
        row = con.execute("select n from ops.build_info").fetchone()
    assert row is not None
    return int(row[0])


def test_the_last_three_builds_are_kept_and_older_ones_go(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(1, 6):
        publish.publish(home, make_build(home, number), Files())
    assert [facts.build_id for facts in publish.builds(home)] == ["000005-x", "000004-x", "000003-x"]
    assert sorted(path.suffix for path in home.builds.iterdir() if path.name != "lock") == [
        "",
        *[".duckdb"] * 3,
        *[".json"] * 3,
    ]
    assert published_number(home) == 5


def test_rollback_goes_back_one_build_at_a_time_and_says_when_there_is_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in (1, 2, 3):
        publish.publish(home, make_build(home, number), Files())
    assert publish.rollback(home).build_id == "000002-x"
    assert published_number(home) == 2
    assert publish.rollback(home).build_id == "000001-x"
    with pytest.raises(ConfigError, match="no older build"):
        publish.rollback(home)
    assert published_number(home) == 1


def test_what_an_analyst_writes_into_the_published_file_does_not_reach_the_kept_build(tmp_path: Path) -> None:
    home = Home(tmp_path)
    publish.publish(home, make_build(home, 1), Files())
    with duckdb.connect(str(home.published)) as con:
        con.execute("update ops.build_info set n = 99; checkpoint")
    publish.publish(home, make_build(home, 2), Files())
    publish.rollback(home)
    assert published_number(home) == 1


def test_a_file_that_older_tools_cannot_open_is_not_published(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(PublishError, match="storage version"):
        make_build(home, 1, version="v1.2.0")


def test_a_damaged_kept_build_is_not_rolled_back_to(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in (1, 2):
        publish.publish(home, make_build(home, number), Files())
    (home.builds / "000001-x.duckdb").write_bytes(b"not a database")
    with pytest.raises(PublishError, match="cannot be opened"):
        publish.rollback(home)
    assert published_number(home) == 2


_CHILD = """
import os, signal, sys
from pathlib import Path
from warehouse import publish
from warehouse.home import Home

class Killing(publish.Files):
    left = int(sys.argv[2])
    def _count(self):
        type(self).left -= 1
        if type(self).left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
for name in ("copy", "replace", "write", "remove"):
    def wrapped(self, *given, _plain=getattr(publish.Files, name)):
        self._count()
        return _plain(self, *given)
    setattr(Killing, name, wrapped)

home = Home(Path(sys.argv[1]))
facts = publish.msgspec.json.decode(sys.stdin.read(), type=publish.BuildFacts)
publish.publish(home, facts, Killing())
print("done")
"""


def test_a_kill_at_any_write_of_publishing_leaves_the_old_or_the_new_file_and_the_next_build_works(
    tmp_path: Path,
) -> None:
    outcomes = []
    start = Home(tmp_path / "start")
    for number in (1, 2, 3):
        publish.publish(start, make_build(start, number), Files())
    facts = make_build(start, 4)
    for step in range(20):
        home = Home(shutil.copytree(start.root, tmp_path / str(step)))
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, str(home.root), str(step)],
            check=False,
            input=publish.msgspec.json.encode(facts),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(Path(publish.__file__).parents[1])},
            timeout=60,
        )
        outcomes.append(published_number(home))
        publish.clear_leftovers(home, Files())
        publish.publish(home, make_build(home, 5), Files())
        assert published_number(home) == 5
        assert not list(home.builds.glob("*.tmp"))
        assert not list(home.root.glob("*.incoming"))
        if child.stdout.strip() == b"done":
            break
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {3, 4}
    assert child.stdout.strip() == b"done"
