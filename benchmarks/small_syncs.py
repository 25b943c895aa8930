"""A year of half-hourly syncs (17,520 small ones, on a fake clock) beside the same records in one sync.

    python -m benchmarks.small_syncs [--syncs 17520] [--quick] [--keep DIR] [--chunk N] [--json]

Each sync brings a few changed deals with their history, as an increment does. Shown: live parts, files, wall time of the simulation, the time to
scan every column of every landing view, and the CPU seconds of a build, for both. Then a build runs while every stream's parts are merged
under it, and its tables are compared with those of an undisturbed build. `--keep` leaves both homes behind (`many/` and `one/`); with `--chunk` a
call simulates at most so many syncs and the next call goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from connectors.sdk.clock import FakeClock
from connectors.sdk.connector import Connector
from connectors.sdk.records import Checkpoint, Deal, HistoryRead, Pipeline, Record, SourceInfo, Stage, StageChange
from connectors.sdk.settings import ConnectorSettings
from warehouse.build import BuildInputs, ConfiguredSource, run_build
from warehouse.home import Home
from warehouse.landing import compaction, reading, spool, store
from warehouse.landing.manifest import commit, read_manifest
from warehouse.landing.schema import STREAMS
from warehouse.sync import run_sync

START = datetime(2025, 1, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
DEALS = 5_000
STAGES = ("new", "qualified", "offer", "won", "lost")
CHANGES = 3


class Scripted(Connector):
    """Yields what it is handed."""

    name = "scripted"
    Settings = ConnectorSettings

    def __init__(self, records: Iterable[Record]) -> None:
        super().__init__(ConnectorSettings(), source_key="bench")
        self._records = records

    def read(self, sync):
        return iter(self._records)


def reference() -> list[Record]:
    stages = [
        Stage(pipeline_id="p", stage_id=name, name=name.title(), display_order=number)
        for number, name in enumerate(STAGES)
    ]
    return [SourceInfo(account_id="a", name="Bench"), Pipeline(pipeline_id="p", name="Sales"), *stages]


def changes(number: int) -> list[Record]:
    """The deals that changed in half hour `number`, each with the history event of its change."""
    at = START + number * HALF_HOUR
    found: list[Record] = []
    for place in range(CHANGES):
        deal_id = f"d{(number * CHANGES + place) * 7919 % DEALS:05d}"
        stage = STAGES[(number + place) % len(STAGES)]
        found.append(
            Deal(
                deal_id=deal_id,
                name=f"Deal {deal_id}",
                pipeline_id="p",
                stage_id=stage,
                amount=Decimal(number),
                currency="EUR",
                created_at=START,
                updated_at=at,
                raw={"id": deal_id, "stage": stage, "at": at.isoformat(), "note": "x" * 200},
            )
        )
        event = StageChange(event_id=f"{deal_id}-{number}", deal_id=deal_id, changed_at=at, to_stage_id=stage)
        found.append(HistoryRead(deal_id=deal_id, complete=False, stage_changes=(event,)))
    found.append(Checkpoint(stream="deals", cursor={"updated_at": at.isoformat()}))
    return found


def many(home: Home, syncs: int, chunk: int) -> float | None:
    """Simulate up to `chunk` more syncs; returns the seconds that all took, None when some are still to come."""
    noted = home.root / "simulated.json"
    done, spent = json.loads(noted.read_text()) if noted.exists() else (0, 0.0)
    clock = FakeClock(START + done * HALF_HOUR)
    began = time.perf_counter()
    for number in range(done, min(done + chunk, syncs)):
        report = run_sync(Scripted([*reference(), *changes(number)]), home=home, clock=clock)
        assert report.status == "complete", report.reasons
        clock.advance(minutes=30)
        done += 1
        so_far = spent + time.perf_counter() - began
        noted.write_text(json.dumps((done, so_far)))
        if done % 500 == 0:
            print(f"  {done} syncs, {so_far:.0f} s", flush=True)
    return json.loads(noted.read_text())[1] if done >= syncs else None


def one(home: Home, syncs: int) -> float:
    clock = FakeClock(START)
    records = [
        *reference(),
        *(record for number in range(syncs) for record in changes(number) if type(record) is not Checkpoint),
    ]
    began = time.perf_counter()
    report = run_sync(Scripted(records), home=home, clock=clock)
    assert report.status == "complete", report.reasons
    return time.perf_counter() - began


def scan(home: Home) -> dict:
    """Rows by stream, and the best of three scans of all columns of all views."""
    snapshot = reading.snapshot(home, ["bench"])
    with duckdb.connect(config={"threads": 2}) as con:
        began = time.perf_counter()
        snapshot.create_views(con)
        views_s = time.perf_counter() - began
        rows = {stream: con.execute(f"select count(*) from landing.{stream}").fetchone()[0] for stream in STREAMS}
        walls = []
        for _ in range(3):
            began = time.perf_counter()
            for stream in STREAMS:
                con.execute(f"select sum(hash(columns(*)) % 1000) from landing.{stream}").fetchall()
            walls.append(time.perf_counter() - began)
    began = time.perf_counter()
    reports = len(snapshot.sync_rows())
    parts = snapshot.manifests["bench"].parts
    return {
        "live_parts": len(parts),
        "most_parts_of_a_stream": max(sum(part.stream == stream for part in parts) for stream in STREAMS),
        "files": sum(1 for path in (home.landing / "bench").rglob("*") if path.is_file()),
        "megabytes": round(sum(part.bytes for part in parts) / 1e6, 1),
        "rows": rows,
        "reports": reports,
        "reports_s": round(time.perf_counter() - began, 2),
        "views_s": round(views_s, 3),
        "scan_s": round(min(walls), 3),
    }


def build(home: Home, syncs: int) -> float:
    """CPU seconds of a build."""
    as_of = START + syncs * HALF_HOUR
    inputs = BuildInputs(home=home, sources=(ConfiguredSource(source_key="bench", connector="scripted"),))
    began = time.process_time()
    result = run_build(inputs, clock=FakeClock(as_of), as_of=as_of)
    assert result.status == "published", result.failed_checks
    return time.process_time() - began


def tables(home: Home) -> dict[str, tuple]:
    """Rows and a hash of every published table except those about the build itself."""
    with duckdb.connect(str(home.published), read_only=True) as con:
        names = con.execute("select schema_name || '.' || table_name from duckdb_tables() where schema_name <> 'ops'")
        return {
            name: con.execute(f"select count(*), sum(hash(t)::hugeint) from {name} as t").fetchone()
            for (name,) in names.fetchall()
        }


def merge_everything(home: Home, syncs: int) -> int:
    """Merge all parts of each stream into one, as a sync's compaction would; returns how many parts were replaced."""
    place = store.LocalStore(home.landing)
    now = START + syncs * HALF_HOUR
    with home.lock_source("bench", "compaction", clock=FakeClock(now)):
        before = read_manifest(place, "bench")
        compaction.FAN_IN, compaction._TIERS = 2, ((10**9, 10**12),)
        engine = spool.Engine(place.scratch("bench"))
        merged = compaction.compacted(place, before.manifest, engine, now)
        commit(place, merged, before.etag)
    return len(before.manifest.parts) - len(merged.parts)


