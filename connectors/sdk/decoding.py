"""One bad row costs nothing but itself: rows that cannot become records are put aside with their reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from connectors.sdk.errors import DataError
from connectors.sdk.records import Record, Reject

R = TypeVar("R", bound=Record)

#: What a mapping function may raise because a row is not of the documented shape.
BAD_ROW = (DataError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

#: An escaped pair of surrogates, or (group 2) one alone; group 1 holds the escaped backslashes before it.
_SURROGATES = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u[dD](?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|([89a-fA-F][0-9a-fA-F]{2}))"
)


def sound_json(body: bytes) -> bytes:
    r"""JSON text in which each half of a character (`\ud83d` alone) has become `\ufffd`; all else as it came.

    A name that was cut in the middle of an emoji is sent like that by vendors that write JavaScript; no decoder takes it, so that one such
    record would cost its whole page.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _SURROGATES.sub(lambda found: found[0] if found[2] is None else found[1] + b"\\ufffd", body)


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
