"""OpportunityHistory to readings of a deal's history.

A row is written at creation and whenever stage, amount, close date, probability or forecast category changes, with the values *after* the
change. So a stage change is a row whose StageName differs from the row before (by CreatedDate, then Id); likewise amount and close date. Of the first
row only the stage counts: it is the entry. SystemModstamp of a row moves when the next one supersedes it and IsDeleted goes with the deal; neither
changes what happened, so neither is looked at: a deal's history is always read whole.
Source: vendor's object reference, read 2026-11; row kinds as measured in facts of a large org.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from connectors.salesforce.mapping import MapContext, instant
from connectors.salesforce.rows import number
from connectors.sdk import DataError, Deal, FieldChange, HistoryRead, Reject, StageChange, parse_date

#: Columns that are asked for where they are to be seen.
COLUMNS = (
    "Id",
    "OpportunityId",
    "CreatedById",
    "CreatedDate",
    "StageName",
    "Amount",
    "ExpectedRevenue",
    "CloseDate",
    "Probability",
    "ForecastCategory",
    "CurrencyIsoCode",
    "PrevAmount",
    "PrevCloseDate",
    "SystemModstamp",
    "IsDeleted",
)
#: Without these there is no history.
NEEDED = ("Id", "OpportunityId", "CreatedDate", "StageName")

_NO_ROWS = "Salesforce shows no history rows for this deal"


class _Line(msgspec.Struct):
    """What is looked at of a row, and the row."""

    Id: str
    OpportunityId: str
    CreatedDate: str
    StageName: str
    Amount: Decimal | None = None
    CloseDate: str | None = None
    CreatedById: str | None = None
    raw: bytes = b""


_decoder = msgspec.json.Decoder(_Line)


def lines_of(rows: Iterable[bytes]) -> tuple[dict[str, list[_Line]], list[Reject]]:
    """History rows (landed form) by deal, and those that are none; the `key` of a reject is its deal where that is known."""
    found: dict[str, list[_Line]] = {}
    bad = []
    for raw in rows:
        try:
            line = _decoder.decode(raw)
            line.raw = raw
            found.setdefault(line.OpportunityId, []).append(line)
        except msgspec.MsgspecError:
            bad.append(_reject(raw))
    return found, bad


def reading(deal_id: str, lines: list[_Line], context: MapContext, *, note: str | None = None) -> HistoryRead:
    """The whole history of one deal. Raises DataError for a row that cannot be understood. `note`: why it is not complete."""
    lines.sort(key=lambda line: (line.CreatedDate, line.Id))
    stages: list[StageChange] = []
    fields: list[FieldChange] = []
    before: _Line | None = None
    sequence = 0
    for line in lines:
        sequence = sequence + 1 if before is not None and before.CreatedDate == line.CreatedDate else 0
        if before is None or before.StageName != line.StageName:
            stages.append(_stage_change(line, before, sequence))
        if before is not None:
            if before.Amount != line.Amount:
                old, new = _amount(before, context), _amount(line, context)
                if old != new:
                    fields.append(_field_change(line, "amount", old, new, sequence))
            if before.CloseDate != line.CloseDate:
                fields.append(_field_change(line, "expected_close_date", before.CloseDate, line.CloseDate, sequence))
        before = line
    return HistoryRead(
        deal_id=deal_id, complete=note is None, stage_changes=tuple(stages), field_changes=tuple(fields), note=note
    )


def entry_only(deal: Deal) -> HistoryRead | None:
    """A reading of a deal without history rows: in its stage since creation if it never moved; None where even that is not known."""
    if deal.created_at is None or deal.stage_id is None:
        return None
    has_moved = deal.stage_entered_at is not None and deal.stage_entered_at > deal.created_at
    if has_moved:
        return HistoryRead(deal_id=deal.deal_id, complete=False, note=f"{_NO_ROWS}, though it has moved.")
    entry = StageChange(
        event_id="created",
        deal_id=deal.deal_id,
        changed_at=deal.created_at,
        to_stage_id=deal.stage_id,
        evidence="created",
        raw={},
    )
    return HistoryRead(deal_id=deal.deal_id, complete=False, stage_changes=(entry,), note=f"{_NO_ROWS}.")


def _stage_change(line: _Line, before: _Line | None, sequence: int) -> StageChange:
    return StageChange(
        event_id=line.Id,
        deal_id=line.OpportunityId,
        changed_at=instant(line.CreatedDate),
        to_stage_id=line.StageName,
        from_stage_id=None if before is None else before.StageName,
        changed_by_id=line.CreatedById,
        sequence=sequence,
        raw=msgspec.Raw(line.raw),
    )


_Kept = Literal["amount", "expected_close_date"]


def _field_change(line: _Line, field: _Kept, old: str | None, new: str | None, sequence: int) -> FieldChange:
    if field == "expected_close_date":
        for day in (old, new):
            if day is not None:
                parse_date(day)
    return FieldChange(
        event_id=f"{line.Id}:{field}",
        deal_id=line.OpportunityId,
        field=field,
        changed_at=instant(line.CreatedDate),
        old_value=old,
        new_value=new,
        changed_by_id=line.CreatedById,
        sequence=sequence,
        raw=msgspec.Raw(line.raw),
    )


def _amount(line: _Line, context: MapContext) -> str | None:
    amount = context.amount_of(line.Amount, context.outcomes.get(line.StageName))
    return None if amount is None else f"{number(str(amount)):f}"


def bad_reading(deal_id: str, error: DataError) -> tuple[Reject, HistoryRead]:
    """What stands for a history that cannot be understood: the deal keeps what is held of it."""
    detail = f"the history of this deal cannot be read: {error}"
    reject = Reject(stream="stage_changes", reason="bad_history", detail=detail, key=deal_id)
    return reject, HistoryRead(deal_id=deal_id, complete=False, note=detail)


def _reject(raw: bytes) -> Reject:
    detail = "a row of OpportunityHistory lacks its deal, stage or time."
    deal_id = msgspec.json.decode(raw).get("OpportunityId")
    key = deal_id if isinstance(deal_id, str) else None
    return Reject(stream="stage_changes", reason="bad_history_row", detail=detail, key=key, raw=msgspec.Raw(raw))
