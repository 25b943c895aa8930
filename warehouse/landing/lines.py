"""Records to JSON lines: checked, hashed once, stamped. The hot path of landing; a record costs one encode and one digest.

The content hash covers every field but `read_at`, with instants in UTC, so that the same content read at another time, or written in another zone,
is the same version. It is 64 bits of SHA-256: two versions are only ever compared under one key.
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from connectors.sdk import records
from connectors.sdk.records import Record, joined_key
from warehouse.landing.schema import STREAMS, column_type

#: A longer line is refused: DuckDB reads JSON objects up to 16 MB.
MOST_BYTES = 8_000_000

_encode = msgspec.json.Encoder().encode
_convert = msgspec.convert
_replace = msgspec.structs.replace
_astuple = msgspec.structs.astuple
_sha256 = hashlib.sha256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECIMAL_LIMITS = {"DECIMAL(18,4)": Decimal(10) ** 14, "DECIMAL(24,12)": Decimal(10) ** 12}


class BadRecordError(Exception):
    """A record that cannot be landed. `reason` is a short stable code, `detail` tells a person where and what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Content(NamedTuple):
    """A record encoded: its JSON without `read_at`, `raw` and the closing brace, its raw as JSON text, and its content hash in hex."""

    head: bytes
    raw: bytes
    digest: str

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self.head) + len(self.raw)


class Stamp(NamedTuple):
    """The stamps that many rows share, as JSON: the record's own `read_at`, and the end of the line from `_read_at` on.

    `read_at_us`: microseconds since 1970 of `_read_at`, the order of all readings.
    """

    own: bytes
    shared: bytes
    read_at_us: int
    is_dated: bool


def stamp(read_at: datetime, *, dated: bool, sequence: int, mapper_version: int) -> Stamp:
    """The stamp of rows read at one instant. Raises BadRecordError for an instant without a zone."""
    text = instant_json(read_at)
    shared = b',"_read_at":%b,"_sync_seq":%d,"_mapper_version":%d}\n' % (text, sequence, mapper_version)
    return Stamp(b',"read_at":' + text if dated else b',"read_at":null', shared, micros(read_at), dated)


