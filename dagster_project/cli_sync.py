"""`muara sync`, `build`, `run`, `replay`, `rollback`, `check` and `plan`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dagster_project.cli import FAILED, OK, PARTIAL, Context, Result
from dagster_project.cli_output import Progress
from dagster_project.cli_reports import build_code, build_data, build_text, run_data, runs_text, worst
from dagster_project.operations import Hub, SourceRun, sync_sources

if TYPE_CHECKING:
    from warehouse.build import BuildResult


def hub_of(args: argparse.Namespace, context: Context) -> Hub:
    """The project that the command is about."""
    return Hub.find(args.project, context.env, context.cwd, context.clock)


def sync(args: argparse.Namespace, context: Context) -> Result:
    """Read sources into the landing zone."""
    runs = _synced(args, context, hub_of(args, context))
    return Result(worst(runs), {"sources": [run_data(run) for run in runs]}, runs_text(runs))


def build(args: argparse.Namespace, context: Context) -> Result:
    """Build, check and publish."""
    result = _built(args, context, hub_of(args, context))
    return Result(build_code(result), build_data(result), build_text(result))


def run(args: argparse.Namespace, context: Context) -> Result:
    """Sync all, then build: also when a source failed, because the others have news."""
    hub = hub_of(args, context)
    runs = _synced(args, context, hub)
    result = _built(args, context, hub)
    code = max(worst(runs), build_code(result), key=(OK, PARTIAL, FAILED).index)
    data = {"sources": [run_data(one) for one in runs], "build": build_data(result)}
    return Result(code, data, runs_text(runs) + "\n\n" + build_text(result))


def _synced(args: argparse.Namespace, context: Context, hub: Hub) -> list[SourceRun]:
    progress = Progress(context.stderr, quiet=args.json, monotonic=context.clock.monotonic)
    try:
        return sync_sources(
            hub,
            args.sources,
            full=args.full,
            accept_deletes=args.accept_deletes,
            on_progress=progress.show,
            on_end=lambda run: progress.close(),
        )
    finally:
        progress.close()


def _built(args: argparse.Namespace, context: Context, hub: Hub) -> BuildResult:
    from dagster_project.operations import build as build_warehouse  # noqa: PLC0415 - a sync needs no build

    progress = Progress(context.stderr, quiet=args.json, monotonic=context.clock.monotonic)
    try:
        return build_warehouse(
            hub,
            as_of=args.as_of,
            on_progress=lambda what, done, total: progress.show("build", done, total, what),
        )
    finally:
        progress.close()
