"""HistoryRead to rows: one row for the reading, one for each of its events; unchanged readings are not written again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from connectors.sdk.records import FieldChange, HistoryRead, StageChange
from warehouse.landing.lines import CODECS, BadRecordError, Content, checked_key
from warehouse.landing.manifest import Manifest
from warehouse.landing.parts import readable, rows_of
from warehouse.landing.spool import Engine
from warehouse.landing.store import Store
from warehouse.landing.sweeps import Keys, keys_of

EVENT_STREAMS = ("stage_changes", "field_changes")


class Event(NamedTuple):
    """One event of a reading, encoded."""

    stream: str
    event_id: str
    key: str
    content: Content


class BadEvent(NamedTuple):
    """One event that cannot be landed."""

    stream: str
    event: StageChange | FieldChange
    error: BadRecordError


class Reading(NamedTuple):
    """A HistoryRead ready to be landed. With a bad event it is no longer complete: a complete one would replace what is held of that event."""

    deal_id: str
    complete: bool
    is_combined: bool
    note: str | None
    events: tuple[Event, ...]
    bad: tuple[BadEvent, ...]
    digest: str

    @property
    def size(self) -> int:
        """Bytes of its events."""
        return sum(event.content.size for event in self.events)


def reading_of(record: HistoryRead) -> Reading:
    """Check and encode a reading and its events. Raises BadRecordError when its deal id is none."""
    deal_id = checked_key(record.deal_id, "deal_id")
    events: list[Event] = []
    bad: list[BadEvent] = []
    given: tuple[Any, ...] = (*record.stage_changes, *record.field_changes)
    for event in given:
        codec = CODECS.get(type(event))
        stream = "field_changes" if type(event) is FieldChange else "stage_changes"
        try:
            if codec is None or codec.stream not in EVENT_STREAMS:
                raise BadRecordError("bad_event", f"{type(event).__name__} is no event of a deal's history.")
            if event.deal_id != deal_id:
                raise BadRecordError(
                    "foreign_event", "an event belongs to another deal than the reading that holds it."
                )
            if event.changed_at is None:
                raise BadRecordError("bad_value", f"{type(event).__name__}.changed_at is empty.")
            event_id = checked_key(event.event_id, "event_id")
            events.append(Event(codec.stream, event_id, codec.key(event), codec.encode(event)))
        except BadRecordError as error:
            bad.append(BadEvent(stream, event, error))
    complete, note = bool(record.complete), record.note
    if bad and complete:
        complete, note = False, f"{len(bad)} event(s) could not be stored; see the rejected rows."
    return Reading(
        deal_id,
        complete,
        bool(record.is_combined),
        note,
        tuple(events),
        tuple(bad),
        reading_digest(events, complete=complete, is_combined=bool(record.is_combined), note=note),
    )


def reading_digest(events: Sequence[Event], *, complete: bool, is_combined: bool, note: str | None) -> str:
    """Content hash of a reading, whatever the order in which its events came."""
    digest = hashlib.sha256(f"{complete} {is_combined} {note}\n".encode(errors="replace"))
    for line in sorted(f"{event.stream} {event.event_id} {event.content.digest}" for event in events):
        digest.update(line.encode(errors="replace") + b"\n")
    return digest.hexdigest()[:16]


class HeldEvents:
    """The events in force of given deals, asked from the committed parts; only incomplete readings need it."""

    def __init__(self, store: Store, manifest: Manifest, engine: Engine) -> None:
        self._store = store
        self._manifest = manifest
        self._engine = engine

    def of(self, deal_ids: Iterable[str]) -> dict[str, dict[tuple[str, str], str]]:
        """Deal id -> {(stream, event id): content hash}: the events since the last complete reading, the latest of each id."""
        wanted = list(dict.fromkeys(deal_ids))
        found: dict[str, dict[tuple[str, str], str]] = {deal_id: {} for deal_id in wanted}
        if not wanted:
            return found
        con = self._engine.con
        # By way of a file: a parameter would make DuckDB import numpy and pandas where they are installed.
        asked = Keys(self._store.scratch(self._manifest.source_key) / "wanted.ndjson")
        asked.extend(wanted)
        con.execute(f"create or replace table wanted as select k as deal_id from {keys_of([str(asked.flushed())])}")
        asked.discard()
        complete = (
            "select deal_id, max((_read_at, _sync_seq, _ordinal)) as since from "
            f"({self._rows('history_reads')}) where complete and deal_id in (select deal_id from wanted) group by deal_id"
        )
        for stream in EVENT_STREAMS:
            sql = (
                f"with complete as materialized ({complete}) select e.deal_id, e.event_id, "
                "arg_max(e._hash, (e._read_at, e._sync_seq, e._ordinal)) "
                f"from ({self._rows(stream)}) as e left join complete as c on c.deal_id = e.deal_id "
                "where e.deal_id in (select deal_id from wanted) "
                "and (c.since is null or (e._read_at, e._sync_seq, e._read_ordinal) >= c.since) group by all"
            )
            with readable(self._manifest.source_key):
                rows = con.execute(sql).fetchall()
            for deal_id, event_id, digest in rows:
                found[deal_id][stream, event_id] = digest
        return found

    def _rows(self, stream: str) -> str:
        parts = self._manifest.parts_of(stream)
        return rows_of(self._engine.con, self._store, self._manifest.source_key, stream, parts)
