"""A landing zone in memory, small enough to be read: it keeps a connector's records by the rules of docs/architecture.md.

The suite judges a connector by what is landed after each sync. Muara's own landing keeps the same rules in files; one of its tests gives both the
same records and compares.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from connectors.sdk import (
    KEYS,
    Checkpoint,
    Deal,
    FieldChange,
    HistoryRead,
    Reject,
    Seen,
    StageChange,
    SweepEnd,
    Tombstone,
    joined_key,
)
from connectors.testing.entries import Entry, Place, Reading, Say, Version, digest, in_force, reading_digest, stated
from connectors.testing.guard import doubt
from connectors.testing.shapes import wrong_values

KEYED_STREAMS = frozenset(stream for stream, _ in KEYS.values())
#: A HistoryRead is judged event by event.
_JUDGED = frozenset({*KEYS, Tombstone, Seen, SweepEnd})


class Landing:
    """Holds the records of one source. `take` records, each Checkpoint commits; `finish` or `crash` ends a sync."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {}
        self.readings: dict[str, list[Reading]] = {}
        self.rejects: dict[str, Reject] = {}
        self.cursors: dict[str, dict[str, Any]] = {}
        self.swept_at: dict[str, datetime] = {}
        self.open_sweeps: dict[str, datetime] = {}
        self.sequence = 0
        #: Rows written since `begin`: what a sync without news must leave at zero.
        self.rows = 0
        self.suspicions: list[str] = []
        self.ended_sweeps: set[str] = set()
        self._pending: list[tuple[Any, datetime]] = []
        self._seen: dict[str, set[str]] = {}
        self._began = datetime(1970, 1, 1, tzinfo=UTC)
        self._mapper_version = 1
        self._ordinal = 0

    # --- a sync --------------------------------------------------------------------------------------------------------------

    def begin(self, now: datetime, mapper_version: int = 1) -> None:
        """A sync starts."""
        self.rows, self.suspicions, self.ended_sweeps = 0, [], set()
        self._began, self._mapper_version, self._ordinal = now, mapper_version, 0
        self._seen = {stream: keys for stream, keys in self._seen.items() if stream in self.open_sweeps}
        self._pending = []

    def take(self, record: Any, now: datetime) -> None:
        """Take one record; a Checkpoint commits everything so far together with its cursor."""
        if not isinstance(record, Checkpoint):
            self._pending.append((record, now))
            return
        self.commit()
        if record.cursor is None:
            self.cursors.pop(record.stream, None)
        else:
            # As in a file: what JSON does not keep is lost.
            self.cursors[record.stream] = msgspec.json.decode(msgspec.json.encode(record.cursor))

    def commit(self) -> None:
        """Make everything taken so far the truth."""
        self.sequence += 1
        pending, self._pending = self._pending, []
        for record, now in pending:
            self._land(record, now)

    def crash(self) -> None:
        """The process died: what was not committed is gone."""
        self._pending = []

    def copy(self) -> Landing:
        """A landing of its own with the same content, between two syncs."""
        other = Landing()
        for stream, entries in self.entries.items():
            other.entries[stream] = {key: entry.copy() for key, entry in entries.items()}
        other.readings = {key: list(readings) for key, readings in self.readings.items()}
        other.rejects, other.cursors = dict(self.rejects), dict(self.cursors)
        other.swept_at, other.open_sweeps = dict(self.swept_at), dict(self.open_sweeps)
        other._seen = {stream: set(keys) for stream, keys in self._seen.items()}
        other.sequence = self.sequence
        return other

    # --- one record ----------------------------------------------------------------------------------------------------------

    def _land(self, record: Any, now: datetime) -> None:
        problem = _problem(record)
        if problem is not None:
            key = key_of(record) if type(record) in KEYS else getattr(record, "deal_id", None)
            stream = KEYS[type(record)][0] if type(record) in KEYS else "stage_changes"
            record = Reject(stream=stream, key=key or None, reason="bad_value", detail=problem)
        self._ordinal += 1
        place = Place(getattr(record, "read_at", None) or now, self.sequence, self._ordinal)
        if isinstance(record, Reject):
            self._reject(record)
        elif isinstance(record, HistoryRead):
            self._history(record, place)
        elif isinstance(record, Tombstone):
            self._saw(record.stream, record.key)
            self._gone(record, place)
        elif isinstance(record, Seen):
            self._saw(record.stream, record.key)
            self._again(record, place)
        elif isinstance(record, SweepEnd):
            self._end_sweep(record, place)
        elif type(record) in KEYS:
            self._version(record, place)

    def _version(self, record: Any, place: Place) -> None:
        stream, key = KEYS[type(record)][0], key_of(record)
        self._saw(stream, key)
        entry = self.entries.setdefault(stream, {}).setdefault(key, Entry())
        content = digest(record)
        if record_is_dated(record):
            is_known = any(v.digest == content and v.place.read_at == place.read_at for v in entry.versions)
        else:
            is_known = bool(entry.versions) and entry.last_read.digest == content
        if not is_known:
            last = entry.last_read if entry.versions else None
            if last is None or (place > last.place and _where(last.record) != _where(record)):
                entry.moved_at = self.sequence
            entry.versions.append(Version(record, content, place, self._mapper_version))
            self.rows += 1
        self._say_of_version(entry, stated(record), place, fresh=not is_known)

    def _say_of_version(self, entry: Entry, kind: str, place: Place, *, fresh: bool) -> None:
        """A record says of itself that it is there, archived or deleted."""
        state = entry.presence if entry.said else None
        if state is not None and place < state.place:
            return
        if state is not None and state.kind == "merged" and kind != "present":
            return  # the loser of a merge often stands among the deleted too; its survivor is not forgotten
        if state is None or fresh or state.kind != kind:
            entry.said.append(Say(kind, place))
        if state is not None and state.kind != kind:
            self.rows += kind == "present" or not fresh

    def _again(self, record: Seen, place: Place) -> None:
        """A sweep saw the key: it is what its own record says, or simply present."""
        entry = self.entries.get(record.stream, {}).get(record.key)
        if entry is None or place < entry.presence.place:
            return
        kind = entry.own_kind or "present"
        if entry.presence.kind != kind:
            entry.said.append(Say(kind, place))
            self.rows += 1

    def _gone(self, record: Tombstone, place: Place) -> None:
        entry = self.entries.setdefault(record.stream, {}).setdefault(record.key, Entry())
        state = entry.presence if entry.said else None
        say = Say(record.kind, place, record.survivor, record.gone_at)
        if state is not None and place >= state.place:
            same_time = record.gone_at is None or record.gone_at == state.gone_at
            if (state.kind, state.survivor) == (say.kind, say.survivor) and same_time:
                return
            if state.kind == "merged" and say.kind != "merged":
                return
        told_before = any(one.place.read_at == place.read_at and one._replace(place=place) == say for one in entry.said)
        if not (record_is_dated(record) and told_before):
            entry.said.append(say)
            self.rows += 1

    # --- history ---------------------------------------------------------------------------------------------------------------

    def _history(self, record: HistoryRead, place: Place) -> None:
        good: list[StageChange | FieldChange] = []
        bad = 0
        told: list[StageChange | FieldChange] = [*record.stage_changes, *record.field_changes]
        for event in told:
            if event.deal_id != record.deal_id or wrong_values(event) or not event.event_id:
                stream = "stage_changes" if isinstance(event, StageChange) else "field_changes"
                detail = "belongs to another deal" if event.deal_id != record.deal_id else "cannot be stored"
                self._reject(
                    Reject(stream=stream, key=f"{record.deal_id}:{event.event_id}", reason="bad_event", detail=detail)
                )
                bad += 1
            else:
                good.append(event)
        readings = self.readings.setdefault(record.deal_id, [])
        complete = record.complete and not bad
        content = reading_digest(msgspec.structs.replace(record, complete=complete))
        last = max(readings, key=lambda one: one.place) if readings else None
        if record_is_dated(record):
            is_known = any(one.digest == content and one.place.read_at == place.read_at for one in readings)
        else:
            # After a move an equal reading is kept once more: it proves that the history was read since.
            is_known = (
                last is not None and last.digest == content and (not complete or self._is_current(record.deal_id))
            )
        events: dict[tuple[type, str], StageChange | FieldChange] = {
            (type(event), event.event_id): event for event in good
        }
        if not complete and last is not None and not is_known:
            held = in_force(readings)
            events = {
                name: event for name, event in events.items() if name not in held or digest(held[name]) != digest(event)
            }
            is_known = not events and record.is_combined == last.is_combined
        if not is_known:
            readings.append(Reading(complete, record.is_combined, record.note, events, content, place))
            self.rows += 1 + len(events)

    def _is_current(self, deal_id: str) -> bool:
        """A complete reading came with or after the deal's last move."""
        entry = self.entries.get("deals", {}).get(deal_id)
        complete = [one.place.sequence for one in self.readings.get(deal_id, []) if one.complete]
        return bool(complete) and (entry is None or max(complete) >= entry.moved_at)

    def _reject(self, record: Reject) -> None:
        place = record.key or f"{record.source_file}:{record.source_sheet}:{record.source_row}"
        name = joined_key(record.stream, place, record.reason)
        if record.key:
            self._saw(record.stream, record.key)
        if self.rejects.get(name) != record:
            self.rejects[name] = record
            self.rows += 1

    # --- sweeps ----------------------------------------------------------------------------------------------------------------

    def _saw(self, stream: str, key: str) -> None:
        self._seen.setdefault(stream, set()).add(key)

    def _end_sweep(self, end: SweepEnd, place: Place) -> None:
        stream = end.stream
        began = self.open_sweeps.get(stream, self._began)
        if not end.complete:
            self.open_sweeps[stream] = began
            return
        judged = end.read_at or began
        entries = self.entries.get(stream, {})
        live = [key for key, entry in entries.items() if entry.is_live]
        gone_since = [
            key
            for key, entry in entries.items()
            if end.read_at and entry.versions and entry.presence.place.read_at > end.read_at
        ]
        seen = self._seen.get(stream, set())
        missing = [key for key in {*live, *gone_since} if key not in seen and entries[key].first_read_at <= judged]
        why = doubt(stream, live=len(live), missing=len(missing), seen=len(seen))
        if why is not None:
            self.suspicions.append(why)
        else:
            for key in sorted(missing):
                self._gone(Tombstone(stream=stream, key=key, kind=end.missing_as, read_at=end.read_at), place)
            self.swept_at[stream] = began
        self.ended_sweeps.add(stream)
        self.open_sweeps.pop(stream, None)
        self._seen.pop(stream, None)

    def finish(self, declared: set[str], *, whole: bool, full: bool) -> None:
        """The sync has ended. A whole `--full` read that did not end in sweeps is judged by volume all the same."""
        self.commit()
        for stream in sorted(declared & KEYED_STREAMS - self.ended_sweeps - {"sources"}) if whole and full else ():
            live = {key for key, entry in self.entries.get(stream, {}).items() if entry.is_live}
            seen = self._seen.get(stream, set())
            why = doubt(stream, live=len(live), missing=len(live - seen), seen=len(seen))
            if why is not None:
                self.suspicions.append(why)

    # --- what is held ----------------------------------------------------------------------------------------------------------

    def current(self, stream: str) -> dict[str, Any]:
        """Key -> the record in force, for every key of `stream` that was ever read."""
        return {
            key: entry.current.record for key, entry in sorted(self.entries.get(stream, {}).items()) if entry.versions
        }

    def presence(self, stream: str = "deals") -> dict[str, str]:
        """Key -> present, archived, deleted ... as it is now."""
        return {key: entry.presence.kind for key, entry in sorted(self.entries.get(stream, {}).items())}

    def survivors(self) -> dict[str, str | None]:
        """Merged deal -> the deal that it became."""
        deals = self.entries.get("deals", {})
        return {key: entry.presence.survivor for key, entry in sorted(deals.items()) if entry.presence.kind == "merged"}

    def events(self, deal_id: str, kind: type = StageChange) -> list[Any]:
        """The events of a deal that are in force, in their own order."""
        held = in_force(self.readings.get(deal_id, []))
        chosen = [event for (its_kind, _), event in held.items() if its_kind is kind]
        return sorted(chosen, key=lambda event: (event.changed_at, event.sequence, event.event_id))

    def last_reading(self, deal_id: str) -> Reading | None:
        """The reading of a deal's history that was made last."""
        return max(self.readings.get(deal_id, []), key=lambda one: one.place, default=None)


def record_is_dated(record: Any) -> bool:
    """True for a row of a dated snapshot."""
    return getattr(record, "read_at", None) is not None


def key_of(record: Any) -> str:
    """The record's key as landing writes it."""
    names = KEYS[type(record)][1]
    if len(names) == 1:
        return str(getattr(record, names[0]))
    parts = [getattr(record, name) for name in names]
    texts = ["" if part is None else part.isoformat() if isinstance(part, date) else str(part) for part in parts]
    return joined_key(*texts)


def _problem(record: Any) -> str | None:
    """Why a record cannot be landed, None when it can."""
    if type(record) not in _JUDGED:
        return None
    if type(record) in KEYS and not key_of(record):
        return f"{type(record).__name__}: its key is empty"
    found = wrong_values(record)
    return f"{type(record).__name__}.{found[0][0]} {found[0][1]}" if found else None


def _where(record: Any) -> Any:
    return (record.pipeline_id, record.stage_id, record.status) if isinstance(record, Deal) else None
