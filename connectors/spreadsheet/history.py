"""Stage history out of a sheet: from columns of dates (wide, or a few beside a stage column) and from the rows of a change log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from connectors.sdk.records import HistoryRead, StageChange
from connectors.spreadsheet import words
from connectors.spreadsheet.draft import Draft, StageDay
from connectors.spreadsheet.ladder import stage_id

#: The place of a close date among the columns of stage dates: after all of them.
_CLOSING = 1_000_000


class History(msgspec.Struct, kw_only=True):
    """The history of one deal, its last stage, and what is odd about it (codes, counted over the table)."""

    read: HistoryRead
    last_stage: str | None = None
    entered_at: datetime | None = None
    created_at: datetime | None = None
    closed_at: datetime | None = None
    dates_only: bool = False
    oddities: tuple[str, ...] = ()


def from_dates(
    draft: Draft, *, pipeline_id: str, known_until: datetime, read_at: datetime | None, names_stage: bool
) -> History:
    """History from a row with stage dates. `names_stage`: the row also names the present stage (then a close date closes a closed one).

    - A date after `known_until` is a plan, not an event.
    - The entry into the first stage cannot come after the close: such a date is kept as the creation time only.
    - A closed present stage without a date column of its own was entered on the close date, when that is not in the future.
    """
    oddities: list[str] = []
    days = [day for day in draft.stage_days if day.at <= known_until]
    if len(days) < len(draft.stage_days):
        oddities.append("planned_dates")
    closing = _closing(draft, known_until, [day.stage for day in days]) if names_stage else None
    if closing is not None:
        days = [*days, closing]
    days = sorted(_within_day(days), key=lambda day: (day.at, day.order))
    closes = [day for day in days if words.outcome_of(day.stage) in ("won", "lost")]
    created = None
    if closes:
        late = [day for day in days if day.at > closes[-1].at and day.order == 0]
        if late or (closing is not None and days[-1].order != _CLOSING):
            oddities.append("entered_after_close")
            after = late or [day for day in days if day.at > closes[-1].at]
            created = min((day.at for day in after if day.order == 0), default=None)
            days = [day for day in days if day not in after]
    if any(later.order < earlier.order for earlier, later in pairwise(days)):
        oddities.append("moves_back")
    changes = tuple(
        _change(draft.key, pipeline_id, place, day, days, names_stage=names_stage) for place, day in enumerate(days)
    )
    return History(
        read=HistoryRead(deal_id=draft.key, complete=True, stage_changes=changes, read_at=read_at),
        last_stage=days[-1].stage if days else None,
        entered_at=days[-1].at if days else None,
        created_at=created,
        closed_at=days[-1].at if closes and days[-1] is closes[-1] else None,
        dates_only=bool(days) and not any(day.has_time for day in days),
        oddities=tuple(oddities),
    )


def _within_day(days: Sequence[StageDay]) -> list[StageDay]:
    """Days without a time beside instants of the same day: a later stage's day is put at the instant, not before it."""
    timed = [day for day in days if day.has_time]
    placed = []
    for day in days:
        if not day.has_time:
            same = [
                other.at
                for other in timed
                if other.order < day.order and day.at <= other.at < day.at + timedelta(days=1)
            ]
            day = StageDay(day.stage, day.order, max([day.at, *same]), has_time=False)  # noqa: PLW2901
        placed.append(day)
    return placed


def _closing(draft: Draft, known_until: datetime, dated: Sequence[str]) -> StageDay | None:
    """The entry into a won or lost present stage, on the close date beside it."""
    if draft.stage is None or draft.close_at is None or words.outcome_of(draft.stage) not in ("won", "lost"):
        return None
    if stage_id(draft.stage) in {stage_id(stage) for stage in dated} or draft.close_at > known_until:
        return None
    return StageDay(draft.stage, _CLOSING, draft.close_at, draft.close_has_time)


def _change(
    key: str, pipeline: str, place: int, day: StageDay, days: Sequence[StageDay], *, names_stage: bool
) -> StageChange:
    """One event. Where the sheet dates every stage, the previous date tells where the deal came from; beside a stage column it does not."""
    before = days[place - 1] if place and not names_stage else None
    return StageChange(
        event_id=f"{pipeline}:{stage_id(day.stage)}",
        deal_id=key,
        changed_at=day.at,
        to_stage_id=stage_id(day.stage),
        to_pipeline_id=pipeline,
        from_stage_id=stage_id(before.stage) if before else None,
        from_pipeline_id=pipeline if before else None,
        to_stage_label=day.stage,
        sequence=place,
        evidence="exact",
        precision="instant" if day.has_time else "day",
        raw={"stage": day.stage, "at": day.at.isoformat()},
    )


def from_log(key: str, entries: Sequence[Draft], *, pipeline_ids: Sequence[str], read_at: datetime | None) -> History:
    """History from the rows of a log, in order of time, then of rows. Rows without a time or a stage must be left out before."""
    ordered = sorted(zip(entries, pipeline_ids, strict=True), key=lambda pair: (pair[0].changed_at, pair[0].row))
    changes: list[StageChange] = []
    oddities: list[str] = []
    seen: dict[str, int] = {}
    last: str | None = None
    for place, (entry, pipeline) in enumerate(ordered):
        assert entry.stage is not None
        assert entry.changed_at is not None
        came_from = stage_id(entry.from_stage) if entry.from_stage else None
        if came_from is not None and last is not None and came_from != last:
            oddities.append("log_gap")
        last = stage_id(entry.stage)
        base = f"{entry.changed_at.isoformat()}:{last}"
        seen[base] = seen.get(base, 0) + 1
        changes.append(
            StageChange(
                event_id=base if seen[base] == 1 else f"{base}#{seen[base]}",
                deal_id=key,
                changed_at=entry.changed_at,
                to_stage_id=last,
                to_pipeline_id=pipeline,
                from_stage_id=came_from,
                from_pipeline_id=pipeline if came_from else None,
                to_stage_label=entry.stage,
                changed_by_id=words.fold(entry.changed_by) if entry.changed_by else None,
                sequence=place,
                evidence="exact",
                precision="instant" if entry.changed_has_time else "day",
                raw=entry.raw,
            )
        )
    final = ordered[-1][0] if ordered else None
    return History(
        read=HistoryRead(deal_id=key, complete=True, stage_changes=tuple(changes), read_at=read_at),
        last_stage=final.stage if final else None,
        entered_at=final.changed_at if final else None,
        closed_at=final.changed_at if final and words.outcome_of(final.stage) in ("won", "lost") else None,
        dates_only=bool(ordered) and not any(entry.changed_has_time for entry, _ in ordered),
        oddities=tuple(oddities),
    )
