"""The demo: the sample project, run through Dagster in this process, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from connectors.sdk.errors import ConfigError, MuaraError
from dagster_project.definitions import load_project
from dagster_project.project import read_project
from dagster_project.scaffold import dagster_home

#: The sheets end on 30 June 2026; the numbers are as of the midnight after.
AS_OF = "2026-07-01T00:00:00Z"
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
    with _own_environment(), dg.DagsterInstance.from_config(str(dagster_home(root / ".muara"))) as instance:
        definitions = load_project(root)
        say(f"Syncing {len(read_project(root).sources)} sources through Dagster ...")
        _execute(definitions, "sync_all", _QUIET, instance)
        say(f"Building the warehouse as of {AS_OF} ...")
        build = {"ops": {"build_warehouse": {"config": {"as_of": AS_OF}}}}
        _execute(definitions, "rebuild", {**_QUIET, **build}, instance)


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


@contextmanager
def _own_environment() -> Iterator[None]:
    """The demo is a world of its own: a person's MUARA_HOME must not receive its sheets."""
    names = ("MUARA_HOME", "MUARA_LANDING", "MUARA_PROJECT", "MUARA_AS_OF", "DAGSTER_HOME")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
