"""Run apart from pytest: for each write of a sync in turn, kill a process right before it (SIGKILL), run the sync again, compare with a sync
that nobody disturbed: what landing holds, and every table of a build from it but those about the build itself.

    python -m tests.warehouse.sync.crash_child SYNC [--every] [--build]

SYNC is 0 to 3. Without `--every` some of the writes are taken: all around a commit, each fifth of the others. A build is a pure function
of what landing holds in reading order, so one is made for each content that differs from the undisturbed one, and with `--build` for the last.
The parent only forks, so each attempt begins in a clean process without importing anything again. Output: JSON, one object.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from connectors.sdk.clock import FakeClock
from connectors.sdk.records import Checkpoint, Pipeline, Reject, Seen, Stage, Tombstone
from tests.warehouse.quick import kept_connection, make_quick
from tests.warehouse.scripted import INFO, START, Land, Scripted, change, deal, deals, history, sweep
from warehouse.build import BuildInputs, ConfiguredSource, run_build
from warehouse.landing import compaction, reading, reports
from warehouse.landing.parts import rows_of
from warehouse.landing.schema import STREAMS
from warehouse.landing.store import LocalStore
from warehouse.sync import run_sync

_OWN = {"_sync_seq", "_ordinal", "_read_ordinal"}


def first(sync):
    """Two pages with a cursor; a page that was committed is not read again."""
    page = sync.cursor("deals").get("page", 0)
    yield INFO
    yield Pipeline(pipeline_id="p", name="Sales")
    for order, outcome in enumerate(("open", "won", "lost")):
        stage_id = "new" if outcome == "open" else outcome
        yield Stage(pipeline_id="p", stage_id=stage_id, name=stage_id, display_order=order, outcome=outcome)
    for number in range(page, 2):
        for record in deals(12, pipeline_id="p", created_at=START)[number * 6 : number * 6 + 6]:
            yield record
            yield history(record.deal_id, change(record.deal_id, "1"), change(record.deal_id, "2", "won"))
        yield Checkpoint(stream="deals", cursor={"page": number + 1})
    yield Reject(stream="deals", key="bad", reason="r", detail="d")


def second(sync):
    """Changes, a tombstone, a sweep that is left open."""
    yield deal("d0001", "won")
    yield history("d0002", change("d0002", "3", "lost"), complete=False)
    yield Tombstone(stream="deals", key="d0003", kind="merged", survivor="d0001")
    yield Checkpoint(stream="deals", cursor={"page": 9})
    yield from (Seen(stream="deals", key=f"d{number:04d}") for number in (0, 1, 2, 4, 5))
    yield sweep(complete=False)
    yield Checkpoint(stream="sweep", cursor={"after": "d0005"})
    yield deal("d0020")


def third(sync):
    """The open sweep goes on and ends, a repaired reject is settled, and compaction is due."""
    if sync.sweep_is_due("deals", 7):
        after = sync.cursor("sweep").get("after", "")
        yield from (
            Seen(stream="deals", key=f"d{number:04d}") for number in (6, 7, 8, 9, 20) if f"d{number:04d}" > after
        )
        yield sweep()
        yield Checkpoint(stream="sweep", cursor=None)
    yield deal("bad")
    yield history("d0002", change("d0002", "1"))


def fourth(sync):
    """A day later: replaced parts, keys of the ended sweep and other orphans are deleted."""
    yield deal("d0000", "lost")


SCRIPTS = (first, second, third, fourth)
HOURS = (0, 1, 2, 50)

#: Few parts are many enough here, so that every crash in compaction is tried too.
compaction.FAN_IN = 3
#: A killed process loses nothing that the kernel was told already, so there is no need to wait for the disk. Each child opens one DuckDB.
make_quick()


def run(root: Path, number: int, on_step: Callable[[str], None] | None = None) -> None:
    clock = FakeClock(START + timedelta(hours=HOURS[number]))
    land = Land(root)
    run_sync(
        Scripted(SCRIPTS[number]),
        home=land.home,
        clock=clock,
        store=LocalStore(land.home.landing, on_step),
        checkpoint_s=0.0,
    )


def content(root: Path) -> dict[str, str]:
    """A digest of all rows of each stream, whatever parts they lie in and whichever commit brought them; and what the manifest says."""
    land = Land(root)
    store = LocalStore(land.home.landing)
    manifest = land.manifest()
    found = {}
    with kept_connection().cursor() as con:
        for stream, columns in STREAMS.items():
            parts = manifest.parts_of(stream)
            names = ", ".join(name for name in columns if name not in _OWN)
            source = rows_of(con, store, "acme", stream, parts)
            rows = con.execute(f"select {names} from ({source}) order by all").fetchall() if parts else []
            found[stream] = f"{len(rows)} {hashlib.sha256(repr(rows).encode()).hexdigest()[:12]}"
    found["cursors"] = repr(sorted(manifest.cursors.items()))
    found["swept_at"] = repr(sorted(manifest.swept_at.items()))
    found["through"] = repr(manifest.data_through_at)
    found["open"] = repr(sorted(manifest.sweeps))
    held = reports.read_reports(store, "acme")
    found["unfinished"] = repr([report.sync_id for report in held if report.status == "running"])
    return found


def as_built_from(root: Path) -> str:
    """A digest of all that a build takes from landing: rows in reading order without the numbers of commits, events with the place of their
    reading, and the facts of the manifest."""
    land = Land(root)
    digest = hashlib.sha256()
    with kept_connection().cursor() as con:
        snapshot = reading.snapshot(land.home, ["acme"])
        snapshot.create_views(con)
        for stream, columns in STREAMS.items():
            names = ", ".join(name for name in columns if name not in _OWN)
            of = ", dense_rank() over (order by _sync_seq, _read_ordinal)" if "_read_ordinal" in columns else ""
            rows = con.execute(f"select {names}{of} from landing.{stream} order by _read_at, _sync_seq, _ordinal")
            digest.update(repr((stream, rows.fetchall())).encode())
        facts = snapshot.source_facts()
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def tables(root: Path) -> dict[str, str]:
    """A digest of each table that a build from this landing publishes, without the numbers of commits."""
    land = Land(root)
    inputs = BuildInputs(home=land.home, sources=(ConfiguredSource(source_key="acme", connector="scripted"),))
    as_of = START + timedelta(days=9)
    result = run_build(inputs, clock=FakeClock(as_of), as_of=as_of)
    assert result.status == "published", result.failed_checks
    found = {}
    with duckdb.connect(str(result.published), read_only=True) as con:
        columns = con.execute(
            "select schema_name || '.' || table_name, list(column_name order by column_index) from duckdb_columns() "
            "where schema_name <> 'ops' and database_name = current_database() group by 1 order by 1"
        ).fetchall()
        for table, names in columns:
            plain = ", ".join(f'"{name}"' for name in names if not name.endswith(("sync_seq", "ordinal")))
            rows = con.execute(f"select {plain} from {table} order by all").fetchall()
            found[table] = f"{len(rows)} {hashlib.sha256(repr(rows).encode()).hexdigest()[:12]}"
    return found


def in_child(work: Callable[[], None]) -> int:
    """Exit status of `work` in a forked process, negative when a signal ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def asked_of_child(work: Callable[[], Any], out: Path) -> Any:
    """What `work` returns in a forked process."""
    assert in_child(lambda: out.write_text(json.dumps(work())) and None) == 0
    return json.loads(out.read_text())


