"""Decides what becomes of each record of a sync: a new version, a presence row, a reading of history, a reject, or nothing because it is held.

A record is encoded as soon as it comes, so that what waits is bounded in bytes, whatever its size as an object. A batch is looked up in the
index at once and then handled strictly in order.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from connectors.sdk.errors import VendorError
from connectors.sdk.records import Deal, FieldDef, HistoryRead, Record, Reject, Seen, Tombstone, joined_key
from warehouse.landing.drift import Drift
from warehouse.landing.history import EVENT_STREAMS, Event, HeldEvents, Reading, reading_of
from warehouse.landing.index import HeldHistory, HeldRow, Index
from warehouse.landing.lines import (
    CODECS,
    KEYED_STREAMS,
    PRESENCE,
    READING,
    BadRecordError,
    Codec,
    Content,
    PresenceRow,
    ReadingRow,
    Stamp,
    checked_key,
)
from warehouse.landing.presence import Presence
from warehouse.landing.recent import UNKNOWN, Marks, Recent
from warehouse.landing.reports import RowCounts
from warehouse.landing.spool import Spools
from warehouse.landing.stamps import Stamper
from warehouse.landing.sweeps import Sweeps, rejects_of

#: Held rejects that are watched for being repaired by an ordinary record; beyond that only a full sweep settles them.
_REJECTS_WATCHED = 50_000
#: A batch is handled when it has this many records or bytes.
BATCH = 1_000
_BATCH_BYTES = 4_000_000
#: Lines of a batch beyond this go to disk at once.
_MOST_LINE_BYTES = 4_000_000
_REJECTS = CODECS[Reject]


def checked(record: Any) -> None:
    """Raises VendorError for something that cannot be landed because of its type, or speaks of a stream that has no keys."""
    kind = type(record)
    if kind in _LANDED:
        return
    if kind is Tombstone or kind is Seen:
        if record.stream not in KEYED_STREAMS:
            raise VendorError(f"a {kind.__name__} names {record.stream!r}, which is no stream with keys in landing.")
        return
    if kind in CODECS:
        raise VendorError(f"the connector yields a {kind.__name__} by itself; it must come inside a HistoryRead.")
    raise VendorError(f"the connector yields a {kind.__name__}, which is no record that landing knows.")


_LANDED = frozenset({HistoryRead, *(record for record, codec in CODECS.items() if codec.stream not in EVENT_STREAMS)})


#: A record on its way: what is still needed of it, the stream and key it speaks of, its codec (None: it is no row itself), its stamp, and its
#: content. A plain tuple, because one is made for every record.
Item = tuple[Any, str, str, Codec | None, Stamp, Content]
_NO_CONTENT = Content(b"", b"", "")


#: presence, pipeline_id, stage_id, status
_Deal = tuple[str, str | None, str | None, str | None]


class _Reject(NamedTuple):
    stream: str
    key: str | None
    is_dropped: bool


#: What is needed of a record once it is encoded; of a deal as a plain tuple in the order of `_Deal`, because one is made for each.
_NEEDED: dict[type, Any] = {
    Deal: attrgetter("presence", "pipeline_id", "stage_id", "status"),
    Reject: lambda record: _Reject(_plain(record.stream), record.key, record.is_dropped is True),
}


class Known(NamedTuple):
    """What the index says about one batch; `rows` by stream and key, without the streams of which nothing is held."""

    rows: dict[str, dict[str, HeldRow]]
    dated: dict[tuple[str, str, int], str]
    histories: dict[str, HeldHistory]


class Intake:
    """Handles the records of one sync; lines go to the spools, keys to the sweeps, counts to `rows`."""

    def __init__(
        self,
        index: Index,
        held_events: HeldEvents,
        *,
        stamper: Stamper,
        spools: Spools,
        sweeps: Sweeps,
        drift: Drift,
    ) -> None:
        self._index = index
        self._held_events = held_events
        self._stamper = stamper
        self._spools = spools
        self._sweeps = sweeps
        self._drift = drift
        self._presence = Presence()
        self._contents: dict[str, Recent] = {}
        self._dated = Recent()
        self._readings = Recent()
        self._moved = Marks()
        self._ordinal = 0
        self._watched = set(itertools.islice(index.live_keys("rejects"), _REJECTS_WATCHED))
        self._watched_by_record: dict[str, list[str]] = {}
        for key in self._watched:
            self._watched_by_record.setdefault(key[: key.rindex(":") + 1], []).append(key)
        self._items: list[Item] = []
        self._item_bytes = 0
        self._lines: dict[str, list[bytes]] = {}
        self._line_bytes = 0
        self._rejected_now: set[str] = set()
        self._good_again: set[str] = set()
        self.rows: dict[str, RowCounts] = {}

    def counts(self, stream: str) -> RowCounts:
        """The counts of a stream, to be added to."""
        found = self.rows.get(stream)
        if found is None:
            found = self.rows[stream] = RowCounts()
        return found

    @property
    def waiting(self) -> int:
        """Records taken and not handled yet."""
        return len(self._items)

    def take(self, record: Record) -> bool:
        """Take a record that `checked` let through. It counts as read at the present stamp. True: `handle` must come before the next."""
        item = self._item(record)
        self._items.append(item)
        content = item[5]
        if content is _NO_CONTENT:
            self._item_bytes += item[0].size if isinstance(item[0], Reading) else 0
        else:
            self._item_bytes += len(content[0]) + len(content[1])
        return self._item_bytes >= _BATCH_BYTES or len(self._items) >= BATCH

    def handle(self) -> None:
        """Handle everything taken so far."""
        items, self._items, self._item_bytes = self._items, [], 0
        self._note_seen(items)
        known = self._look_up(items)
        events = self._events_of_incomplete(items, known)
        for item in items:
            if item[3] is not None:
                self._version(item, known)
            elif isinstance(item[0], Reading):
                self._reading(item[0], item[4], known, events)
            else:
                self._assertion(item, known)
        self._hand_over()

    # --- what a record is ------------------------------------------------------------------------------------------------------------

    def _item(self, record: Any) -> Item:
        kind = type(record)
        codec = CODECS.get(kind)
        key = None
        try:
            if codec is not None:
                at = self._stamper.of(record.read_at) if codec.has_read_at else self._stamper.now()
                key = codec.key(record)
                if kind is Reject:
                    return _reject_item(record, key, at)
                content = codec.encode(record)
                if kind is FieldDef or self._drift.from_raw:
                    self._note_fields(record, codec.stream)
                needed = _NEEDED.get(kind)
                return (needed(record) if needed else None, codec.stream, key, codec, at, content)
            if kind is HistoryRead:
                reading = reading_of(record)
                return (reading, "history_reads", reading.deal_id, None, self._stamper.of(record.read_at), _NO_CONTENT)
            key = checked_key(record.key, "key")
            return (record, record.stream, key, None, self._stamper.of(record.read_at), _NO_CONTENT)
        except BadRecordError as error:
            return self._as_reject(record, error, key)

    def _as_reject(self, record: Any, error: BadRecordError, key: str | None = None) -> Item:
        """The reject that stands for a record which cannot be landed, with as much of it as can be kept."""
        codec = CODECS.get(type(record))
        stream = codec.stream if codec else "stage_changes" if isinstance(record, HistoryRead) else "presence"
        values: dict[str, Any] = {"stream": stream, "reason": error.reason, "detail": error.detail, "key": key}
        if isinstance(record, Reject):
            values |= {"stream": str(record.stream), "is_dropped": record.is_dropped is True}
        if key is None:
            with contextlib.suppress(BadRecordError):  # the key may be what is wrong with it
                values["key"] = codec.key(record) if codec and not isinstance(record, Reject) else None
        for name in ("source_file", "source_sheet"):
            value = getattr(record, name, None)
            values[name] = value if isinstance(value, str) else None
        row = getattr(record, "source_row", None)
        values["source_row"] = row if type(row) is int else None
        values["raw"] = _kept_raw(record)
        reject = Reject(**values)
        return _reject_item(reject, _REJECTS.key(reject), self._stamper.now())

    def _set_aside(self, record: Any, error: BadRecordError, key: str | None = None) -> None:
        """Land a reject that turned up while its batch is being handled."""
        item = self._as_reject(record, error, key)
        self._version(item, self._look_up([item]))

    def _note_fields(self, record: Any, stream: str) -> None:
        """Drift of fields."""
        if isinstance(record, FieldDef):
            self._drift.saw_definition(record)
        elif self._drift.from_raw:
            self._drift.saw_raw(stream, record.raw)

    def _note_seen(self, items: Sequence[Item]) -> None:
        """Every key that came is accounted for, whatever becomes of it. Rejects account for themselves."""
        keys: dict[str, list[str]] = {}
        for _, stream, key, _, _, _ in items:
            if stream in keys:
                keys[stream].append(key)
            elif stream not in ("rejects", "history_reads"):
                keys[stream] = [key]
        for stream, noted in keys.items():
            self._sweeps.saw(stream, noted)

    # --- what is held ----------------------------------------------------------------------------------------------------------------

    def _look_up(self, items: Sequence[Item]) -> Known:
        keys: dict[str, list[str]] = {}
        dated: dict[str, list[tuple[str, int]]] = {}
        deals: list[str] = []
        for record, stream, key, codec, at, _ in items:
            if stream == "history_reads":
                deals.append(key)
            else:
                keys.setdefault(stream, []).append(key)
            if at.is_dated:
                if codec is not None or stream == "history_reads":
                    dated.setdefault(stream, []).append((key, at.read_at_us))
                elif isinstance(record, Tombstone):
                    dated.setdefault("presence", []).append((joined_key(stream, key), at.read_at_us))
        rows = {
            stream: self._index.rows(stream, wanted)
            for stream, wanted in keys.items()
            if not self._index.is_empty(stream)
        }
        landed = {
            (stream, key, at): digest
            for stream, pairs in dated.items()
            for (key, at), digest in self._index.dated(stream, pairs).items()
        }
        return Known(rows, landed, self._index.histories(deals) if deals else {})

    def _events_of_incomplete(self, items: Sequence[Item], known: Known) -> dict[str, dict[tuple[str, str], str]]:
        if not known.histories:
            return {}
        wanted = [
            key
            for record, _, key, _, _, _ in items
            if isinstance(record, Reading) and not record.complete and key in known.histories
        ]
        return self._held_events.of(wanted) if wanted else {}

    # --- versions --------------------------------------------------------------------------------------------------------------------

    def _version(self, item: Item, known: Known) -> None:
        needed, stream, key, codec, at, content = item
        assert codec is not None
        rows = known.rows.get(stream)
        held = rows.get(key) if rows else None
        if stream == "rejects":
            self._note_reject(needed, key)
            counts = None
        else:
            counts = self.counts(stream)
            counts.read += 1
        digest = content[2]
        recent = self._contents.get(stream)
        if recent is None:
            recent = self._contents[stream] = Recent()
        before = recent.get(key)
        if before is None and held is not None:
            before = held.hash
        fresh = before != digest if not at.is_dated else self._is_new_date((stream, key, at.read_at_us), digest, known)
        if fresh:
            self._ordinal += 1
            self._put(stream, codec.line(content, key, self._ordinal, at))
            # A dated row may not be the last in the order of reading, so it says nothing about what an undated one is compared with.
            recent.put(key, UNKNOWN if at.is_dated else digest, held=held is not None and held.hash is not None)
            if counts is not None:
                if before is None:
                    counts.new += 1
                else:
                    counts.changed += 1
        if held is not None or self._presence.has_spoken:
            kind = needed[0] if stream == "deals" else "present"
            if fresh and held is not None and stream == "deals" and _has_moved(needed, held):
                self._moved.add(key)
            if self._presence.has_spoken or held is None or held.presence != kind:
                self._say(self._presence.of_version(stream, key, kind, at.read_at_us, held, fresh=fresh), at)
        if self._watched_by_record:
            self._good_again.update(self._watched_by_record.get(joined_key(stream, key) + ":", ()))

    def _is_new_date(self, mark: tuple[str, str, int], digest: str, known: Known) -> bool:
        """True when a dated row differs from what was landed for its own instant."""
        before = self._dated.get(mark)
        if before is None:
            before = known.dated.get(mark)
        if before == digest:
            return False
        self._dated.put(mark, digest, held=mark in known.dated)
        return True

    # --- presence --------------------------------------------------------------------------------------------------------------------

    def _assertion(self, item: Item, known: Known) -> None:
        record, stream, key, _, at, _ = item
        held = known.rows.get(stream, {}).get(key)
        if isinstance(record, Seen):
            self._say(self._presence.of_seen(stream, key, at.read_at_us, held), at)
            return
        try:
            PRESENCE.encode(_row_of(record))
        except BadRecordError as error:
            self._set_aside(record, error, key)
            return
        row, went = self._presence.of_tombstone(record, at.read_at_us, held)
        self._say(row, at, known)
        self.counts(stream).deleted += went

    def mark_missing(self, stream: str, keys: Iterable[str], kind: Any, read_at: datetime | None) -> None:
        """Write the tombstones of a believed sweep."""
        at = self._stamper.of(read_at)
        for chunk in _chunks(keys):
            tombs = [Tombstone(stream=stream, key=key, kind=kind, read_at=read_at) for key in chunk]
            known = self._look_up([(tomb, stream, tomb.key, None, at, _NO_CONTENT) for tomb in tombs])
            for tomb in tombs:
                held = known.rows.get(stream, {}).get(tomb.key)
                row, went = self._presence.of_tombstone(tomb, at.read_at_us, held)
                self._say(row, at, known)
                if stream != "rejects":
                    self.counts(stream).deleted += went
            self._hand_over()

    def already_missing(self, stream: str, keys: Iterable[str], kind: Any, read_at: datetime) -> int:
        """How many of `keys` were marked so for this very instant before: a dated sweep that is read again finds them again."""
        at = self._stamper.of(read_at)
        found = 0
        for chunk in _chunks(keys):
            pairs = [(joined_key(stream, key), at.read_at_us) for key in chunk]
            landed = self._index.dated("presence", pairs)
            for key in chunk:
                row = PresenceRow(stream=stream, key=key, kind=kind)
                found += landed.get((joined_key(stream, key), at.read_at_us)) == PRESENCE.encode(row).digest
        return found

    def settle_rejects(self) -> None:
        """End of the sync: rejects whose key came as a good record and not as a reject are no longer rejects."""
        settled = sorted(self._good_again - self._rejected_now)
        if settled:
            self.mark_missing("rejects", settled, "absent", None)
        self._good_again.clear()

    def _say(self, row: PresenceRow | None, at: Stamp, known: Known | None = None) -> None:
        if row is None:
            return
        content = PRESENCE.encode(row)
        key = joined_key(row.stream, row.key)
        if at.is_dated:
            mark = ("presence", key, at.read_at_us)
            before = self._dated.get(mark)
            if before is None and known is not None:
                before = known.dated.get(mark)
            if before == content.digest:
                return
            self._dated.put(mark, content.digest, held=True)
        self._put("presence", PRESENCE.line(content, key, self._next(), at))

    # --- history ---------------------------------------------------------------------------------------------------------------------

    def _reading(
        self, reading: Reading, at: Stamp, known: Known, held_events: dict[str, dict[tuple[str, str], str]]
    ) -> None:
        for event in reading.events:
            self.counts(event.stream).read += 1
        for bad in reading.bad:
            self._set_aside(bad.event, bad.error)
        deal_id = reading.deal_id
        last = known.histories.get(deal_id)
        self.counts("history_reads").read += 1
        if at.is_dated:
            is_new = self._is_new_date(("history_reads", deal_id, at.read_at_us), reading.digest, known)
            events: Sequence[Event] | None = reading.events if is_new else None
        else:
            events = self._events_to_write(reading, last, held_events.get(deal_id, {}))
        if events is None:
            return
        ordinal = self._next()
        row = ReadingRow(
            deal_id=reading.deal_id,
            complete=reading.complete,
            is_combined=reading.is_combined,
            note=reading.note,
            read_at=None,
        )
        content = READING.encode(row)._replace(digest=reading.digest)
        self._put("history_reads", READING.line(content, reading.deal_id, ordinal, at))
        own = at._replace(shared=b',"_read_ordinal":%d%b' % (ordinal, at.shared))
        for event in events:
            codec = _EVENT_CODECS[event.stream]
            self._put(event.stream, codec.line(event.content, event.key, self._next(), own))
            counts = self.counts(event.stream)
            if last is None:
                counts.new += 1
            else:
                counts.changed += 1
        self.counts("history_reads").new += last is None
        self.counts("history_reads").changed += last is not None
        self._readings.put(deal_id, UNKNOWN if at.is_dated else reading.digest, held=last is not None)

    def _events_to_write(
        self, reading: Reading, last: HeldHistory | None, held: dict[tuple[str, str], str]
    ) -> Sequence[Event] | None:
        """The events to land with this reading; None when it says nothing new."""
        now = self._readings.get(reading.deal_id)
        if reading.complete:
            if now is not None:
                return None if now == reading.digest else reading.events
            is_same = last is not None and last.complete and last.hash == reading.digest
            # After a move an equal reading is written once more: it proves that the history was read since.
            return (
                None
                if is_same and last is not None and last.is_current and reading.deal_id not in self._moved
                else reading.events
            )
        if now is not None or last is None:
            return None if now == reading.digest else reading.events
        fresh = [event for event in reading.events if held.get((event.stream, event.event_id)) != event.content.digest]
        return fresh if fresh or reading.is_combined != last.is_combined else None

    # --- rejects ---------------------------------------------------------------------------------------------------------------------

    def _note_reject(self, reject: _Reject, key: str) -> None:
        counts = self.counts(reject.stream)
        counts.read += 1
        counts.dropped += reject.is_dropped
        counts.rejected += not reject.is_dropped
        if key in self._watched:
            self._rejected_now.add(key)
        if reject.stream in KEYED_STREAMS:
            self._sweeps.saw(rejects_of(reject.stream), [key])
            if reject.key:
                # It is there, if not as it should be: a sweep must not take it for gone.
                self._sweeps.saw(reject.stream, [reject.key])

    def refused(self, stream: str, key: str, column: str, kind: str) -> None:
        """A spooled row that DuckDB could not store."""
        error = BadRecordError("bad_value", f"{stream}.{column} holds something that is no {kind}.")
        reject = Reject(stream=stream, reason=error.reason, detail=error.detail, key=key)
        self.counts(stream).read -= 1  # it was counted when it came
        item = _reject_item(reject, _REJECTS.key(reject), self._stamper.now())
        self._version(item, self._look_up([item]))
        self._hand_over()

    # --- lines out -------------------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal

    def _put(self, stream: str, line: bytes) -> None:
        lines = self._lines.get(stream)
        if lines is None:
            lines = self._lines[stream] = []
        lines.append(line)
        self._line_bytes += len(line)
        if self._line_bytes > _MOST_LINE_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the lines of this batch to the spools."""
        lines, self._lines, self._line_bytes = self._lines, {}, 0
        for stream, batch in lines.items():
            self._spools.add(stream, batch, self._stamper.sequence)


