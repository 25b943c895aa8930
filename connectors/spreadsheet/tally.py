"""The account of one reading: every row is kept, dropped or rejected, and what is odd is said once, with its number and its first places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.sdk.records import Reject, Warn
from connectors.spreadsheet.draft import Draft
from connectors.spreadsheet.grid import place, raw_of
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.table import Row

#: So many deals are named in a warning; the others are counted.
_NAMED_DEALS = 5

_DROPPED = {
    "total": "a total or subtotal",
    "repeated_header": "the header once more",
    "note": "a note under the table",
    "group_label": "the label of a group of rows",
    "other_table": "part of another table below the deals",
    "title": "the title of the block below",
    "duplicate_row": "equal to an earlier row of the same deal",
}

_REJECTED = {
    "no_key": "nothing in the key column(s), so the deal cannot be told from others. Fill the key.",
    "no_change_date": "the date of the change cannot be read. Correct the date.",
    "no_stage": "the new stage is empty. Fill it in.",
}

_ODD = {
    "currency_unknown": "nothing tells the currency of the amount, so it cannot be added to others (set `default_currency`)",
    "status_stage_clash": "the status column says another outcome than the stage; the status decides, the stage stays as it is",
    "planned_dates": "stage dates later than the sheet itself are plans and were not counted as history",
    "entered_after_close": "a stage date later than the close of the deal was not counted as a move (correct the date if it is one)",
    "moves_back": "a later column holds an earlier date, read as a move back",
    "log_gap": "the old stage of a log row is not the new stage of the row before; a row may be missing",
    "tables_disagree": "two tables say different things of the same deal; the first table counts",
    "not_in_first_table": "a deal stands in a later table or the log only; it is kept",
}


class Tally:
    """Counts rows and oddities of one emission, and makes its rejects and warnings."""

    def __init__(self, plans: Sequence[SheetPlan], read_at: datetime | None) -> None:
        self._plans, self._read_at = plans, read_at
        self._kept: dict[tuple[str, str | None], int] = {}
        self._rejected: dict[tuple[str, str | None], int] = {}
        self._odd: dict[str, tuple[int, list[str]]] = {}

    def keep(self, plan: SheetPlan, rows: int = 1) -> None:
        """These rows became deals or history."""
        where = _where(plan)
        self._kept[where] = self._kept.get(where, 0) + rows

    def rejected(self, plan: SheetPlan) -> int:
        """How many rows of a tab could not become anything."""
        return self._rejected.get(_where(plan), 0)

    def reject(self, plan: SheetPlan, row: Row, reason: str, key: str | None = None) -> Reject:
        """A row that cannot become a record."""
        where = _where(plan)
        self._rejected[where] = self._rejected.get(where, 0) + 1
        return self._put_aside(plan, row, reason, key, f"{place(plan.grid, row.number)}: {_REJECTED[reason]}")

    def drop(self, plan: SheetPlan, row: Row, reason: str, key: str | None = None) -> Reject:
        """A row left out on purpose."""
        return self._put_aside(plan, row, reason, key, _left_out(place(plan.grid, row.number), reason), is_dropped=True)

    def drop_repeat(self, entry: Draft) -> Reject:
        """A log row that equals an earlier one; it had been counted as kept."""
        where = (entry.file, entry.sheet)
        self._kept[where] = self._kept.get(where, 0) - 1
        for plan in self._plans:
            if _where(plan) == where:
                plan.dropped.setdefault("duplicate_row", []).append(entry.row)
        return Reject(
            stream="deals",
            reason="duplicate_row",
            detail=_left_out(where_of(entry), "duplicate_row"),
            key=entry.key,
            is_dropped=True,
            source_file=entry.file,
            source_sheet=entry.sheet,
            source_row=entry.row,
            read_at=self._read_at,
            raw=entry.raw,
        )

    def _put_aside(
        self, plan: SheetPlan, row: Row, reason: str, key: str | None, detail: str, *, is_dropped: bool = False
    ) -> Reject:
        raw: Mapping[str, Any] = raw_of([head.text for head in plan.head.headers], row.cells)
        return Reject(
            stream="deals",
            reason=reason,
            detail=detail,
            key=key,
            is_dropped=is_dropped,
            source_file=plan.grid.file,
            source_sheet=plan.grid.sheet,
            source_row=row.number,
            read_at=self._read_at,
            raw=raw,
        )

    def odd(self, code: str, draft: Draft) -> None:
        """Something odd about a deal."""
        count, places = self._odd.get(code, (0, []))
        self._odd[code] = (count + 1, [*places, where_of(draft)] if count < _NAMED_DEALS else places)

    def warnings(self) -> Iterator[Warn]:
        """The account of each tab, its warnings and bad cells, then the oddities."""
        for plan in self._plans:
            yield Warn(code="rows_read", message=self._account(plan))
            for code, message in plan.warnings:
                yield Warn(code=code, message=message)
            for (what, column), cells in plan.bad_cells.items():
                named = [cell for cell in cells if cell]
                more = f" and {len(cells) - len(named)} more" if len(cells) > len(named) else ""
                yield Warn(
                    code="unreadable_cells",
                    message=f"{plan.where}, column {column!r}: {len(cells)} cell(s) left empty, {what}: {', '.join(named)}{more}.",
                )
        for code, (count, places) in self._odd.items():
            rest = f" and {count - len(places)} more" if count > len(places) else ""
            yield Warn(code=code, message=f"{_ODD[code]}: {count} deal(s) ({'; '.join(places)}{rest}).")

    def _account(self, plan: SheetPlan) -> str:
        dropped = sum(len(rows) for rows in plan.dropped.values())
        listed = ", ".join(f"{len(rows)} {reason}" for reason, rows in plan.dropped.items())
        kept = self._kept.get(_where(plan), 0)
        reasons = f" ({listed})" if listed else ""
        return f"{plan.where}: {plan.row_count} rows read = {kept} kept + {dropped} dropped{reasons} + {self.rejected(plan)} rejected."


def where_of(draft: Draft) -> str:
    """Where a draft comes from, in words."""
    return f"{draft.file}{f', sheet {draft.sheet}' if draft.sheet else ''}, row {draft.row}"


def _where(plan: SheetPlan) -> tuple[str, str | None]:
    return plan.grid.file, plan.grid.sheet


def _left_out(where: str, reason: str) -> str:
    return f"{where}: left out: {_DROPPED[reason]}."
