"""From events to visits, movements and the state of a deal, straight from the words of the specification (analytics sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from tests.warehouse.independent.world import Deal, Stage, World

CLOSED = ("won", "lost")


@dataclass
class Visit:
    stage: Stage
    outcome: str  # what the stage meant then
    entered: datetime
    movement: str  # how the deal came here
    unseen_entry: bool
    exited: datetime | None = None
    exit_movement: str | None = None
    number: int = 1  # nth visit of this stage
    end: datetime | None = None  # exit, or the last instant we know of

    @property
    def days(self) -> float:
        return max((self.end - self.entered) / timedelta(milliseconds=1), 0) / 86_400_000

    @property
    def milliseconds(self) -> int:
        return max(round((self.end - self.entered) / timedelta(milliseconds=1)), 0)

    @property
    def is_open(self) -> bool:
        return self.outcome == "open"

    @property
    def is_timed_wait(self) -> bool:
        """An open visit whose entry somebody saw."""
        return self.is_open and not self.unseen_entry


@dataclass
class Story:
    """A deal with its visits and what follows from them now."""

    deal: Deal
    visits: list[Visit] = field(default_factory=list)
    outcome: str = "open"
    closed_at: datetime | None = None
    closing_pipeline: str | None = None
    closing_owner: str | None = None
    started_at: datetime | None = None
    last_open_stage: str | None = None

    @property
    def is_living(self) -> bool:
        return self.deal.deleted_at is None and self.deal.merged_into is None

    @property
    def key(self) -> str:
        return self.deal.key


def stories(world: World) -> list[Story]:
    """Every deal's story as of `world.as_of`."""
    stages = {stage.key: stage for stage in world.stages}
    through = {source.key: min(source.data_through, world.as_of) for source in world.sources}
    return [_story(deal, stages, world.as_of, through[deal.source]) for deal in world.deals]


def _story(deal: Deal, stages: dict[str, Stage], as_of: datetime, known_until: datetime) -> Story:
    story = Story(deal)
    seen: dict[str, int] = {}
    for event in sorted((e for e in deal.events if e.at < as_of), key=lambda e: (e.at, e.sequence)):
        stage = stages[event.stage]
        outcome = event.outcome or stage.outcome
        before = story.visits[-1] if story.visits else None
        if before and before.stage.key == stage.key and before.outcome == outcome:
            continue
        movement = _movement(before, stage, outcome)
        if before:
            before.exited, before.exit_movement = event.at, movement
        seen[stage.key] = seen.get(stage.key, 0) + 1
        story.visits.append(
            Visit(
                stage,
                outcome,
                event.at,
                movement,
                event.evidence == "observed" and outcome == "open",
                number=seen[stage.key],
            )
        )
    for visit in story.visits:
        visit.end = visit.exited or deal.deleted_at or known_until
    _close(story)
    return story


def _movement(before: Visit | None, stage: Stage, outcome: str) -> str:
    if before is None:
        return "enter"
    if before.stage.pipeline != stage.pipeline:
        return "pipeline_move"
    if outcome in CLOSED:
        return "lateral" if before.outcome == outcome else outcome
    if before.outcome in CLOSED:
        return "reopen"
    old, new = before.stage.order, stage.order
    if old is None or new is None or old == new:
        return "lateral"
    return "forward" if new > old else "backward"


def _close(story: Story) -> None:
    visits = story.visits
    story.started_at = min(story.deal.created_at, visits[0].entered)
    story.outcome = visits[-1].outcome
    opened = [visit for visit in visits if visit.is_open]
    story.last_open_stage = opened[-1].stage.key if opened else None
    if story.outcome == "open":
        return
    run = len(visits) - 1
    while run and visits[run - 1].outcome == story.outcome:
        run -= 1
    story.closed_at = visits[run].entered
    story.closing_pipeline = visits[run].stage.pipeline
    story.closing_owner = field_at(story.deal, "owner", story.closed_at)


def field_at(deal: Deal, name: str, instant: datetime, today: object = None) -> object:
    """The field's value as text just at `instant`: the old value of the first change at or after it, else today's."""
    later = [change for change in deal.changes if change.field == name and change.at >= instant]
    if later:
        return later[0].old
    return {"owner": deal.owner, "amount": deal.amount, "expected_close_date": deal.close_date}[name]


def pushes(story: Story) -> int:
    """How often the close date was moved later."""
    moves = [(c.old, c.new) for c in story.deal.changes if c.field == "expected_close_date"]
    return sum(1 for old, new in moves if old and new and new > old)


def local_day(instant: datetime, zone: str) -> date:
    """The calendar day of a UTC instant in the reporting zone."""
    return instant.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).date()


def period(grain: str, day: date | None) -> date | None:
    """The first day of the period."""
    if grain == "all" or day is None:
        return None
    if grain == "month":
        return day.replace(day=1)
    if grain == "quarter":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    raise ValueError(grain)


def money(values: list[Decimal | None]) -> Decimal | None:
    """Sum of what is known: 0 of nothing, None when nothing is known."""
    known = [value for value in values if value is not None]
    if values and not known:
        return None
    return sum(known, Decimal(0))
