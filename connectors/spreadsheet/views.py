"""One tab as a person sees it when asking how it would be read: columns and what they are taken for, how dates and numbers are understood."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Any

import msgspec

from connectors.sdk.records import Deal
from connectors.spreadsheet import columns, words
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.survey import Surveyed


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """One column: what it is taken for ("" = kept as a custom field), how that was found, and what stands in it."""

    letter: str
    header: str
    meaning: str
    how: str
    sample: str


class SheetView(msgspec.Struct, frozen=True, kw_only=True):
    """One tab as understood. `dates`: header, how it is read; `dropped`: reason -> row numbers; `stages`: label, place (None = not known)."""

    file: str
    sheet: str | None
    layout: str
    reason: str
    header_row: int
    above: tuple[str, ...]
    columns: tuple[ColumnView, ...]
    notes: tuple[str, ...]
    dates: tuple[tuple[str, str], ...] = ()
    key: tuple[str, ...] = ()
    key_reason: str = ""
    rows_read: int = 0
    rows_rejected: int = 0
    dropped: dict[str, list[int]] = {}
    stages: tuple[tuple[str, int | None], ...] = ()
    stage_order_from: str = ""


def columns_of(plan: SheetPlan, table: Surveyed | None) -> Iterator[ColumnView]:
    """Every column that has a header or holds something, and what it is taken for."""
    fields: dict[int, list[str]] = {}
    for field, index in plan.fields.items():
        fields.setdefault(index, []).append(field)
    staged: dict[int, list[str]] = {}
    for stage, index in plan.mapping.stage_dates:
        staged.setdefault(index, []).append(stage)
    keyed = set(table.key.columns) if table else set()
    for head in plan.head.headers:
        held = plan.held[head.index]
        if not head.given and not held.filled:
            continue
        names = [*(["key"] if head.index in keyed else [])]
        names += [name for name in fields.get(head.index, ()) if name != "weighted"]
        names += [f"whether it is {said}" for said, index in plan.mapping.flags.items() if index == head.index]
        names += [f"date of {stage!r}" for stage in staged.get(head.index, ())]
        hows = [plan.mapping.matched.get(field, "") for field in fields.get(head.index, ()) if field != "weighted"]
        hows += ["weighted: never the amount" for field in fields.get(head.index, ()) if field == "weighted"]
        if plan.layout == "kanban":
            names, hows = ["cards of this stage"], ["header"]
        yield ColumnView(
            letter=head.letter,
            header=head.text,
            meaning=", ".join(names),
            how=", ".join(dict.fromkeys(how for how in hows if how))
            or ("dates under a stage's name" if staged.get(head.index) else ""),
            sample=short(" / ".join(islice(held.texts, 3)), 40),
        )


def dates_of(plan: SheetPlan) -> Iterator[tuple[str, str]]:
    """How dates are read, column by column, and why."""
    for index, column in plan.dates.items():
        if column.filled:
            yield plan.head.headers[index].label, _order(column, plan.asked.locale)


def notes_of(plan: SheetPlan) -> Iterator[str]:
    """How numbers and shares are read, and why."""
    locale = plan.asked.locale
    for field in ("amount", "probability"):
        at = plan.fields.get(field)
        amounts = plan.money.get(at) if at is not None else None
        if at is None or amounts is None or not amounts.filled:
            continue
        text = _marks(amounts, locale)
        if field == "probability":
            text = "25 means 25 %" if plan.percent_points else "0.25 or 25% means 25 %"
            text = text if amounts.readable_share else "words, kept as they are"
        yield f"{'chances' if field == 'probability' else 'amounts'} in {plan.head.headers[at].label!r}: {text}"


def _order(column: columns.DateColumn, locale: words.Locale | None) -> str:
    parts = []
    if column.counts.get("ordered"):
        by = (
            "shown by the column"
            if column.rows["dmy"] or column.rows["mdy"]
            else "named in the header"
            if column.hint
            else f"by locale {locale.name}"
            if locale
            else "either way"
        )
        parts.append(f"{'month' if column.order == 'mdy' else 'day'} first ({by})")
    if column.counts.get("serial"):
        parts.append("serial numbers")
    if column.native_days:
        parts.append("real dates")
    if not parts:
        parts.append("unambiguous (year first, or months in words)")
    for kind, text in (("partial", "not whole days, left empty"), ("unreadable", "not readable, left empty")):
        if column.counts.get(kind):
            parts.append(f"{column.counts[kind]} {text}")
    return ", ".join(parts)


def _marks(column: columns.MoneyColumn, locale: words.Locale | None) -> str:
    parts = []
    if not column.counts.get("text"):
        parts.append("real numbers")
    elif column.decimal:
        by = "shown by the column" if column.rows[column.decimal] else f"by locale {locale.name}" if locale else ""
        parts.append(f"decimal {'comma' if column.decimal == ',' else 'point'} ({by})")
    else:
        shown = [mark for mark in (".", ",") if column.rows[mark]]
        parts.append(
            f"decimal {'comma' if shown == [','] else 'point'} (shown by the column)" if shown else "whole numbers"
        )
    if column.unit_power:
        parts.append(f"times {10**column.unit_power:,} (the header says so)")
    if column.signs:
        parts.append("currency in the cells: " + ", ".join(sorted(column.signs)))
    if column.multipliers:
        parts.append("multipliers: " + ", ".join(sorted(column.multipliers)))
    if column.counts.get("unreadable"):
        parts.append(f"{column.counts['unreadable']} not readable, left empty")
    return ", ".join(parts)


def plain(deal: Deal) -> dict[str, Any]:
    """The fields of a deal worth a look, as plain values."""
    names = (
        "deal_id",
        "name",
        "company_name",
        "stage_id",
        "status",
        "amount",
        "currency",
        "expected_close_date",
        "owner_id",
        "url",
    )
    found = {name: getattr(deal, name) for name in names}
    return {
        name: str(value) if isinstance(value, date) or name == "amount" else value
        for name, value in found.items()
        if value is not None
    }


def short(text: str, width: int) -> str:
    """A text on one line, cut to a width."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
