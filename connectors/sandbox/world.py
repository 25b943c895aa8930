"""A made-up company that every sandbox CRM shows in its own words: the one truth behind all of them.

Nothing here knows a vendor. Ids are small integers, instants are epoch *milliseconds* in UTC (`*_ms`; CRMs with
whole seconds cut them), amounts are `Decimal` or None when nobody knows. Won and lost are stages (`Stage.outcome`);
a CRM that keeps them as a status derives that from the last open stage.

    world = World(seed=7, deals=200)          # the same seed gives the same company, on every machine
    world.move(world.cases["open"], "Proposal")
    world.advance(days=1, changes=100)        # deterministic, too
    world.stage_path(deal_id)                 # what a perfect sync would know

How to build a CRM on it: keep your own rendered rows, remember `len(world.journal)`, and re-render only the deals
named in the part of the journal that is new. Take `world.lock` while reading or changing anything.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.sandbox.worldparts import (
    ARCHIVED,
    DAY_MS,
    DEFAULT_NOW,
    DELETED,
    LOST,
    MERGED,
    OPEN,
    PRESENT,
    PURGED,
    WON,
    Change,
    Company,
    CustomField,
    Deal,
    Event,
    LockedDealError,
    Owner,
    Pipeline,
    Stage,
    StageVisit,
    to_date,
    to_datetime,
    to_ms,
)

__all__ = [
    "ARCHIVED",
    "DAY_MS",
    "DEFAULT_NOW",
    "DELETED",
    "LOST",
    "MERGED",
    "OPEN",
    "PRESENT",
    "PURGED",
    "WON",
    "Change",
    "Company",
    "CustomField",
    "Deal",
    "Event",
    "LockedDealError",
    "Owner",
    "Pipeline",
    "Stage",
    "StageVisit",
    "World",
    "to_date",
    "to_datetime",
    "to_ms",
]


@dataclass(order=True, slots=True)
class _Pending:
    commit_ms: int
    number: int
    stamp_ms: int = field(compare=False)
    deal_id: int | None = field(compare=False)
    values: dict[str, Any] = field(compare=False)


_COLUMNS = {
    "stage": "stage_id",
    "pipeline": "pipeline_id",
    "owner": "owner_id",
    "company": "company_id",
    "name": "name",
    "amount": "amount",
    "currency": "currency",
    "close_date": "close_date",
    "lost_reason": "lost_reason",
}


class World:
    """The company. Everything public is safe to read; change it only through methods, so that the journal stays true.

    `cases` names the deals with a story ("reopened", "skipped", "backward", …: see `worldcases.CASES`), `journal` lists
    what changed, in order, as (kind, id) with kind deal, stage, pipeline, owner, company or visibility.
    """

    def __init__(
        self,
        seed: int = 7,
        now: dt.datetime | int = DEFAULT_NOW,
        deals: int = 200,
        *,
        months: int = 24,
        multi_currency: bool = True,
        cases: bool = True,
        owners: int = 12,
        companies: int | None = None,
    ) -> None:
        from connectors.sandbox import worldseed  # noqa: PLC0415  (it needs the classes above)

        if months < 3:
            raise ValueError("world: the deals with a story need at least 3 months of past")
        self.seed = seed
        self.lock = threading.RLock()
        self.now_ms = to_ms(now)
        self.multi_currency = multi_currency
        self.home_currency = "USD"
        self.rates: dict[str, Decimal] = {"USD": Decimal(1)}  # units of that currency for one unit of the home currency
        self.pipelines: dict[int, Pipeline] = {}
        self.stages: dict[int, Stage] = {}
        self.owners: dict[int, Owner] = {}
        self.companies: dict[int, Company] = {}
        self.deals: dict[int, Deal] = {}
        self.custom_fields: dict[str, CustomField] = {}
        self.cases: dict[str, int] = {}
        self.journal: list[tuple[str, int]] = []
        self.hidden: dict[str, set[int]] = {}  # user -> deal ids that sharing rules keep from that user
        self.hidden_fields: set[tuple[str, str]] = set()  # (object, neutral field name)
        self.steps = 0  # how often time was moved on; part of the randomness of each step
        self._pending: list[_Pending] = []
        self._next = {"deal": 1, "event": 1, "company": 1, "pending": 1}
        worldseed.populate(
            self, deals=deals, months=months, owners=owners, companies=companies or max(5, deals // 4), cases=cases
        )
        self.journal.clear()

    # --- what is there --------------------------------------------------------------------------------------

    @property
    def now(self) -> dt.datetime:
        """The world's own clock; nothing here reads the machine's."""
        return to_datetime(self.now_ms)

    def take_id(self, kind: str) -> int:
        """The next free id of a kind (deal, event, company)."""
        number = self._next[kind]
        self._next[kind] = number + 1
        return number

    def pipeline_stages(self, pipeline_id: int, *, gone: bool = False) -> list[Stage]:
        """Stages of one pipeline in order; `gone` adds those the CRM has forgotten."""
        found = [s for s in self.stages.values() if s.pipeline_id == pipeline_id and (gone or not s.gone)]
        return sorted(found, key=lambda s: (s.order, s.id))

    def stage(self, pipeline_id: int, which: int | str) -> Stage:
        """A stage by id, or by name or label within a pipeline (or by outcome: `won` finds its first such stage)."""
        if isinstance(which, int):
            return self.stages[which]
        candidates = self.pipeline_stages(pipeline_id, gone=True)
        for stage in candidates:
            if which in (stage.name, stage.label):
                return stage
        for stage in candidates:
            if stage.outcome == which and stage.active:
                return stage
        raise KeyError(f"world: pipeline {pipeline_id} has no stage {which!r}")

    def live(self, user: str | None = None) -> Iterator[Deal]:
        """Deals that are there (present or archived), less those hidden from `user`."""
        unseen = self.hidden.get(user, set()) if user else set()
        for deal in self.deals.values():
            if deal.presence in (PRESENT, ARCHIVED) and deal.id not in unseen:
                yield deal

    def tombstones(self) -> dict[int, str]:
        """Deal id -> deleted, merged or purged, for every deal that is no longer there."""
        return {d.id: d.presence for d in self.deals.values() if d.presence in (DELETED, MERGED, PURGED)}

    def stage_path(self, deal_id: int) -> list[StageVisit]:
        """Every entry into a stage, the first included, oldest first; saves that left the stage alone do not count."""
        path: list[StageVisit] = []
        pipeline_id = stage_id = 0
        for event in self.deals[deal_id].events:
            for change in event.changes:
                if change.field == "pipeline":
                    pipeline_id = change.new
                elif change.field == "stage":
                    stage_id = change.new
            if not path or path[-1][1:] != (pipeline_id, stage_id):
                path.append(StageVisit(event.at_ms, pipeline_id, stage_id))
        return path

    def field_path(self, deal_id: int, name: str) -> list[tuple[int, Any]]:
        """(instant, value after) of every change of one field, creation first."""
        return [(e.at_ms, c.new) for e in self.deals[deal_id].events for c in e.changes if c.field == name]

    def last_open_stage(self, deal: Deal) -> Stage | None:
        """The stage the deal was last open in; None if it was born closed."""
        for event in reversed(deal.events):
            for change in event.changes:
                if change.field == "stage" and self.stages[change.new].outcome == OPEN:
                    return self.stages[change.new]
        return None

    def closed_ms(self, deal: Deal) -> int | None:
        """When the deal entered the closed stage it is in; None while open."""
        if self.stages[deal.stage_id].outcome == OPEN:
            return None
        outcome, at_ms = self.stages[deal.stage_id].outcome, None
        for visit in self.stage_path(deal.id):
            if self.stages[visit.stage_id].outcome != outcome:
                at_ms = None
            elif at_ms is None:
                at_ms = visit.at_ms
        return at_ms

    # --- changes to deals -----------------------------------------------------------------------------------

    def create(
        self,
        pipeline: int = 1,
        stage: int | str | None = None,
        *,
        at: dt.datetime | int | None = None,
        actor_id: int | None = None,
        **values: Any,
    ) -> Deal:
        """A new deal. `values`: name, amount, currency, close_date, owner_id, company_id, lost_reason, custom."""
        with self.lock:
            at_ms = self.now_ms if at is None else to_ms(at)
            entry = self.pipeline_stages(pipeline)[0] if stage is None else self.stage(pipeline, stage)
            owner_id = values.pop("owner_id", None) or next(o.id for o in self.owners.values() if o.active)
            deal_id = self.take_id("deal")
            deal = Deal(
                id=deal_id,
                name=values.pop("name", f"Deal {deal_id}"),
                pipeline_id=pipeline,
                stage_id=entry.id,
                amount=values.pop("amount", None),
                currency=values.pop("currency", self.home_currency),
                close_date=values.pop("close_date", to_date(at_ms) + dt.timedelta(days=60)),
                owner_id=owner_id,
                company_id=values.pop("company_id", None),
                created_ms=at_ms,
                modified_ms=at_ms,
                stamp_ms=at_ms,
                lost_reason=values.pop("lost_reason", None),
                custom=values.pop("custom", None) or {},
            )
            if values:
                raise TypeError(f"world.create: unknown values {sorted(values)}")
            self.record_creation(deal, actor_id or owner_id)
            self.journal.append(("deal", deal_id))
            return deal

    def record_creation(self, deal: Deal, actor_id: int) -> None:
        """Put a deal into the world with its first event."""
        changes = [Change(name, None, getattr(deal, column)) for name, column in _COLUMNS.items()]
        changes = [c for c in changes if c.new is not None or c.field == "amount"]
        changes += [Change(f"custom:{key}", None, value) for key, value in deal.custom.items()]
        deal.events.append(Event(self.take_id("event"), deal.created_ms, actor_id, tuple(changes)))
        self.deals[deal.id] = deal

    def edit(
        self, deal_id: int, *, at: dt.datetime | int | None = None, actor_id: int | None = None, **values: Any
    ) -> Event | None:
        """One save: any of stage, pipeline, owner, company (ids), name, amount, currency, close_date, lost_reason,
        presence, custom (a dict to merge). Values already so are left out; a save that changes nothing gives None.
        """
        with self.lock:
            deal = self.deals[deal_id]
            if any(p.deal_id == deal_id for p in self._pending):
                raise LockedDealError(f"world: deal {deal_id} is held by an uncommitted transaction")
            at_ms = self.now_ms if at is None else to_ms(at)
            changes = []
            for key, value in (values.pop("custom", None) or {}).items():
                if deal.custom.get(key) != value:
                    changes.append(Change(f"custom:{key}", deal.custom.get(key), value))
                    deal.custom = {**deal.custom, key: value}
            if "presence" in values and values["presence"] != deal.presence:
                changes.append(Change("presence", deal.presence, values["presence"]))
                deal.presence = values["presence"]
            values.pop("presence", None)
            for name, value in values.items():
                column = _COLUMNS[name]
                old = getattr(deal, column)
                if old != value:
                    changes.append(Change(name, old, value))
                    setattr(deal, column, value)
            if not changes:
                return None
            event = Event(self.take_id("event"), at_ms, actor_id or deal.owner_id, tuple(changes))
            deal.events.append(event)
            deal.modified_ms = max(deal.modified_ms, at_ms)
            deal.stamp_ms = max(deal.stamp_ms, at_ms)
            self.journal.append(("deal", deal_id))
            return event

    def move(
        self, deal_id: int, stage: int | str, *, at: dt.datetime | int | None = None, **values: Any
    ) -> Event | None:
        """Into another stage of the same pipeline (id, name, label, or the outcome won/lost)."""
        deal = self.deals[deal_id]
        target = self.stage(deal.pipeline_id, stage)
        if target.outcome == OPEN and self.stages[deal.stage_id].outcome == LOST:
            values.setdefault("lost_reason", None)
        return self.edit(deal_id, at=at, stage=target.id, **values)

    def change_pipeline(
        self, deal_id: int, pipeline: int, stage: int | str | None = None, *, at: dt.datetime | int | None = None
    ) -> Event | None:
        """Into another pipeline: pipeline and stage change in one save."""
        target = self.pipeline_stages(pipeline)[0] if stage is None else self.stage(pipeline, stage)
        return self.edit(deal_id, at=at, pipeline=pipeline, stage=target.id)

    def win(self, deal_id: int, *, at: dt.datetime | int | None = None, **values: Any) -> Event | None:
        """Closed and won; the close date becomes that day unless given."""
        at_ms = self.now_ms if at is None else to_ms(at)
        values.setdefault("close_date", to_date(at_ms))
        return self.move(deal_id, WON, at=at_ms, **values)

    def lose(
        self, deal_id: int, reason: str | None = "Price", *, at: dt.datetime | int | None = None, **values: Any
    ) -> Event | None:
        """Closed and lost, with the reason."""
        at_ms = self.now_ms if at is None else to_ms(at)
        values.setdefault("close_date", to_date(at_ms))
        return self.move(deal_id, LOST, at=at_ms, lost_reason=reason, **values)

    def reopen(
        self, deal_id: int, stage: int | str | None = None, *, at: dt.datetime | int | None = None
    ) -> Event | None:
        """Back into an open stage (default: the one it was last open in)."""
        deal = self.deals[deal_id]
        last = self.last_open_stage(deal)
        first = self.pipeline_stages(deal.pipeline_id)[0]
        target = (
            stage if stage is not None else (last.id if last and last.pipeline_id == deal.pipeline_id else first.id)
        )
        return self.move(deal_id, target, at=at)

    def touch(self, deal_ids: Iterable[int], *, at: dt.datetime | int | None = None) -> None:
        """An automated change that no person sees: only the system's own stamp moves."""
        with self.lock:
            at_ms = self.now_ms if at is None else to_ms(at)
            for deal_id in deal_ids:
                deal = self.deals[deal_id]
                deal.stamp_ms = max(deal.stamp_ms, at_ms)
                self.journal.append(("deal", deal_id))

    # --- presence -------------------------------------------------------------------------------------------

    def delete(self, deal_id: int, *, at: dt.datetime | int | None = None) -> None:
        """Into the recycle bin, from where it can be restored."""
        self.edit(deal_id, at=at, presence=DELETED)

    def restore(self, deal_id: int, *, at: dt.datetime | int | None = None) -> None:
        """Out of the bin (or the archive)."""
        self.edit(deal_id, at=at, presence=PRESENT)

    def archive(self, deal_id: int, *, at: dt.datetime | int | None = None) -> None:
        """Put away on purpose; still a deal."""
        self.edit(deal_id, at=at, presence=ARCHIVED)

    def purge(self, deal_id: int, *, at: dt.datetime | int | None = None) -> None:
        """Gone for good and without a trace: no CRM shows it any more, only this truth remembers."""
        self.edit(deal_id, at=at, presence=PURGED)

    def merge(self, loser_id: int, survivor_id: int, *, at: dt.datetime | int | None = None) -> None:
        """The loser's life goes on in the survivor; a missing amount or company is taken over."""
        with self.lock:
            loser, survivor = self.deals[loser_id], self.deals[survivor_id]
            loser.merged_into = survivor_id
            self.edit(loser_id, at=at, presence=MERGED)
            taken: dict[str, Any] = {}
            if survivor.amount is None and loser.amount is not None:
                taken["amount"] = loser.amount
            if survivor.company_id is None and loser.company_id is not None:
                taken["company"] = loser.company_id
            if not (taken and self.edit(survivor_id, at=at, **taken)):
                self.touch([survivor_id], at=at)

    def hide(self, deal_ids: Iterable[int], user: str = "api") -> None:
        """Sharing rules keep these deals from a user: they vanish for it exactly like a purge, no stamp moves."""
        with self.lock:
            for deal_id in deal_ids:
                self.hidden.setdefault(user, set()).add(deal_id)
                self.journal.append(("visibility", deal_id))

    def unhide(self, deal_ids: Iterable[int] | None = None, user: str = "api") -> None:
        """The user sees them again (all of them by default)."""
        with self.lock:
            unseen = self.hidden.setdefault(user, set())
            for deal_id in sorted(unseen) if deal_ids is None else list(deal_ids):
                unseen.discard(deal_id)
                self.journal.append(("visibility", deal_id))

    def hide_field(self, kind: str, name: str) -> None:
        """A field permission goes: `kind` deal, company or owner; `name` as in `Change.field` (or a custom key)."""
        self.hidden_fields.add((kind, name))

    def show_field(self, kind: str, name: str) -> None:
        """The field can be seen again."""
        self.hidden_fields.discard((kind, name))

    # --- set-up that changes --------------------------------------------------------------------------------

    def add_stage(
        self, pipeline_id: int, name: str, *, order: int, outcome: str = OPEN, probability: int = 50
    ) -> Stage:
        """A new stage."""
        with self.lock:
            stage = Stage(max(self.stages, default=0) + 1, pipeline_id, name, order, outcome, probability, label=name)
            stage.stamp_ms = self.now_ms
            self.stages[stage.id] = stage
            self.journal.append(("stage", stage.id))
            return stage

    def _stage_changed(self, stage: Stage) -> None:
        stage.stamp_ms = self.now_ms
        self.journal.append(("stage", stage.id))

    def rename_stage(self, stage_id: int, label: str) -> None:
        """Only what people see changes; id and API name stay."""
        with self.lock:
            self.stages[stage_id].label = label
            self._stage_changed(self.stages[stage_id])

    def remove_stage(self, stage_id: int, *, gone: bool = False) -> None:
        """Retire a stage; with `gone` the CRM forgets it and only history still names it."""
        with self.lock:
            self.stages[stage_id].active = False
            self.stages[stage_id].gone = gone
            self._stage_changed(self.stages[stage_id])

    def reorder_stages(self, pipeline_id: int, stage_ids: list[int]) -> None:
        """Give the named stages these positions (1, 2, …)."""
        with self.lock:
            for order, stage_id in enumerate(stage_ids, start=1):
                if self.stages[stage_id].pipeline_id != pipeline_id:
                    raise ValueError(f"world: stage {stage_id} is not in pipeline {pipeline_id}")
                self.stages[stage_id].order = order
                self._stage_changed(self.stages[stage_id])

    def set_owner(self, owner_id: int, **values: Any) -> None:
        """Change an owner: name, email, active, deleted."""
        with self.lock:
            for name, value in values.items():
                setattr(self.owners[owner_id], name, value)
            self.owners[owner_id].stamp_ms = self.now_ms
            self.journal.append(("owner", owner_id))

    def merge_companies(self, loser_id: int, survivor_id: int, *, at: dt.datetime | int | None = None) -> None:
        """The loser is deleted and names the survivor; its deals are re-pointed: only their system stamp moves."""
        with self.lock:
            at_ms = self.now_ms if at is None else to_ms(at)
            loser, survivor = self.companies[loser_id], self.companies[survivor_id]
            loser.presence, loser.merged_into = MERGED, survivor_id
            loser.stamp_ms = survivor.stamp_ms = at_ms
            moved = [d for d in self.deals.values() if d.company_id == loser_id]
            for deal in moved:
                deal.company_id = survivor_id
            self.touch([d.id for d in moved], at=at_ms)
            self.journal += [("company", loser_id), ("company", survivor_id)]

    # --- time -----------------------------------------------------------------------------------------------

    def late_commit(self, deal_id: int | None, by: float, **values: Any) -> None:
        """A long transaction: stamped now, visible `by` seconds later (when the clock has got there). `deal_id` None
        creates a deal. The row is locked until then, as in a database.
        """
        with self.lock:
            number = self.take_id("pending")
            self._pending.append(_Pending(self.now_ms + int(by * 1000), number, self.now_ms, deal_id, values))
            self._pending.sort()

    def tie_flood(self, count: int, *, at: dt.datetime | int | None = None) -> list[int]:
        """Many deals saved in one and the same instant (an import); returns their ids."""
        with self.lock:
            at_ms = self.now_ms if at is None else to_ms(at)
            chosen = [d.id for d in self.live() if not self.locked(d.id)][:count]
            for number, deal_id in enumerate(chosen):
                amount = self.deals[deal_id].amount
                self.edit(deal_id, at=at_ms, amount=(amount or Decimal(100)) + 1 + number % 7)
            return chosen

    def locked(self, deal_id: int) -> bool:
        """Held by an uncommitted transaction."""
        return any(p.deal_id == deal_id for p in self._pending)

    def tick(self, seconds: float = 1) -> None:
        """Let time pass without news, except transactions whose commit falls due."""
        with self.lock:
            self.go_to(self.now_ms + int(seconds * 1000))

    def go_to(self, at_ms: int) -> None:
        """Move the clock forward to an instant, committing what falls due on the way."""
        while self._pending and self._pending[0].commit_ms <= at_ms:
            due = self._pending.pop(0)
            self.now_ms = max(self.now_ms, due.commit_ms)
            if due.deal_id is None:
                self.create(at=due.stamp_ms, **due.values)
            else:
                self.edit(due.deal_id, at=due.stamp_ms, **due.values)
        self.now_ms = max(self.now_ms, at_ms)

    def advance(
        self, days: float = 1, changes: int | None = None, *, to: dt.datetime | None = None
    ) -> dict[str, list[int]]:
        """Let time pass with news: `changes` saves (default: 5 in 1,000 deals a day) of different deals, spread out.

        Returns what happened as kind -> deal ids (created, moved, won, lost, reopened, amount, close_date, owner,
        name, deleted). The same world, moved on the same way, changes the same way.
        """
        from connectors.sandbox import worldseed  # noqa: PLC0415

        with self.lock:
            end_ms = to_ms(to) if to else self.now_ms + int(days * DAY_MS)
            count = changes
            if count is None:
                count = max(1, round(len(self.deals) * 0.005 * (end_ms - self.now_ms) / DAY_MS))
            self.steps += 1
            return worldseed.live_on(self, end_ms, count)
