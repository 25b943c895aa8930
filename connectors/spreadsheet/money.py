"""What one cell says as an amount: its figures, marks, sign, currency and multiplier. What it leaves open, its column decides (`columns`).

"5.000" is five thousand in Indonesian and five in English: such a figure keeps its mark until the column has settled what it is. Amounts
never pass through a float's text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Literal

import msgspec

from connectors.spreadsheet import units, words
from connectors.spreadsheet.grid import Cell

Kind = Literal["empty", "number", "text", "unreadable"]

_DIGITS = re.compile(r"\d[\d.,'’\s]*\d|\d|[.,]\d+")
#: What most cells are; nothing about them is ambiguous.
PLAIN = re.compile(r"(-?)(\d+(\.\d{1,2})?)", re.ASCII)
_SCIENTIFIC = re.compile(r"-?\d(?:[.,]\d+)?e[+-]?\d{1,2}")
#: Arabic marks of decimals and groups.
_ARABIC = str.maketrans({"٫": ",", "٬": "'", "،": ",", "٪": "%"})
#: "1億2000万", "3억 5천만": East Asian amounts in several steps.
_STEPS = re.compile(r"(\d[\d,.]*)\s?(兆|万亿|萬億|亿|億|억|千万|千萬|천만|百万|百萬|백만|万|萬|만|千|천)")
_DASH_TAIL = re.compile(r"([.,])\s?[-–—]{1,2}$")
_GROUP3 = re.compile(r"\d{1,3}(?:_\d{3})+")
_LAKH = re.compile(r"\d{1,2}(?:_\d{2})*_\d{3}")


class Parsed(msgspec.Struct, frozen=True):
    """What one cell says. `decimal_mark` None with `is_ambiguous` = the column must decide; `digits` keeps the marks."""

    kind: Kind
    value: Decimal | None = None
    digits: str = ""
    negative: bool = False
    decimal_mark: str | None = None
    is_ambiguous: bool = False
    multiplier: str | None = None
    sign: str | None = None
    is_percent: bool = False


EMPTY = Parsed("empty")
UNREADABLE = Parsed("unreadable")


def plain(cell: Cell) -> Decimal | None:
    """The amount of a cell whose figures can be read in one way only, None for any other cell."""
    if isinstance(cell, str):
        return Decimal(cell) if PLAIN.fullmatch(cell) else None
    if isinstance(cell, float) and isfinite(cell):
        number = Decimal(int(cell) if cell.is_integer() else repr(cell))
        return number if places(number) <= 4 else None
    return None


def places(number: Decimal) -> int:
    """Digits behind the decimal mark of a finite number; below 0 for 1E+3."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def parse(cell: Cell) -> Parsed:
    """What a cell says as an amount, whatever its type."""
    if cell is None:
        return EMPTY
    if isinstance(cell, str):
        if match := PLAIN.fullmatch(cell):
            return Parsed("text", None, match[2], bool(match[1]), "." if match[3] else None)
        return _text(cell)
    if isinstance(cell, bool):
        return UNREADABLE
    if isinstance(cell, int | float):
        number = Decimal(int(cell)) if isinstance(cell, float) and cell.is_integer() else Decimal(repr(cell))
        return Parsed("number", number) if number.is_finite() else UNREADABLE
    return UNREADABLE


