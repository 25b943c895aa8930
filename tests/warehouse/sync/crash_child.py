"""Run apart from pytest: for each write of a sync in turn, kill a process right before it (SIGKILL), run the sync again, print what landing holds.

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

import duckdb

from connectors.sdk.clock import FakeClock
from connectors.sdk.records import Checkpoint, Reject, Seen, Tombstone
from tests.warehouse.scripted import INFO, START, Land, Scripted, change, deal, deals, history, sweep
from warehouse.landing import compaction, reports
from warehouse.landing.parts import rows_of
from warehouse.landing.schema import STREAMS
from warehouse.landing.store import LocalStore
from warehouse.sync import run_sync

_OWN = {"_sync_seq", "_ordinal", "_read_ordinal"}


def first(sync):
    """Two pages with a cursor; a page that was committed is not read again."""
    page = sync.cursor("deals").get("page", 0)
    yield INFO
    for number in range(page, 2):
        for record in deals(12)[number * 6 : number * 6 + 6]:
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
    with duckdb.connect() as con:
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


def run_and_show(root: Path, number: int, out: Path) -> dict[str, str]:
    def work() -> None:
        run(root, number)
        out.write_text(json.dumps(content(root)))

    assert in_child(work) == 0
    return json.loads(out.read_text())


def kill_at(step: int, log: Path) -> Callable[[str], None]:
    taken = 0

    def hook(what: str) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            log.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        before, undisturbed, log = base / "before", base / "undisturbed", base / "log"
        before.mkdir()
        for earlier in range(number):
            assert in_child(lambda earlier=earlier: run(before, earlier)) == 0
        shutil.copytree(before, undisturbed)
        expected = run_and_show(undisturbed, number, base / "out")
        differing, steps = {}, []
        while True:
            root = base / f"killed{len(steps)}"
            shutil.copytree(before, root)
            status = in_child(lambda root=root: run(root, number, kill_at(len(steps) + 1, log)))
            if status == 0:
                break
            assert status == -signal.SIGKILL, status
            steps.append(log.read_text())
            found = run_and_show(root, number, base / "out")
            if found != expected:
                differing[f"{len(steps)}: {steps[-1]}"] = {
                    name: (found[name], expected[name]) for name in found if found[name] != expected[name]
                }
            shutil.rmtree(root)
        sys.stdout.write(json.dumps({"steps": steps, "differing": differing, "expected": expected}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
