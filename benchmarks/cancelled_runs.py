"""A Dagster run cancelled at ten random moments: each time, is what stands consistent, and does the next run repair everything?

    python -m benchmarks.cancelled_runs                  # ten moments, SIGINT and SIGTERM in turn
    python -m benchmarks.cancelled_runs --moments 2 --seed 5

Each time: an empty home, one run of everything (`dagster asset materialize`, a process per step, as in production), a signal to the run's process at
a random moment, a look at what stands, then a second run to its end. Its tables must equal those of a run that nobody cancelled. The CRM is a sandbox
that answers slowly, so that most moments fall into a sync.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from connectors.sandbox import hubspot
from connectors.sandbox.world import World
from dagster_project.scaffold import create_project, dagster_home
from warehouse.home import Home
from warehouse.landing.manifest import read_manifest
from warehouse.landing.parts import verified

NOW = datetime(2026, 7, 1, tzinfo=UTC)
SOURCES = """\
type: dagster_project.components.CrmSource
attributes:
  source: crm
  connector: hubspot
  config: {base_url: {env: CRM_URL}, access_token: {env: CRM_TOKEN}, page_size: 10}
---
type: dagster_project.components.CrmSource
attributes:
  source: sheet
  connector: spreadsheet
  config: {path: deals.csv, key: id, default_currency: USD, snapshot_date: 2026-06-30}
"""
#: What must be equal, whenever it was read.
TABLES = {
    "deals": "deal_key, stage_key, outcome, amount, currency, created_at, closed_at, presence",
    "stage_changes": "deal_key, seq, changed_at, from_stage_key, to_stage_key, evidence",
    "stage_conversion": "*",
}


class Project:
    """A project on a slow sandbox CRM and a sheet, and its runs."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        create_project(root)
        (root / "defs" / "sources").mkdir()
        (root / "defs" / "sources" / "defs.yaml").write_text(SOURCES)
        rows = [f"{number},Deal {number},Proposal,100,2026-01-05" for number in range(50)]
        (root / "deals.csv").write_text("\n".join(["id,deal,stage,amount,created", *rows]))
        self.home = root / ".muara"
        own = {"MUARA_PROJECT": str(root), "DAGSTER_HOME": str(self.home / "dagster"), "MUARA_AS_OF": NOW.isoformat()}
        self.env = {**os.environ, **env, **own, "DAGSTER_DISABLE_TELEMETRY": "1"}

    def clean(self) -> None:
        """As if nothing had ever run."""
        shutil.rmtree(self.home, ignore_errors=True)
        dagster_home(self.home)

    def start(self) -> subprocess.Popen[bytes]:
        """One run of everything."""
        command = [
            sys.executable,
            "-m",
            "dagster",
            "asset",
            "materialize",
            "--select",
            "*",
            "-m",
            "dagster_project.definitions",
        ]
        log = (self.root / "run.log").open("wb")
        return subprocess.Popen(command, cwd=self.root, env=self.env, stdout=log, stderr=log, start_new_session=True)

    def finish(self, process: subprocess.Popen[bytes], within_s: float = 300.0) -> int:
        """Wait for the end; what does not end is ended with all its children, and told as -1."""
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return -1

    def tables(self) -> dict[str, list[Any]] | None:
        """The published rows that must be equal; None when nothing is published."""
        file = self.home / "muara.duckdb"
        if not file.exists():
            return None
        with duckdb.connect(str(file), read_only=True) as con:
            return {
                name: con.execute(f"select {columns} from {name} order by all").fetchall()
                for name, columns in TABLES.items()
            }

    def problems(self) -> list[str]:
        """What does not hold right after a run was cancelled: a part that is not as its manifest says, a lock that is held."""
        found, home = [], Home(self.home)
        for source in ("crm", "sheet"):
            try:
                with home.lock_source(source, "look"):
                    committed = read_manifest(home.store(), source)
                    if committed is not None:
                        verified(home.store(), source, committed.manifest.parts)
            except Exception as error:
                found.append(f"{source}: {type(error).__name__}: {error}")
        try:
            with home.lock_builds("look"):
                self.tables()
        except Exception as error:
            found.append(f"builds: {type(error).__name__}: {error}")
        return found


def free_slots(project: Project) -> list[str]:
    """Statuses of all runs so far; pools of ended ones are freed.

    Dagster leaves the pool slot of a cancelled step taken; its daemon frees it once the run has ended, because our dagster.yaml sets
    `run_monitoring.free_slots_after_run_end_seconds`. No daemon runs here, so this does what it does, for ended runs only.
    """
    with dg.DagsterInstance.from_config(str(project.home / "dagster")) as instance:
        if not instance.run_monitoring_settings.get("free_slots_after_run_end_seconds"):
            raise SystemExit("dagster.yaml does not let the daemon free the slots of ended runs")
        runs = instance.get_runs()
        for run in runs:
            if run.is_finished:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return [run.status.value for run in runs]


def group_is_gone(pid: int, within_s: float = 60.0) -> bool:
    """Whether all processes of a run have ended: steps are processes of their own."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def measure(project: Project, moments: int, seed: int) -> dict[str, Any]:
    project.clean()
    began = time.monotonic()
    if project.finish(project.start()) != 0:
        raise SystemExit((project.root / "run.log").read_text()[-4000:])
    whole = time.monotonic() - began
    wanted = project.tables()
    rolls, tries = random.Random(seed), []
    for number in range(moments):
        project.clean()
        how, after = (signal.SIGINT, signal.SIGTERM)[number % 2], rolls.uniform(0.15, 0.98) * whole
        process = project.start()
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        code = project.finish(process)
        gone = group_is_gone(process.pid)
        stood = project.problems()
        ended_as = free_slots(project)
        half = project.tables() not in (None, wanted)
        again = project.finish(project.start())
        if again != 0:
            print((project.root / "run.log").read_text()[-3000:], file=sys.stderr)
        told = {
            "moment_s": round(after, 1),
            "signal": how.name,
            "exit": code,
            "run": ended_as,
            "all_ended": gone,
            "problems": stood,
        }
        tries.append({**told, "half_published": half, "next_exit": again, "repaired": project.tables() == wanted})
        print(json.dumps(tries[-1]), flush=True)
    held = [
        one
        for one in tries
        if one["repaired"] and one["all_ended"] and not one["problems"] and not one["half_published"]
    ]
    return {
        "uncancelled_run_s": round(whole, 1),
        "deals": len((wanted or {})["deals"]),
        "moments": moments,
        "hold": len(held),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--deals", type=int, default=60)
    parser.add_argument("--latency", type=float, default=0.15)
    args = parser.parse_args()
    world = World(seed=3, now=NOW, deals=args.deals)
    with hubspot.serve(world, latency=args.latency) as server, tempfile.TemporaryDirectory() as folder:
        env = {"CRM_URL": server.url, "CRM_TOKEN": server.credentials.access_token}
        print(json.dumps(measure(Project(Path(folder) / "hub", env), args.moments, args.seed), indent=1))


if __name__ == "__main__":
    main()
