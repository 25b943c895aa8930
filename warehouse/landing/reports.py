"""Sync reports: what a sync did, as one JSON file each, and folded into one newline-JSON file a month so that a year of small syncs stays cheap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from warehouse.landing.store import Store

Status = Literal["running", "complete", "partial", "suspicious", "failed"]

#: Loose reports beyond this are folded.
FOLD_AT = 64


class RowCounts(msgspec.Struct, kw_only=True):
    """Rows of one stream in one sync.

    `read`: what the source gave, rejects included. `new`: keys not held before; `changed`: new versions of keys held. Events of history:
    `new` when the deal had no history before, else `changed`, counted when their reading differs from the last one. `deleted`: keys that
    were live and are marked as gone. `rejected`: put aside with a reason; `dropped`: left out on purpose (totals, repeated headers).
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    dropped: int = 0


class Notice(msgspec.Struct, frozen=True):
    """Something a person should know."""

    code: str
    message: str


class DriftLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the source's fields since the sync before."""

    object_type: str
    field_code: str
    change: Literal["new", "gone", "renamed", "retyped"]
    detail: str


class SyncReport(msgspec.Struct, kw_only=True):
    """What one sync did. Instants are UTC. `sequence`: the manifest's sequence after it. `calls`: by endpoint.

    status: complete; partial (stopped early, what was read is kept, the next sync goes on); suspicious (something vanished or fell, nothing was
    deleted); failed (what was committed before stays); running (or killed: the next sync marks it failed).
    """

    sync_id: str
    source_key: str
    connector: str
    kind: Literal["sync", "replay"] = "sync"
    status: Status = "running"
    reasons: list[str] = []
    started_at: datetime
    ended_at: datetime | None = None
    full: bool = False
    accept_deletes: bool = False
    mapper_version: int = 1
    sequence: int = 0
    rows: dict[str, RowCounts] = {}
    parts: int = 0
    calls: dict[str, int] = {}
    quota_left: int | None = None
    resumes_at: datetime | None = None
    cursors_before: dict[str, dict[str, Any]] = {}
    cursors_after: dict[str, dict[str, Any]] = {}
    warnings: list[Notice] = []
    drift: list[DriftLine] = []
    data_through_at: datetime | None = None

    @property
    def exit_code(self) -> int:
        """0 complete, 1 failed, 3 partial or suspicious."""
        return exit_code(self)

    def total(self, what: str) -> int:
        """Sum over the streams of one count of RowCounts; readings of history count by their events."""
        return sum(getattr(counts, what) for stream, counts in self.rows.items() if stream != "history_reads")


def exit_code(report: SyncReport) -> int:
    """0 complete, 1 failed (or still running), 3 partial or suspicious."""
    return {"complete": 0, "partial": 3, "suspicious": 3}.get(report.status, 1)


def write_report(store: Store, report: SyncReport) -> None:
    """Create or replace the report's own file."""
    store.put(_key(report.source_key, report.sync_id), msgspec.json.format(msgspec.json.encode(report), indent=1))


def read_reports(store: Store, source_key: str) -> list[SyncReport]:
    """All reports of a source, oldest first, wherever they lie. One that cannot be decoded is left out."""
    return sorted(
        _all(store, source_key).values(), key=lambda report: (report.started_at, report.sequence, report.sync_id)
    )


def read_report(store: Store, source_key: str, sync_id: str) -> SyncReport | None:
    """One loose report."""
    data = store.get(_key(source_key, sync_id))
    return None if data is None else _decode(data)


def new_sync_id(store: Store, source_key: str, started: datetime, sequence: int) -> str:
    """An id that sorts by start and is not taken yet, also when the clock stands still. `sequence`: the manifest's, before the sync."""
    stem = f"{started:%Y%m%dT%H%M%S}Z-{sequence:06d}"
    return next(name for name in _numbered(stem) if store.size(_key(source_key, name)) is None)


def tidy_reports(store: Store, source_key: str, last: SyncReport | None) -> list[str]:
    """At the start of a sync, under the source lock: settle reports that a killed process left `running`, and fold finished ones.

    `last` is the final report in the manifest: when its own file was not written any more, it is written now. Returns the ids of reports that
    were marked as failed.
    """
    loose = _loose(store, source_key)
    is_full = len(loose) >= FOLD_AT
    # Ids sort by start: only what began after the last finished sync can be unfinished. Folding looks at all.
    unsure = [sync_id for sync_id in loose if is_full or last is None or sync_id >= last.sync_id]
    settled = [sync_id for sync_id in unsure if _settle(store, source_key, sync_id, last)]
    if is_full:
        _fold(store, source_key, loose)
    return settled


def _settle(store: Store, source_key: str, sync_id: str, last: SyncReport | None) -> bool:
    report = read_report(store, source_key, sync_id)
    if report is None or report.status != "running":
        return False
    if last is not None and last.sync_id == sync_id:
        write_report(store, last)
        return False
    report.status = "failed"
    report.reasons = [
        "interrupted: the process ended without a word. What was committed is kept; the next sync went on from there."
    ]
    write_report(store, report)
    return True


def _fold(store: Store, source_key: str, loose: list[str]) -> None:
    """Move loose reports into their month's file. A crash in between leaves a report in both places; readers count it once."""
    by_month: dict[str, list[tuple[str, bytes]]] = {}
    for sync_id in loose:
        data = store.get(_key(source_key, sync_id))
        if data is not None and _decode(data) is not None:
            by_month.setdefault(sync_id[:6], []).append((sync_id, msgspec.json.format(data, indent=-1)))
    for month, found in by_month.items():
        key = f"{source_key}/syncs/{month}.ndjson"
        store.put(key, (store.get(key) or b"") + b"".join(line + b"\n" for _, line in found))
        for sync_id, _ in found:
            store.delete(_key(source_key, sync_id))


def _all(store: Store, source_key: str) -> dict[str, SyncReport]:
    found: dict[str, SyncReport] = {}
    loose = []
    for entry in store.list(f"{source_key}/syncs/"):
        if entry.key.endswith(".ndjson"):
            for line in (store.get(entry.key) or b"").splitlines():
                report = _decode(line)
                if report is not None:
                    found[report.sync_id] = report
        else:
            loose.append(entry.key)
    for key in loose:
        report = _decode(store.get(key) or b"")
        if report is not None:
            found[report.sync_id] = report
    return found


def _loose(store: Store, source_key: str) -> list[str]:
    """Ids of reports with a file of their own, ascending."""
    keys = (entry.key.rpartition("/")[2] for entry in store.list(f"{source_key}/syncs/"))
    return [name.removesuffix(".json") for name in keys if name.endswith(".json")]


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _decode(data: bytes) -> SyncReport | None:
    try:
        return msgspec.json.decode(data, type=SyncReport)
    except msgspec.MsgspecError:
        return None


def _key(source_key: str, sync_id: str) -> str:
    return f"{source_key}/syncs/{sync_id}.json"
