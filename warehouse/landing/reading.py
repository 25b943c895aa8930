"""What a build reads: the manifests once, then `landing.<stream>` views over exactly the parts that they name, and the facts and reports of
each source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from warehouse.home import Home
from warehouse.landing.manifest import Manifest, manifest_key, read_manifest
from warehouse.landing.parts import rows_of, verified
from warehouse.landing.reports import SyncReport, read_reports
from warehouse.landing.schema import STREAMS, literal, quoted
from warehouse.landing.store import Store

#: Columns of a landing view, in order: stream -> {column: type}.
VIEW_COLUMNS = {stream: {"source_key": "VARCHAR", **columns} for stream, columns in STREAMS.items()}


def snapshot(home: Home, source_keys: Iterable[str], store: Store | None = None) -> Snapshot:
    """Read the manifests of the given sources once. A source that never synced is not in it.

    Raises LandingError naming a manifest that cannot be understood.
    """
    found_store = store or home.store()
    manifests = {}
    for key in sorted(set(source_keys)):
        committed = read_manifest(found_store, key)
        if committed is not None:
            manifests[key] = committed.manifest
    return Snapshot(found_store, manifests)


def unconfigured(home: Home, source_keys: Iterable[str]) -> list[str]:
    """Landing folders that hold data of none of the given sources, sorted."""
    store, known = home.store(), set(source_keys)
    return [key for key in store.folders() if key not in known and store.size(manifest_key(key)) is not None]


class Snapshot:
    """The landing zone as one build sees it. Parts that a later sync or compaction replaces stay readable for 24 hours."""

    def __init__(self, store: Store, manifests: Mapping[str, Manifest]) -> None:
        self._store = store
        self.manifests = dict(manifests)
        self._verified: set[tuple[str, str]] = set()
        self._reports: dict[str, list[SyncReport]] = {}

    def sequence(self, source_key: str) -> int | None:
        """The manifest's sequence; None for a source that never synced."""
        manifest = self.manifests.get(source_key)
        return None if manifest is None else manifest.sequence

    def row_count(self) -> int:
        """Rows of all parts: every version of every record that is kept."""
        return sum(part.rows for manifest in self.manifests.values() for part in manifest.parts)

    def create_views(self, con: duckdb.DuckDBPyConnection, *, at_sequence: Mapping[str, int] | None = None) -> None:
        """Create the schema `landing` (where missing) with one view per stream, all declared columns, `source_key` in front.

        `at_sequence`: show a source as it was at that commit. Raises LandingError naming a part that is missing or damaged (size and SHA-256
        of every part are checked once), NewerSchemaError.
        """
        upto = dict(at_sequence or {})
        self._verify(upto)
        con.execute("create schema if not exists landing")
        for stream, columns in STREAMS.items():
            selects = [self._select(con, key, stream, upto.get(key)) for key in self.manifests]
            body = " union all ".join(select for select in selects if select) or _none(stream, columns)
            con.execute(f"create or replace view landing.{quoted(stream)} as {body}")

    def reports(self, source_key: str) -> list[SyncReport]:
        """All sync reports of a source, oldest first."""
        if source_key not in self._reports:
            self._reports[source_key] = read_reports(self._store, source_key)
        return self._reports[source_key]

    def source_facts(self, at_sequence: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """One row per source for `staging.source_status`: account facts, and how far its data goes. Instants are naive UTC.

        `at_sequence`: data_through_at and last_synced_at as of that commit; the last sync's status is always the newest.
        """
        upto = dict(at_sequence or {})
        return [self._facts(manifest, upto.get(key)) for key, manifest in self.manifests.items()]

    def sync_rows(self) -> list[dict[str, Any]]:
        """One row per sync of every source, for `ops.sync_runs`. Instants are naive UTC, mappings JSON text."""
        return [_sync_row(report) for key in self.manifests for report in self.reports(key)]

    def drift_rows(self) -> list[dict[str, Any]]:
        """One row per change of a source's fields, for `ops.schema_drift`."""
        return [
            {
                "source_key": report.source_key,
                "found_at": _utc(report.started_at),
                "object_type": line.object_type,
                "field_code": line.field_code,
                "change": line.change,
                "detail": line.detail,
            }
            for key in self.manifests
            for report in self.reports(key)
            for line in report.drift
        ]

    def _verify(self, upto: Mapping[str, int]) -> None:
        for key, manifest in self.manifests.items():
            parts = [
                part
                for part in manifest.parts
                if (key, part.path) not in self._verified and part.min_seq <= upto.get(key, part.min_seq)
            ]
            verified(self._store, key, parts)
            self._verified.update((key, part.path) for part in parts)

    def _select(self, con: duckdb.DuckDBPyConnection, key: str, stream: str, upto: int | None) -> str | None:
        parts = self.manifests[key].parts_of(stream)
        if upto is not None:
            parts = [part for part in parts if part.min_seq <= upto]
        if not parts:
            return None
        columns = ", ".join(quoted(name) for name in STREAMS[stream])
        whole = upto is None or all(part.max_seq <= upto for part in parts)
        where = "" if whole else f" where _sync_seq <= {int(upto or 0)}"
        return f"select {literal(key)} as source_key, {columns} from ({rows_of(con, self._store, key, stream, parts)}){where}"

    def _facts(self, manifest: Manifest, upto: int | None) -> dict[str, Any]:
        reports = self.reports(manifest.source_key)
        last = reports[-1] if reports else None
        synced, through = manifest.last_synced_at, manifest.data_through_at
        if upto is not None:
            seen = [report for report in reports if report.kind == "sync" and 0 < report.sequence <= upto]
            synced = max(
                (report.ended_at for report in seen if report.ended_at and report.status != "failed"), default=None
            )
            through = max((report.started_at for report in seen if report.status == "complete"), default=None)
        account = manifest.account
        return {
            "source_key": manifest.source_key,
            "source_type": manifest.connector,
            "account_id": account.account_id if account else None,
            "name": account.name if account else None,
            "deep_link": account.deep_link if account else None,
            "time_zone": account.time_zone if account else None,
            "home_currency": account.home_currency if account else None,
            "history_starts_at": _utc(account.history_starts_at) if account else None,
            "last_synced_at": _utc(synced),
            "data_through_at": _utc(through),
            "last_sync_status": last.status if last else None,
            "last_sync_reasons": "\n".join(last.reasons) or None if last else None,
        }


def _none(stream: str, columns: Mapping[str, str]) -> str:
    nulls = ", ".join(f"cast(null as {kind}) as {quoted(name)}" for name, kind in columns.items())
    return f"select cast(null as varchar) as source_key, {nulls} where false"


def _sync_row(report: SyncReport) -> dict[str, Any]:
    rows = {
        stream: {name: value for name in counts.__struct_fields__ if (value := getattr(counts, name))}
        for stream, counts in report.rows.items()
    }
    return {
        "source_key": report.source_key,
        "sync_id": report.sync_id,
        "status": report.status,
        "reasons": "\n".join(report.reasons) or None,
        "started_at": _utc(report.started_at),
        "ended_at": _utc(report.ended_at),
        "is_full": report.full,
        "rows_read": report.total("read"),
        "rows_new": report.total("new"),
        "rows_changed": report.total("changed"),
        "rows_deleted": report.total("deleted"),
        "rows_rejected": report.total("rejected"),
        "calls": sum(report.calls.values()),
        "quota_left": report.quota_left,
        "rows_by_stream": _json(rows),
        "calls_by_endpoint": _json(report.calls),
        "cursors_before": _json(report.cursors_before),
        "cursors_after": _json(report.cursors_after),
        "warnings": "\n".join(f"{notice.code}: {notice.message}" for notice in report.warnings) or None,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _utc(instant: datetime | None) -> datetime | None:
    if instant is None or instant.tzinfo is None:
        return instant
    return instant.astimezone(UTC).replace(tzinfo=None)
