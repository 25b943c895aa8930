"""From a project's YAML to Dagster definitions: assets, jobs, schedules, automation. Reads no secret and calls nobody."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.schedules import cron_string_iterator  # how Dagster itself reads a schedule

from assets import sync as sync_assets
from assets import warehouse as warehouse_assets
from assets.keys import SourceFacts, streams_of
from assets.translation import Freshness
from connectors.sdk import registry
from connectors.sdk.clock import SystemClock
from connectors.sdk.connector import Connector
from connectors.sdk.errors import ConfigError
from dagster_project import operations, sensors
from dagster_project.operations import Hub
from dagster_project.project import SourceSpec, read_project

#: Runs of several steps. A sync mostly waits for its vendor, so more of them than processors; a forked step starts in a second instead of three.
SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {"max_concurrent": 4, "start_method": {"forkserver": {"preload_modules": ["dagster_project.definitions"]}}}
)


def hub_at(root: Path) -> Hub:
    """The hub of a project folder with the real environment and clock: called inside steps, never kept."""
    return Hub(root, os.environ, SystemClock())


def source_definitions(root: Path, spec: SourceSpec) -> dg.Definitions:
    """Assets, job and schedule of one source. Raises ConfigError where its config has the wrong shape.

    A connector that cannot be loaded does not take the other sources down: its assets are there, and its sync fails with the reason.
    """
    connector = checked_connector(spec)
    assets = sync_assets.source_assets(
        source=spec.source,
        connector_name=spec.connector,
        connector=connector,
        translation=spec.translation,
        run=lambda request: _run_sync(root, spec.source, request),
        landed=lambda: _landed(root, spec.source),
        freshness=spec.freshness or default_freshness(spec),
    )
    selection = dg.AssetSelection.assets(*assets.keys)
    tags = {"muara/source": spec.source}
    job = dg.define_asset_job(
        f"sync_{spec.source}",
        selection=selection,
        description=f"Sync {spec.source}: what is new. Run config of its step: full, accept_deletes, history_since.",
        tags=tags,
        executor_def=dg.in_process_executor,
    )
    full = dg.define_asset_job(
        f"full_refresh_{spec.source}",
        selection=selection,
        config={"ops": {assets.op.name: {"config": {"full": True}}}},
        description=f"Read {spec.source} once more, whole; nothing is dropped. Set history_since to a day to go back to it.",
        tags=tags,
        executor_def=dg.in_process_executor,
    )
    schedules = []
    if spec.schedule:
        schedules.append(
            dg.ScheduleDefinition(
                name=f"sync_{spec.source}_schedule",
                job=job,
                cron_schedule=spec.schedule,
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description=f"As written in {spec.where}.",
            )
        )
    watch = sensors.file_sensor if sensors.reads_files(spec) else sensors.quota_sensor
    return dg.Definitions(
        assets=[assets],
        jobs=[job, full],
        schedules=schedules,
        sensors=[watch(lambda: hub_at(root), spec, job.name)],
    )


def default_freshness(spec: SourceSpec) -> Freshness | None:
    """When a source counts as late where its YAML does not say: two missed syncs, or a day. Files without a schedule change when they change."""
    if spec.schedule is None:
        return None if sensors.reads_files(spec) else Freshness(warn_hours=25, fail_hours=26)
    gap = longest_gap_hours(spec.schedule)
    return Freshness(warn_hours=round(1.5 * gap + 0.5, 1), fail_hours=round(2 * gap + 1, 1))


def longest_gap_hours(cron: str) -> float:
    """The longest time between two ticks of a cron line, in hours: 72 for workdays only. Looks at the next 100 ticks."""
    ticks = cron_string_iterator(datetime(2026, 1, 1, tzinfo=UTC).timestamp(), cron, "UTC")
    seen = [next(ticks) for _ in range(100)]
    return max((after - before).total_seconds() for before, after in pairwise(seen)) / 3600


def warehouse_definitions(root: Path) -> dg.Definitions:
    """The warehouse's assets with their checks, the job that rebuilds it, and the sensor that does so after syncs."""
    from warehouse.build import all_models  # noqa: PLC0415 - brings duckdb
    from warehouse.ops import CHECKS  # noqa: PLC0415

    project = read_project(root)
    hub_at(root).warehouse_settings()
    assets = warehouse_assets.warehouse_assets(
        all_models(),
        CHECKS,
        [_facts(spec) for spec in project.sources],
        warehouse_assets.Builder(
            build=lambda as_of, told: operations.build(hub_at(root), as_of=as_of, on_progress=told),
            catalogue=lambda: operations.published_catalogue(hub_at(root)),
            digests=lambda: operations.published_digests(hub_at(root)),
            rows=lambda sql: operations.published_rows(hub_at(root), sql),
        ),
        project.warehouse.translation,
    )
    selection = dg.AssetSelection.assets(*assets.keys)
    rebuild = dg.define_asset_job(
        "rebuild",
        selection=selection,
        description="Build, check and publish the warehouse from what is landed.",
        executor_def=dg.in_process_executor,
    )
    sensor = dg.AutomationConditionSensorDefinition(
        "rebuild_after_syncs",
        target=selection,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Asks for a build when a source has news, one build at a time.",
    )
    return dg.Definitions(assets=[assets], jobs=[rebuild], sensors=[sensor])


def common_definitions(root: Path) -> dg.Definitions:
    """What belongs to the project as a whole: the job that syncs every source, side by side."""
    project = read_project(root)
    keys = [key for spec in project.sources for key in _asset_keys(spec)]
    if not keys:
        return dg.Definitions(executor=SIDE_BY_SIDE)
    job = dg.define_asset_job(
        "sync_all",
        selection=dg.AssetSelection.assets(*keys),
        description="Sync every source; one that fails does not stop the others.",
    )
    return dg.Definitions(jobs=[job], executor=SIDE_BY_SIDE)


def _asset_keys(spec: SourceSpec) -> Sequence[dg.AssetKey]:
    from assets.keys import sync_key  # noqa: PLC0415

    return [sync_key(spec.source, stream, spec.translation) for stream in _facts(spec).streams]


def _facts(spec: SourceSpec) -> SourceFacts:
    return SourceFacts(source=spec.source, streams=streams_of(checked_connector(spec)), translation=spec.translation)


def checked_connector(spec: SourceSpec) -> type[Connector] | None:
    """The connector after a look at the config's shape; None when this environment cannot load it (that hurts its own sync only).

    Raises ConfigError for an unknown connector or a wrong setting: mistakes in the YAML.
    """
    if spec.connector in registry.names():
        try:
            registry.load(spec.connector)
        except ConfigError:
            return None
    return operations.check_config(spec)


def _landed(root: Path, source: str) -> dict[str, sync_assets.Landed]:
    held = operations.landed_streams(hub_at(root), source)
    return {stream: sync_assets.Landed(*facts) for stream, facts in held.items()}


def _run_sync(root: Path, source: str, request: sync_assets.SyncRequest) -> Any:
    hub = hub_at(root)
    return operations.sync_source(
        hub,
        hub.project.source(source),
        full=request.full,
        accept_deletes=request.accept_deletes,
        history_since=request.history_since,
        on_progress=request.on_progress,
    )
