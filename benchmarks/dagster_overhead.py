"""What Dagster adds: loading the code location of ten sources, and one sync with one build beside the same through `muara`.

    python -m benchmarks.dagster_overhead [--sources 10] [--deals 2000]

Each line is a process of its own with its wall and CPU seconds, its children's included. The bare `import dagster` is the yardstick: nobody who
uses Dagster gets below it. Made-up sheets, nothing is called over the network.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dagster_project.scaffold import create_project, dagster_home

STAGES = ("Lead", "Qualified", "Demo", "Proposal", "Closed Won", "Closed Lost")
LOAD = """
import sys, time
import dagster
from pathlib import Path
began, cpu = time.perf_counter(), time.process_time()
from dagster_project.definitions import load_project
found = load_project(Path.cwd())
keys = len(found.resolve_asset_graph().get_all_asset_keys())
jobs = len(found.resolve_all_job_defs())
print(f"    of which after the import of dagster: {time.perf_counter() - began:.2f} s wall, {time.process_time() - cpu:.2f} s CPU; "
      f"{keys} assets, {jobs} jobs")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sources", type=int, default=10)
    parser.add_argument("--deals", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder) / "hub", args.sources, args.deals)
        env = {
            **os.environ,
            "DAGSTER_HOME": str(dagster_home(root / ".muara")),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "MUARA_PROJECT": str(root),
            "MUARA_AS_OF": "2026-07-01T00:00:00Z",
        }
        bare = [sys.executable, "-c"]
        muara = [sys.executable, "-m", "dagster_project.cli"]
        job = [sys.executable, "-m", "dagster", "job", "execute", "-m", "dagster_project.definitions", "-j"]
        print(f"{args.sources} sources of {args.deals:,} deals each; wall and CPU seconds\n")
        measure("import dagster (yardstick)", [*bare, "import dagster"], root, env)
        measure("load the code location", [*bare, LOAD], root, env, show=True)
        measure("muara sync source_0", [*muara, "sync", "source_0"], root, env)
        measure("dagster: job sync_source_1", [*job, "sync_source_1"], root, env)
        measure("muara build", [*muara, "build"], root, env)
        measure("dagster: job rebuild", [*job, "rebuild"], root, env)
        measure("muara sync (all)", [*muara, "sync"], root, env)
        measure("dagster: job sync_all (nothing new) *", [*job, "sync_all"], root, env)
        print("\n* its steps are forked from a server of their own, whose CPU seconds are not counted here")


def project(root: Path, sources: int, deals: int) -> Path:
    """A project folder with that many sheets."""
    create_project(root)
    (root / "sheets").mkdir()
    for number in range(sources):
        lines = ["Deal ID,Deal,Company,Stage,Amount,Created,Owner"]
        lines += [
            f"{deal},Deal {deal},Company {deal % 97},{STAGES[(deal * 7 + number) % 6]},{deal % 900 + 100},"
            f"2026-{deal % 6 + 1:02d}-{deal % 28 + 1:02d},Owner {deal % 9}"
            for deal in range(deals)
        ]
        (root / "sheets" / f"s{number}.csv").write_text("\n".join(lines) + "\n")
        folder = root / "defs" / f"source_{number}"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(
            "type: dagster_project.components.CrmSource\nattributes:\n"
            f"  source: source_{number}\n  connector: spreadsheet\n  schedule: '0 6 * * *'\n"
            f"  config: {{path: sheets/s{number}.csv, key: Deal ID, snapshot_date: 2026-06-30, default_currency: USD}}\n"
        )
    return root


def measure(name: str, command: list[str], cwd: Path, env: dict[str, str], *, show: bool = False) -> None:
    """Run one process and print what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name:40} {wall:7.2f} {cpu:7.2f}")
    if show:
        print(done.stdout.rstrip())


if __name__ == "__main__":
    main()