def micros(instant: datetime) -> int:
    """Microseconds since 1970 of an aware instant: exact, and comparable as a whole number."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(micros_since_1970: int) -> datetime:
    """The aware UTC instant of `micros`."""
    return _EPOCH + timedelta(microseconds=micros_since_1970)


class Codec:
    """Encodes the records of one type into lines of one stream."""

    def __init__(self, record: type[Record], stream: str, key: tuple[str, ...] | Callable[[Any], str]) -> None:
        hints = typing.get_type_hints(record)
        kinds = {name: column_type(stream, name, hints[name]) for name in record.__struct_fields__}
        self.record = record
        self.stream = stream
        self.has_raw = "raw" in kinds
        self.has_read_at = "read_at" in kinds
        own = {name: kind for name, kind in kinds.items() if name not in ("raw", "read_at")}
        self._row = _row_type(record, {name: hints[name] for name in own})
        # A record's `read_at` and `raw` come last.
        self._own = len(own)
        assert tuple(own) == record.__struct_fields__[: self._own]
        self._plain = Plain([hints[name] for name in own])
        self._instants = [place for place, kind in enumerate(own.values()) if kind == "TIMESTAMP"]
        self._decimals = [
            (place, _DECIMAL_LIMITS[kind]) for place, kind in enumerate(own.values()) if kind in _DECIMAL_LIMITS
        ]
        self.key = key if callable(key) else _key_of(key)

    def encode(self, record: Any) -> Content:
        """Check and encode. Raises BadRecordError."""
        try:
            values = _astuple(record)[: self._own]
            if self._plain.fits(values):
                row = self._row(*values)
            else:
                row = _convert(record, self._row, from_attributes=True)
                values = _astuple(row)
            for place in self._instants:
                value = values[place]
                if value is not None and value.tzinfo is not UTC:
                    row = self._in_utc(row)
                    break
            for place, limit in self._decimals:
                value = values[place]
                if value is not None and not (value.is_finite() and -limit < value < limit):
                    raise BadRecordError(
                        "bad_decimal", f"{self.record.__name__} has an amount that is not finite, or too large."
                    )
            head = _encode(row)
            raw = b""
            digest = _sha256(head)
            if self.has_raw:
                given = record.raw
                raw = _encode(given)
                if type(given) is not dict:
                    raw.decode()  # text as it came may be anything
                digest.update(raw)
        except msgspec.ValidationError as error:
            raise BadRecordError("bad_value", f"{self.record.__name__}: {_without_values(str(error))}") from None
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            words = f"{self.record.__name__} cannot be written as JSON: {_words(error)}"
            raise BadRecordError("not_encodable", words) from None
        if len(head) + len(raw) > MOST_BYTES:
            size = f"{len(head) + len(raw):,} bytes, more than {MOST_BYTES:,}"
            raise BadRecordError("too_large", f"{self.record.__name__} has {size}.")
        return Content(head[:-1], raw, digest.hexdigest()[:16])

    def line(self, content: Content, key: str, ordinal: int, stamp: Stamp) -> bytes:
        """One line of newline JSON."""
        head, raw, digest = content
        own = stamp.own if self.has_read_at else b""
        rest = b',"_key":%b,"_ordinal":%d,"_hash":"%b"' % (_encode(key), ordinal, digest.encode())
        if self.has_raw:
            # JSON text inside JSON: kept to the letter, which a nested object would not be.
            return b"".join((head, own, b',"raw":', _encode(raw.decode()), rest, stamp.shared))
        return b"".join((head, own, rest, stamp.shared))

    def _in_utc(self, row: Any) -> Any:
        """The row with its instants in UTC. Raises BadRecordError for one without a zone."""
        fixes: dict[str, datetime] = {}
        for name in self._row.__struct_fields__:
            value = getattr(row, name)
            if type(value) is datetime and value.tzinfo is not UTC:
                where = f"{self.record.__name__}.{name}"
                if value.tzinfo is None or value.utcoffset() is None:
                    raise BadRecordError(
                        "naive_instant", f"{where} has no time zone; the connector must make it aware."
                    )
                fixes[name] = _to_utc(value, where)
        return _replace(row, **fixes)


_Whole = typing.Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


def _row_type(record: type[Record], hints: dict[str, Any]) -> type[msgspec.Struct]:
    """The record without `read_at` and `raw`, in the order of its fields, checked strictly when it is converted; a None is not written.

    So a field that a later release adds does not change the hash of records that lack it.
    """
    fields: list[Any] = []
    for name, hint in hints.items():
        is_whole = hint is int or int in typing.get_args(hint)
        is_optional = type(None) in typing.get_args(hint)
        kind = (_Whole | None if is_optional else _Whole) if is_whole else hint
        # The default is only there to be left out where it is allowed: every value is given.
        fields.append((name, kind, None))
    return msgspec.defstruct(f"{record.__name__}Row", fields, omit_defaults=True)


class Plain:
    """Sees quickly that values have exactly the types of their fields, as nearly all have; what it does not let through is looked at closely.

    The types of a row are compared as a whole with those of rows before.
    """

    #: Different combinations remembered: empty fields make many, a few are common.
    _MOST = 4_096

    def __init__(self, hints: list[Any]) -> None:
        self._exact = [_exact_types(hint) for hint in hints]
        options = [_options(hint) for hint in hints]
        self._choices = [
            (place, frozenset(value for option in found for value in typing.get_args(option)) | {None})
            for place, found in enumerate(options)
            if any(typing.get_origin(option) is typing.Literal for option in found)
        ]
        self._whole = [place for place, found in enumerate(options) if int in found]
        self._mappings = [
            (place, found[0] == Mapping[str, str])
            for place, found in enumerate(options)
            if typing.get_origin(found[0]) is Mapping
        ]
        self._usual: set[tuple[type, ...]] = set()

    def fits(self, values: tuple[Any, ...]) -> bool:
        """True when every value is plainly what its field says."""
        kinds = tuple(map(type, values))
        if kinds not in self._usual:
            if not all(kind in exact for kind, exact in zip(kinds, self._exact, strict=True)):
                return False
            if len(self._usual) < self._MOST:
                self._usual.add(kinds)
        for place, choices in self._choices:
            if values[place] not in choices:
                return False
        for place in self._whole:
            value = values[place]
            if value is not None and not -(2**63) <= value < 2**63:
                return False
        for place, is_text in self._mappings:
            value = values[place]
            if value and not (_all_text(value) and (not is_text or _all_text(value.values()))):
                return False
        return True


def _options(hint: Any) -> list[Any]:
    """The types that a hint allows besides None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [option for option in typing.get_args(hint) if option is not type(None)]
    return [hint]


