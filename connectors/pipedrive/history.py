"""A deal's past from its changelog, or from its own times where no call is needed; checked against what the deal says of itself.

A won or lost deal keeps its last open stage: winning, losing and reopening are changes of the status. They become changes into the closing stages
`won` and `lost` and back into the stage the deal was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.pipedrive.mapping import CLOSED, Status, day, instant, number, status_of, text
from connectors.sdk import DataError, Evidence, FieldChange, HistoryRead, StageChange, TrackedField

#: A deal untouched since its creation: both stamps are set by the same save.
_SAME_SAVE = timedelta(seconds=60)
_FIELDS: dict[str, TrackedField] = {
    "value": "amount",
    "currency": "currency",
    "expected_close_date": "expected_close_date",
    "user_id": "owner",
    "owner_id": "owner",
    "pipeline_id": "pipeline",
}


class Snapshot(msgspec.Struct, frozen=True):
    """What a replay must know of a deal; small, so that a queue of many waits on disk."""

    deal_id: str
    pipeline_id: str | None
    stage_id: str | None
    status: Status
    added_at: datetime | None
    moved_at: datetime | None
    won_at: datetime | None
    lost_at: datetime | None
    first_won_at: datetime | None
    updated_at: datetime | None

    @property
    def closed_at(self) -> datetime | None:
        """When it was closed, trusted only where the status agrees."""
        return self.won_at if self.status == "won" else self.lost_at if self.status == "lost" else None

    @property
    def mark(self) -> str:
        """Changes whenever the deal's path may have changed."""
        return f"{self.stage_id}|{self.status}|{self.moved_at}|{self.closed_at}"


def snapshot(row: Mapping[str, Any]) -> Snapshot:
    """The part of a v2 deal that a replay needs.

    A deal that never moved has no `stage_change_time`; where it holds the creation instead, that says the same.
    """
    added_at, moved_at = instant(row.get("add_time")), instant(row.get("stage_change_time"))
    return Snapshot(
        deal_id=str(row["id"]),
        pipeline_id=text(row.get("pipeline_id")),
        stage_id=text(row.get("stage_id")),
        status=status_of(row),
        added_at=added_at,
        moved_at=None if moved_at == added_at else moved_at,
        won_at=instant(row.get("won_time")),
        lost_at=instant(row.get("lost_time")),
        first_won_at=instant(row.get("first_won_time")),
        updated_at=instant(row.get("update_time")),
    )


def without_call(deal: Snapshot) -> HistoryRead | None:
    """The history of a deal that never left its first stage, None where only the changelog can tell.

    `stage_change_time` is empty for such deals. An open one that was touched later, and one whose first win is not its last, may have been
    closed and reopened in between.
    """
    if deal.moved_at is not None or deal.added_at is None or deal.stage_id is None:
        return None
    entry = StageChange(
        event_id=f"{deal.stage_id}:{deal.added_at.isoformat()}",
        deal_id=deal.deal_id,
        changed_at=deal.added_at,
        to_stage_id=deal.stage_id,
        to_pipeline_id=deal.pipeline_id,
        sequence=1,
        evidence="created",
    )
    if deal.status == "open":
        untouched = deal.updated_at is not None and deal.updated_at - deal.added_at <= _SAME_SAVE
        return (
            HistoryRead(deal_id=deal.deal_id, complete=True, stage_changes=(entry,))
            if untouched and deal.first_won_at is None
            else None
        )
    if deal.closed_at is None or (deal.first_won_at is not None and deal.first_won_at != deal.won_at):
        return None
    closing = StageChange(
        event_id=f"{deal.status}:{deal.closed_at.isoformat()}",
        deal_id=deal.deal_id,
        changed_at=deal.closed_at,
        to_stage_id=deal.status,
        to_pipeline_id=deal.pipeline_id,
        sequence=2,
    )
    note = "inferred from the deal's own times: it never left its first stage; a loss and reopening there would not be seen"
    return HistoryRead(deal_id=deal.deal_id, complete=True, stage_changes=(entry, closing), note=note)


class _Line(msgspec.Struct, frozen=True):
    key: str
    old: str | None
    new: str | None
    at: datetime
    by: str | None
    number: int
    raw: Mapping[str, Any]


def replay(deal: Snapshot, changelog: Sequence[Mapping[str, Any]], pipeline_of: Mapping[str, str]) -> HistoryRead:
    """All changes of a deal from its changelog (newest first). Complete when it ends where the deal is; else the note says what is missing."""
    lines = [_line(item, number) for number, item in enumerate(reversed(changelog)) if item.get("field_key")]
    lines.sort(key=lambda line: line.at)
    walk = _Walk(deal, lines, pipeline_of)
    changes = tuple(walk.changes())
    note = walk.disagreement()
    return HistoryRead(
        deal_id=deal.deal_id,
        complete=note is None,
        stage_changes=changes,
        field_changes=tuple(_field_changes(deal, lines)),
        note=note,
    )


def _line(item: Mapping[str, Any], number_: int) -> _Line:
    at = instant(item.get("time"))
    if at is None:
        raise DataError("changelog: an entry without a time")
    return _Line(
        key=str(item["field_key"]),
        old=text(item.get("old_value")),
        new=text(item.get("new_value")),
        at=at,
        by=text(item.get("actor_user_id")),
        number=number_,
        raw=item,
    )


