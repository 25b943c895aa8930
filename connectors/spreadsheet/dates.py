"""What one cell says as a date. What it leaves open (03/04/2024 says nothing of its order), its column decides (`columns`).

Nothing is filled in: "Agustus 2024", "Q3" or "Oct 3" is not a day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from connectors.spreadsheet import words
from connectors.spreadsheet.grid import Cell

Kind = Literal["empty", "day", "instant", "ordered", "serial", "partial", "unreadable"]

_TIME = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?(?:\s*[ap]\.?m\.?)?"
_ISO = re.compile(
    rf"(\d{{4}})\s?([-/.])\s?(\d{{1,2}})\s?\2\s?(\d{{1,2}})\.?(?:(?:t|,?\s)\s*({_TIME})\s*(z|utc|gmt|[+-]\d{{2}}(?::?\d{{2}})?)?)?"
)
_COMPACT = re.compile(r"(19|20)(\d{2})(\d{2})(\d{2})")
_NUMERIC = re.compile(rf"(\d{{1,2}})\s?([-/.])\s?(\d{{1,2}})\s?\2\s?(\d{{4}}|\d{{2}})(?:,?\s+({_TIME}))?")
_EASTERN = re.compile(
    rf"(\d{{4}})\s?(?:年|년)\s?(\d{{1,2}})\s?(?:月|월)\s?(\d{{1,2}})\s?(?:日|일)(?:\s+({_TIME}))?(?:\s*\(.\))?"
)
_VIETNAMESE = re.compile(r"(?:ngày )?(\d{1,2}) tháng (\d{1,2})(?: năm|,)? (\d{4})")
#: Japanese eras and the year before their first.
_ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "r": 2018, "h": 1988, "s": 1925}
_ERA = re.compile(r"(令和|平成|昭和|[rhs])\s?(\d{1,2}|元)\s?(?:年|[./])\s?(\d{1,2})\s?(?:月|[./])\s?(\d{1,2})\s?日?")
#: A year outside is a slip of the keyboard (0202, 2204), not a day of a deal.
_YEARS = (1950, 2100)
#: Thai calendars count from 543 years earlier; no deal is of the 26th century.
_BUDDHIST = (2493, 2643)
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d+))?)?(?:\s*([ap])\.?m\.?)?")
_TAIL_CLOCK = re.compile(
    r"[,\s]+(?:at |um |à |alle |kl\.? |jam |pukul |klo )?(\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\.?)?)(?: uhr)?$"
)
_HEAD_CLOCK = re.compile(r"(\d{1,2}:\d{2}(?::\d{2})?)[,\s]+(\d.*)")
#: Words behind a date that say nothing more ("12.06.2024 г.", "12.06.2024 (Wed)"), and Korean or Chinese halves of the day.
_TAIL = re.compile(r"\s*(?:г|р|год|года|року|uhr|n\.e|พ\.ศ|ค\.ศ)\.?$|\s*[(（][^)）]{1,12}[)）]$|(?<=\d)\.$")
_NUMBER_OR_WORD = re.compile(r"'\d{2}|\d+|[^\W\d_][^\s\d,/()-]*")
_PARTIAL = re.compile(
    r"(?:q[1-4]|[1-4]q|[1-4]\. ?quartal|t[1-4]|h[12]|kw\s?\d{1,2}|w\d{1,2}|v\.?\s?\d{1,2}|uge\s?\d{1,2}|week\s?\d{1,2}|minggu.*|awal .*|akhir .*"
    r"|early .*|late .*|mid .*|end of .*|anfang .*|mitte .*|ende .*|début .*|fin .*|principios .*|mediados .*|\d{1,2}월.*|\d{1,2}月.*|[上下]半期"
    r"|(?:19|20)\d{2})(?:[\s/-]*(?:19|20)?\d{2})?|(?:19|20)\d{2}[-/ ]?(?:q[1-4]|h[12]|w\d{1,2})|\d{1,2}[/.-](?:19|20)\d{2}|(?:19|20)\d{2}[-/.]\d{1,2}"
    r"|\d{4}[年년]\s?\d{1,2}[月월].*|\d{1,2}[./-]\d{1,2}[./-]?|asap|soon|segera|this .*|next .*|nächste.*|bulan depan|tbd.*"
)


class Parsed(msgspec.Struct, frozen=True):
    """What one cell says. `ordered`: `first`/`second` are day and month in an order that the column decides."""

    kind: Kind
    day: date | None = None
    clock: time | None = None
    offset_minutes: int | None = None
    first: int = 0
    second: int = 0
    year: int = 0
    serial: Decimal | None = None
    native: bool = False


EMPTY = Parsed("empty")
UNREADABLE = Parsed("unreadable")
PARTIAL = Parsed("partial")


def parse(cell: Cell) -> Parsed:
    """What a cell says as a date, whatever its type."""
    if cell is None:
        return EMPTY
    if isinstance(cell, str):
        return _text(cell)
    if isinstance(cell, datetime):
        at = cell.time().replace(microsecond=0)
        return _native(cell.date(), at if at != time(0) else None)
    if isinstance(cell, date):
        return _native(cell, None)
    if isinstance(cell, bool):
        return UNREADABLE
    if isinstance(cell, int | float):
        return _number(Decimal(repr(cell)))
    return UNREADABLE


def _native(day: date, at: time | None) -> Parsed:
    """A real date of a workbook. Day zero (1899-12-30, 1900-01-00) is what a program shows for an empty cell."""
    if not _YEARS[0] <= day.year <= _YEARS[1]:
        return UNREADABLE
    return Parsed("instant" if at else "day", day, at, native=True)


def _number(value: Decimal) -> Parsed:
    if 20000 <= value <= 60000:
        return Parsed("serial", serial=value)
    if 19_500_101 <= value <= 21_001_231 and value == int(value) and (match := _COMPACT.fullmatch(str(int(value)))):
        return _day(int(match[1] + match[2]), int(match[3]), int(match[4]))
    return UNREADABLE


@lru_cache(maxsize=1 << 14)
def _text(cell: str) -> Parsed:
    text = words.fold(cell).strip("'")
    if text in words.nothing():
        return EMPTY
    found = _shaped(text)
    if found is None and (shorter := _TAIL.sub("", text).strip()) != text:
        found = _shaped(shorter)
        text = shorter if found else text
    if found is None and (match := _HEAD_CLOCK.fullmatch(text)):
        found = _shaped(f"{match[2]} {match[1]}")
    if found is not None:
        return found
    if re.fullmatch(r"\d{5}(?:[.,]\d+)?", text):
        return _number(Decimal(text.replace(",", ".")))
    return _worded(text)


def _shaped(text: str) -> Parsed | None:
    """A date in figures, None for any other text."""
    if match := _ISO.fullmatch(text):
        return _day(int(match[1]), int(match[3]), int(match[4]), match[5], match[6])
    if match := _COMPACT.fullmatch(text):
        return _day(int(match[1] + match[2]), int(match[3]), int(match[4]))
    if match := _EASTERN.fullmatch(text):
        return _day(int(match[1]), int(match[2]), int(match[3]), match[4])
    if match := _NUMERIC.fullmatch(text):
        return _ordered(int(match[1]), int(match[3]), _year(match[4]), match[5])
    if match := _ERA.fullmatch(text):
        return _day(_ERAS[match[1]] + (1 if match[2] == "元" else int(match[2])), int(match[3]), int(match[4]))
    if match := _VIETNAMESE.fullmatch(text):
        return _day(int(match[3]), int(match[2]), int(match[1]))
    return None


def _year(text: str) -> int:
    number = int(text.lstrip("'"))
    if len(text.lstrip("'")) > 2:
        return number
    return number + (2000 if number <= 68 else 1900)


def _clock(text: str | None) -> time | None:
    if text is None:
        return None
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[5]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[5] == "p" else 0)
    micro = int((match[4] or "0")[:6].ljust(6, "0"))
    if hour > 23 or minute > 59 or second > 59:
        return None
    return time(hour, minute, second, micro)


def _gregorian(year: int) -> int:
    return year - 543 if _BUDDHIST[0] <= year <= _BUDDHIST[1] else year


def _day(year: int, month: int, day: int, clock: str | None = None, zone: str | None = None) -> Parsed:
    year = _gregorian(year)
    if not _YEARS[0] <= year <= _YEARS[1]:
        return UNREADABLE
    try:
        when = date(year, month, day)
    except ValueError:
        return UNREADABLE
    at = _clock(clock)
    if clock is not None and at is None:
        return UNREADABLE
    offset = None
    if zone is not None:
        offset = 0
        if zone[0] in "+-":
            digits = zone[1:].replace(":", "").ljust(4, "0")
            offset = (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    return Parsed("instant" if at is not None else "day", when, at, offset)


def _ordered(first: int, second: int, year: int, clock: str | None) -> Parsed:
    at, year = _clock(clock), _gregorian(year)
    if (clock is not None and at is None) or not (1 <= first <= 31 and 1 <= second <= 31) or min(first, second) > 12:
        return UNREADABLE
    if not _YEARS[0] <= year <= _YEARS[1]:
        return UNREADABLE
    return Parsed("ordered", None, at, None, first, second, year)


def _worded(text: str) -> Parsed:
    """Dates with a month in words, in any listed language; anything less than a day, a month and a year is partial."""
    clock = None
    if match := _TAIL_CLOCK.search(text):
        clock, text = match[1], text[: match.start()]
    months, silent = words.months(), words.words("weekdays") | words.words("date_fillers")
    month, numbers, is_thai = None, [], False
    for word in _NUMBER_OR_WORD.findall(text):
        plain = word.strip(".'")
        if plain.isdecimal():
            numbers.append(word)
        elif month is None and (number := months.get(plain) or months.get(words.bare(plain))):
            month, is_thai = number, "\u0e01" <= plain[0] <= "\u0e2e"
        elif plain not in silent:
            return PARTIAL if _PARTIAL.fullmatch(text) else UNREADABLE
    if month is None:
        return PARTIAL if _PARTIAL.fullmatch(text) else UNREADABLE
    if len(numbers) < 2:
        return PARTIAL
    if len(numbers) > 2:
        return UNREADABLE
    first, second = numbers
    if len(first) == 4:
        first, second = second, first
    if len(first.lstrip("'")) > 2 or len(second.lstrip("'")) not in (2, 4):
        return UNREADABLE
    year = 2500 + int(second) if is_thai and len(second) == 2 else _year(second)
    return _day(year, month, int(first), clock)


def from_serial(serial: Decimal, *, date1904: bool) -> tuple[date, time | None, int | None]:
    """An Excel serial as a day: day 0 is 1899-12-30 (past the leap day that 1900 never had), or 1904-01-01 in old Mac workbooks."""
    start = datetime(1904, 1, 1, tzinfo=UTC) if date1904 else datetime(1899, 12, 30, tzinfo=UTC)
    days = int(serial)
    seconds = int(((serial - days) * 86400).to_integral_value())
    at = start + timedelta(days=days, seconds=seconds)
    return at.date(), at.time() if at.time() != time(0) else None, None


@lru_cache(maxsize=1 << 14)
def instant(day: date, clock: time | None, offset_minutes: int | None, zone: ZoneInfo) -> datetime:
    """A day (at its first moment) or a local time in `zone`, as UTC."""
    local = datetime.combine(day, clock or time(0))
    if offset_minutes is not None:
        return (local - timedelta(minutes=offset_minutes)).replace(tzinfo=UTC)
    return local.replace(tzinfo=zone).astimezone(UTC)
