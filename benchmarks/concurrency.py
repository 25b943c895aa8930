"""Four sources syncing while builds run and readers loop: no lock error, no refused read, no half-built table, no lost row.

    python -m benchmarks.concurrency                     # 4 sources, 20 builds, 3 readers
    python -m benchmarks.concurrency --builds 3 --readers 2

Every part is a process of its own, working through the same functions as the command line: each syncer rewrites its sheet with one more
deal and syncs, the builder builds, the readers open the published file as any analyst's tool does. What a syncer wrote is noted; the last
build must hold it all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

SOURCE = """\
type: dagster_project.components.CrmSource
attributes:
  source: {name}
  connector: spreadsheet
  config: {{path: sheets/{name}.csv, key: id, default_currency: USD}}
"""
HEAD = "id,deal,stage,amount,created\n"


def prepare(root: Path, names: list[str]) -> None:
    (root / "defs").mkdir(parents=True)
    (root / "dg.toml").write_text('directory_type = "project"\n[project]\nroot_module = "defs"\n')
    (root / "sheets").mkdir()
    for name in names:
        (root / "defs" / name).mkdir()
        (root / "defs" / name / "defs.yaml").write_text(SOURCE.format(name=name))
        write_sheet(root, name, 20)


def write_sheet(root: Path, name: str, count: int) -> None:
    lines = [f"{number},Deal {number},Proposal,{number}00,2026-01-{1 + number % 28:02d}\n" for number in range(count)]
    beside = root / "sheets" / f".{name}.tmp"
    beside.write_text(HEAD + "".join(lines))
    beside.replace(root / "sheets" / f"{name}.csv")


def hub_at(root: Path) -> Any:
    from connectors.sdk.clock import SystemClock
    from dagster_project.operations import Hub

    return Hub(root, {}, SystemClock())


def syncer(root: Path, name: str, most: int, pause_s: float, stop: Any, said: Any) -> None:
    from dagster_project.operations import sync_source

    count, syncs = 20, 0
    while syncs == 0 or (syncs < most and not stop.is_set()):
        count += 1
        write_sheet(root, name, count)
        try:
            report = sync_source(hub_at(root), hub_at(root).project.source(name))
            if report.status != "complete":
                said.put(("error", name, f"{report.status}: {report.reasons}"))
            syncs += 1
            stop.wait(pause_s)
        except Exception as error:
            said.put(("error", name, f"{type(error).__name__}: {error}"))
            break
    said.put(("syncs", name, {"syncs": syncs, "deals": count}))


def reader(root: Path, number: int, stop: Any, said: Any) -> None:
    import duckdb

    file, reads, slowest, most, builds = root / ".muara" / "muara.duckdb", 0, 0.0, 0, set()
    while not stop.is_set():
        began = time.perf_counter()
        try:
            with duckdb.connect(str(file), read_only=True) as con:
                # Tables and the build's own facts must agree: half a build would not.
                deals, visited = con.execute(
                    "select (select count(*) from deals), (select count(distinct deal_key) from stage_intervals)"
                ).fetchone()
                (build,) = con.execute("select value from ops.build_info where item = 'build_id'").fetchone()
                dates = con.execute(
                    "select as_of_at from stage_conversion union select as_of_at from stage_bottlenecks "
                    "union select cast(value as timestamp) from ops.build_info where item = 'as_of_at'"
                ).fetchall()
        except Exception as error:
            said.put(("error", f"reader {number}", f"{type(error).__name__}: {error}"))
            continue
        reads, slowest = reads + 1, max(slowest, time.perf_counter() - began)
        builds.add(build)
        if visited != deals or deals < most or len(dates) != 1:
            what = f"{deals} deals, {visited} with a path, {most} before; as of {dates}"
            said.put(("error", f"reader {number}", what))
        most = deals
        time.sleep(0.02)
    said.put(
        ("reads", f"reader {number}", {"reads": reads, "slowest_s": round(slowest, 3), "builds_seen": len(builds)})
    )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--builds", type=int, default=20)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.5, metavar="SECONDS", help="between two syncs of one source")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder) / "hub", args.sources, args.builds, args.readers, pause_s=args.pause)
    print(json.dumps(found, indent=1))
    return found


def measure(
    root: Path, sources: int, builds: int, readers: int, *, most_syncs: int = 1_000_000, pause_s: float = 0.0
) -> dict[str, Any]:
    """Figures and `errors`. `most_syncs`: each source ends after so many, else when the builds are done; `pause_s` lies between two of them."""
    from dagster_project import operations

    names = [f"team_{number}" for number in range(sources)]
    prepare(root, names)
    operations.sync_sources(hub_at(root), [])
    operations.build(hub_at(root))
    context = multiprocessing.get_context("spawn")
    stop, said = context.Event(), context.Queue()
    work = [context.Process(target=syncer, args=(root, name, most_syncs, pause_s, stop, said)) for name in names]
    work += [context.Process(target=reader, args=(root, number, stop, said)) for number in range(readers)]
    began = time.perf_counter()
    for process in work:
        process.start()
    statuses = [operations.build(hub_at(root)).status for _ in range(builds)]
    stop.set()
    messages = [said.get(timeout=120)]
    while sum(kind != "error" for kind, *_ in messages) < len(work):
        messages.append(said.get(timeout=120))
    for process in work:
        process.join()
    last = operations.build(hub_at(root))
    written = {name: facts["deals"] for kind, name, facts in messages if kind == "syncs"}
    held = dict(rows_by_source(root))
    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "builds": {status: statuses.count(status) for status in set(statuses)},
        "last_build": last.status,
        "syncs": {name: facts for kind, name, facts in messages if kind == "syncs"},
        "readers": {name: facts for kind, name, facts in messages if kind == "reads"},
        "errors": [f"{name}: {what}" for kind, name, what in messages if kind == "error"],
        "lost_rows": {name: count - held.get(name, 0) for name, count in written.items() if held.get(name, 0) != count},
    }


def rows_by_source(root: Path) -> list[tuple[str, int]]:
    import duckdb

    with duckdb.connect(str(root / ".muara" / "muara.duckdb"), read_only=True) as con:
        return con.execute("select source_key, count(*) from deals group by all").fetchall()


if __name__ == "__main__":
    main()
