"""The demo: the sample project, run through Dagster in this process, in a folder of its own.

Its sheets lie in the project; its CRMs are sandboxes served in this process for as long as the demo runs.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from connectors.sandbox.world import World
from connectors.sdk.errors import ConfigError, MuaraError
from dagster_project.definitions import load_project
from dagster_project.project import read_project
from dagster_project.scaffold import dagster_home

#: The sheets and the CRMs end on 30 June 2026; the numbers are as of the midnight after.
AS_OF = "2026-07-01T00:00:00Z"
#: Each CRM is a company of its own: system -> (seed of its world, deals).
CRMS = {"salesforce": (11, 140), "hubspot": (12, 120), "pipedrive": (13, 60)}
_MARK = 'code_location_name = "muara_demo"'
#: In a checkout, and inside an installed package.
_PLACES = (Path(__file__).parent.parent / "examples" / "demo", Path(__file__).parent / "examples" / "demo")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class DemoError(MuaraError):
    """A step of the demo failed; the message holds the step's own sentence."""


def prepare(folder: Path, *, keep: bool) -> Path:
    """Copy the sample project to `folder`; what an earlier demo left there goes unless `keep`.

    Raises ConfigError when the folder holds something else, or the samples are not there.
    """
    samples = next((place for place in _PLACES if (place / "dg.toml").is_file()), None)
    if samples is None:
        raise ConfigError("the demo's sample sheets are not part of this installation. Get them with Muara's source.")
    if folder.exists() and any(folder.iterdir()):
        marker = folder / "dg.toml"
        if not (marker.is_file() and _MARK in marker.read_text(encoding="utf-8")):
            raise ConfigError(f"{folder} holds something else than a demo. Name another folder with --dir.")
        if not keep:
            shutil.rmtree(folder)
    shutil.copytree(samples, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__", ".muara"))
    return folder


def run(root: Path, *, say: Callable[[str], None]) -> None:
    """Sync every source, then build, as Dagster runs that its UI shows later. Raises DemoError naming the step that failed."""
    with served(), dg.DagsterInstance.from_config(str(dagster_home(root / ".muara"))) as instance:
        definitions = load_project(root)
        names = [spec.source for spec in read_project(root).sources]
        say(f"Syncing {len(names)} sources through Dagster: {', '.join(names)} ...")
        _execute(definitions, "sync_all", _QUIET, instance)
        say(f"Building the warehouse as of {AS_OF} ...")
        build = {"ops": {"build_warehouse": {"config": {"as_of": AS_OF}}}}
        _execute(definitions, "rebuild", {**_QUIET, **build}, instance)


def show_ui(root: Path, *, port: int) -> None:
    """Dagster's UI on the demo, its CRMs running, until it is stopped. Raises ConfigError when the UI is not installed."""
    tool = Path(sys.executable).parent / "dg"
    if not tool.exists():
        raise ConfigError("Dagster's UI is not installed here. Install it with: pip install 'muara[ui]'")
    with served():
        own = {
            "DAGSTER_HOME": str(dagster_home(root / ".muara")),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "MUARA_PROJECT": str(root),
            "MUARA_AS_OF": AS_OF,
        }
        command = [str(tool), "dev", "--host", "127.0.0.1", "--port", str(port)]
        # A stop from outside comes to us alone: as an exception it takes Dagster's four processes along.
        # A shell's background job ignores SIGINT, and so would they, which is how dg stops them.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            _until_stopped(subprocess.Popen(command, cwd=root, env={**os.environ, **own}))
        finally:
            signal.signal(signal.SIGTERM, before)


def _until_stopped(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait()
    except KeyboardInterrupt:
        # The terminal has told Dagster too; it needs a moment to stop its services.
        process.wait(timeout=60)
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def served() -> Iterator[None]:
    """The demo's environment: its CRMs are served, their addresses and made-up credentials are set, a person's own settings are not.

    A person's MUARA_HOME must not receive the demo's deals.
    """
    own = ("MUARA_HOME", "MUARA_LANDING", "MUARA_PROJECT", "MUARA_AS_OF", "DAGSTER_HOME")
    before = dict(os.environ)
    with ExitStack() as stack:
        variables: dict[str, str] = {}
        for system, (seed, deals) in CRMS.items():
            world = World(seed=seed, now=datetime.fromisoformat(AS_OF), deals=deals)
            serve = importlib.import_module(f"connectors.sandbox.{system}").serve
            variables |= _variables(system, stack.enter_context(serve(world)))
        for name in own:
            os.environ.pop(name, None)
        os.environ.update(variables)
        try:
            yield
        finally:
            for name in (*variables, *own):
                os.environ.pop(name, None)
            os.environ.update({name: before[name] for name in (*variables, *own) if name in before})


def _variables(system: str, server: Any) -> dict[str, str]:
    let_in = server.credentials
    prefix = f"DEMO_{system.upper()}"
    if system == "salesforce":
        secrets = {f"{prefix}_KEY": let_in.consumer_key, f"{prefix}_SECRET": let_in.consumer_secret}
    else:
        secrets = {f"{prefix}_TOKEN": let_in.access_token if system == "hubspot" else let_in.api_token}
    return {f"{prefix}_URL": server.url, **secrets}


def _execute(definitions: dg.Definitions, job: str, config: dict[str, Any], instance: dg.DagsterInstance) -> None:
    result = definitions.resolve_job_def(job).execute_in_process(
        run_config=config, instance=instance, raise_on_error=False
    )
    failures = [event for event in result.all_events if event.is_step_failure]
    if failures or not result.success:
        raise DemoError("; ".join(_sentence(event) for event in failures) or f"job {job} failed")


def _sentence(event: Any) -> str:
    """The step's own sentence; of an unexpected error the innermost cause, because the outer ones are Dagster's."""
    data = event.step_failure_data
    said = data.user_failure_data.description if data.user_failure_data else None
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {said or (error.message.strip() if error else 'failed')}"
