"""What the reference landing keeps of one key and of one deal's history, and the orders that decide which of several readings is in force."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from connectors.sdk import FieldChange, HistoryRead, Record, StageChange
from connectors.testing.shapes import fields_of


class Place(NamedTuple):
    """When something was read: the order of all readings."""

    read_at: datetime
    sequence: int
    ordinal: int


class Version(NamedTuple):
    """One landed content of a key."""

    record: Any
    digest: bytes
    place: Place
    mapper_version: int

    @property
    def content_order(self) -> tuple[Any, ...]:
        """The source's own version first, then the time of reading."""
        stamp = getattr(self.record, "updated_at", None) or self.place.read_at
        return (stamp, self.place.read_at, self.mapper_version, self.place.sequence, self.place.ordinal)


class Say(NamedTuple):
    """One statement about whether a key is there."""

    kind: str
    place: Place
    survivor: str | None = None
    gone_at: datetime | None = None


_place = attrgetter("place")


class Entry:
    """All that is held of one key."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.said: list[Say] = []
        self.moved_at = 0

    def copy(self) -> Entry:
        """The same, to be changed alone."""
        other = Entry()
        other.versions, other.said, other.moved_at = list(self.versions), list(self.said), self.moved_at
        return other

    @property
    def current(self) -> Version:
        """The content in force."""
        return max(self.versions, key=lambda version: version.content_order)

    @property
    def last_read(self) -> Version:
        """The content that was read last."""
        return max(self.versions, key=_place) if len(self.versions) > 1 else self.versions[0]

    @property
    def presence(self) -> Say:
        """Whether it is there: by time of reading alone."""
        return max(self.said, key=_place) if len(self.said) > 1 else self.said[0]

    @property
    def own_kind(self) -> str | None:
        """What the latest record says of itself; None when only its absence was ever told."""
        return stated(self.last_read.record) if self.versions else None

    @property
    def is_live(self) -> bool:
        """Held and not gone."""
        return bool(self.versions) and self.presence.kind == "present"

    @property
    def first_read_at(self) -> datetime:
        """When it was read for the first time."""
        return min(version.place.read_at for version in self.versions)


class Reading(NamedTuple):
    """One landed reading of a deal's history, with the events that were new in it."""

    complete: bool
    is_combined: bool
    note: str | None
    events: dict[tuple[type, str], StageChange | FieldChange]
    digest: bytes
    place: Place


def in_force(readings: list[Reading]) -> dict[tuple[type, str], Any]:
    """The events that count: those of the last complete reading, and of incomplete ones since, the latest of each id."""
    events: dict[tuple[type, str], Any] = {}
    for reading in sorted(readings, key=lambda one: one.place):
        if reading.complete:
            events = {}
        events.update(reading.events)
    return events


def stated(record: Any) -> str:
    """What a record says of its own presence."""
    return getattr(record, "presence", None) or "present"


def digest(record: Any) -> bytes:
    """The record's content as bytes, with instants in UTC and without the time of reading, so that equal contents are equal bytes."""
    fixes: dict[str, Any] = {}
    for name in fields_of(type(record), datetime):  # type: ignore[arg-type]  # a cached function wants hashable types
        value = getattr(record, name)
        if value is not None and (name == "read_at" or value.tzinfo is not UTC):
            fixes[name] = None if name == "read_at" else value.astimezone(UTC)
    return msgspec.json.encode(msgspec.structs.replace(record, **fixes) if fixes else record)


def reading_digest(record: HistoryRead) -> bytes:
    """The content of a reading, whatever the order in which its events came."""
    events: list[Record] = [*record.stage_changes, *record.field_changes]
    head = repr((record.complete, record.is_combined, record.note)).encode()
    return b"\n".join([head, *sorted(type(event).__name__.encode() + digest(event) for event in events)])