def kill_at(step: int) -> Callable[[str], None]:
    taken = 0

    def hook(what: str) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def worth_trying(steps: list[str]) -> list[int]:
    """Numbers of the writes before which a suite kills: all around a commit, and each fifth of the others."""
    near = {number for number, step in enumerate(steps) if step.endswith("state.json") or step.startswith("index")}
    return sorted(near | set(range(0, len(steps), 5)))


class Trial:
    """Kills and runs again, from a copy of the same beginning."""

    def __init__(self, base: Path, number: int) -> None:
        self.base, self.number, self.out = base, number, base / "out"
        self.before = base / "before"
        self.before.mkdir()
        for earlier in range(number):
            assert in_child(lambda earlier=earlier: run(self.before, earlier)) == 0

    def begin(self, name: str) -> Path:
        root = self.base / name
        shutil.copytree(self.before, root)
        return root

    def run_and_look(self, root: Path) -> tuple[dict[str, str], str]:
        def work() -> Any:
            run(root, self.number)
            return content(root), as_built_from(root)

        held, key = asked_of_child(work, self.out)
        return held, key

    def tables(self, root: Path) -> dict[str, str]:
        return asked_of_child(lambda: tables(root), self.out)


def main(number: int, *, every: bool, always_build: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), number)

        def count() -> list[str]:
            taken: list[str] = []
            run(trial.begin("counted"), number, taken.append)
            return taken

        steps = asked_of_child(count, trial.out)
        undisturbed = trial.begin("undisturbed")
        expected, key = trial.run_and_look(undisturbed)
        differing: dict[str, Any] = {}
        built: dict[str, dict[str, str]] = {}
        tried = list(range(len(steps))) if every else worth_trying(steps)
        for step in tried:
            root = trial.begin(f"killed{step}")
            status = in_child(lambda root=root, step=step: run(root, number, kill_at(step + 1)))
            assert status == -signal.SIGKILL, status
            found, found_key = trial.run_and_look(root)
            differs = [name for name in expected if found[name] != expected[name]]
            if found_key not in built and (found_key != key or (always_build and step == tried[-1])):
                built["undisturbed"] = built.get("undisturbed") or trial.tables(undisturbed)
                built[found_key] = trial.tables(root)
            if found_key in built:
                differs += [name for name, want in built["undisturbed"].items() if built[found_key][name] != want]
            if differs:
                differing[f"{step}: {steps[step]}"] = differs
            shutil.rmtree(root)
        return {
            "steps": [steps[step] for step in tried],
            "of": len(steps),
            "differing": differing,
            "expected": expected,
            "builds": len(built),
            "tables": len(built.get("undisturbed", {})),
        }


if __name__ == "__main__":
    flags = sys.argv[2:]
    result = main(int(sys.argv[1]), every="--every" in flags, always_build="--build" in flags)
    sys.stdout.write(json.dumps(result))