_EVENT_CODECS = {codec.stream: codec for codec in CODECS.values() if codec.stream in EVENT_STREAMS}


def _row_of(tomb: Tombstone) -> PresenceRow:
    return PresenceRow(stream=tomb.stream, key=tomb.key, kind=tomb.kind, gone_at=tomb.gone_at, survivor=tomb.survivor)


def _has_moved(deal: _Deal, held: HeldRow) -> bool:
    return held.hash is not None and deal[1:] != (held.pipeline_id, held.stage_id, held.status)


def _reject_item(reject: Reject, key: str, at: Stamp) -> Item:
    """A reject on its way; one that cannot be encoded itself loses its raw."""
    try:
        content = _REJECTS.encode(reject)
    except BadRecordError as error:
        detail = f"{_plain(reject.detail)} ({error.reason})"
        reject = msgspec.structs.replace(reject, raw={}, detail=detail)
        content = _REJECTS.encode(reject)
    return (_NEEDED[Reject](reject), "rejects", key, _REJECTS, at, content)


def _chunks(keys: Iterable[str]) -> Iterable[list[str]]:
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) >= 1_000:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else type(value).__name__


def _kept_raw(record: Any) -> Any:
    raw = getattr(record, "raw", {})
    try:
        return raw if len(msgspec.json.encode(raw)) < 1_000_000 else {}
    except (TypeError, ValueError, RecursionError):
        return {}
