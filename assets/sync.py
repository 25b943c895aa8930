"""One source as Dagster sees it: a multi-asset with one asset per stream, and what a sync came to as metadata and checks.

The multi-asset cannot be subset: a deal's history must never fall behind the deal. A sync that is partial or suspicious is never shown as
plain success: its rows are there, and its check fails as a warning that says why.
"""

# No `from __future__ import annotations` here: Dagster reads the config class from the live annotation.

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import dagster as dg
from pydantic import Field

from assets.keys import streams_of, sync_key, sync_pool, sync_spec
from assets.landed import landed_schema
from assets.progress import progress_to
from assets.translation import Freshness, Translation
from connectors.sdk.connector import Connector, StreamName
from connectors.sdk.errors import MuaraError, QuotaError, TransientError
from warehouse.landing.reports import RowCounts, SyncReport

COMPLETE_CHECK = "sync_is_complete"
VOLUME_CHECK = "volume_is_plausible"
REJECTS_CHECK = "no_rows_rejected"
FIELDS_CHECK = "fields_unchanged"
#: Checks of every source, on its deals. All are warnings but for a failed sync, which fails its run besides.
SYNC_CHECKS = {
    COMPLETE_CHECK: "Fails when the last sync was partial, suspicious or failed, and says why.",
    VOLUME_CHECK: "Fails when a full read gave no rows or far fewer than are held; then nothing is marked as gone. "
    "If they were really deleted, sync once with accept_deletes.",
    REJECTS_CHECK: "Fails when the last sync put rows aside that could not be read; they are in ops.rejected_rows with the reason.",
    FIELDS_CHECK: "Fails when fields of the source appeared, vanished, or changed name or type since the sync before; old rows keep their values.",
}

#: Dagster's own retries start a new process; the call policy has already waited and tried, so only long waits come here.
MOST_RETRIES = 2
#: Nobody wants a step to hold a worker for hours; a longer wait is left to the next scheduled sync.
LONGEST_WAIT_S = 900.0
DEFAULT_WAIT_S = 60.0
#: Characters of a cursor that Dagster stores with every run.
LONGEST_CURSOR = 1_000
_LONGEST_PART = 200


class SyncConfig(dg.Config):
    """How a sync reads. Everything may be left out: then it reads what is new."""

    full: bool = Field(False, description="Re-read everything, drop nothing.")
    accept_deletes: bool = Field(False, description="Believe it when unusually many deals have vanished.")
    history_since: str | None = Field(
        None,
        description="YYYY-MM-DD: read once more, whole, the deals modified since this day, also from before the source's start_date.",
    )


class SyncRequest(NamedTuple):
    """One sync as asked for by a run. `history_since` (YYYY-MM-DD) stands in for the source's start_date and implies `full`."""

    full: bool
    accept_deletes: bool
    on_progress: Callable[[int, int | None, str], None]
    history_since: str | None = None


class Landed(NamedTuple):
    """What the landing zone holds of one stream: rows, every version counted; a text that changes exactly when rows are added."""

    rows: int
    version: str


def source_assets(
    *,
    source: str,
    connector_name: str,
    connector: type[Connector] | None,
    translation: Translation,
    run: Callable[[SyncRequest], SyncReport],
    landed: Callable[[], Mapping[str, Landed]] = dict,
    freshness: Freshness | None = None,
) -> dg.AssetsDefinition:
    """The multi-asset of one source. `run` syncs it and returns its report; it raises MuaraError where nothing was read.

    `landed` tells what is held by stream once the sync is done.
    """
    streams = streams_of(connector)
    deals = sync_key(source, "deals", translation)

    @dg.multi_asset(
        name=f"sync_{source}_step",
        specs=[sync_spec(source, stream, connector_name, connector, translation, freshness) for stream in streams],
        check_specs=[dg.AssetCheckSpec(name, asset=deals, description=words) for name, words in SYNC_CHECKS.items()],
        can_subset=False,
        pool=sync_pool(source),
        description=f"Read {source} into the landing zone.",
    )
    def sync(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Any]:
        report = _read(context, config, run)
        _log(context, report)
        held = landed()
        for stream in streams:
            key = sync_key(source, stream, translation)
            metadata = stream_metadata(report, stream, held.get(stream))
            if report.status == "failed":
                # No materialisation: a source that fails every half hour must not look fresh, and brings no news to the warehouse.
                yield dg.AssetObservation(asset_key=key, metadata=metadata)
            else:
                version = dg.DataVersion(held[stream].version) if stream in held else None
                yield dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=version)
        yield from sync_checks(report, deals)
        if report.status == "failed":
            raise dg.Failure(description=_why(report), metadata=report_metadata(report), allow_retries=False)

    return sync


def _read(
    context: dg.AssetExecutionContext, config: SyncConfig, run: Callable[[SyncRequest], SyncReport]
) -> SyncReport:
    try:
        told = progress_to(context.log.info)
        report = run(SyncRequest(config.full, config.accept_deletes, told, config.history_since))
    except TransientError as error:
        wait = error.retry_after_s if error.retry_after_s is not None else DEFAULT_WAIT_S
        if wait > LONGEST_WAIT_S:
            raise dg.Failure(
                description=f"{error} The source asks to wait {wait:,.0f} s; the next sync goes on from here.",
                allow_retries=False,
            ) from None
        context.log.warning(f"{error} Trying again in {wait:,.0f} s.")
        raise dg.RetryRequested(max_retries=MOST_RETRIES, seconds_to_wait=wait) from error
    except QuotaError as error:
        until = f" Calls are allowed again at {error.resumes_at:%Y-%m-%d %H:%M} UTC." if error.resumes_at else ""
        raise dg.Failure(description=f"{error}{until}", allow_retries=False) from None
    except MuaraError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    if report.status == "failed" and is_passing(report) and context.retry_number < MOST_RETRIES:
        context.log.warning(f"{_why(report)} Trying again in {DEFAULT_WAIT_S:,.0f} s.")
        raise dg.RetryRequested(max_retries=MOST_RETRIES, seconds_to_wait=DEFAULT_WAIT_S)
    return report


