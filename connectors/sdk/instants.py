"""Instants and dates as vendors write them. An instant is timezone-aware and UTC; a date never shifts."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo

from connectors.sdk.errors import DataError

_DATE_LENGTH = len("2026-01-31")


def parse_instant(text: str, zone: tzinfo | None = None) -> datetime:
    """ISO 8601 text as an aware UTC datetime: `...Z`, `+00:00`, `+0000`, with a fraction or none, `T` or a space between.

    Text without an offset is taken in `zone` where given (Pipedrive v1: UTC) and refused otherwise; a bare date is always refused.
    Digits beyond microseconds are cut. Raises DataError, which shows the text's shape but not its value.
    """
    if not isinstance(text, str):
        raise DataError(f"not an instant: {type(text).__name__} instead of text")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"not an instant: text shaped {_shape(text)}, expected like 2026-01-31T09:30:00Z") from None
    if len(text) <= _DATE_LENGTH:
        raise DataError(f"a date ({_shape(text)}) where an instant is needed, like 2026-01-31T09:30:00Z")
    if found.tzinfo is None:
        if zone is None:
            raise DataError(f"an instant without a zone: text shaped {_shape(text)}. Say which zone the source means.")
        found = found.replace(tzinfo=zone)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise DataError(f"not an instant: text shaped {_shape(text)} lies outside the calendar") from None


def parse_date(text: str) -> date:
    """`YYYY-MM-DD` as a date. Raises DataError for anything else, an instant too: its day depends on a zone."""
    try:
        if not isinstance(text, str) or len(text) != _DATE_LENGTH:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        shape = _shape(text) if isinstance(text, str) else type(text).__name__
        raise DataError(f"not a date: shaped {shape}, expected like 2026-01-31") from None


def instant_text(instant: datetime) -> str:
    """`2026-01-31T09:30:00.000000Z`: UTC, always microseconds, so that text order is time order. Refuses a naive datetime."""
    return _utc(instant).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_epoch_ms(milliseconds: int | str) -> datetime:
    """Milliseconds since 1970 (also as text) as an aware UTC datetime. Raises DataError."""
    try:
        whole, rest = divmod(int(milliseconds), 1000)
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest * 1000)
    except (ValueError, TypeError, OverflowError, OSError):
        raise DataError(f"not milliseconds since 1970: {type(milliseconds).__name__}") from None


def to_epoch_ms(instant: datetime) -> int:
    """Milliseconds since 1970, rounded down. Refuses a naive datetime."""
    delta = _utc(instant) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("a naive datetime is no instant: give it a time zone where it is made")
    return instant.astimezone(UTC)


def _shape(text: str) -> str:
    """Digits as 9 and letters as a: tells what kind of text it was without telling the text."""
    return repr(re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text[:40])))
