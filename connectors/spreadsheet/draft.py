"""A row read into fields: the step between cells and records, small enough to be kept on disk while tables are joined."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from connectors.sdk.records import Outcome


class StageDay(msgspec.Struct, frozen=True, array_like=True):
    """A stage and when it was entered. `order` is the place of its column; `has_time` False = a day only (its first moment, UTC)."""

    stage: str
    order: int
    at: datetime
    has_time: bool


class Draft(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one row says of one deal. Instants are UTC."""

    key: str
    row: int
    table: int = 0
    file: str = ""
    sheet: str | None = None
    column: str = "A"
    name: str | None = None
    company: str | None = None
    stage: str | None = None
    pipeline: str | None = None
    status: Outcome | None = None
    amount: Decimal | None = None
    currency: str | None = None
    probability: float | None = None
    expected_close_date: date | None = None
    created_at: datetime | None = None
    closed_at: datetime | None = None
    #: `closed_at`, or the expected close where that is the only close date there is.
    close_at: datetime | None = None
    close_has_time: bool = False
    stage_entered_at: datetime | None = None
    last_activity_at: datetime | None = None
    next_activity_at: datetime | None = None
    owner: str | None = None
    lead_source: str | None = None
    deal_type: str | None = None
    lost_reason: str | None = None
    stage_days: list[StageDay] = []
    changed_at: datetime | None = None
    changed_has_time: bool = False
    from_stage: str | None = None
    changed_by: str | None = None
    is_log: bool = False
    has_stage_dates: bool = False
    #: Whether any instant of the row (created, closed, entered) has a time of day, and whether there is any at all.
    has_dates: bool = False
    has_times: bool = False
    custom: dict[str, Any] = {}
    raw: dict[str, Any] = {}


_DECODER = msgspec.msgpack.Decoder(Draft)
_ENCODER = msgspec.msgpack.Encoder()
_BATCH = 5000


class Spool:
    """Drafts on disk, given back deal by deal. Memory stays flat however many rows a log has."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="muara-sheet-")
        self._base = sqlite3.connect(Path(self._folder.name) / "rows.sqlite")
        self._base.executescript(
            "pragma journal_mode=off; pragma synchronous=off; create table drafts (key text, part int, number int, body blob)"
        )

    def add(self, drafts: Iterable[Draft]) -> None:
        """Keep drafts."""
        batch: list[tuple[str, int, int, bytes]] = []
        for draft in drafts:
            batch.append((draft.key, draft.table, draft.row, _ENCODER.encode(draft)))
            if len(batch) >= _BATCH:
                self._flush(batch)
        self._flush(batch)

    def _flush(self, batch: list[tuple[str, int, int, bytes]]) -> None:
        self._base.executemany("insert into drafts values (?, ?, ?, ?)", batch)
        batch.clear()

    def deals(self) -> Iterator[tuple[str, list[Draft]]]:
        """(key, its drafts in order of table and arrival), keys ascending."""
        rows = self._base.execute("select key, body from drafts order by key, part, rowid")
        for key, group in groupby(rows, key=lambda row: row[0]):
            yield key, [_DECODER.decode(body) for _, body in group]

    def close(self) -> None:
        """Forget everything."""
        self._base.close()
        self._folder.cleanup()
