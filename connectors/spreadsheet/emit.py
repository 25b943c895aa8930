"""Records of one snapshot: reference data first, then deal by deal, then what was put aside. Called only when the whole snapshot is settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.sdk.records import (
    Company,
    Deal,
    FieldDef,
    HistoryRead,
    Owner,
    Pipeline,
    Record,
    Reject,
    Stage,
    SweepEnd,
    Warn,
)
from connectors.sdk.settings import ConnectorSettings
from connectors.spreadsheet import board, keys, words
from connectors.spreadsheet.draft import Draft, Spool
from connectors.spreadsheet.grid import place, raw_of
from connectors.spreadsheet.history import History, from_dates, from_log
from connectors.spreadsheet.ladder import display_orders, shown_order, stage_id
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.reading import Reader
from connectors.spreadsheet.survey import Surveyed
from connectors.spreadsheet.table import Row

DEFAULT_PIPELINE = "default"
#: Above this many deals no fingerprints are kept, so no renames are suggested: the cursor must stay small.
MAX_FINGERPRINTS = 1000

#: So many deals are named in a warning; the others are counted.
_NAMED_DEALS = 5

_DROP_WORDS = {
    "total": "a total or subtotal",
    "repeated_header": "the header once more",
    "note": "a note under the table",
    "group_label": "the label of a group of rows",
    "duplicate_row": "equal to an earlier row of the same deal",
}


class Emission:
    """One snapshot on its way out. After `records()` is exhausted, `fingerprints`, `deal_count` and `stage_labels` are complete."""

    def __init__(
        self,
        tables: Sequence[Surveyed],
        *,
        settings: ConnectorSettings,
        title: str,
        read_at: datetime | None,
        now: datetime,
        known_stages: Sequence[tuple[str | None, str]] = (),
        shown_stages: Sequence[str] = (),
    ) -> None:
        self.tables, self.title, self.read_at = tables, title, read_at
        self._zero = settings.zero_amount
        # A date of the snapshot's own day is known on that day; an hour is added for clocks that are a little apart.
        self._known_until = now + timedelta(hours=1) if read_at is None else read_at + timedelta(days=1)
        self._stages: dict[tuple[str | None, str], None] = dict.fromkeys(known_stages)
        self._shown_stages = shown_stages
        self._is_joined = len(tables) > 1 or any(plan.layout == "log" for table in tables for plan in table.plans)
        self._seen_owners: set[str] = set()
        self._seen_companies: set[str] = set()
        #: What -> how many deals, and where the first of them stand.
        self._oddities: dict[str, tuple[int, list[str]]] = {}
        self.deal_count = 0
        self.kept_rows: dict[int, int] = {}
        self.rejected_rows: dict[int, int] = {}
        self.fingerprints: dict[str, str] | None = {}

    @property
    def stage_labels(self) -> list[tuple[str | None, str]]:
        """(pipeline, stage) seen so far, in order of first appearance over all snapshots."""
        return list(self._stages)

    def records(self) -> Iterator[Record]:
        """Everything of this snapshot but the checkpoint."""
        yield from self._field_defs()
        yield from self._ladders()
        yield from self._joined() if self._is_joined else self._direct()
        yield SweepEnd(stream="deals", complete=True, missing_as="absent", read_at=self.read_at)
        yield from self._warnings()

    # --- reference data

    def _field_defs(self) -> Iterator[Record]:
        seen: set[str] = set()
        for plan in self._plans():
            fields = {index: field for field, index in plan.fields.items()}
            staged = {index: stage for stage, index in plan.mapping.stage_dates}
            for head in plan.head.headers:
                if head.text in seen:
                    continue
                seen.add(head.text)
                field = fields.get(head.index)
                raw: dict[str, Any] = {"column": head.letter}
                if field:
                    raw["field"] = field
                if head.index in staged:
                    raw["stage_date_of"] = staged[head.index]
                yield FieldDef(
                    object_type="deal",
                    code=head.text,
                    label=head.label,
                    field_type=_field_type(plan, head.index),
                    is_custom=field is None and head.index not in staged,
                    read_at=self.read_at,
                    raw=raw,
                )

    def _ladders(self) -> Iterator[Record]:
        for plan in self._plans():
            for stage, _ in plan.mapping.stage_dates:
                self._stages.setdefault((None, stage))
            self._stages |= dict.fromkeys(pair for pair in plan.stages if pair not in self._stages)
        shown = list(self._shown_stages) or shown_order(self._plans(), [label for _, label in self._stages])[0]
        pipelines: dict[str, tuple[str, dict[str, str]]] = {}
        for pipeline, label in self._stages:
            name = pipeline or self.title
            _, labels = pipelines.setdefault(_pipeline_id(pipeline), (name, {}))
            labels.setdefault(stage_id(label), label)
        if not pipelines:
            pipelines[DEFAULT_PIPELINE] = (self.title, {})
        lost_place: list[str] = []
        for order, (pipeline_id, (name, labels)) in enumerate(pipelines.items()):
            yield Pipeline(pipeline_id=pipeline_id, name=name, display_order=order, read_at=self.read_at)
            orders, unknown = display_orders(list(labels.values()), shown)
            lost_place += unknown
            for ident, label in labels.items():
                yield Stage(
                    pipeline_id=pipeline_id,
                    stage_id=ident,
                    name=label,
                    display_order=orders.get(ident),
                    read_at=self.read_at,
                )
        if lost_place:
            listed = ", ".join(map(repr, list(dict.fromkeys(lost_place))[:8]))
            yield Warn(
                code="stage_order_unknown",
                message=f"{self._plans()[0].where}: the place of stage(s) {listed} in the funnel is not known from the sheet. "
                "List all stages in order in `stages`.",
            )

    def _plans(self) -> list[SheetPlan]:
        return [plan for table in self.tables for plan in table.plans]

    # --- deals

    def _rows(self, number: int) -> Iterator[Draft | Reject]:
        """Drafts of one table, and rejects for its rows that are none."""
        table = self.tables[number]
        repeated: set[str] = set()
        for plan, choice in zip(table.plans, table.choices, strict=True):
            if plan.layout == "kanban":
                yield from self._cards(plan, number)
                continue
            reader = Reader(plan, choice, number)
            for row in plan.rows():
                if row.dropped is not None:
                    yield self._reject(plan, row, row.dropped, dropped=True)
                    continue
                key = keys.key_of(row.cells, choice)
                if key is None:
                    yield self._reject(plan, row, "no_key")
                elif key in table.repeated and key in repeated:
                    plan.dropped.setdefault("duplicate_row", []).append(row.number)
                    yield self._reject(plan, row, "duplicate_row", key=key, dropped=True)
                else:
                    if key in table.repeated:
                        repeated.add(key)
                    draft = reader.draft(row, key)
                    if plan.layout == "log" and (draft.changed_at is None or draft.stage is None):
                        yield self._reject(
                            plan, row, "no_change_date" if draft.changed_at is None else "no_stage", key=key
                        )
                    else:
                        self.kept_rows[id(plan)] = self.kept_rows.get(id(plan), 0) + 1
                        yield draft

    def _cards(self, plan: SheetPlan, number: int) -> Iterator[Draft | Reject]:
        """Drafts of a board: several a row."""
        kept: set[int] = set()
        for row in plan.rows():
            if row.dropped is not None:
                yield self._reject(plan, row, row.dropped, dropped=True)
        for draft in board.drafts(plan, number):
            kept.add(draft.row)
            yield draft
        self.kept_rows[id(plan)] = len(kept)

    def _direct(self) -> Iterator[Record]:
        """One row, one deal: straight through."""
        for item in self._rows(0):
            yield from self._deal([item]) if isinstance(item, Draft) else (item,)

    def _joined(self) -> Iterator[Record]:
        """Rows of several tables, or of a log, gathered deal by deal on disk."""
        spool = Spool()
        rejects: list[Reject] = []
        broken: set[str] = set()
        try:
            for number in range(len(self.tables)):
                spool.add(self._keep(number, rejects, broken))
                yield from rejects
                rejects.clear()
            for key, drafts in spool.deals():
                yield from self._deal(drafts, is_broken=key in broken)
        finally:
            spool.close()

    def _keep(self, number: int, rejects: list[Reject], broken: set[str]) -> Iterator[Draft]:
        for item in self._rows(number):
            if isinstance(item, Draft):
                yield item
            else:
                rejects.append(item)
                if item.key is not None and not item.is_dropped:
                    broken.add(item.key)

    def _deal(self, drafts: list[Draft], *, is_broken: bool = False) -> Iterator[Record]:
        """A deal's records: the people and companies first seen here, the deal, its history."""
        entries = _distinct([draft for draft in drafts if draft.is_log])
        merged = _merge([draft for draft in drafts if not draft.is_log], entries)
        pipeline_id = _pipeline_id(merged.pipeline)
        history = self._history(merged, entries, pipeline_id)
        if history is not None:
            for code in history.oddities:
                self._odd(code, merged)
            if is_broken:
                note = "a row of its log could not be read (see the rejected rows)"
                history.read = _replace(history.read, complete=False, note=note)
        yield from self._people(merged, entries)
        self.deal_count += 1
        self._remember(merged)
        yield self._record(merged, history, pipeline_id)
        if history is not None:
            yield history.read

    def _history(self, draft: Draft, entries: list[Draft], pipeline_id: str) -> History | None:
        if entries:
            ids = [_pipeline_id(entry.pipeline or draft.pipeline) for entry in entries]
            return from_log(draft.key, entries, pipeline_ids=ids, read_at=self.read_at)
        if draft.has_stage_dates:
            return from_dates(
                draft,
                pipeline_id=pipeline_id,
                known_until=self._known_until,
                read_at=self.read_at,
                names_stage=draft.stage is not None,
            )
        return None

    def _record(self, draft: Draft, history: History | None, pipeline_id: str) -> Deal:
        label = draft.stage
        entered = draft.stage_entered_at
        closed_at = draft.closed_at
        if history is not None and label is None:
            label, entered = history.last_stage, history.entered_at
            outcome = words.outcome_of(label)
            closed_at = closed_at or (entered if outcome in ("won", "lost") else None)
        elif (
            history is not None
            and label is not None
            and history.last_stage
            and stage_id(history.last_stage) == stage_id(label)
        ):
            entered = entered or history.entered_at
            closed_at = closed_at or history.closed_at
        amount = draft.amount
        status = draft.status
        said = words.outcome_of(label)
        if label is not None and status is not None and status != (said or "open"):
            self._odd("status_stage_clash", draft)
        if amount == 0 and self._zero != "zero":
            lost = "lost" in (status, words.outcome_of(label) if status is None else None)
            amount = None if self._zero == "unknown" or lost else amount
        if amount is not None and draft.currency is None:
            self._odd("currency_unknown", draft)
        return Deal(
            deal_id=draft.key,
            name=draft.name,
            pipeline_id=pipeline_id,
            stage_id=stage_id(label) if label else None,
            status=status,  # type: ignore[arg-type]
            amount=amount,
            currency=draft.currency if amount is not None else None,
            created_at=draft.created_at or (history.created_at if history else None),
            stage_entered_at=entered,
            closed_at=closed_at,
            expected_close_date=draft.expected_close_date,
            owner_id=words.fold(draft.owner) if draft.owner else None,
            company_id=words.fold(draft.company) if draft.company else None,
            company_name=draft.company,
            lead_source=draft.lead_source,
            deal_type=draft.deal_type,
            lost_reason=draft.lost_reason,
            probability=draft.probability,
            last_activity_at=draft.last_activity_at,
            next_activity_at=draft.next_activity_at,
            url=_url(draft),
            source_file=draft.file,
            source_sheet=draft.sheet,
            source_row=draft.row,
            dates_only=history.dates_only if history else False,
            custom_fields=draft.custom,
            read_at=self.read_at,
            raw=draft.raw,
        )

    def _people(self, draft: Draft, entries: Sequence[Draft]) -> Iterator[Record]:
        for name in (draft.owner, *(entry.changed_by for entry in entries)):
            if name and (ident := words.fold(name)) not in self._seen_owners:
                self._seen_owners.add(ident)
                yield Owner(owner_id=ident, name=name, email=name if "@" in name else None, read_at=self.read_at)
        if draft.company and (ident := words.fold(draft.company)) not in self._seen_companies:
            self._seen_companies.add(ident)
            yield Company(company_id=ident, name=draft.company, read_at=self.read_at)

    def _remember(self, draft: Draft) -> None:
        if self.fingerprints is None:
            return
        if self.deal_count > MAX_FINGERPRINTS:
            self.fingerprints = None
            return
        parts = [words.fold(draft.company or ""), words.fold(draft.owner or ""), str(draft.amount or "")]
        self.fingerprints[draft.key] = "|".join(parts) if parts[0] and parts[2] else ""

    # --- what was put aside

    def _reject(
        self, plan: SheetPlan, row: Row, reason: str, *, key: str | None = None, dropped: bool = False
    ) -> Reject:
        if dropped:
            detail = f"{place(plan.grid, row.number)}: left out: {_DROP_WORDS[reason]}."
        else:
            self.rejected_rows[id(plan)] = self.rejected_rows.get(id(plan), 0) + 1
            detail = f"{place(plan.grid, row.number)}: {_REJECT_WORDS[reason]}"
        names = [head.text for head in plan.head.headers]
        return Reject(
            stream="deals",
            reason=reason,
            detail=detail,
            key=key,
            is_dropped=dropped,
            source_file=plan.grid.file,
            source_sheet=plan.grid.sheet,
            source_row=row.number,
            read_at=self.read_at,
            raw=raw_of(names, row.cells),
        )

    def _warnings(self) -> Iterator[Record]:
        for plan in self._plans():
            yield Warn(code="rows_read", message=self._account(plan))
            for code, message in plan.warnings:
                yield Warn(code=code, message=message)
            for (what, column), cells in plan.bad_cells.items():
                named = ", ".join(cell for cell in cells if cell)
                more = len(cells) - sum(1 for cell in cells if cell)
                yield Warn(
                    code="unreadable_cells",
                    message=f"{plan.where}, column {column!r}: {len(cells)} cell(s) left empty, {what}: "
                    f"{named}{f' and {more} more' if more else ''}.",
                )
        for code, (count, places) in self._oddities.items():
            rest = f" and {count - len(places)} more" if count > len(places) else ""
            yield Warn(code=code, message=f"{_ODDITY_WORDS[code]}: {count} deal(s) ({'; '.join(places)}{rest}).")

    def _odd(self, code: str, draft: Draft) -> None:
        count, places = self._oddities.get(code, (0, []))
        self._oddities[code] = (count + 1, [*places, _where(draft)] if count < _NAMED_DEALS else places)

    def _account(self, plan: SheetPlan) -> str:
        dropped = sum(len(rows) for rows in plan.dropped.values())
        listed = ", ".join(f"{len(rows)} {reason}" for reason, rows in plan.dropped.items())
        return (
            f"{plan.where}: {plan.row_count} rows read = {self.kept_rows.get(id(plan), 0)} kept + {dropped} dropped"
            f"{f' ({listed})' if listed else ''} + {self.rejected_rows.get(id(plan), 0)} rejected."
        )


