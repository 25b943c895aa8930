"""`muara sync`, `build`, `run`, `replay`, `rollback`, `check` and `plan`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dagster_project.cli import FAILED, OK, PARTIAL, Context, Result
from dagster_project.cli_output import Progress
from dagster_project.cli_reports import (
    build_code,
    build_data,
    build_text,
    check_code,
    checks_text,
    plans_text,
    run_data,
    runs_text,
    worst,
)
from dagster_project.operations import (
    Hub,
    SourceRun,
    check_sources,
    kept_builds,
    plan_sources,
    replay_source,
    sync_sources,
)
from dagster_project.operations import rollback as rollback_warehouse

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
        result: BuildResult = build_warehouse(
            hub,
            as_of=args.as_of,
            on_progress=lambda what, done, total: progress.show("build", done, total, what),
        )
        return result
    finally:
        progress.close()


def check(args: argparse.Namespace, context: Context) -> Result:
    """Try credentials, scopes and field permissions."""
    answers = check_sources(hub_of(args, context), args.sources)
    return Result(check_code(answers), answers, checks_text(answers))


def plan(args: argparse.Namespace, context: Context) -> Result:
    """Calls and rows that a sync would need."""
    answers = plan_sources(hub_of(args, context), args.sources)
    return Result(FAILED if any(answer.error for answer in answers) else OK, answers, plans_text(answers))


def replay(args: argparse.Namespace, context: Context) -> Result:
    """Map what is stored again."""
    progress = Progress(context.stderr, quiet=args.json, monotonic=context.clock.monotonic)
    try:
        report = replay_source(
            hub_of(args, context),
            args.source,
            on_progress=lambda done, total, what: progress.show(args.source, done, total, what),
        )
    finally:
        progress.close()
    run = SourceRun(source=args.source, status=report.status, report=report)
    return Result(worst([run]), run_data(run), runs_text([run]))


def rollback(args: argparse.Namespace, context: Context) -> Result:
    """Publish the build before the present one."""
    hub = hub_of(args, context)
    facts = rollback_warehouse(hub)
    left = [one for one in kept_builds(hub) if one.build_id < facts.build_id]
    text = (
        f"published {hub.home.published}: build {facts.build_id}, as of {facts.as_of_at} UTC\n"
        f"  {len(left)} older build(s) kept. Landing is untouched; the next build publishes over this one."
    )
    return Result(OK, {"published": hub.home.published, "build": facts}, text)
