"""What syncs and builds came to, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dagster_project.cli import FAILED, OK, PARTIAL
from dagster_project.cli_output import UNKNOWN, offending, table
from dagster_project.operations import SourceAnswer, SourceRun

if TYPE_CHECKING:
    from warehouse.build import BuildResult
    from warehouse.landing.reports import Notice

#: Offending rows of a check that are named in a line.
_NAMED = 3
_KEYS = ("deal_key", "stage_key", "pipeline_key", "source_key")
#: Messages of one kind that are printed in full.
_OF_A_KIND = 3


def worst(runs: Sequence[SourceRun]) -> int:
    """Exit code of several syncs: failed beats partial and suspicious, these beat ok."""
    statuses = {run.status for run in runs}
    if "failed" in statuses:
        return FAILED
    return OK if statuses <= {"complete"} else PARTIAL


def run_data(run: SourceRun) -> dict[str, Any]:
    """One source's outcome for `--json`: the sync report with the source's name in front."""
    report = msgspec.to_builtins(run.report) if run.report is not None else {}
    return {"source": run.source, "status": run.status, "error": run.error, "report": report}


def runs_text(runs: Sequence[SourceRun]) -> str:
    """A line per source, and below the table what a person should know of each."""
    header = ["source", "status", "read", "new", "changed", "gone", "rejected", "calls", "seconds"]
    rows: list[list[Any]] = []
    notes: list[str] = []
    for run in runs:
        report = run.report
        if report is None:
            rows.append([run.source, run.status, *[None] * 7])
        else:
            took = (report.ended_at - report.started_at).total_seconds() if report.ended_at else None
            counts = [report.total(what) for what in ("read", "new", "changed", "deleted", "rejected")]
            rows.append([run.source, run.status, *counts, sum(report.calls.values()), took])
            notes += [f"{run.source}: {reason}" for reason in report.reasons]
            notes += [f"{run.source}: {text}" for text in _folded(report.warnings)]
            notes += [
                f"{run.source}: field {line.object_type}.{line.field_code} {line.change}. {line.detail}"
                for line in report.drift
            ]
        if run.error:
            notes.append(f"{run.source}: {run.error}")
    return "\n".join([table(rows, header), *([""] if notes else []), *notes])


def _folded(warnings: Sequence[Notice]) -> list[str]:
    """Messages, the first few of each kind: a hundred files must not bury the one line that matters."""
    by_code: dict[str, list[str]] = {}
    for warning in warnings:
        by_code.setdefault(warning.code, []).append(warning.message)
    lines = []
    for code, messages in by_code.items():
        lines += messages[:_OF_A_KIND]
        if len(messages) > _OF_A_KIND:
            lines.append(f"... and {len(messages) - _OF_A_KIND} more of the same kind ({code}); --json shows all")
    return lines


def check_code(answers: Sequence[SourceAnswer]) -> int:
    """1 when a sync could not work, 3 when it would miss something, 0 otherwise."""
    levels = {finding.level for answer in answers for finding in answer.findings}
    if "error" in levels or any(answer.error for answer in answers):
        return FAILED
    return PARTIAL if "warning" in levels else OK


def checks_text(answers: Sequence[SourceAnswer]) -> str:
    """A line per finding."""
    rows: list[list[Any]] = []
    for answer in answers:
        if answer.error:
            rows.append([answer.source, "error", "settings", answer.error])
        rows += [
            [answer.source, one.level, one.what, f"{one.message} {one.what_to_do}".strip()] for one in answer.findings
        ]
    return table(rows, ["source", "", "tried", "found"])


def plans_text(answers: Sequence[SourceAnswer]) -> str:
    """A line per stream; `-` where it cannot be told without reading."""
    rows: list[list[Any]] = []
    for answer in answers:
        if answer.error:
            rows.append([answer.source, UNKNOWN, None, None, answer.error])
        elif not answer.lines:
            rows.append([answer.source, UNKNOWN, None, None, "this connector does not tell"])
        rows += [[answer.source, line.stream, line.rows, line.calls, line.note] for line in answer.lines]
    return table(rows, ["source", "stream", "rows", "calls", "note"])


def build_code(result: BuildResult) -> int:
    """0 published from the newest data of every source, 3 with one source at an older state, 1 refused."""
    if result.status != "published":
        return FAILED
    return PARTIAL if result.stale_sources else OK


def build_data(result: BuildResult) -> dict[str, Any]:
    """A build for `--json`."""
    data: dict[str, Any] = msgspec.to_builtins(result, builtin_types=(), enc_hook=str)
    data["failed_checks"] = [check.name for check in result.failed_checks]
    return data


def build_text(result: BuildResult) -> str:
    """A build in a few lines: published or not, what failed and whose fault it is."""
    rows = sum(result.tables.values())
    if result.status == "published":
        head = (
            f"published {result.published}\n"
            f"  build {result.build_id}, as of {result.as_of_at:%Y-%m-%d %H:%M} UTC: "
            f"{len(result.tables)} tables, {rows:,} rows, {result.seconds:.1f} s"
        )
    else:
        head = f"NOT published: checks failed. {result.published} is as it was."
    lines = [head]
    for source in result.stale_sources:
        lines.append(f"  {source} is shown as of its last published state: its newest data failed a check.")
    for check in result.failed_checks:
        lines.append(
            f"  {check.severity}: {check.name}: {offending(check.failing, check.description)}{_named(check.sample)}"
        )
    lines += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _named(sample: Sequence[Mapping[str, Any]]) -> str:
    """The first offending rows by the narrowest key that each carries."""
    keys = [next((str(row[name]) for name in _KEYS if row.get(name)), "") for row in sample[:_NAMED]]
    named = ", ".join(dict.fromkeys(key for key in keys if key))
    return f" Such as {named}." if named else ""
