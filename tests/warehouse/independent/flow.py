"""The open pipeline over time (analytics section 10): each deal looked at on each day, and at the begin and end of each period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from tests.warehouse.independent.calc import Calculation, Mart
from tests.warehouse.independent.history import Story, Visit, field_at, local_day, money, period

ENTRIES = ("new", "reopened", "transferred_in", "pulled_in", "slipped_in")
EXITS = ("won", "lost", "pushed_out", "moved_earlier", "transferred_out", "deleted")


@dataclass(frozen=True)
class Window:
    """A period: its days [first, after), and the instants [begin, end) of it that have happened."""

    grain: str
    first: date
    after: date
    begin: datetime
    end: datetime

    def holds(self, day: date | None) -> bool:
        return day is not None and self.first <= day < self.after


@dataclass(frozen=True)
class Line:
    """What one deal did in one period; buckets are None for a deal that was inside at that end of it."""

    story: Story
    opening: bool
    closing: bool
    before: Decimal | None
    after: Decimal | None
    entry: str | None
    exit: str | None

    @property
    def change(self) -> Decimal:
        return (self.after or Decimal(0)) - (self.before or Decimal(0)) if self.opening else Decimal(0)


def gone(story: Story, instant: datetime) -> bool:
    return story.deal.deleted_at is not None and story.deal.deleted_at < instant


def stands(story: Story, instant: datetime) -> Visit | None:
    """Where the deal was just before the instant, deleted or not; None before its first event."""
    return next((visit for visit in reversed(story.visits) if visit.entered < instant), None)


def amount_at(story: Story, instant: datetime) -> Decimal | None:
    value = field_at(story.deal, "amount", instant)
    return None if value is None else Decimal(value)


def due_at(story: Story, instant: datetime) -> date | None:
    value = field_at(story.deal, "expected_close_date", instant)
    return None if value is None else value if isinstance(value, date) else date.fromisoformat(value)


class FlowCalculation(Calculation):
    """The pipeline by day, and its waterfalls."""

    def midnight(self, day: date) -> datetime:
        """The instant at which a day begins in the reporting zone, at most as_of."""
        begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.world.zone))
        return min(begins.astimezone(UTC).replace(tzinfo=None), self.world.as_of)

    @property
    def last_day(self) -> date:
        return local_day(self.world.as_of - timedelta(microseconds=1), self.world.zone)

    @cached_property
    def amount_basis(self) -> dict[str, str]:
        told = {s.deal.source for s in self.stories if any(c.field == "amount" for c in s.deal.changes)}
        return {source.key: "history" if source.key in told else "current" for source in self.world.sources}

    def pipeline_daily(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Decimal | None]] = defaultdict(list)
        for story in self.stories:
            for day, stage, amount in self._open_days(story):
                cells[day, stage].append(amount)
        today = local_day(self.world.as_of, self.world.zone)
        return {
            (day, key): {
                "open_count": len(amounts),
                "open_amount": money(amounts),
                "amount_missing_count": amounts.count(None),
                "weighted_amount": _times(money(amounts), self.stage[key].probability),
                "amount_basis": self.amount_basis[key.split(":")[0]],
                "is_partial": day == today,
            }
            for (day, key), amounts in cells.items()
        }

    def _open_days(self, story: Story) -> Iterable[tuple[date, str, Decimal | None]]:
        """Each day at whose end the deal was open, with its stage and amount then."""
        for visit in story.visits:
            if not visit.is_open:
                continue
            day = local_day(visit.entered, self.world.zone)
            while day <= self.last_day:
                midnight = self.midnight(day + timedelta(days=1))
                if stands(story, midnight) is not visit or gone(story, midnight):
                    break
                yield day, visit.stage.key, amount_at(story, midnight)
                day += timedelta(days=1)

    # -- the waterfall ------------------------------------------------------------------------------------------------

    @cached_property
    def windows(self) -> list[Window]:
        """Every month and quarter from the first event to as_of."""
        day = min((local_day(s.visits[0].entered, self.world.zone) for s in self.stories), default=self.last_day)
        starts: dict[tuple[str, date], None] = {}
        while day <= self.last_day:
            for grain in ("month", "quarter"):
                starts[grain, period(grain, day)] = None
            day += timedelta(days=1)
        found = []
        for grain, first in starts:
            after = first
            while period(grain, after) == first:
                after += timedelta(days=1)
            found.append(Window(grain, first, after, self.midnight(first), self.midnight(after)))
        return found

    @cached_property
    def lines(self) -> dict[tuple[Any, ...], list[Line]]:
        """(kind, source, pipeline or all, window) -> its deals, those that did not move too."""
        found: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
        for story in self.stories:
            for window in self.windows:
                if window.end <= story.visits[0].entered or gone(story, window.begin):
                    continue
                for scope in (*self._pipelines(story), "all"):
                    for kind in ("total", "closing_in_period"):
                        line = _line(story, scope, window, kind)
                        if line:
                            found[kind, story.deal.source, scope, window].append(line)
        return found

    @staticmethod
    def _pipelines(story: Story) -> set[str]:
        end = story.deal.deleted_at
        return {visit.stage.pipeline for visit in story.visits if end is None or visit.entered < end}

    def pipeline_waterfall_deals(self) -> Mart:
        found: Mart = {}
        for (kind, source, scope, window), lines in self.lines.items():
            for line in lines:
                is_mover = len(self._pipelines(line.story)) > 1
                if (scope == "all" and not is_mover) or (line.opening and line.closing and not line.change):
                    continue
                found[kind, window.grain, window.first, scope, line.story.key] = {
                    "source_key": source,
                    "is_in_all": scope == "all" or not is_mover,
                    "is_primary": line.story.deal.is_primary,
                    "entry_bucket": line.entry,
                    "exit_bucket": line.exit,
                    "opening_amount": line.before if line.opening else None,
                    "change_amount": line.change,
                    "end_amount": line.after,
                }
        return found

    def pipeline_waterfall(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
        for (kind, source, scope, window), lines in self.lines.items():
            cells[kind, source, scope, window] += lines
            if scope == "all":
                cells[kind, "all", "all", window] += [line for line in lines if line.story.deal.is_primary]
        return {
            (kind, source, scope, window.grain, window.first): self._cell(lines, source)
            | {"is_partial": window.holds(local_day(self.world.as_of, self.world.zone))}
            for (kind, source, scope, window), lines in cells.items()
            if lines
        }

    def _cell(self, lines: list[Line], source: str) -> dict[str, Any]:
        def bucket(
            name: str, holds: Callable[[Line], bool], amount: Callable[[Line], Decimal | None]
        ) -> dict[str, Any]:
            chosen = [line for line in lines if holds(line)]
            return {f"{name}_count": len(chosen), f"{name}_amount": money([amount(line) for line in chosen])}

        row = bucket("opening", lambda line: line.opening, lambda line: line.before)
        row |= bucket("closing", lambda line: line.closing, lambda line: line.after)
        row |= bucket("increase", lambda line: line.change > 0, lambda line: line.change)
        row |= bucket("decrease", lambda line: line.change < 0, lambda line: -line.change)
        for name in ENTRIES:
            row |= bucket(name, lambda line, name=name: line.entry == name, lambda line: line.after)
        for name in EXITS:
            row |= bucket(name, lambda line, name=name: line.exit == name, lambda line: line.after)
        known = set(self.amount_basis.values())
        basis = known.pop() if source == "all" and len(known) == 1 else self.amount_basis.get(source, "mixed")
        missing = sum(line.after is None for line in lines)
        return row | {"amount_missing_count": missing, "check_amount": Decimal(0), "amount_basis": basis}


def _line(story: Story, scope: str, window: Window, kind: str) -> Line | None:
    """The deal in the period, seen from one pipeline or from all; None when it takes no part in it."""
    a, b = window.begin, window.end

    def inside(instant: datetime) -> bool:
        visit = stands(story, instant)
        if visit is None or not visit.is_open or gone(story, instant) or scope not in ("all", visit.stage.pipeline):
            return False
        return kind == "total" or window.holds(due_at(story, instant))

    opening, closing = inside(a), inside(b)
    entry, exit_ = _entry(story, scope, window), _exit(story, scope, window)
    if not opening and not closing:
        stays = [
            v for v in story.visits if v.is_open and scope in ("all", v.stage.pipeline) and _within(story, v, a, b)
        ]
        if not stays:
            return None
        if kind != "total":
            left = stays[-1].exited
            if exit_ not in ("won", "lost") or (exit_ == "lost" and not window.holds(due_at(story, left))):
                return None
    return Line(
        story,
        opening,
        closing,
        amount_at(story, a),
        amount_at(story, b),
        None if opening else entry,
        None if closing else exit_,
    )


def _within(story: Story, visit: Visit, a: datetime, b: datetime) -> bool:
    """The visit had a part in [a, b) before the deal was deleted."""
    end = story.deal.deleted_at
    return visit.entered < b and (visit.exited is None or visit.exited >= a) and (end is None or visit.entered < end)


def _entry(story: Story, scope: str, window: Window) -> str:
    before = stands(story, window.begin)
    if before is None:
        return "new" if scope in ("all", story.visits[0].stage.pipeline) else "transferred_in"
    if scope not in ("all", before.stage.pipeline):
        return "transferred_in"
    if not before.is_open:
        return "reopened"
    due = due_at(story, window.begin)
    return "slipped_in" if due is not None and due < window.first else "pulled_in"


def _exit(story: Story, scope: str, window: Window) -> str:
    if gone(story, window.end):
        return "deleted"
    now = stands(story, window.end)
    if scope not in ("all", now.stage.pipeline):
        here = [v for v in story.visits if v.entered < window.end and v.stage.pipeline == scope]
        return here[-1].outcome if here and not here[-1].is_open else "transferred_out"
    if not now.is_open:
        return now.outcome
    due = due_at(story, window.end)
    return "moved_earlier" if due is not None and due < window.first else "pushed_out"


def _times(amount: Decimal | None, probability: float | None) -> Decimal | None:
    if amount is None or probability is None:
        return None
    exact = amount * Decimal(probability).quantize(Decimal("1e-12"), ROUND_HALF_UP)
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
