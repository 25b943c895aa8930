"""Rows in one form, whichever API they came by: REST gives typed JSON, Bulk gives CSV text, the landed `raw` must be equal.

The form is REST's: names in SELECT order, numbers as numbers (without needless zeros), datetimes as 2026-07-28T09:30:00.000+0000. Only an
empty value is null, as Bulk cannot tell "" from null; `NA` or `None` are text. NUL characters are left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

import msgspec

from connectors.sdk import VendorError

Row = dict[str, Any]

#: Long text areas hold up to 131,072 characters, the csv module's own limit is exactly one less than what that may need.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))

_BATCH = 1_000
_NUMBERS = frozenset({"double", "currency", "percent"})
_MOST_NUMBERS = 200_000
_numbers: dict[str, Decimal] = {}


def number(text: str) -> Decimal:
    """A decimal without trailing zeros and without an exponent. Remembers values, because most repeat."""
    found = _numbers.get(text)
    if found is None:
        try:
            exact = Decimal(text)
        except InvalidOperation:
            raise VendorError("a number that is none: the answer's numbers cannot be read.") from None
        found = exact.normalize() if exact else Decimal(0)
        if found.as_tuple().exponent > 0:  # type: ignore[operator]
            found = found.quantize(Decimal(1))
        if len(_numbers) < _MOST_NUMBERS:
            _numbers[text] = found
    return found


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=number)


def raw_of(row: Row) -> msgspec.Raw:
    """A row as the JSON text that is landed."""
    return msgspec.Raw(_encoder.encode(row))


def decoded(body: bytes | msgspec.Raw) -> Any:
    """JSON with exact numbers. Raises VendorError when it is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise VendorError("an answer that should be JSON is not.") from None


def rows_of_json(records: Iterable[Row], types: Mapping[str, str]) -> list[Row]:
    """Decoded REST records in the one form; `attributes` are left out, unknown names stay as they are."""
    instants = [name for name, kind in types.items() if kind == "datetime"]
    found = []
    for record in records:
        record.pop("attributes", None)
        for name in instants:
            value = record.get(name)
            if value is not None and value[-1] == "Z":
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
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""), strict=True)
    try:
        header = next(reader, [])
        converters = [_converter(types.get(name, "string")) for name in header]
        seen = 0
        while lines := list(islice(reader, _BATCH)):
            seen += len(lines)
            if any(len(line) != len(header) for line in lines):
                raise VendorError("a Bulk result has a line with another number of values than its header.")
            columns = [
                list(map(convert, column)) for convert, column in zip(converters, zip(*lines, strict=True), strict=True)
            ]
            for values in zip(*columns, strict=True):
                yield dict(zip(header, values, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise VendorError(f"a Bulk result is not readable as CSV ({type(error).__name__}).") from None
    if count is not None and seen != count:
        raise VendorError(f"a Bulk result has {seen} rows where {count} were announced.")


def _converter(kind: str) -> Callable[[str], Any]:
    if kind in _NUMBERS:
        return _number
    return {"boolean": _truth, "int": _whole, "datetime": _instant}.get(kind, _text)


def _text(cell: str) -> str | None:
    return cell or None


def _number(cell: str) -> Decimal | None:
    return number(cell) if cell else None


def _whole(cell: str) -> int | None:
    return int(number(cell)) if cell else None


def _truth(cell: str) -> bool | None:
    return cell == "true" if cell else None


def _instant(cell: str) -> str | None:
    if not cell:
        return None
    return cell[:-1] + "+0000" if cell[-1] == "Z" else cell
