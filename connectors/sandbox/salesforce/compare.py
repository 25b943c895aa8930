"""How cells are compared in SOQL conditions: by value, by time, as text without case; nulls as Salesforce treats them."""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from connectors.sandbox.salesforce.soql import Item, Select, SoqlError
from connectors.sandbox.salesforce.tables import Row

Getter = Callable[[Row], "str | None"]
Test = Callable[[Row], bool]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = frozenset({"double", "currency", "percent", "int"})
IDS = frozenset({"id", "reference"})


def comparable(kind: str, get: Getter) -> Callable[[Row], Any]:
    """Cells in the form they are compared in: numbers by value, ids and times as they are, text without case."""
    if kind in NUMBERS:
        return lambda row: None if (cell := get(row)) is None else Decimal(cell)
    if kind in IDS or kind in ("date", "datetime", "boolean"):
        return get
    return lambda row: None if (cell := get(row)) is None else cell.lower()


def is_in(get: Callable[[Row], Any], wanted: set[Any]) -> Test:
    """IN."""
    return lambda row: get(row) in wanted


def includes(get: Getter, groups: list[set[str]], *, wanted: bool) -> Test:
    """INCLUDES (wanted) or EXCLUDES: all values of one of the groups are among those of a multi-select cell."""

    def test(row: Row) -> bool:
        values = set((get(row) or "").lower().split(";"))
        return any(group <= values for group in groups) is wanted

    return test


def date_part(function: str, get: Getter) -> Getter:
    """CALENDAR_YEAR and its like, of a date or datetime cell in UTC."""
    cut = {"CALENDAR_YEAR": (0, 4), "CALENDAR_MONTH": (5, 7), "DAY_IN_MONTH": (8, 10), "DAY_ONLY": (0, 10)}[function]
    start, end = cut
    if function == "DAY_ONLY":
        return lambda row: None if (cell := get(row)) is None else cell[:10]
    return lambda row: None if (cell := get(row)) is None else str(int(cell[start:end]))


def like(get: Getter, kind: str, pattern: str, item: Item, select: Select) -> Test:
    """LIKE with % and _, without case."""
    if kind in NUMBERS | IDS | {"boolean", "date", "datetime"}:
        raise SoqlError(
            "INVALID_QUERY_FILTER_OPERATOR",
            f"invalid operator on {kind} field",
            select.text,
            item.position,
        )
    pieces = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    matches = re.compile(pieces, re.DOTALL).fullmatch
    return lambda row: (cell := get(row)) is not None and matches(cell.lower()) is not None


def in_range(sign: str, get: Getter, start: str, end: str) -> Test:
    """A comparison with a named range such as TODAY: `=` is within, `<` before, `>` after it."""
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda c: start <= c < end,
        "!=": lambda c: not start <= c < end,
        "<": lambda c: c < start,
        "<=": lambda c: c < end,
        ">": lambda c: c >= end,
        ">=": lambda c: c >= start,
    }
    test = tests[sign]
    return lambda row: (cell := get(row)) is not None and test(cell)


def named_range(name: str, kind: str, today: dt.date, select: Select) -> tuple[str, str]:
    """First and (excluded) last edge of a date literal such as TODAY or LAST_N_DAYS:3, in UTC."""
    word, _, count = name.partition(":")
    day = dt.timedelta(days=1)
    month = today.replace(day=1)
    ranges: dict[str, tuple[dt.date, dt.date]] = {
        "TODAY": (today, today + day),
        "YESTERDAY": (today - day, today),
        "TOMORROW": (today + day, today + 2 * day),
        "THIS_MONTH": (month, (month + 31 * day).replace(day=1)),
        "LAST_MONTH": ((month - day).replace(day=1), month),
        "THIS_YEAR": (dt.date(today.year, 1, 1), dt.date(today.year + 1, 1, 1)),
        "LAST_YEAR": (dt.date(today.year - 1, 1, 1), dt.date(today.year, 1, 1)),
    }
    if count:
        ranges["LAST_N_DAYS"] = (today - int(count) * day, today + day)
        ranges["NEXT_N_DAYS"] = (today + day, today + (int(count) + 1) * day)
    if word not in ranges:
        raise SoqlError("SANDBOX_UNSUPPORTED", f"the sandbox does not know the date literal {name}", select.text)
    ending = "T00:00:00" if kind == "datetime" else ""
    start, end = ranges[word]
    return start.isoformat() + ending, end.isoformat() + ending


def utc_text(text: str) -> str:
    """A datetime literal as a cell; a fraction of a second stays, so that comparing texts stays right."""
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(dt.UTC)
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction
