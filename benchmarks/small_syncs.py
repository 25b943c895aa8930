"""A year of half-hourly syncs (17,520 small ones, on a fake clock) beside the same records in one sync.

    python -m benchmarks.small_syncs [--syncs 17520] [--quick] [--keep DIR] [--json]

Each sync brings a few changed deals with their history, as an increment does. Shown: live parts, files, wall time of the simulation, and the time to
scan every column of every landing view, for both. `--keep` leaves both homes behind (`many/` and `one/`) for build benchmarks.
"""

from __future__ import annotations

import argparse
import json
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
from warehouse.home import Home
from warehouse.landing import reading, spool, store
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


def many(home: Home, syncs: int) -> float:
    clock = FakeClock(START)
    began = time.perf_counter()
    for number in range(syncs):
        report = run_sync(Scripted([*reference(), *changes(number)]), home=home, clock=clock)
        assert report.status == "complete", report.reasons
        clock.advance(minutes=30)
        if number % 1000 == 999:
            print(f"  {number + 1} syncs, {time.perf_counter() - began:.0f} s", flush=True)
    return time.perf_counter() - began


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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--syncs", type=int, default=17_520)
    parser.add_argument(
        "--quick", action="store_true", help="do not wait for the disk, keep DuckDB open: the same files"
    )
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        store.fsync_file = lambda path: None
        store.os.fsync = lambda handle: None
        base = spool.duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "256MB"})
        spool.Engine.con = property(lambda engine: vars(engine).setdefault("kept", base.cursor()))
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        result = {}
        for name, run in (("many", many), ("one", one)):
            home = Home(root / name)
            result[name] = {"simulation_s": round(run(home, args.syncs), 1), **scan(home)}
    assert result["many"]["rows"]["deals"] == result["one"]["rows"]["deals"]
    result["scan_ratio"] = round(result["many"]["scan_s"] / result["one"]["scan_s"], 2)
    print(json.dumps(result, indent=None if args.json else 1))


if __name__ == "__main__":
    main()
