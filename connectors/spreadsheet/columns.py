"""Columns of days and of amounts: each gathers what all its cells say, decides what a single cell cannot tell, then reads its cells.

A date with a part above 12, or an amount with both marks or with a group that is not three digits, decides for its column; else the locale
does; a column in which nothing decides is refused with its rows.
"""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal, InvalidOperation
from math import isfinite

from connectors.spreadsheet import dates, money, words
from connectors.spreadsheet.grid import Cell

_MOST_KEPT = 1 << 15
_NAMED_ROWS = 10
#: What a column's own header may say of the order of its dates: "(DD/MM/YYYY)", "TT.MM.JJJJ".
_HINT = re.compile(
    r"\b(?:(d{1,2}|t{1,2}|j{1,2}|д{1,2}|g{1,2}|η{1,2})[-/. ]?(?:m{1,3}|м{1,2}|a{2}|k{2}|μ{1,2})|(m{1,2}[-/. ]?d{1,2}))"
    r"[-/. ]?(?:y|j|a|г|v|r|p|e|å|ε|t|$)"
)


def order_hint(header: str) -> str | None:
    """The order that a header names ("Date (DD/MM/YYYY)"), None where it names none."""
    match = _HINT.search(words.fold(header))
    return None if match is None else "mdy" if match[2] else "dmy"


class DateColumn:
    """Gathers what a column says of its own order, then reads its cells. `refused()` tells the rows when it cannot be read."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.rows: dict[str, list[int]] = {"dmy": [], "mdy": [], "ambiguous": [], "unreadable": [], "partial": []}
        self.order: str | None = None
        #: The order that the column's header names, if it does.
        self.hint: str | None = None
        self.native_days = 0
        #: The order cannot be told and the column is not worth refusing a file for: its cells stay empty.
        self.is_given_up = False
        #: Texts whose kind is known and whose rows nobody needs: the same day stands in many rows.
        self._plain: dict[Cell, dates.Kind] = {}

    def see(self, row: int, cell: Cell) -> None:
        """Count one cell."""
        if (kind := self._plain.get(cell)) is not None:
            self.counts[kind] += 1
            return
        parsed = dates.parse(cell)
        self.counts[parsed.kind] = self.counts.get(parsed.kind, 0) + 1
        if cell.__class__ is str and parsed.kind in ("day", "instant", "empty") and len(self._plain) < _MOST_KEPT:
            self._plain[cell] = parsed.kind
        if parsed.kind == "ordered":
            what = "dmy" if parsed.first > 12 else "mdy" if parsed.second > 12 else "ambiguous"
            if what != "ambiguous" or parsed.first != parsed.second:
                self._note(what, row)
            if cell.__class__ is str and len(self.rows[what]) == _NAMED_ROWS and len(self._plain) < _MOST_KEPT:
                self._plain[cell] = "ordered"
        elif parsed.kind in ("unreadable", "partial"):
            self._note(parsed.kind, row)
        elif parsed.native:
            self.native_days += 1

    def _note(self, what: str, row: int) -> None:
        if len(self.rows[what]) < _NAMED_ROWS:
            self.rows[what].append(row)

    def merge(self, other: DateColumn) -> None:
        """Add what another table's column of the same name showed."""
        self.hint = self.hint or other.hint
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for what, rows in other.rows.items():
            self.rows[what] = (self.rows[what] + rows)[:10]
        self.native_days += other.native_days

    @property
    def filled(self) -> int:
        """Cells that hold something."""
        return sum(
            self.counts.get(kind, 0) for kind in ("day", "instant", "ordered", "serial", "partial", "unreadable")
        )

    @property
    def readable_share(self) -> float:
        """Share of filled cells that are days or instants of some kind (serials, being plain numbers, not counted)."""
        good = sum(self.counts.get(kind, 0) for kind in ("day", "instant", "ordered"))
        return good / self.filled if self.filled else 0.0

    def decide(self, locale: words.Locale | None) -> str | None:
        """Settle the order; returns the reason for refusing the column, or None. Evidence in the column comes before the locale."""
        seen_dmy, seen_mdy = bool(self.rows["dmy"]), bool(self.rows["mdy"])
        if seen_dmy and seen_mdy:
            return (
                f"day and month change places inside the column: rows {_some(self.rows['dmy'])} are day first, "
                f"rows {_some(self.rows['mdy'])} month first. Write the dates in one way (YYYY-MM-DD is the safest)"
            )
        if seen_dmy or seen_mdy:
            self.order = "dmy" if seen_dmy else "mdy"
            return None
        if not self.rows["ambiguous"]:
            return None
        if self.hint is not None:
            self.order = self.hint
            return None
        if locale is None or locale.order is None:
            return (
                f"every date may be day first or month first (rows {_some(self.rows['ambiguous'])}). "
                "Set `locale` (for example id_ID or en_US)"
            )
        self.order = "mdy" if locale.order == "mdy" else "dmy"
        return None

    def value(self, parsed: dates.Parsed, *, date1904: bool = False) -> tuple[date, time | None, int | None] | None:
        """(day, time of day or None, offset in minutes or None) of a cell under the decided order; None when it is not a day."""
        if parsed.kind in ("day", "instant") and parsed.day is not None:
            return parsed.day, parsed.clock if parsed.kind == "instant" else None, parsed.offset_minutes
        if parsed.kind == "ordered" and self.is_given_up:
            return None
        if parsed.kind == "ordered":
            first, second = parsed.first, parsed.second
            day_first = first > 12 or (second <= 12 and self.order != "mdy")
            day, month = (first, second) if day_first else (second, first)
            try:
                return date(parsed.year, month, day), parsed.clock, None
            except ValueError:
                return None
        if parsed.kind == "serial" and parsed.serial is not None:
            return dates.from_serial(parsed.serial, date1904=date1904)
        return None