_REJECT_WORDS = {
    "no_key": "nothing in the key column(s), so the deal cannot be told from others. Fill the key.",
    "no_change_date": "the date of the change cannot be read. Correct the date.",
    "no_stage": "the new stage is empty. Fill it in.",
}

_ODDITY_WORDS = {
    "currency_unknown": "nothing tells the currency of the amount, so it cannot be added to others (set `default_currency`)",
    "status_stage_clash": "the status column says another outcome than the stage; the status decides, the stage stays as it is",
    "planned_dates": "stage dates later than the sheet itself are plans and were not counted as history",
    "entered_after_close": "a stage date later than the close of the deal was not counted as a move (correct the date if it is one)",
    "moves_back": "a later column holds an earlier date, read as a move back",
    "log_gap": "the old stage of a log row is not the new stage of the row before; a row may be missing",
}


def _replace(read: HistoryRead, **changes: Any) -> HistoryRead:
    return msgspec.structs.replace(read, **changes)


def _pipeline_id(label: str | None) -> str:
    return words.fold(label) if label else DEFAULT_PIPELINE


def _where(draft: Draft) -> str:
    return f"{draft.file}{f', sheet {draft.sheet}' if draft.sheet else ''}, row {draft.row}"


def _url(draft: Draft) -> str:
    tab = f"{draft.sheet}!" if draft.sheet else ""
    return f"{draft.file}#{tab}{draft.column}{draft.row}"


