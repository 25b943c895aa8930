"""Cells to fields, by what the survey settled. One row in, one draft out; a cell that cannot be read is left empty and reported by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from connectors.spreadsheet import dates, flags, money, units, words
from connectors.spreadsheet.draft import Draft, StageDay
from connectors.spreadsheet.grid import Cell, letter, raw_of, text_of
from connectors.spreadsheet.keys import KeyChoice
from connectors.spreadsheet.mapping import DATE_FIELDS, LOG_FIELDS
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.table import Row, group_label

_TEXT_FIELDS = ("name", "company", "owner", "lead_source", "deal_type", "lost_reason", "pipeline")
_INSTANTS = ("created_at", "closed_at", "stage_entered_at", "last_activity_at", "next_activity_at")
_LARGEST = Decimal(10) ** 14
#: So many different cells of a column are remembered.
_MOST_KEPT = 1 << 14
#: Kinds of cells that are remembered; 1, 1.0 and TRUE are equal and yet not the same cell.
_KEPT = frozenset({str, date, datetime})
_CENT4 = Decimal("0.0001")
_MAX_NAMED_CELLS = 8
#: Day as written, its instant in UTC, whether it has a time of day.
_When = tuple[date, datetime, bool]
#: Longer texts are neither a word for nothing nor an error value.
_LONGEST_WORD = 16


@cache
def _odd_starts() -> frozenset[str]:
    """First characters of everything that stands for nothing or for an error."""
    odd = words.nothing("text") | words.words("errors")
    return frozenset(ch for word in odd if word for ch in (word[0], word[0].upper())) | {"＃", "－", "？"}


class Reader:
    """Reads the rows of one planned sheet."""

    def __init__(self, plan: SheetPlan, choice: KeyChoice | None, table: int) -> None:
        self.plan, self.choice, self.table = plan, choice, table
        self.zone = ZoneInfo(plan.asked.timezone)
        fields = plan.fields
        self._texts = [(name, fields[name]) for name in _TEXT_FIELDS if name in fields]
        self._instants = [(name, fields[name]) for name in _INSTANTS if name in fields]
        used = {index for name, index in fields.items() if name not in ("weighted", "updated_at")}
        used |= {index for _, index in plan.mapping.stage_dates}
        if choice is not None and not choice.is_folded:
            used |= set(choice.columns)
        if plan.layout == "log":
            used |= {fields[name] for name in LOG_FIELDS if name in fields}
        elif "status" in fields and not plan.status_is_outcome and fields.get("stage") != fields["status"]:
            used.discard(fields["status"])
        self._custom = [(head.text, head.index) for head in plan.head.headers if head.index not in used]
        self._names = [head.text for head in plan.head.headers]
        #: What a column's cells were read as; the same label, name or day stands in many rows. Cells that are worth a warning are not kept.
        self._texts_met: dict[int, dict[Cell, str | None]] = {head.index: {} for head in plan.head.headers}
        self._days_met: dict[int, dict[Cell, _When]] = {head.index: {} for head in plan.head.headers}
        self._default_currency = self._currency_in_header() or plan.asked.default_currency
        self._is_plain_money = "currency" not in fields and not plan.format_currencies
        self._key_column = letter(min(choice.columns)) if choice and choice.columns else "A"

    def _currency_in_header(self) -> str | None:
        index = self.plan.fields.get("amount")
        if index is None:
            return None
        sign, _ = units.unit_of(self.plan.head.headers[index].given)
        asked = self.plan.asked
        return units.currency_of(sign, default=asked.default_currency, locale=asked.locale) if sign else None

    def draft(self, row: Row, key: str) -> Draft:
        """What the row says."""
        cells, plan = row.cells, self.plan
        fields = plan.fields
        custom = self._custom_fields(row)
        found: dict[str, Any] = {name: self._text(row, index) for name, index in self._texts}
        found["stage"] = self._stage(row)
        if "status" in fields and plan.status_is_outcome:
            found["status"] = words.outcome_of(text_of(cells[fields["status"]]))
        elif plan.mapping.flags:
            found["status"] = flags.outcome(cells, plan.mapping.flags)
        if plan.tab_owner and found.get("owner") is None:
            found["owner"] = plan.tab_owner
        if "amount" in fields:
            found["amount"], found["currency"] = self._amount(row, fields["amount"])
        if "probability" in fields:
            found["probability"] = self._probability(row, fields["probability"])
            if found["probability"] is None and (said := self._text(row, fields["probability"])):
                custom[self._names[fields["probability"]]] = said  # High, Medium, Low stay what they are
        for name, index in self._instants:
            when = self._when(row, index)
            if when is not None:
                found[name] = when[1]
                found["has_dates"] = True
                found["has_times"] = found.get("has_times", False) or when[2]
                if name == "closed_at":
                    found["close_at"], found["close_has_time"] = when[1], when[2]
        if "expected_close_date" in fields and (when := self._when(row, fields["expected_close_date"])):
            found["expected_close_date"] = when[0]
            if "closed_at" not in fields:
                found["close_at"], found["close_has_time"] = when[1], when[2]
        if plan.mapping.stage_dates:
            found["has_stage_dates"] = True
            found["stage_days"] = self._stage_days(row)
        if plan.layout == "log":
            found |= self._log(row)
        return Draft(
            key=key,
            row=row.number,
            table=self.table,
            file=plan.grid.file,
            sheet=plan.grid.sheet,
            column=self._key_column,
            custom=custom,
            raw=raw_of(self._names, cells),
            **found,
        )

    def _text(self, row: Row, index: int) -> str | None:
        cell = row.cells[index]
        if cell is None:
            return None
        known = self._texts_met[index]
        if cell.__class__ is str and cell in known:
            return known[cell]
        text: str | None = text_of(cell)
        if text and len(text) <= _LONGEST_WORD and text[0] in _odd_starts():
            folded = words.fold(text)
            if folded in words.words("errors"):
                self._bad(row, index, f"error value {text}")
                return None
            text = None if folded in words.nothing("text") else text
        if cell.__class__ is str and len(known) < _MOST_KEPT:
            known[cell] = text or None
        return text or None

    def _stage(self, row: Row) -> str | None:
        plan, fields = self.plan, self.plan.fields
        if plan.layout == "log":
            index = fields.get("to_stage", fields.get("stage"))
            return self._text(row, index) if index is not None else None
        if plan.layout == "grouped":
            if "stage" in fields and (own := self._text(row, fields["stage"])):
                return group_label(own)
            return row.group
        if "stage" in fields:
            return self._text(row, fields["stage"])
        return plan.tab_stage

    def _amount(self, row: Row, index: int) -> tuple[Decimal | None, str | None]:
        cell = row.cells[index]
        if cell is None:
            return None, None
        column = self.plan.money[index]
        if self._is_plain_money and not column.unit_power and (number := money.plain(cell)) is not None:
            return (number, self._default_currency) if abs(number) < _LARGEST else self._too_large(row, index)
        parsed = money.parse(cell)
        if parsed.kind == "unreadable" or parsed.is_percent:
            self._bad(row, index, self._error_or(row, index, "not an amount"))
            return None, None
        value = column.value(parsed)
        if value is None:
            return None, None
        if abs(value) >= _LARGEST:
            return self._too_large(row, index)
        if money.places(value) > 4:
            value = value.quantize(_CENT4, ROUND_HALF_UP)
        return value, self._currency(row, index, parsed.sign)

    def _too_large(self, row: Row, index: int) -> tuple[None, None]:
        self._bad(row, index, "amount out of range")
        return None, None

    def _currency(self, row: Row, index: int, sign: str | None) -> str | None:
        asked = self.plan.asked
        if sign:
            code = units.currency_of(sign, default=asked.default_currency, locale=asked.locale)
            if code is None:
                self._unclear(sign)
            return code
        column = self.plan.fields.get("currency")
        if column is not None and (text := text_of(row.cells[column])):
            code = units.currency_of(words.fold(text), default=asked.default_currency, locale=asked.locale)
            if code is None:
                self._bad(row, column, "not a currency")
            return code
        if (shown := self.plan.format_currencies.get(row.number)) is not None:
            code = units.currency_of(shown, default=asked.default_currency, locale=asked.locale)
            if code is None:
                self._unclear(shown)
            return code
        return self._default_currency

    def _unclear(self, sign: str) -> None:
        codes = ", ".join(words.currency_signs().get(sign, ())[:4])
        self.plan.warn(
            "currency_sign_unclear",
            f"{self.plan.where}: the sign {sign!r} may mean {codes or 'several currencies'}. Set `default_currency`.",
        )

    def _probability(self, row: Row, index: int) -> float | None:
        parsed = money.parse(row.cells[index])
        value = self.plan.money[index].value(parsed)
        if value is None:
            return None
        share = value / 100 if parsed.is_percent or self.plan.percent_points else value
        if not 0 <= share <= 1:
            self._bad(row, index, "not a probability")
            return None
        return float(share)

    def _when(self, row: Row, index: int) -> _When | None:
        cell = row.cells[index]
        if cell is None:
            return None
        known = self._days_met[index]
        if cell.__class__ in _KEPT and (when := known.get(cell)) is not None:
            return when
        parsed = dates.parse(cell)
        if parsed.kind == "empty":
            return None
        found = self.plan.dates[index].value(parsed, date1904=self.plan.grid.date1904)
        if found is None:
            if self.plan.dates[index].is_given_up and parsed.kind == "ordered":
                return None
            text = "not a whole day" if parsed.kind == "partial" else "not a date"
            self._bad(row, index, self._error_or(row, index, text))
            return None
        day, clock, offset = found
        read = day, dates.instant(day, clock, offset, self.zone), clock is not None
        if cell.__class__ in _KEPT and len(known) < _MOST_KEPT:
            known[cell] = read
        return read

    def _stage_days(self, row: Row) -> list[StageDay]:
        found = []
        for order, (stage, index) in enumerate(self.plan.mapping.stage_dates):
            when = self._when(row, index)
            if when:
                found.append(StageDay(stage, order, when[1], when[2]))
        return found

    def _log(self, row: Row) -> dict[str, Any]:
        fields = self.plan.fields
        found: dict[str, Any] = {"is_log": True}
        when = self._when(row, fields["changed_at"])
        if when:
            found["changed_at"], found["changed_has_time"] = when[1], when[2]
        for name in ("from_stage", "changed_by"):
            if name in fields:
                found[name] = self._text(row, fields[name])
        return found

    def _custom_fields(self, row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, index in self._custom:
            cell = row.cells[index]
            if cell is None:
                continue
            if cell.__class__ is str:
                known = self._texts_met[index]
                text = known.get(cell)
                if text is None:
                    text = text_of(cell)
                    if text.startswith("#") and words.fold(text) in words.words("errors"):
                        self._bad(row, index, f"error value {text}")
                        continue
                    if len(known) < _MOST_KEPT:
                        known[cell] = text
                if text:
                    found[name] = text
            elif isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
                found[name] = int(cell)
            else:
                found[name] = cell if isinstance(cell, bool | int | float) else text_of(cell)
        return found

    def _error_or(self, row: Row, index: int, what: str) -> str:
        text = text_of(row.cells[index])
        return f"error value {text}" if words.fold(text) in words.words("errors") else what

    def _bad(self, row: Row, index: int, what: str) -> None:
        cells = self.plan.bad_cells.setdefault((what, self.plan.head.headers[index].label), [])
        cells.append(f"{letter(index)}{row.number}" if len(cells) < _MAX_NAMED_CELLS else "")


def needed_dates(plan: SheetPlan) -> set[int]:
    """Columns that are read as dates."""
    found = {index for name, index in plan.fields.items() if name in DATE_FIELDS and name != "updated_at"}
    return found | {index for _, index in plan.mapping.stage_dates}


def needed_money(plan: SheetPlan) -> set[int]:
    """Columns that are read as numbers."""
    return {plan.fields[name] for name in ("amount", "probability") if name in plan.fields}


def is_filled(cells: Sequence[Cell], index: int | None) -> bool:
    """Whether a row has something in a column."""
    return index is not None and bool(text_of(cells[index]))