def build_while_merging(home: Home, syncs: int) -> dict:
    expected = tables(home)
    child = multiprocessing.get_context("fork").Process(target=build, args=(home, syncs))
    child.start()
    replaced = merge_everything(home, syncs)
    was_building = child.is_alive()
    child.join()
    assert child.exitcode == 0
    return {"parts_replaced": replaced, "build_still_ran": was_building, "tables_equal": tables(home) == expected}


def quick() -> None:
    """Do not wait for the disk, and keep DuckDB open: the same files for less time."""
    store.fsync_file = lambda path: None
    os.fsync = lambda handle: None
    kept = duckdb.connect(config={"threads": 1, "memory_limit": "256MB", "enable_external_file_cache": False})
    kept.execute("set TimeZone = 'UTC'")
    spool.Engine.con = property(lambda engine: kept)
    spool.Engine.close = lambda engine: None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--syncs", type=int, default=17_520)
    parser.add_argument("--quick", action="store_true", help=quick.__doc__)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--chunk", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        quick()
    with contextlib.ExitStack() as stack:
        root = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        homes = {name: Home(root / name) for name in ("many", "one")}
        spent = many(homes["many"], args.syncs, args.chunk)
        if spent is None:
            return
        result: dict = {"many": {"simulation_s": round(spent, 1)}}
        result["one"] = {"simulation_s": round(one(homes["one"], args.syncs), 1)}
        for name, home in homes.items():
            result[name] |= scan(home)
        assert result["many"]["rows"]["deals"] == result["one"]["rows"]["deals"]
        cpu: dict[str, list[float]] = {"many": [], "one": []}
        for _ in range(2):
            for name, home in homes.items():
                cpu[name].append(build(home, args.syncs))
        result["scan_ratio"] = round(result["many"]["scan_s"] / result["one"]["scan_s"], 2)
        result["build_cpu_s"] = {name: round(min(times), 2) for name, times in cpu.items()}
        result["build_ratio"] = round(min(cpu["many"]) / min(cpu["one"]), 2)
        result["merged_under_a_build"] = build_while_merging(homes["many"], args.syncs)
    print(json.dumps(result, indent=None if args.json else 1))


if __name__ == "__main__":
    main()
