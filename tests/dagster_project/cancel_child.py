"""Run apart from pytest: Dagster runs of a project, one cut off in its sync, the next in its build; then a run to the end.

    python -m tests.dagster_project.cancel_child PROJECT

Each is a process of its own that sends itself the signal. The parent only forks, so Dagster is imported once. Output: JSON, what stood after each
cancelled run, and what the last one made of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from connectors.sdk.clock import SystemClock
from dagster_project import definitions, operations
from dagster_project.scaffold import dagster_home
from warehouse import build
from warehouse.home import Home
from warehouse.landing.manifest import read_manifest
from warehouse.landing.parts import verified
from warehouse.landing.store import LocalStore

#: Jobs and the assets asked for. A build makes every table whatever is asked for; events of all the others cost Dagster ten seconds.
RUNS = (("sync_all", None), ("rebuild", [dg.AssetKey(["warehouse", "deals"])]))
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
#: Where the signal strikes: before the n-th durable write of a sync, or after the n-th model of a build.
MOMENTS = (("write", 6, signal.SIGTERM), ("model", 25, signal.SIGINT))
TABLES = {
    "deals": "deal_key, stage_key, outcome, amount, created_at",
    "stage_changes": "deal_key, seq, to_stage_key, evidence",
    "stage_conversion": "*",
}


def strike_at(where: str, number: int, how: signal.Signals) -> None:
    """Let this process get the signal at that moment."""
    left = iter(range(number))

    def count() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), how)

    if where == "write":
        LocalStore.step = lambda self, what: count()  # type: ignore[method-assign]
    else:
        real = build.run_models
        build.run_models = lambda con, models, on_model: real(
            con, models, on_model=lambda table: (on_model(table), count())
        )


def run_all(root: Path) -> int:
    """Sync and build, as two Dagster runs."""
    with dg.DagsterInstance.from_config(str(dagster_home(root / ".muara"))) as instance:
        loaded = definitions.load_project(root)
        for job, shown in RUNS:
            done = loaded.resolve_job_def(job).execute_in_process(
                run_config=QUIET, instance=instance, raise_on_error=False, asset_selection=shown
            )
            if not done.success:
                return 1
    return 0


def forked(root: Path, moment: tuple[str, int, signal.Signals] | None = None) -> int:
    """Exit code of a process that runs everything; -n when signal n ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if moment:
                strike_at(*moment)
            code = run_all(root)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tables(home: Path) -> dict[str, Any] | None:
    """What is published there; None when nothing is."""
    file = home / "muara.duckdb"
    if not file.exists():
        return None
    with duckdb.connect(str(file), read_only=True) as con:
        return {
            name: repr(con.execute(f"select {what} from {name} order by all").fetchall())
            for name, what in TABLES.items()
        }


def problems(root: Path, source: str) -> list[str]:
    """A lock that is held, a part that is not as its manifest says."""
    home, found = Home(root / ".muara"), []
    try:
        with home.lock_source(source, "look"), home.lock_builds("look"):
            committed = read_manifest(home.store(), source)
            verified(home.store(), source, committed.manifest.parts if committed else ())
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def undisturbed(root: Path) -> dict[str, Any] | None:
    """The tables as they come out where nothing is cancelled, in a home of their own."""
    env = {**os.environ, "MUARA_HOME": str(root / "undisturbed")}
    hub = operations.Hub(root, env, SystemClock())
    operations.sync_sources(hub, [])
    operations.build(hub)
    return tables(root / "undisturbed")


def main() -> None:
    root = Path(sys.argv[1])
    home = root / ".muara"
    os.environ["MUARA_AS_OF"] = "2026-03-01T00:00:00Z"
    seen = []
    for moment in MOMENTS:
        code = forked(root, moment)
        told = {
            "moment": f"{moment[0]} {moment[1]} {moment[2].name}",
            "cancelled": code != 0,
            "problems": problems(root, "tracker"),
        }
        seen.append({**told, "published": tables(home) is not None})
    last = forked(root)
    # After the forks: a process that has opened DuckDB is no place to fork from.
    wanted = undisturbed(root)
    print(
        json.dumps(
            {
                "deals": len((wanted or {}).get("deals", "")),
                "seen": seen,
                "last": last,
                "repaired": tables(home) == wanted,
            }
        )
    )


if __name__ == "__main__":
    main()
