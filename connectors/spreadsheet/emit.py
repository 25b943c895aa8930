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
from connectors.spreadsheet.history import History, from_dates, from_log
from connectors.spreadsheet.joining import disagree, distinct, merge
from connectors.spreadsheet.ladder import display_orders, shown_order, stage_id
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.reading import Reader
from connectors.spreadsheet.survey import Surveyed
from connectors.spreadsheet.table import Row
from connectors.spreadsheet.tally import Tally

DEFAULT_PIPELINE = "default"
#: Above this many deals no fingerprints are kept, so no renames are suggested: the cursor must stay small.
MAX_FINGERPRINTS = 1000


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
        self.tally = Tally(self._plans(), read_at)
        self._seen_owners: set[str] = set()
        self._seen_companies: set[str] = set()
        self.deal_count = 0
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
        yield from self.tally.warnings()

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
                    yield self.tally.drop(plan, row, row.dropped)
                    continue
                key = keys.key_of(row.cells, choice)
                if key is None:
                    yield self.tally.reject(plan, row, "no_key")
                elif key in table.repeated and key in repeated:
                    plan.dropped.setdefault("duplicate_row", []).append(row.number)
                    yield self.tally.drop(plan, row, "duplicate_row", key)
                else:
                    if key in table.repeated:
                        repeated.add(key)
                    yield self._read(plan, row, reader.draft(row, key))

    def _read(self, plan: SheetPlan, row: Row, draft: Draft) -> Draft | Reject:
        if plan.layout == "log" and (draft.changed_at is None or draft.stage is None):
            return self.tally.reject(plan, row, "no_change_date" if draft.changed_at is None else "no_stage", draft.key)
        self.tally.keep(plan)
        return draft

    def _cards(self, plan: SheetPlan, number: int) -> Iterator[Draft | Reject]:
        """Drafts of a board: several a row."""
        for row in plan.rows():
            if row.dropped is not None:
                yield self.tally.drop(plan, row, row.dropped)
        filled: set[int] = set()
        for draft in board.drafts(plan, number):
            filled.add(draft.row)
            yield draft
        self.tally.keep(plan, len(filled))

    def _direct(self) -> Iterator[Record]:
        """One row, one deal: straight through."""
        for item in self._rows(0):
            if not isinstance(item, Draft):
                yield item
            elif item.has_stage_dates:
                yield from self._deal([item])
            else:
                if item.owner or item.company:
                    yield from self._people(item, ())
                self.deal_count += 1
                self._remember(item)
                yield self._record(item, None, _pipeline_id(item.pipeline))

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
        entries, repeats = distinct([draft for draft in drafts if draft.is_log])
        rows = [draft for draft in drafts if not draft.is_log]
        merged = merge(rows, entries)
        if len(self.tables) > 1:
            if disagree(rows):
                self.tally.odd("tables_disagree", merged)
            if merged.table != 0:
                self.tally.odd("not_in_first_table", merged)
        pipeline_id = _pipeline_id(merged.pipeline)
        history = self._history(merged, entries, pipeline_id)
        if history is not None:
            for code in history.oddities:
                self.tally.odd(code, merged)
            if is_broken:
                note = "a row of its log could not be read (see the rejected rows)"
                history.read = msgspec.structs.replace(history.read, complete=False, note=note)
        yield from map(self.tally.drop_repeat, repeats)
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
        label, entered, closed_at = draft.stage, draft.stage_entered_at, draft.closed_at
        if history is not None and (label is None or _same(history.last_stage, label)):
            label = label or history.last_stage
            entered = entered or history.entered_at
            closed_at = closed_at or history.closed_at
        said, status, amount = words.outcome_of(label), draft.status, draft.amount
        if label is not None and status is not None and status != (said or "open"):
            self.tally.odd("status_stage_clash", draft)
        if closed_at is not None and (closed_at > self._known_until or not _may_be_closed(label, status)):
            closed_at = None
        if amount == 0 and self._zero != "zero":
            amount = None if self._zero == "unknown" or (status or said) == "lost" else amount
        if amount is not None and draft.currency is None:
            self.tally.odd("currency_unknown", draft)
        return Deal(
            deal_id=draft.key,
            name=draft.name,
            pipeline_id=pipeline_id,
            stage_id=stage_id(label) if label else None,
            status=status,
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
            dates_only=_dates_only(draft, history),
            custom_fields=draft.custom,
            read_at=self.read_at,
            raw=draft.raw,
        )

    def _people(self, draft: Draft, entries: Sequence[Draft]) -> Iterator[Record]:
        for name in (draft.owner, *(entry.changed_by for entry in entries)) if entries else (draft.owner,):
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


def _pipeline_id(label: str | None) -> str:
    return words.fold(label) if label else DEFAULT_PIPELINE


def _dates_only(draft: Draft, history: History | None) -> bool:
    """True when the row has days of this deal, and not one of them with a time of day."""
    has_history = history is not None and bool(history.read.stage_changes)
    if has_history and history is not None and not history.dates_only:
        return False
    return (draft.has_dates or has_history) and not draft.has_times


def _same(one: str | None, other: str) -> bool:
    return one is not None and stage_id(one) == stage_id(other)


def _may_be_closed(label: str | None, status: str | None) -> bool:
    """Whether a deal may have been closed: not one whose status or stage is plainly an open one (a date there is a plan)."""
    if status is not None:
        return status != "open"
    if label is None or words.outcome_of(label) in ("won", "lost"):
        return True
    return words.outcome_of(label) is None and words.near_rung(label) is None


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
