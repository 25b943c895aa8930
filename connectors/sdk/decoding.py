"""One bad row costs nothing but itself: rows that cannot become records are put aside with their reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from connectors.sdk.errors import DataError
from connectors.sdk.records import Record, Reject

R = TypeVar("R", bound=Record)

#: What a mapping function may raise because a row is not of the documented shape.
BAD_ROW = (DataError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def mapped(stream: str, rows: Iterable[Any], make: Callable[[Any], R]) -> Iterator[R | Reject]:
    """The record that `make` gives for each row, or a Reject with the row."""
    for row in rows:
        try:
            record: R | Reject = make(row)
        except BAD_ROW as error:
            record = rejected(stream, row, error)
        yield record


def rejected(stream: str, row: Any, error: Exception, key: str | None = None) -> Reject:
    """A Reject for a row that `error` kept from becoming a record. Only our own errors' words are quoted: others may quote values."""
    found = row if isinstance(row, Mapping) else {}
    key = key if key is not None else None if found.get("id") is None else str(found["id"])
    why = str(error) if isinstance(error, DataError | KeyError) else type(error).__name__
    return Reject(stream=stream, reason="undecodable", detail=f"{stream} {key or '(no id)'}: {why}", key=key, raw=found)