def is_passing(report: SyncReport) -> bool:
    """True when what ended the sync may be gone in a minute. Reports name the class of the error that ended them."""
    return any(reason.startswith(f"{TransientError.__name__}:") for reason in report.reasons)


def stream_metadata(report: SyncReport, stream: StreamName, held: Landed | None = None) -> dict[str, Any]:
    """What a sync did to one stream: rows, cursor, and the sync's own status, calls, quota and duration."""
    rows = report.rows.get(stream, RowCounts())
    return {
        "status": report.status,
        **({"dagster/row_count": held.rows} if held else {}),
        "rows_read": rows.read,
        "rows_new": rows.new,
        "rows_changed": rows.changed,
        "rows_deleted": rows.deleted,
        "rows_rejected": rows.rejected,
        "rows_dropped": rows.dropped,
        **report_metadata(report),
        "cursor_before": _cursor(report.cursors_before.get(stream)),
        "cursor_after": _cursor(report.cursors_after.get(stream)),
        "dagster/column_schema": landed_schema(stream),
    }


def report_metadata(report: SyncReport) -> dict[str, Any]:
    """What a sync came to as a whole."""
    metadata: dict[str, Any] = {
        "status": report.status,
        "sync_id": report.sync_id,
        "calls": sum(report.calls.values()),
        "calls_by_endpoint": dg.MetadataValue.json(report.calls),
        "is_full": report.full,
    }
    if report.quota_left is not None:
        metadata["quota_left"] = report.quota_left
    if report.ended_at is not None:
        metadata["duration_seconds"] = round((report.ended_at - report.started_at).total_seconds(), 3)
    if report.reasons:
        metadata["reasons"] = dg.MetadataValue.md("\n".join(f"- {reason}" for reason in report.reasons))
    if report.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning.message}" for warning in report.warnings))
    if report.drift:
        metadata["field_drift"] = dg.MetadataValue.md(
            "\n".join(f"- {line.object_type}.{line.field_code}: {line.change}. {line.detail}" for line in report.drift)
        )
    if report.resumes_at is not None:
        metadata["resumes_at"] = dg.MetadataValue.text(report.resumes_at.isoformat())
    return metadata


def sync_checks(report: SyncReport, deals: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """Results of SYNC_CHECKS. They keep a partial or suspicious sync from looking like a plain success (A14)."""
    rejected = {stream: rows.rejected for stream, rows in report.rows.items() if rows.rejected}
    gone = report.total("deleted")
    doubts = list(report.reasons) if report.status == "suspicious" else []
    found: dict[str, tuple[bool, str, dict[str, Any]]] = {
        COMPLETE_CHECK: (
            report.status == "complete",
            _why(report),
            {"status": report.status, "reasons": list(report.reasons)},
        ),
        VOLUME_CHECK: (not doubts, "; ".join(doubts), {"rows_read": report.total("read"), "rows_deleted": gone}),
        REJECTS_CHECK: (
            not rejected,
            f"{sum(rejected.values()):,} rows were put aside; table ops.rejected_rows lists them with their reasons.",
            {"rejected_by_stream": rejected},
        ),
        FIELDS_CHECK: (
            not report.drift,
            f"{len(report.drift)} fields changed; table ops.schema_drift lists them.",
            {
                "changes": [
                    f"{line.object_type}.{line.field_code}: {line.change}. {line.detail}" for line in report.drift
                ]
            },
        ),
    }
    for name, (passed, why, metadata) in found.items():
        is_error = name == COMPLETE_CHECK and report.status == "failed"
        yield dg.AssetCheckResult(
            asset_key=deals,
            check_name=name,
            passed=passed,
            severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
            description=None if passed else why,
            metadata=metadata,
        )


def _cursor(cursor: Mapping[str, Any] | None) -> dg.JsonMetadataValue:
    """A cursor as it stands, or what it consists of where it is long (a sheet's remembers every deal it saw)."""
    if cursor is None or len(str(cursor)) <= LONGEST_CURSOR:
        return dg.MetadataValue.json(cursor or {})
    parts = {
        name: value if len(str(value)) <= _LONGEST_PART else f"({len(value)} entries)" for name, value in cursor.items()
    }
    return dg.MetadataValue.json(parts)


def _log(context: dg.AssetExecutionContext, report: SyncReport) -> None:
    context.log.info(
        f"{report.source_key}: {report.status}; {report.total('read'):,} rows read, {report.total('new'):,} new, "
        f"{report.total('changed'):,} changed, {report.total('deleted'):,} gone, {report.total('rejected'):,} rejected; "
        f"{sum(report.calls.values()):,} calls"
    )
    for reason in report.reasons:
        context.log.warning(reason)
    for warning in report.warnings:
        context.log.warning(warning.message)


def _why(report: SyncReport) -> str:
    return f"{report.status}: " + ("; ".join(report.reasons) or "no reason was given")