def _exact_types(hint: Any) -> frozenset[type]:
    """The classes that values of a field have when they need no closer look; a required field is never None."""
    found: set[type] = {type(None)} if type(None) in typing.get_args(hint) else set()
    for option in _options(hint):
        origin = typing.get_origin(option)
        found.add(str if origin is typing.Literal else dict if origin is Mapping else option)
    return frozenset(found)


def _all_text(values: Iterable[Any]) -> bool:
    return all(type(value) is str for value in values)


def _without_values(message: str) -> str:
    """A validation message names type and field; only for a wrong choice it quotes the value, which must not be shown."""
    if message.startswith("Invalid enum value"):
        return "not one of the values it may have" + message[message.rfind(" - at ") :]
    return message


def instant_json(instant: datetime) -> bytes:
    """An aware instant as JSON text in UTC. Raises BadRecordError for a naive one."""
    if not isinstance(instant, datetime):
        raise BadRecordError("bad_value", f"read_at is of type {type(instant).__name__}, not an instant.")
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise BadRecordError("naive_instant", "read_at has no time zone; the connector must make it aware.")
    return _encode(_to_utc(instant, "read_at"))


def _to_utc(value: datetime, where: str) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise BadRecordError("bad_value", f"{where} lies outside the years 1 to 9999.") from None


def checked_key(value: Any, what: str) -> str:
    """A key must be text with something in it. Raises BadRecordError."""
    if type(value) is not str:
        if isinstance(value, str):
            return str.__str__(value)
        raise BadRecordError("bad_key", f"{what} is {type(value).__name__}, not text.")
    if not value:
        raise BadRecordError("bad_key", f"{what} is empty.")
    return value


def _key_of(names: tuple[str, ...]) -> Callable[[Any], str]:
    if len(names) == 1:
        name = names[0]
        get = attrgetter(name)

        def single(record: Any) -> str:
            value = get(record)
            return value if value.__class__ is str and value else checked_key(value, name)

        return single

    def joined(record: Any) -> str:
        parts = [getattr(record, name) for name in names]
        return joined_key(
            *(
                "" if part is None else part.isoformat() if isinstance(part, date) else checked_key(part, name)
                for name, part in zip(names, parts, strict=True)
            )
        )

    return joined


def _words(error: Exception) -> str:
    """The error's kind, and for an unknown type its name; never a record's value."""
    text = str(error)
    return text if text.startswith("Encoding objects of type") else type(error).__name__


class PresenceRow(Record, frozen=True, kw_only=True):
    """A row of `presence`: a Tombstone, or `present` for a key that is there again."""

    stream: str
    key: str
    kind: records.Presence
    gone_at: datetime | None = None
    survivor: str | None = None
    read_at: datetime | None = None


class ReadingRow(Record, frozen=True, kw_only=True):
    """A row of `history_reads`: a HistoryRead without its events."""

    deal_id: str
    complete: bool
    is_combined: bool
    note: str | None
    read_at: datetime | None


def _reject_key(reject: records.Reject) -> str:
    """Where the row is and what is wrong with it: one row may be wrong in two ways."""
    place: tuple[str | None, ...] = (reject.key,)
    if not reject.key:
        place = (reject.source_file, reject.source_sheet, None if reject.source_row is None else str(reject.source_row))
    if not any(place):
        place = ("#" + hashlib.sha256(reject.detail.encode(errors="replace") + _raw_bytes(reject)).hexdigest()[:16],)
    return joined_key(reject.stream, *(part or "" for part in place), reject.reason)


def _raw_bytes(reject: records.Reject) -> bytes:
    try:
        return _encode(reject.raw)
    except (TypeError, ValueError, RecursionError):
        return b""


#: How each landed record type is encoded.
CODECS: dict[type[Record], Codec] = {
    **{record: Codec(record, stream, key) for record, (stream, key) in records.KEYS.items()},
    records.StageChange: Codec(records.StageChange, "stage_changes", ("deal_id", "event_id")),
    records.FieldChange: Codec(records.FieldChange, "field_changes", ("deal_id", "event_id")),
    records.Reject: Codec(records.Reject, "rejects", _reject_key),
}
PRESENCE = Codec(PresenceRow, "presence", ("stream", "key"))
READING = Codec(ReadingRow, "history_reads", ("deal_id",))

#: Streams that a Tombstone, Seen or SweepEnd may speak of.
KEYED_STREAMS = frozenset(stream for stream, _ in records.KEYS.values())

assert {codec.stream for codec in (*CODECS.values(), PRESENCE, READING)} == set(STREAMS)