class _Walk:
    """Oldest first through the lines of stage, pipeline and status, one save (second) after the other."""

    def __init__(self, deal: Snapshot, lines: Sequence[_Line], pipeline_of: Mapping[str, str]) -> None:
        self._deal, self._pipeline_of = deal, pipeline_of
        self._lines = [line for line in lines if line.key in ("stage_id", "pipeline_id", "status")]
        stages = [line for line in self._lines if line.key == "stage_id"]
        # The creation itself may or may not be an entry; if it is, its old value is empty.
        self._created = stages[0] if stages and stages[0].old is None else None
        self.stage = (self._created.new if self._created else stages[0].old) if stages else deal.stage_id
        self.pipeline = self._first("pipeline_id", deal.pipeline_id)
        self.status = self._first("status", deal.status) or "open"
        self._moved_at: datetime | None = None
        self._count = 0
        self._ids: dict[str, int] = {}

    def _first(self, key: str, now: str | None) -> str | None:
        changes = [line for line in self._lines if line.key == key]
        if not changes:
            return now
        return changes[0].old if changes[0].old is not None else changes[0].new

    def changes(self) -> Iterator[StageChange]:
        """Entry, moves, closings and reopenings, oldest first."""
        start = self._created.at if self._created else self._deal.added_at
        if self.stage is not None and start is not None:
            yield self._change(start, self.stage, None, evidence="exact" if self._created else "created")
        if self.status in CLOSED and not any(line.key == "status" for line in self._lines):
            closed = self._deal.closed_at or start
            yield from self._until(closed)
            if closed is not None:
                yield self._change(closed, self.status, None)
            return
        if self.status in CLOSED and start is not None:
            yield self._change(start, self.status, None)
        yield from self._until(None)

    def _until(self, closed: datetime | None) -> Iterator[StageChange]:
        """Moves of an open deal; with `closed` set, the status never changed in the log and moves are those before it."""
        if closed is not None:
            self.status = "open"
        for save in self._saves():
            yield from self._save(save)
        if closed is not None:
            self.status = self._deal.status

    def _saves(self) -> Iterator[list[_Line]]:
        save: list[_Line] = []
        for line in self._lines:
            if line is self._created:
                continue
            if save and save[0].at != line.at:
                yield save
                save = []
            save.append(line)
        if save:
            yield save

    def _save(self, save: Sequence[_Line]) -> Iterator[StageChange]:
        """Lines of one second. A move to another pipeline writes pipeline and stage; a reopening comes before its move, a closing after it."""
        statuses = [line for line in save if line.key == "status"]
        if len(statuses) <= 1:
            rank = {"pipeline_id": 0, "stage_id": 2}
            save = sorted(save, key=lambda line: rank.get(line.key, 1 if line.new not in CLOSED else 3))
        for line in save:
            if line.key == "pipeline_id":
                self.pipeline = line.new
            elif line.key == "stage_id":
                self.stage, self._moved_at = line.new, line.at
                if self.status not in CLOSED and line.new is not None:
                    yield self._change(line.at, line.new, line)
            elif line.new in CLOSED and line.new != self.status:
                self.status = line.new
                yield self._change(line.at, line.new, line)
            elif line.new == "open" and self.status in CLOSED:
                self.status = "open"
                if self.stage is not None and not any(other.key == "stage_id" for other in save):
                    yield self._change(line.at, self.stage, line)

    def _change(self, at: datetime, to_stage: str, line: _Line | None, evidence: Evidence = "exact") -> StageChange:
        # Made of content alone: a reading with a call and one without give one and the same event the same id.
        name = f"{to_stage}:{at.isoformat()}"
        twin = self._ids.get(name, 0)
        self._ids[name] = twin + 1
        self._count += 1
        return StageChange(
            event_id=f"{name}:{twin}" if twin else name,
            deal_id=self._deal.deal_id,
            changed_at=at,
            to_stage_id=to_stage,
            to_pipeline_id=self.pipeline if to_stage in CLOSED else self._pipeline_of.get(to_stage, self.pipeline),
            changed_by_id=line.by if line else None,
            sequence=self._count,
            evidence=evidence,
            raw=line.raw if line else {},
        )

    def disagreement(self) -> str | None:
        """What the replay and the deal do not agree on; None when they do."""
        deal = self._deal
        if self.stage != deal.stage_id:
            return "the changelog ends in another stage than the deal is in"
        if self.status != deal.status:
            return "the changelog ends with another status than the deal has"
        if deal.moved_at is not None and self._moved_at != deal.moved_at:
            return "the changelog lacks the deal's last move"
        return None


def _field_changes(deal: Snapshot, lines: Sequence[_Line]) -> Iterator[FieldChange]:
    for line in lines:
        field = _FIELDS.get(line.key)
        if field is None or (line.old is None and line.at == deal.added_at):
            continue
        old, new = _canonical(field, line.old), _canonical(field, line.new)
        if old != new:
            yield FieldChange(
                event_id=f"{line.key}:{line.at.isoformat()}:{line.number}",
                deal_id=deal.deal_id,
                field=field,
                changed_at=line.at,
                old_value=old,
                new_value=new,
                changed_by_id=line.by,
                sequence=line.number,
                raw=line.raw,
            )


def _canonical(field: str, value: str | None) -> str | None:
    if value is None:
        return None
    if field == "amount":
        found = number(value)
        return None if found is None else format(found, "f")
    if field == "expected_close_date":
        found_day = day(value)
        return None if found_day is None else found_day.isoformat()
    return value
