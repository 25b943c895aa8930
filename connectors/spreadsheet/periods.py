"""Dates in names: of files ("pipeline_2024-06-03.csv"), of tabs ("Mei 2024", "W34"), and in "as of" lines above a table."""

from __future__ import annotations

import calendar
import re
from datetime import date

from connectors.spreadsheet import columns, dates, words

_YMD = re.compile(r"(?<!\d)(20\d{2})[-_. ]?(0[1-9]|1[0-2])[-_. ]?(0[1-9]|[12]\d|3[01])(?!\d)")
_DMY = re.compile(r"(?<!\d)(\d{1,2})[-_. ](\d{1,2})[-_. ](20\d{2})(?!\d)")
_YM = re.compile(r"(?<!\d)(20\d{2})[-_. ]?(0[1-9]|1[0-2])(?!\d)")
_QUARTER = re.compile(r"(?<![a-z\d])(?:q([1-4])[-_ ]?(20\d{2})|(20\d{2})[-_ ]?q([1-4]))(?![\d])")
_WEEK = re.compile(
    r"(?<![a-z\d])(?:(20\d{2})[-_ ]?(?:w|kw)[-_ ]?(\d{1,2})|(?:w|kw|week|minggu)[-_ ]?(\d{1,2})[-_ ](20\d{2}))(?!\d)"
)
_WORDED = re.compile(
    r"(?<![^\W\d_])([^\W\d_]{3,})[-_. ]*(20\d{2})(?!\d)|(?<!\d)(20\d{2})[-_. ]*([^\W\d_]{3,})(?![^\W\d_])"
)
_DAY_WORDED = re.compile(r"(?<!\d)(\d{1,2})[-_. ]*([^\W\d_]{3,})[-_. ]*(20\d{2})(?!\d)")


def of_name(name: str, locale: words.Locale | None = None) -> date | None:
    """The day in a file's or tab's name; a month, week or quarter means its last day. None when it names none, or in two readings."""
    text = words.fold(name)
    if match := _YMD.search(text):
        return _safe(int(match[1]), int(match[2]), int(match[3]))
    if match := _DMY.search(text):
        return _by_order(int(match[1]), int(match[2]), int(match[3]), locale)
    if (match := _DAY_WORDED.search(text)) and match[2] in words.months():
        return _safe(int(match[3]), words.months()[match[2]], int(match[1]))
    return of_period(text)


def of_sheet(name: str, file: str = "") -> date | None:
    """The last day of the period that a tab's name is; a tab without a year ("Mei", "Q3") takes the one in the file's name."""
    found = of_name(name)
    if found is None and is_bare(name) and (year := re.search(r"(?<!\d)20\d{2}(?!\d)", file)):
        found = of_name(f"{name} {year[0]}")
    return found


def is_bare(name: str) -> bool:
    """Whether a tab's name is a period without a year."""
    folded = words.fold(name)
    return folded in words.months() or bool(re.fullmatch(r"q[1-4]|(?:w|kw|week|minggu)[-_ ]?\d{1,2}", folded))


def of_period(text: str) -> date | None:
    """The last day of a month, quarter or ISO week named in a folded text."""
    if match := _QUARTER.search(text):
        quarter, year = int(match[1] or match[4]), int(match[2] or match[3])
        return _month_end(year, quarter * 3)
    if match := _WEEK.search(text):
        year, week = int(match[1] or match[4]), int(match[2] or match[3])
        try:
            return date.fromisocalendar(year, week, 7)
        except ValueError:
            return None
    for match in _WORDED.finditer(text):
        month = words.months().get(match[1] or match[4])
        if month:
            return _month_end(int(match[2] or match[3]), month)
    if match := _YM.search(text):
        return _month_end(int(match[1]), int(match[2]))
    return None


def as_of_line(lines: list[str], locale: words.Locale | None) -> date | None:
    """The day in an "as of" line above the table ("Per tanggal 31 Mei 2024"), None when there is none that can be read."""
    for line in lines:
        folded = words.fold(line)
        for start in sorted(words.words("as_of"), key=len, reverse=True):
            match = re.search(rf"(?<!\w){re.escape(start)}[:\s]+(.+)$", folded)
            if match is None:
                continue
            column = columns.DateColumn()
            parsed = dates.parse(match[1].strip(" .:"))
            column.see(0, match[1].strip(" .:"))
            if column.decide(locale) is None and (found := column.value(parsed)):
                return found[0]
            break
    return None


def _month_end(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])


def _safe(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _by_order(first: int, second: int, year: int, locale: words.Locale | None) -> date | None:
    if first > 12 or second > 12 or first == second:
        day, month = (first, second) if first > 12 else (second, first)
        return _safe(year, month, day)
    if locale is None or locale.order is None:
        return None
    return _safe(year, first, second) if locale.order == "mdy" else _safe(year, second, first)