def _field_type(plan: SheetPlan, index: int) -> str:
    held = plan.held[index]
    if held.is_dates:
        return "date"
    if held.is_money:
        return "number"
    return "text" if held.filled else "empty"


def _distinct(entries: list[Draft]) -> list[Draft]:
    """Log rows, identical ones once."""
    seen: dict[tuple[datetime | None, str | None, str | None], Draft] = {}
    for entry in entries:
        seen.setdefault((entry.changed_at, entry.stage, entry.from_stage), entry)
    return list(seen.values())


_FIELDS = tuple(
    name
    for name in Draft.__struct_fields__
    if name
    not in (
        "key",
        "row",
        "table",
        "file",
        "sheet",
        "column",
        "stage_days",
        "custom",
        "raw",
        "is_log",
        "has_stage_dates",
    )
)


def _merge(rows: list[Draft], entries: list[Draft]) -> Draft:
    """One draft for a deal: the first table that says something decides; of a log, the latest row that does."""
    latest = sorted(entries, key=lambda entry: (entry.changed_at, entry.row), reverse=True)
    if len(rows) == 1 and not latest:
        return rows[0]
    first = rows[0] if rows else latest[0]
    merged = Draft(
        key=first.key, row=first.row, table=first.table, file=first.file, sheet=first.sheet, column=first.column
    )
    for draft in (*rows, *latest):
        for name in _FIELDS:
            if draft.is_log and name == "stage" and rows:
                continue
            if getattr(merged, name) is None:
                setattr(merged, name, getattr(draft, name))
        merged.custom = draft.custom | merged.custom
    offset = 0
    tables = sorted({draft.table for draft in rows})
    for draft in rows:
        place = tables.index(draft.table) * 1000
        merged.stage_days = merged.stage_days + [_shifted(day, place + offset) for day in draft.stage_days]
        merged.has_stage_dates = merged.has_stage_dates or draft.has_stage_dates
    parts = rows or latest[:1]
    merged.raw = parts[0].raw if len(parts) == 1 else {_label(part): part.raw for part in parts}
    return merged


def _shifted(day: Any, by: int) -> Any:
    return msgspec.structs.replace(day, order=day.order + by)


def _label(draft: Draft) -> str:
    return f"{draft.file}#{draft.sheet}" if draft.sheet else draft.file
