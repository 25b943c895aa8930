"""Landing speed: deals with 30 raw properties through `run_sync`, beside a yardstick, each in a process of its own.

    python -m benchmarks.landing [--rows 1000000] [--only WORK ...] [--json]

Yardstick: the least that any writer of this form must do, msgspec encoding of the same records to newline JSON and DuckDB's COPY to zstd Parquet with
declared columns: no checks, no hash, no key, no manifest, no durability. Making the records (what a connector does) is measured apart and
taken off both. Further runs: the same records again (all unchanged), and an increment of 1 % changed; `--only landing` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

PROPERTIES = 30
START = datetime(2026, 1, 1, tzinfo=UTC)


def records(count: int, changed_every: int = 0) -> Iterator:
    """Deals such as a CRM's list call gives: 30 properties in raw, two thirds text, one third numbers as text."""
    from connectors.sdk.records import Deal

    names = [f"hs_property_{number:02d}" for number in range(PROPERTIES)]
    words = [f"value {number} of some customer's own field" for number in range(997)]
    numbers = [str(number * 1.25) for number in range(997)]
    for number in range(count):
        is_changed = changed_every and number % changed_every == 0
        values = {
            name: words[(number * place) % 997] if place % 3 else numbers[(number + place) % 997]
            for place, name in enumerate(names)
        }
        deal_id = str(10_000_000_000 + number * 7919 % 1_000_000_007)
        updated = START + timedelta(seconds=number)
        yield Deal(
            deal_id=deal_id,
            name=f"Deal number {number}",
            pipeline_id="default",
            stage_id="contractsent" if is_changed else "appointmentscheduled",
            amount=Decimal(number % 100_000),
            currency="EUR",
            created_at=START,
            updated_at=updated,
            owner_id=str(number % 200),
            raw={"id": deal_id, "updatedAt": updated.isoformat(), "archived": False, "properties": values},
        )


def only_records(rows: int, _: Path) -> None:
    for _record in records(rows):
        pass


def yardstick(rows: int, folder: Path) -> None:
    import duckdb
    import msgspec

    from warehouse.landing.schema import STREAMS

    encode = msgspec.json.Encoder().encode
    columns = ", ".join(f"\"{name}\": '{kind}'" for name, kind in STREAMS["deals"].items())
    con = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "256MB"})

    def copy(path: Path, number: int) -> None:
        con.execute(
            f"copy (select * from read_json('{path}', format='newline_delimited', columns={{{columns}}})) to "
            f"'{folder / str(number)}.parquet' (format parquet, compression zstd, compression_level 1, row_group_size 10000)"
        )

    path = folder / "lines.ndjson"
    lines: list[bytes] = []
    for number, record in enumerate(records(rows), 1):
        lines.append(encode(record))
        if number % 50_000 == 0 or number == rows:
            path.write_bytes(b"\n".join(lines) + b"\n")
            lines.clear()
            copy(path, number)


def landing(rows: int, folder: Path, changed_every: int = 0) -> None:
    from connectors.sdk.clock import SystemClock
    from connectors.sdk.connector import Connector, stream
    from connectors.sdk.records import FieldDef
    from connectors.sdk.settings import ConnectorSettings
    from warehouse.home import Home
    from warehouse.sync import run_sync

    class Bench(Connector):
        name = "bench"
        Settings = ConnectorSettings

        @stream(FieldDef)
        def deals(self, sync):
            """Made-up deals."""
            return records(rows, changed_every)

    report = run_sync(Bench(ConnectorSettings(), source_key="bench"), home=Home(folder), clock=SystemClock())
    assert report.status == "complete", report.reasons
    sys.stderr.write(f"    {report.rows['deals']} parts {report.parts}\n")


def increment(rows: int, folder: Path) -> None:
    landing(rows, folder, changed_every=100)


WORK = {"records": only_records, "yardstick": yardstick, "landing": landing, "again": landing, "increment": increment}


def child(name: str, rows: int, folder: Path) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    WORK[name](rows, folder)
    print(
        json.dumps(
            {
                "what": name,
                "rows": rows,
                "wall_s": round(time.perf_counter() - wall, 2),
                "cpu_s": round(time.process_time() - cpu, 2),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def measure(rows: int, only: list[str]) -> list[dict]:
    results: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in only:
            place = Path(folder) / ("landing" if name in ("landing", "again", "increment") else name)
            place.mkdir(exist_ok=True)
            ran = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.landing",
                    "--child",
                    name,
                    "--rows",
                    str(rows),
                    "--folder",
                    str(place),
                ],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            results.append(json.loads(ran.stdout))
    base = results[0]["cpu_s"]
    for result in results[1:]:
        own = max(result["cpu_s"] - base, 0.01)
        result["own_cpu_s"] = round(own, 2)
        result["records_per_cpu_s"] = round(rows / own)
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--only", nargs="*", choices=list(WORK), default=list(WORK), help="records and yardstick always run"
    )
    parser.add_argument("--child")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.rows, args.folder)
        return
    results = measure(args.rows, list(dict.fromkeys(("records", "yardstick", *args.only))))
    if args.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{'':12}{'wall s':>9}{'CPU s':>9}{'own CPU s':>11}{'records/CPU s':>15}{'peak RSS MB':>13}")
    for row in results:
        own, speed = row.get("own_cpu_s", ""), row.get("records_per_cpu_s", "")
        print(f"{row['what']:12}{row['wall_s']:>9}{row['cpu_s']:>9}{own:>11}{speed:>15}{row['peak_rss_mb']:>13}")


if __name__ == "__main__":
    main()
