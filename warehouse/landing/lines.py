"""Records to JSON lines: checked, hashed once, stamped. The hot path of landing; a record costs one encode and one digest.

The content hash covers every field but `read_at`, with instants in UTC, so that the same content read at another time, or written in another zone,
is the same version. It is 64 bits of SHA-256: two versions are only ever compared under one key.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable
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
_replace = msgspec.structs.replace
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NULL = msgspec.Raw(b"null")
_DECIMAL_LIMITS = {"DECIMAL(18,4)": Decimal(10) ** 14, "DECIMAL(24,12)": Decimal(10) ** 12}


class BadRecordError(Exception):
    """A record that cannot be landed. `reason` is a short stable code, `detail` tells a person where and what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Content(NamedTuple):
    """A record encoded: its JSON up to `read_at` (exclusive), its raw as JSON text in JSON, and its content hash in hex."""

    head: bytes
    raw: bytes
    digest: str


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
        names = record.__struct_fields__
        self.record = record
        self.stream = stream
        self.has_raw = "raw" in names
        self.has_read_at = "read_at" in names
        blanks: dict[str, Any] = {"read_at": None} if self.has_read_at else {}
        if self.has_raw:
            blanks["raw"] = _NULL
        # The blanks are the struct's last fields; `encode` cuts them off and `line` writes them anew.
        if tuple(names[-len(blanks) :]) != tuple(blanks):
            raise TypeError(f"{record.__name__}: read_at and raw must be its last fields, in this order")
        self._blanks = blanks
        tail = "".join(f',"{name}":null' for name in blanks) + "}"
        self._tail = tail.encode()
        self._checks = _checks(record, stream)
        self._instants = _getter([name for name, check in self._checks.items() if check is _is_utc])
        others = {name: check for name, check in self._checks.items() if check is not _is_utc}
        self._others = _getter(list(others))
        self._other_checks = tuple(others.values())
        self.key = key if callable(key) else _key_of(key)

    def encode(self, record: Any) -> Content:
        """Check and encode. Raises BadRecordError."""
        fixes = self._blanks if self._is_plain(record) else {**self._blanks, **self._fixed(record)}
        try:
            raw = _encode(record.raw) if self.has_raw else b""
            head = _encode(_replace(record, **fixes))
            digest = hashlib.sha256(head)
            digest.update(raw)
            text = _encode(raw.decode()) if self.has_raw else b""
        except (TypeError, ValueError, UnicodeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise BadRecordError(
                "not_encodable", f"{self.record.__name__} cannot be written as JSON: {_words(error)}"
            ) from None
        if len(head) + len(text) > MOST_BYTES:
            raise BadRecordError(
                "too_large", f"{self.record.__name__} has {len(head) + len(text):,} bytes, more than {MOST_BYTES:,}."
            )
        return Content(head[: -len(self._tail)], text, digest.hexdigest()[:16])

    def line(self, content: Content, key: str, ordinal: int, stamp: Stamp) -> bytes:
        """One line of newline JSON."""
        own = stamp.own if self.has_read_at else b""
        if self.has_raw:
            return b'%b%b,"raw":%b,"_key":%b,"_ordinal":%d,"_hash":"%b"%b' % (
                content.head,
                own,
                content.raw,
                _encode(key),
                ordinal,
                content.digest.encode(),
                stamp.shared,
            )
        return b'%b%b,"_key":%b,"_ordinal":%d,"_hash":"%b"%b' % (
            content.head,
            own,
            _encode(key),
            ordinal,
            content.digest.encode(),
            stamp.shared,
        )

    def _is_plain(self, record: Any) -> bool:
        """True when every checked value can be written as it is. Written out flat: it runs for every record."""
        for value in self._instants(record):
            if value is not None and (value.__class__ is not datetime or value.tzinfo is not UTC):
                return False
        checks = self._other_checks
        return all(value is None or checks[index](value) for index, value in enumerate(self._others(record)))

    def _fixed(self, record: Any) -> dict[str, Any]:
        """Values that can be put right (other zones to UTC, whole numbers to decimals); raises BadRecordError for the rest."""
        fixes: dict[str, Any] = {}
        for name, kind in self._checks.items():
            value = getattr(record, name)
            if value is None or kind(value):
                continue
            where = f"{self.record.__name__}.{name}"
            if kind is _is_utc and type(value) is datetime:
                if value.tzinfo is None or value.utcoffset() is None:
                    raise BadRecordError(
                        "naive_instant", f"{where} has no time zone; the connector must make it aware."
                    )
                fixes[name] = _to_utc(value, where)
            elif type(value) is int and name in ("amount", "home_amount", "rate"):
                fixes[name] = Decimal(value)
                if not kind(fixes[name]):
                    raise BadRecordError("bad_decimal", f"{where} is too large to be stored.")
            elif isinstance(value, Decimal):
                raise BadRecordError("bad_decimal", f"{where} is not a finite number, or too large to be stored.")
            else:
                raise BadRecordError(
                    "bad_value", f"{where} is of type {type(value).__name__} or not one of the values it may have."
                )
        return fixes


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
        return lambda record: checked_key(get(record), name)

    def joined(record: Any) -> str:
        parts = [getattr(record, name) for name in names]
        return joined_key(
            *(
                "" if part is None else part.isoformat() if isinstance(part, date) else checked_key(part, name)
                for name, part in zip(names, parts, strict=True)
            )
        )

    return joined


def _is_utc(value: Any) -> bool:
    return value.__class__ is datetime and value.tzinfo is UTC


def _is_day(value: Any) -> bool:
    return value.__class__ is date


def _fits(limit: Decimal) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return value.__class__ is Decimal and value.is_finite() and -limit < value < limit

    return fits


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Values of several attributes as a tuple, also for one or none."""
    if not names:
        return lambda record: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)


def _is_whole(value: Any) -> bool:
    return value.__class__ is int and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return value.__class__ is float or value.__class__ is int


def _is_flag(value: Any) -> bool:
    return value is True or value is False


_NUMBERS: dict[str, Callable[[Any], bool]] = {"BIGINT": _is_whole, "DOUBLE": _is_number, "BOOLEAN": _is_flag}


def _checks(record: type[Record], stream: str) -> dict[str, Callable[[Any], bool]]:
    """Field name -> what its value must fulfil, for the fields whose wrong values DuckDB would refuse or misread."""
    found: dict[str, Callable[[Any], bool]] = {}
    for name, hint in typing.get_type_hints(record).items():
        if name in ("read_at", "raw"):
            continue
        kind = column_type(stream, name, hint)
        if kind == "TIMESTAMP":
            found[name] = _is_utc
        elif kind == "DATE":
            found[name] = _is_day
        elif kind in _DECIMAL_LIMITS:
            found[name] = _fits(_DECIMAL_LIMITS[kind])
        elif kind in _NUMBERS:
            found[name] = _NUMBERS[kind]
        else:
            values = _literal_values(hint)
            if values:
                found[name] = values.__contains__
    return found


def _literal_values(hint: Any) -> frozenset[Any]:
    if typing.get_origin(hint) is typing.Literal:
        return frozenset(typing.get_args(hint))
    return frozenset(value for arg in typing.get_args(hint) for value in _literal_values(arg))


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
