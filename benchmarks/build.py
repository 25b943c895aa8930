"""CPU and memory of a whole build at size, beside bare scans and sorts of the Parquet it reads. Each part runs in a process of its own.

    python benchmarks/build.py --deals 1000000 --memory 2GB

"Sorts" reads every part that the build reads, sorts it by its deal key and writes it out again, with the same threads and memory limit: the
cheapest thing that any tool would have to do to look at the history of each deal. "Columns read" sorts only the columns the models name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks.big_landing import write
from connectors.sdk.clock import SystemClock
from warehouse.build import BuildInputs, ConfiguredSource, run_build
from warehouse.home import Home
from warehouse.landing.manifest import Manifest, Part, commit
from warehouse.landing.store import LocalStore
from warehouse.settings import WarehouseSettings

SOURCES = ("crm_a", "crm_b")
AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


def prepare(home: Home, deals: int) -> None:
    """Write the parts and one manifest a source, as a sync would leave them."""
    files = write(home.landing, deals=deals)
    store = LocalStore(home.landing)
    for source, streams in files.items():
        parts = [_part(home.landing / source, stream, path) for stream, paths in streams.items() for path in paths]
        manifest = Manifest(
            landing_id="benchmark",
            source_key=source,
            connector="spreadsheet",
            sequence=1,
            parts=tuple(parts),
            last_synced_at=datetime(2026, 1, 1, tzinfo=UTC),
            data_through_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        commit(store, manifest, None)
    shutil.rmtree(home.landing / "spill", ignore_errors=True)


def _part(folder: Path, stream: str, path: Path) -> Part:
    with duckdb.connect() as con:
        row = con.execute("select count(*) from read_parquet(?)", [str(path)]).fetchone()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    where = path.relative_to(folder).as_posix()
    # Schema 0: the generator leaves out columns that are NULL everywhere; they are read as NULL, as from an older release.
    return Part(
        stream=stream,
        path=where,
        rows=row[0] if row else 0,
        bytes=path.stat().st_size,
        sha256=digest,
        schema=0,
        min_seq=1,
        max_seq=1,
        sync_id="b",
    )


def build(home: Home, memory: str) -> dict[str, float]:
    """The build itself, as `muara build` runs it; also the costliest steps."""
    steps: list[tuple[float, str]] = []
    last = [time.process_time(), "start"]

    def on_progress(what: str, done: int, total: int) -> None:
        steps.append((time.process_time() - float(last[0]), str(last[1])))
        last[:] = [time.process_time(), what]

    inputs = BuildInputs(
        home=home,
        sources=tuple(ConfiguredSource(source_key=key, connector="spreadsheet") for key in SOURCES),
        settings=WarehouseSettings(memory_limit=memory, threads=2),
    )
    result = run_build(inputs, clock=SystemClock(), as_of=AS_OF, on_progress=on_progress)
    on_progress("end", 0, 0)
    if result.status != "published":
        raise SystemExit(f"refused: {[check.name for check in result.failed_checks]}")
    for seconds, what in sorted(steps, reverse=True)[:12]:
        print(f"    {seconds:8.1f} CPU-s  {what}", file=sys.stderr)
    return {"rows": float(sum(result.tables.values())), "file_mb": result.published.stat().st_size / 1e6}


def sorts(home: Home, memory: str, *, without_raw: bool) -> dict[str, float]:
    """The yardstick: every part the build reads, sorted by deal and written again."""
    out = home.root / "sorted.parquet"
    with duckdb.connect() as con:
        con.execute(f"set threads = 2; set memory_limit = '{memory}'; set temp_directory = '{home.root / 'spill'}'")
        con.execute("set preserve_insertion_order = false")
        for source in SOURCES:
            for stream, key in (
                ("deals", "deal_id"),
                ("stage_changes", "deal_id, changed_at"),
                ("history_reads", "deal_id"),
            ):
                columns = "* exclude (raw)" if without_raw and stream != "history_reads" else "*"
                files = f"read_parquet('{home.landing / source / stream}/*.parquet')"
                con.execute(
                    f"copy (select {columns} from {files} order by {key}) to '{out}' (format parquet, compression zstd)"
                )
    out.unlink()
    return {}


def scans(home: Home, memory: str) -> dict[str, float]:
    """Every column of every part read once and hashed."""
    with duckdb.connect() as con:
        con.execute(f"set threads = 2; set memory_limit = '{memory}'")
        for source in SOURCES:
            for stream in ("deals", "stage_changes", "history_reads"):
                con.execute(
                    f"select max(hash(t)) from read_parquet('{home.landing / source / stream}/*.parquet') as t"
                ).fetchone()
    return {}


JOBS: dict[str, Callable[[Home, str], dict[str, float]]] = {
    "scans": scans,
    "sorts": lambda home, memory: sorts(home, memory, without_raw=False),
    "sorts, columns read": lambda home, memory: sorts(home, memory, without_raw=True),
    "build": build,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deals", type=int, default=1_000_000)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--folder", type=Path, help="keep (and reuse) the landing zone here")
    parser.add_argument("--job", choices=list(JOBS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        _report(given.job, Home(given.folder), given.memory)
        return
    folder = given.folder or Path(tempfile.mkdtemp(prefix="muara-bench-"))
    try:
        if not (folder / "landing" / "crm_a" / "state.json").exists():
            prepare(Home(folder), given.deals)
        figures = {job: _in_child(job, folder, given.memory) for job in JOBS}
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{given.deals:,} deals, memory limit {given.memory}, 2 threads")
    print(f"{'':<22}{'CPU s':>10}{'wall s':>10}{'peak MB':>10}")
    for job, row in figures.items():
        print(f"{job:<22}{row['cpu']:>10.1f}{row['wall']:>10.1f}{row['peak_mb']:>10.0f}")
    print(
        f"build / sorts: {figures['build']['cpu'] / figures['sorts']['cpu']:.1f} x CPU; published {figures['build']['file_mb']:.0f} MB"
    )


def _in_child(job: str, folder: Path, memory: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.build", "--job", job, "--folder", str(folder), "--memory", memory]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[1])
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _report(job: str, home: Home, memory: str) -> None:
    wall = time.monotonic()
    extra = JOBS[job](home, memory)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "cpu": usage.ru_utime + usage.ru_stime,
        "wall": time.monotonic() - wall,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    print(json.dumps({**figures, **extra}))


if __name__ == "__main__":
    main()
