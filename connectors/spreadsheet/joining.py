"""Several rows of one deal made one: from tables that share a key, and from the rows of a log."""

from __future__ import annotations

import msgspec

from connectors.spreadsheet import words
from connectors.spreadsheet.draft import Draft

#: Fields that a deal takes from the first table that says them. Those that belong together are taken together.
_SINGLE = (
    "name",
    "company",
    "stage",
    "pipeline",
    "status",
    "probability",
    "expected_close_date",
    "created_at",
    "closed_at",
    "stage_entered_at",
    "last_activity_at",
    "next_activity_at",
    "owner",
    "lead_source",
    "deal_type",
    "lost_reason",
)
_TOGETHER = (("amount", "currency"), ("close_at", "close_has_time"))
#: Fields on which tables that differ are worth a word.
_COMPARED = ("name", "company", "stage", "status", "amount", "expected_close_date", "owner")
#: Columns of stage dates of a later table come after those of an earlier one.
_TABLE_STEP = 1000


def distinct(entries: list[Draft]) -> tuple[list[Draft], list[Draft]]:
    """(log rows, identical ones once; the repeats)."""
    seen: dict[tuple[object, ...], Draft] = {}
    repeats: list[Draft] = []
    for entry in entries:
        if seen.setdefault((entry.changed_at, entry.stage, entry.from_stage), entry) is not entry:
            repeats.append(entry)
    return list(seen.values()), repeats


def disagree(rows: list[Draft]) -> bool:
    """Whether two tables say different things of the same field."""
    for name in _COMPARED:
        said = {
            words.fold(value) if isinstance(value, str) else value
            for row in rows
            if (value := getattr(row, name)) is not None
        }
        if len(said) > 1:
            return True
    return False


def merge(rows: list[Draft], entries: list[Draft]) -> Draft:
    """One draft for a deal: the first table that says something decides; of a log, the latest row that does."""
    latest = sorted(entries, key=lambda entry: (entry.changed_at, entry.row), reverse=True)
    if len(rows) == 1 and not latest:
        return rows[0]
    first = rows[0] if rows else latest[0]
    merged = Draft(
        key=first.key, row=first.row, table=first.table, file=first.file, sheet=first.sheet, column=first.column
    )
    for draft in (*rows, *latest):
        _take(merged, draft, is_log_beside_rows=draft.is_log and bool(rows))
    for draft in rows:
        shift = draft.table * _TABLE_STEP
        merged.stage_days = merged.stage_days + [
            msgspec.structs.replace(day, order=day.order + shift) for day in draft.stage_days
        ]
        merged.has_stage_dates = merged.has_stage_dates or draft.has_stage_dates
    parts = rows or latest[:1]
    merged.raw = parts[0].raw if len(parts) == 1 else {_label(part): part.raw for part in parts}
    return merged


def _take(merged: Draft, draft: Draft, *, is_log_beside_rows: bool) -> None:
    for name in _SINGLE:
        if getattr(merged, name) is None and not (is_log_beside_rows and name == "stage"):
            setattr(merged, name, getattr(draft, name))
    for lead, follower in _TOGETHER:
        if getattr(merged, lead) is None:
            setattr(merged, lead, getattr(draft, lead))
            setattr(merged, follower, getattr(draft, follower))
    merged.custom = draft.custom | merged.custom
    merged.has_dates = merged.has_dates or draft.has_dates
    merged.has_times = merged.has_times or draft.has_times


def _label(draft: Draft) -> str:
    return f"{draft.file}#{draft.sheet}" if draft.sheet else draft.file
