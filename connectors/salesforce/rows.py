"""Rows in one form, whichever API they came by: REST gives typed JSON, Bulk gives CSV text, the landed `raw` must be equal.

The form is REST's: names in SELECT order, numbers as numbers (without needless zeros), datetimes as 2026-07-28T09:30:00.000+0000. Only an
empty value is null, as Bulk cannot tell "" from null; `NA` or `None` are text. NUL characters are left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

import msgspec

from connectors.sdk import VendorError, sound_json

Row = dict[str, Any]

#: Long text areas hold up to 131,072 characters, the csv module's own limit is exactly one less than what that may need.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))

_BATCH = 1_000
_MOST_NUMBERS = 200_000
#: More than any number of Salesforce has; one of a million digits must not be written out.
_MOST_DIGITS = 400


class _Numbers(dict[str, Decimal | None]):
    """Text to number, each made once: most values repeat. A plain look-up is what makes columns of them cheap."""

    def __missing__(self, text: str) -> Decimal:
        try:
            exact = Decimal(text)
        except InvalidOperation:
            raise VendorError("a number that is none: the answer's numbers cannot be read.") from None
        found = exact.normalize() if exact else Decimal(0)
        if "E+" in str(found) and found.adjusted() < _MOST_DIGITS:
            found = Decimal(format(found, "f"))
        if len(self) < _MOST_NUMBERS:
            self[text] = found
        return found


_numbers = _Numbers({"": None})
_TRUTH = {"true": True, "false": False, "": None}


def number(text: str) -> Decimal:
    """A decimal without trailing zeros and without an exponent. Raises VendorError for what is no number, nothing included."""
    found = _numbers[text]
    if found is None:
        raise VendorError("an empty text where a number is needed.")
    return found


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=number)


def raw_of(row: Row) -> msgspec.Raw:
    """A row as the JSON text that is landed."""
    return msgspec.Raw(_encoder.encode(row))


def decoded(body: bytes | msgspec.Raw) -> Any:
    """JSON with exact numbers. Raises VendorError when it is none."""
    try:
        return _decoder.decode(body if isinstance(body, msgspec.Raw) else sound_json(body))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise VendorError("an answer that should be JSON is not.") from None


def rows_of_json(records: Iterable[Row], types: Mapping[str, str]) -> list[Row]:
    """Decoded REST records in the one form; `attributes` are left out, unknown names stay as they are."""
    instants = [name for name, kind in types.items() if kind == "datetime"]
    found: list[Row] = []
    for record in records:
        if record.__class__ is not dict:
            found.append({})  # a row without an Id, which whoever reads it puts aside
            continue
        record.pop("attributes", None)
        for name in instants:
            value = record.get(name)
            if value.__class__ is str and value[-1:] == "Z":
                record[name] = value[:-1] + "+0000"
        for name, value in record.items():
            if value == "":
                record[name] = None
            elif value.__class__ is str and "\0" in value:
                record[name] = value.replace("\0", "") or None
        found.append(record)
    return found


def rows_of_csv(data: bytes, types: Mapping[str, str], *, count: int | None = None) -> Iterator[Row]:
    """Rows of one Bulk result chunk, whose first line is the header. `count`: how many the answer's header promised.

    Raises VendorError when a line has too many or too few values or lines are missing: a cut chunk must not pass for a whole one.
    """
    for header, columns in _columns_of(data, types, count):
        for values in zip(*columns, strict=True):
            yield dict(zip(header, values, strict=True))


def texts_of_csv(
    data: bytes, types: Mapping[str, str], key: str, *, count: int | None = None
) -> Iterator[tuple[str | None, bytes]]:
    """(value of column `key`, row as it is landed) of each row of a chunk: what `raw_of` gives, without a dict for each row."""
    made: dict[tuple[str, ...], Any] = {}
    for header, columns in _columns_of(data, types, count):
        names = tuple(header)
        kind = made.get(names)
        if kind is None:
            # The struct's own names are numbers: a column may be called like a Python keyword.
            fields = [(f"c{number}", Any) for number in range(len(names))]
            rename = dict(zip([name for name, _ in fields], names, strict=True))
            kind = made[names] = msgspec.defstruct("Line", fields, rename=rename, gc=False)
        yield from zip(columns[header.index(key)], map(_encoder.encode, map(kind, *columns)), strict=True)


def _columns_of(
    data: bytes, types: Mapping[str, str], count: int | None
) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """Batches of rows, turned into typed columns."""
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""), strict=True)
    try:
        header = next(reader, [])
        converters = [_converter(types.get(name, "string")) for name in header]
        seen = 0
        while lines := list(islice(reader, _BATCH)):
            seen += len(lines)
            try:
                columns = list(zip(*lines, strict=True))
            except ValueError:
                columns = []
            if len(columns) != len(header):
                raise VendorError("a Bulk result has a line with another number of values than its header.")
            yield header, [convert(column) for convert, column in zip(converters, columns, strict=True)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise VendorError(f"a Bulk result is not readable as CSV ({type(error).__name__}).") from None
    if count is not None and seen != count:
        raise VendorError(f"a Bulk result has {seen} rows where {count} were announced.")


_Column = Callable[[Sequence[str]], list[Any]]


def _converter(kind: str) -> _Column:
    return _CONVERTERS.get(kind, _as_text)


def _as_text(column: Sequence[str]) -> list[str | None]:
    return [cell or None for cell in column]


def _as_numbers(column: Sequence[str]) -> list[Decimal | None]:
    return list(map(_numbers.__getitem__, column))


def _as_whole(column: Sequence[str]) -> list[int | None]:
    return [int(number(cell)) if cell else None for cell in column]


def _as_truth(column: Sequence[str]) -> list[bool | None]:
    return list(map(_TRUTH.get, column))


def _as_instants(column: Sequence[str]) -> list[str | None]:
    return [(cell[:-1] + "+0000" if cell[-1] == "Z" else cell) if cell else None for cell in column]


_CONVERTERS: dict[str, _Column] = {
    "double": _as_numbers,
    "currency": _as_numbers,
    "percent": _as_numbers,
    "boolean": _as_truth,
    "int": _as_whole,
    "datetime": _as_instants,
}
