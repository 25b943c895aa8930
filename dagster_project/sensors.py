"""What starts a sync besides a schedule: a file that is new, and a quota that has returned."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import is_env_ref, resolve
from dagster_project import operations
from dagster_project.operations import Hub
from dagster_project.project import SourceSpec

#: Seconds between two looks.
LOOK_AT_FILES_S = 30
LOOK_AT_QUOTAS_S = 60
#: A file that changed in the last seconds may still be being written.
SETTLED_S = 3.0
#: A partial sync that does not say when calls are allowed again goes on after this long.
UNKNOWN_WAIT = timedelta(minutes=15)


def reads_files(spec: SourceSpec) -> bool:
    """True when the source reads files of this machine, as far as its YAML tells."""
    return any(True for _ in _paths(spec.config))


def _sensor(
    spec: SourceSpec, name: str, job: str, seconds: int, what: str
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Decorator: a sensor of one source that is on from the start and looks every so many seconds."""
    return dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=what,
        tags={"muara/source": spec.source},
    )


def file_sensor(hub_at: Callable[[], Hub], spec: SourceSpec, job: str) -> dg.SensorDefinition:
    """Runs the source's sync once for each new version of its files."""
    what = f"Syncs {spec.source} once for each new version of its files."

    @_sensor(spec, f"new_files_of_{spec.source}", job, LOOK_AT_FILES_S, what)
    def new_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        hub = hub_at()
        try:
            version, newest, count = files_version(hub, spec)
        except ConfigError as error:
            return dg.SkipReason(str(error))
        if not count:
            return dg.SkipReason("There is no such file yet.")
        if hub.clock.now().timestamp() - newest < SETTLED_S:
            return dg.SkipReason("A file changed just now; it may still be being written.")
        if version == context.cursor:
            return dg.SkipReason("No file has changed.")
        if context.cursor is None and _was_read_since(hub, spec.source, newest):
            return dg.SensorResult(skip_reason="The last sync has read these files.", cursor=version)
        request = dg.RunRequest(run_key=f"{spec.source}:{version}", tags={"muara/because": "new version of a file"})
        return dg.SensorResult(run_requests=[request], cursor=version)

    return new_files


def _was_read_since(hub: Hub, source: str, newest: float) -> bool:
    """True when a complete sync began after the files last changed: by hand, before anything watched them."""
    report = operations.last_sync(hub, source)
    return report is not None and report.status == "complete" and report.started_at.timestamp() > newest


def files_version(hub: Hub, spec: SourceSpec) -> tuple[str, float, int]:
    """A text that changes with the files of a source, the newest time of change (Unix seconds), and how many files there are.

    Raises ConfigError when a path is `{env: NAME}` and NAME is not set.
    """
    config = operations.anchored(resolve(spec.config, hub.env, where=f"{spec.where}: config"), hub.root)
    digest, newest, count = hashlib.sha256(), 0.0, 0
    for path in sorted({file for written in _paths(config) for file in _files(str(written))}):
        try:
            found = path.stat()
        except OSError:
            continue
        digest.update(f"{path}|{found.st_mtime_ns}|{found.st_size}\n".encode())
        newest, count = max(newest, found.st_mtime), count + 1
    return digest.hexdigest()[:16], newest, count


def _paths(config: Mapping[str, Any]) -> Iterator[Any]:
    """Every local `path` of a config, that of each entry of `tables` included; one from the environment is not known yet and counts."""
    for key, value in config.items():
        if key == "path" and (is_env_ref(value) or (isinstance(value, str) and "://" not in value)):
            yield value
        elif key == "tables" and isinstance(value, list | tuple):
            for entry in value:
                if isinstance(entry, Mapping):
                    yield from _paths(entry)


def _files(written: str) -> list[Path]:
    path = Path(os.path.expanduser(written))  # noqa: PTH111 - a pattern is no path yet
    if path.is_dir():
        return [inner for inner in path.iterdir() if inner.is_file()]
    if glob.has_magic(written):
        return [Path(found) for found in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - patterns may be absolute
    return [path]


def quota_sensor(hub_at: Callable[[], Hub], spec: SourceSpec, job: str) -> dg.SensorDefinition:
    """Lets a partial sync go on by itself once its account may call again."""
    what = f"When a sync of {spec.source} was partial, the next one starts as soon as its quota has returned."

    @_sensor(spec, f"go_on_{spec.source}", job, LOOK_AT_QUOTAS_S, what)
    def go_on() -> dg.RunRequest | dg.SkipReason:
        hub = hub_at()
        due = goes_on_at(hub, spec.source)
        if due is None:
            return dg.SkipReason("The last sync was not partial.")
        sync_id, instant = due
        if instant > hub.clock.now():
            return dg.SkipReason(f"The last sync was partial; it goes on at {instant:%Y-%m-%d %H:%M} UTC.")
        return dg.RunRequest(run_key=f"{spec.source}:{sync_id}", tags={"muara/because": "goes on after a partial sync"})

    return go_on


def goes_on_at(hub: Hub, source: str) -> tuple[str, datetime] | None:
    """Id of the last sync of a source and when it may go on (UTC), if it was partial; else None."""
    report = operations.last_sync(hub, source)
    if report is None or report.status != "partial" or report.ended_at is None:
        return None
    return report.sync_id, report.resumes_at or report.ended_at + UNKNOWN_WAIT
