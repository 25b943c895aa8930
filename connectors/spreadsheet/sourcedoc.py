"""An Inspection as text for a terminal, and as a YAML source document that a person reviews and keeps."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from connectors.spreadsheet.inspect import Inspection
    from connectors.spreadsheet.views import ColumnView, SheetView

_ORDER = (
    "path",
    "sheet",
    "layout",
    "header_row",
    "locale",
    "timezone",
    "default_currency",
    "key",
    "columns",
    "stage_dates",
    "stages",
    "snapshot_date",
    "encoding",
    "zero_amount",
    "tables",
)


def text(found: Inspection) -> str:
    """What was understood, what to look at, and the source to keep."""
    lines = [_summary(found)]
    for day, reason, names in found.snapshots:
        lines.append(f"  date       {names}: {day + ', ' + reason if day else reason}")
    lines += [f"  ERROR      {error}" for error in found.errors]
    before: object = None
    for sheet in found.sheets:
        shape = (sheet.layout, sheet.header_row, sheet.key, [(one.header, one.meaning) for one in sheet.columns])
        lines += ["", *(_alike(sheet) if shape == before else _sheet(sheet))]
        before = shape
    if found.first_rows:
        lines += ["", "First rows", *(f"  {row}" for row in found.first_rows)]
    if found.sample:
        lines += ["", f"First deals (of {found.deal_count})", *_deals(found.sample)]
    if found.rejects:
        lines += ["", f"Rows that cannot be deals: {found.reject_count}", *(f"  {reject}" for reject in found.rejects)]
    if found.warnings:
        lines += ["", "Worth a look", *(f"  - {warning}" for warning in found.warnings)]
    if found.proposal:
        lines += ["", "A source that loads it (save it as defs/sources/defs.yaml, then `muara sync`)", "", yaml(found)]
    return "\n".join(lines)


#: What one row is, by layout.
_ROW_IS = {
    "current_state": "each row is a deal as it stands now",
    "wide": "each row is a deal, with the day on which it reached each stage",
    "log": "each row is a change of a deal's stage",
    "grouped": "each row is a deal, under the stage of its group",
    "kanban": "each cell is a deal, under its stage",
    "sheet_per_stage": "each row is a deal; the tab is its stage",
    "sheet_per_period": "each row is a deal; the tab is the period",
    "sheet_per_owner": "each row is a deal; the tab is its owner",
}


def _summary(found: Inspection) -> str:
    """The first line: is it understood, how many deals, how much is there to look at."""
    if found.errors:
        return f"{found.path}: cannot be loaded as it is (see ERROR)."
    deals = "1 deal" if found.deal_count == 1 else f"{found.deal_count:,} deals"
    history = (
        " with the history of their stages" if any(sheet.layout in ("wide", "log") for sheet in found.sheets) else ""
    )
    count = len(found.warnings)
    look = (
        "nothing is in doubt"
        if not count
        else "1 thing is worth a look"
        if count == 1
        else f"{count} things are worth a look"
    )
    days = f" in the latest of {len(found.snapshots)} dated copies" if len(found.snapshots) > 1 else ""
    return f"{found.path}: {deals}{history}{days}; {look}."


def _where(sheet: SheetView) -> str:
    return sheet.file if sheet.sheet is None else f"{sheet.file}, sheet {sheet.sheet!r}"


def _alike(sheet: SheetView) -> list[str]:
    """A tab that looks like the one before: only its rows."""
    return [f"{_where(sheet)}: layout, columns and key as before", *_rows(sheet), *_stages(sheet)]


def _rows(sheet: SheetView) -> list[str]:
    dropped = sum(len(rows) for rows in sheet.dropped.values())
    kept = sheet.rows_read - dropped - sheet.rows_rejected
    lines = [
        f"  rows       {sheet.rows_read} below the header = {kept} kept + {dropped} left out + {sheet.rows_rejected} rejected"
    ]
    for reason, rows in sheet.dropped.items():
        lines.append(
            f"             left out as {_LEFT_OUT.get(reason, reason)}: row {', '.join(map(str, rows[:10]))}{' ...' if len(rows) > 10 else ''}"
        )
    return lines


_LEFT_OUT = {
    "total": "a total",
    "repeated_header": "the header once more",
    "note": "a note",
    "group_label": "the name of a group",
    "title": "a title",
    "duplicate_row": "equal to an earlier row",
}


def _stages(sheet: SheetView) -> list[str]:
    if not sheet.stages:
        return []
    known = [label for label, place in sheet.stages if place is not None]
    unknown = [label for label, place in sheet.stages if place is None]
    lines = [f"  stages     {' > '.join(known)} (order from {sheet.stage_order_from})"] if known else []
    return [*lines, f"  stages     place in the funnel not known: {', '.join(unknown)}"] if unknown else lines


def _sheet(sheet: SheetView) -> list[str]:
    lines = [_where(sheet), f"  layout     {sheet.layout} ({_ROW_IS.get(sheet.layout, '')}): {sheet.reason}"]
    above = f"; above it: {' | '.join(sheet.above[:4])}" if sheet.above else ""
    lines.append(
        f"  header     {'row ' + str(sheet.header_row) if sheet.header_row else 'none; columns by letter'}{above}"
    )
    if sheet.key:
        lines.append(f"  key        {' + '.join(sheet.key)}: {sheet.key_reason}")
    lines += _rows(sheet)
    lines += _stages(sheet)
    if sheet.dates and len({how for _, how in sheet.dates}) == 1:
        lines.append(f"  dates      {sheet.dates[0][1]}")
    else:
        lines += [f"  dates      {header!r}: {how}" for header, how in sheet.dates]
    lines += [f"  read as    {note}" for note in sheet.notes]
    return [*lines, "  columns", *_table(sheet.columns)]


def _table(columns: tuple[ColumnView, ...]) -> list[str]:
    rows = [
        (one.letter, one.header.replace("\n", " "), one.meaning or "(custom field)", one.how, one.sample)
        for one in columns
    ]
    widths = [min(30, max((len(row[place]) for row in rows), default=0)) for place in range(4)]
    return [
        "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    ]


_SHOWN = {
    "name": "deal",
    "company_name": "company",
    "stage_id": "stage",
    "status": "status",
    "amount": "amount",
    "currency": "",
    "expected_close_date": "expected close",
    "owner_id": "owner",
    "url": "stands in",
}


def _deals(sample: tuple[dict[str, Any], ...]) -> list[str]:
    """The first deals as a small table; columns that nobody filled are left out."""
    names = [name for name in _SHOWN if any(name in deal for deal in sample)]
    rows = [[_SHOWN[name] for name in names]]
    rows += [
        [
            " ".join(str(deal.get(name, "-")).split())[:28] if name != "url" else str(deal.get(name, ""))
            for name in names
        ]
        for deal in sample
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def yaml(found: Inspection) -> str:
    """The document. Remarks start with `#`; a setting that a person must decide stands commented out."""
    name = re.sub(
        r"[^a-z0-9]+", "_", re.sub(r"(20\d{2}[-_. ]?\d{0,2}[-_. ]?\d{0,2}|\*)", "", Path(found.path).stem.lower())
    ).strip("_")
    lines = [
        "type: dagster_project.components.CrmSource",
        "attributes:",
        f"  source: {name or 'sheet'}",
        "  connector: spreadsheet",
        "  config:",
    ]
    config: dict[str, Any] = {"path": found.path} | found.proposal
    if found.settings.tables:
        config |= {"tables": [_said(table) for table in found.settings.tables]}
        for shared in ("key", "columns", "stage_dates"):
            if said := getattr(found.settings, shared):
                config[shared] = said
        del config["path"]
    for key in _ORDER:
        remark = found.checks.get(key)
        if key in config and config[key] not in (None, {}, []):
            if remark:
                lines.append(f"    # {remark}")
            lines += _entry(key, config[key])
        elif remark:
            lines.append(f"    # {key}: {remark}")
    lines += [f"    # ERROR {error}" for error in found.errors]
    return "\n".join(lines) + "\n"


def _said(table: msgspec.Struct) -> dict[str, Any]:
    values = ((name, getattr(table, name)) for name in table.__struct_fields__)
    return {name: value for name, value in values if value not in (None, {}, [])}


def _entry(key: str, value: Any) -> list[str]:
    if key == "columns" and isinstance(value, dict):
        return ["    columns:", *(f"      {field}: {_scalar(header)}" for field, header in value.items())]
    if key == "tables":
        return ["    tables:", *(f"      - {_flow(table)}" for table in value)]
    return [f"    {key}: {_flow(value)}"]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return _scalar(value)


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ ./-]*[A-Za-z0-9_/]|[A-Za-z]")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _scalar(value: Any) -> str:
    """A value that YAML reads back as itself; JSON's quoting is YAML's too."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)
