"""Publishing: one rename, three kept builds, rollback, and a kill at every write."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from connectors.sdk.errors import ConfigError
from tests.warehouse.files import StrikingFiles
from warehouse import publish
from warehouse.home import Home
from warehouse.publish import BuildFacts, Files, PublishError


def make_build(home: Home, number: int, *, version: str = "v1.0.0", rows: int = 1) -> BuildFacts:
    facts = BuildFacts(
        build_id=f"{number:06d}-x", as_of_at="2026-01-01", built_at="2026-01-01", sequences={"a": number}
    )
    building = home.builds / f"{facts.build_id}.building"
    with duckdb.connect(str(building), config={"storage_compatibility_version": version}) as con:
        con.execute(f"create schema ops; create table ops.build_info as select {number} as n")
        con.execute(f"create table ops.rows as select hash(i + {number}) >> 8 as x from range({rows}) as r(i)")
        con.execute(
            "alter table ops.build_info add total hugeint; update ops.build_info set total = (select sum(x) from ops.rows)"
        )
        con.execute("checkpoint")
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


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def publish_in_child(home: Home, facts: BuildFacts, step: int) -> int:
    """Exit status of a process that publishes and is killed before write `step`; 0 when there are fewer writes."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            publish.publish(home, facts, StrikingFiles(step, kill))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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
        status = publish_in_child(home, facts, step)
        assert status in (0, -signal.SIGKILL)
        outcomes.append(published_number(home))
        publish.clear_leftovers(home, Files())
        publish.publish(home, make_build(home, 5), Files())
        assert published_number(home) == 5
        assert not list(home.builds.glob("*.tmp"))
        assert not list(home.root.glob("*.incoming"))
        if status == 0:
            break
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {3, 4}
    assert status == 0


_READER = """
import sys, duckdb
reads = refused = mixed = 0
seen = set()
while 20 not in seen:
    try:
        with duckdb.connect(sys.argv[1], read_only=True) as con:
            ((number, total),) = con.execute("select n, total from ops.build_info").fetchall()
            ((found,),) = con.execute("select sum(x) from ops.rows").fetchall()
            again = con.execute("select n, total from ops.build_info").fetchall()
        reads += 1
        mixed += found != total or again != [(number, total)]
        seen.add(number)
        if reads == 1:
            print("reading", flush=True)
    except duckdb.Error:
        refused += 1
print(reads, refused, mixed, len(seen))
"""


def test_a_reader_that_loops_over_twenty_builds_is_never_refused_and_never_sees_two_of_them_at_once(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    publish.publish(home, make_build(home, 0, rows=80_000), Files())
    with subprocess.Popen(
        [sys.executable, "-c", _READER, str(home.published)], stdout=subprocess.PIPE, text=True
    ) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
            for number in range(1, 21):
                publish.publish(home, make_build(home, number, rows=80_000), Files())
            reads, refused, mixed, seen = map(int, reader.stdout.read().split())
        finally:
            reader.kill()
    assert (refused, mixed) == (0, 0)
    assert reads >= seen > 1