@lru_cache(maxsize=1 << 13)
def _text(cell: str) -> Parsed:
    text = words.fold(cell).replace("−", "-").translate(_ARABIC).strip("'\u2019 ")
    if text in words.nothing():
        return EMPTY
    if _SCIENTIFIC.fullmatch(text):
        return Parsed("number", Decimal(text.replace(",", ".")))
    if (total := _in_steps(text)) is not None:
        text = total
    negative = False
    if text.startswith("(") and text.endswith(")"):
        negative, text = True, text[1:-1].strip()
    mark_hint = None
    if match := _DASH_TAIL.search(text):
        mark_hint, text = match[1], text[: match.start()]
    found = _DIGITS.search(text)
    if found is None:
        return UNREADABLE
    before, after = text[: found.start()].strip(), text[found.end() :].strip()
    if any(ch.isdigit() for ch in after):
        return UNREADABLE
    negative, before, after = _minus(before, after, negative=negative)
    is_percent = "%" in after
    words_around = units.tokens(before) + units.tokens(after.replace("%", ""))
    sign, multiplier = None, None
    for word in words_around:
        kind, meaning = units.meaning(word)
        if kind == "unknown" or (kind == "multiplier" and multiplier):
            return UNREADABLE
        if kind in ("sign", "both"):
            sign = units.same_currency(sign, meaning[0])
            if sign is None:
                return UNREADABLE
        if kind in ("multiplier", "both"):
            multiplier = meaning[-1]
    shape = _shape(found[0], mark_hint)
    if shape is None:
        return UNREADABLE
    digits, mark, ambiguous = shape
    return Parsed("text", None, digits, negative, mark, ambiguous, multiplier, sign, is_percent)


def _in_steps(text: str) -> str | None:
    """An amount in several East Asian steps as plain digits with what stands around them; None for any other text."""
    steps = list(_STEPS.finditer(text))
    if len(steps) < 2:
        return None
    start, end, total, last = steps[0].start(), steps[0].start(), Decimal(0), None
    for step in steps:
        power = next(power for lang in ("zh", "ja", "ko") if (power := words.multipliers(lang).get(step[2])))
        between = text[end : step.start()].strip()
        if between or (last is not None and power >= last) or "." in step[1]:
            return None
        total, last, end = total + Decimal(step[1].replace(",", "")) * 10**power, power, step.end()
    tail = re.match(r"\s?(\d{1,4})(?!\d)", text[end:])
    if tail:
        total, end = total + int(tail[1]), end + tail.end()
    return f"{text[:start]}{int(total)}{text[end:]}"


def _minus(before: str, after: str, *, negative: bool) -> tuple[bool, str, str]:
    for dash in ("-", "–"):
        if before.startswith(dash) or before.endswith(dash):
            return True, before.strip(dash + " "), after
        if after.startswith(dash) or after == dash:
            return True, before, after.strip(dash + " ")
    return negative, before.removeprefix("+").strip(), after


def _shape(digits: str, hint: str | None) -> tuple[str, str | None, bool] | None:
    """(digits with `_` between groups and `.` for a certain decimal mark, decimal mark shown, ambiguous?) or None when impossible.

    An ambiguous number (one mark, three digits behind it) keeps its own mark in the digits.
    """
    text = re.sub(r"[\s'’]+", "_", digits.strip())
    marks = [ch for ch in text if ch in ".,"]
    if not marks:
        return (text, hint, False) if "_" not in text or _grouped(text) else None
    kinds = set(marks)
    if len(kinds) == 2:
        last = marks[-1]
        if marks.count(last) != 1:
            return None
        return _decimal(text.replace("," if last == "." else ".", "_"), last)
    mark = marks[0]
    if len(marks) > 1:
        whole = text.replace(mark, "_")
        return (whole, "," if mark == "." else ".", False) if _grouped(whole) else None
    left, right = text.split(mark)
    if hint is not None:
        whole = text.replace(mark, "_")
        return (whole, hint, False) if mark != hint and _grouped(whole) else None
    plain = left.replace("_", "")
    if "_" in left or len(right) != 3 or len(plain) > 3 or plain in ("", "0", "00", "000"):
        return _decimal(text, mark)
    return text, None, True


def _decimal(text: str, mark: str) -> tuple[str, str, bool] | None:
    left, right = text.split(mark)
    if "_" in right or ("_" in left and not _grouped(left)):
        return None
    return f"{left or '0'}.{right}", mark, False


def _grouped(text: str) -> bool:
    return bool(_GROUP3.fullmatch(text) or _LAKH.fullmatch(text))