class MoneyColumn:
    """Gathers what a column says of its marks and multipliers, then reads its cells."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.rows: dict[str, list[int]] = {".": [], ",": [], "ambiguous": [], "unreadable": []}
        self.multipliers: dict[str, list[int]] = {}
        self.signs: set[str] = set()
        self.max_plain = 0.0
        self.decimal: str | None = None
        self.language: str | None = None
        #: A unit that the header states for the whole column ("Amount (k€)"), as a multiplier word, and its power of ten once decided.
        self.unit: str | None = None
        self.unit_power = 0

    def see(self, row: int, cell: Cell) -> None:
        """Count one cell."""
        if isinstance(cell, str) and (match := money.PLAIN.fullmatch(cell)):
            self.counts["text"] = self.counts.get("text", 0) + 1
            if match[3] and len(self.rows["."]) < 10:
                self.rows["."].append(row)
            self.max_plain = max(self.max_plain, float(match[2]))
            return
        if isinstance(cell, float) and isfinite(cell):
            self.counts["number"] = self.counts.get("number", 0) + 1
            self.max_plain = max(self.max_plain, abs(cell))
            return
        parsed = money.parse(cell)
        self.counts[parsed.kind] = self.counts.get(parsed.kind, 0) + 1
        if parsed.kind == "number" and parsed.value is not None:
            self.max_plain = max(self.max_plain, abs(float(parsed.value)))
        elif parsed.kind == "unreadable":
            self._note("unreadable", row)
        elif parsed.kind == "text":
            if parsed.is_percent:
                self.counts["percent"] = self.counts.get("percent", 0) + 1
            elif not parsed.is_ambiguous:
                self.max_plain = max(self.max_plain, float(parsed.digits.replace("_", "")))
            else:
                self.max_plain = max(self.max_plain, 1000.0)
            if parsed.is_ambiguous:
                self._note("ambiguous", row)
            elif parsed.decimal_mark:
                self._note(parsed.decimal_mark, row)
            if parsed.multiplier:
                self.multipliers.setdefault(parsed.multiplier, []).append(row)
            if parsed.sign:
                self.signs.add(parsed.sign)

    def _note(self, what: str, row: int) -> None:
        if len(self.rows[what]) < 10:
            self.rows[what].append(row)

    def merge(self, other: MoneyColumn) -> None:
        """Add what another table's column of the same name showed."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for what, rows in other.rows.items():
            self.rows[what] = (self.rows[what] + rows)[:10]
        for word, rows in other.multipliers.items():
            self.multipliers[word] = (self.multipliers.get(word, []) + rows)[:10]
        self.signs |= other.signs
        self.unit = self.unit or other.unit
        self.max_plain = max(self.max_plain, other.max_plain)

    @property
    def filled(self) -> int:
        """Cells that hold something."""
        return sum(self.counts.get(kind, 0) for kind in ("number", "text", "unreadable"))

    @property
    def readable_share(self) -> float:
        """Share of filled cells that are amounts."""
        good = self.counts.get("number", 0) + self.counts.get("text", 0)
        return good / self.filled if self.filled else 0.0

    def decide(self, locale: words.Locale | None, currencies: frozenset[str] = frozenset()) -> str | None:
        """Settle marks and multipliers; returns the reason for refusing the column, or None."""
        return self._decide_marks(locale) or self._decide_multipliers(locale, currencies)

    def _decide_marks(self, locale: words.Locale | None) -> str | None:
        shown = [mark for mark in (".", ",") if self.rows[mark]]
        ambiguous = self.rows["ambiguous"]
        if not ambiguous:
            return None
        if len(shown) == 2:
            return (
                f"the decimal mark changes inside the column: a point in rows {_some(self.rows['.'])}, a comma in rows "
                f"{_some(self.rows[','])}, so rows {_some(ambiguous)} may be read in two ways. Write the numbers in one way"
            )
        if shown and locale is not None and shown[0] != locale.decimal:
            return (
                f"rows {_some(self.rows[shown[0]])} use {shown[0]!r} as decimal mark against `locale: {locale.name}`, so rows "
                f"{_some(ambiguous)} may be read in two ways. Correct the locale or write the numbers in one way"
            )
        if not shown and locale is None:
            return (
                f"a number such as 5.000 or 5,000 may be thousands or decimals (rows {_some(ambiguous)}). "
                "Set `locale` (for example id_ID or en_US)"
            )
        self.decimal = shown[0] if shown else (locale.decimal if locale else None)
        return None

    def _decide_multipliers(self, locale: words.Locale | None, currencies: frozenset[str]) -> str | None:
        used = sorted({*self.multipliers, *([self.unit] if self.unit else [])})
        if not used:
            return None
        self.language = self._language(used, locale, currencies)
        if self.language is not None:
            self.unit_power = (self._power(self.unit, self.language) or 0) if self.unit else 0
            return None
        if self.unit and not self.multipliers:
            return (
                f"the unit {self.unit!r} in the header means different numbers in different languages "
                "(M is a million in English, a miliar in Indonesian). Set `locale` to the language of the sheet"
            )
        rows = [row for found in self.multipliers.values() for row in found]
        return (
            f"the multipliers in rows {_some(rows)} mean different numbers in different languages "
            "(M is a million in English, a miliar in Indonesian). Set `locale` to the language of the sheet"
        )

    def _language(self, used: list[str], locale: words.Locale | None, currencies: frozenset[str]) -> str | None:
        """The language whose multipliers these are: the locale's, else one of those that agree on what they mean; None in doubt."""
        if locale is not None and all(self._power(word, locale.language) is not None for word in used):
            return locale.language
        if all(word in words.multipliers("any") for word in used):
            return "any"
        fit = [
            language
            for language in words.multiplier_languages()
            if all(self._power(word, language) is not None for word in used)
        ]
        if "IDR" in currencies and "id" in fit:
            return "id"
        if currencies - {"IDR"}:
            fit = [language for language in fit if language != "id"]
        meanings = {tuple(self._power(word, language) for word in used) for language in fit}
        return fit[0] if len(meanings) == 1 else None

    @staticmethod
    def _power(word: str, language: str) -> int | None:
        return words.multipliers(language).get(word, words.multipliers("any").get(word))

    def value(self, parsed: money.Parsed) -> Decimal | None:
        """The amount of a cell under what the column decided; None for empty or unreadable cells."""
        if parsed.kind == "number" and parsed.value is not None:
            return parsed.value * 10**self.unit_power if self.unit_power else parsed.value
        if parsed.kind != "text":
            return None
        digits = parsed.digits
        if parsed.is_ambiguous:
            mark = "," if "," in digits else "."
            digits = digits.replace(mark, "." if mark == self.decimal else "")
        try:
            number = Decimal(digits.replace("_", ""))
        except InvalidOperation:
            return None
        if parsed.multiplier:
            power = self._power(parsed.multiplier, self.language or "any")
            if power is None:
                return None
            number *= 10**power
        elif self.unit_power:
            number *= 10**self.unit_power
        return -number if parsed.negative else number


def _some(rows: list[int]) -> str:
    shown = ", ".join(str(row) for row in sorted(set(rows))[:5])
    return shown + (", ..." if len(set(rows)) > 5 else "")
