"""How the made-up company came about, and how its days go on. All chance comes from seeded `random.Random`."""

from __future__ import annotations

import datetime as dt
import gc
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from connectors.sandbox.world import (
    DAY_MS,
    LOST,
    OPEN,
    PRESENT,
    WON,
    Change,
    Company,
    CustomField,
    Deal,
    Event,
    Owner,
    Pipeline,
    Stage,
    World,
    to_date,
)
from connectors.sandbox.worldcases import CASES, play

_PIPELINES = (
    (
        "New Business",
        (
            ("Prospecting", OPEN, 10),
            ("Qualification", OPEN, 20),
            ("Discovery", OPEN, 40),
            ("Verbal Yes", OPEN, 55),  # gone: deleted from the CRM's own list
            ("Proposal", OPEN, 60),
            ("Legal Hold", OPEN, 70),  # inactive
            ("Negotiation", OPEN, 80),
            ("Closed Won", WON, 100),
            ("Closed Lost", LOST, 0),
        ),
    ),
    (
        "Renewals",
        (
            ("Renewal Due", OPEN, 30),
            ("Proposal", OPEN, 60),  # equal names at other places than in the first pipeline
            ("Qualification", OPEN, 20),
            ("Prüfung", OPEN, 75),
            ("Closed Won", WON, 100),
            ("Closed Lost", LOST, 0),
        ),
    ),
)
_RENAMED = (1, "Discovery", "Discovery & Demo")  # pipeline, API name, what people see today
_RATES = {"EUR": "0.92", "IDR": "16250", "JPY": "151.5", "GBP": "0.79"}
_FIELDS = (
    CustomField("region", "Region", "choice", ("EMEA", "APAC", "Americas", "N/A")),
    CustomField("region_detail", "Region", "text"),  # a label that repeats
    CustomField("score", "Lead Score", "number"),
    CustomField("strategic", "Strategic", "bool"),
    CustomField("kickoff", "Kick-off", "date"),
    CustomField("products", "Products", "multichoice", ("Core", "Plus", "Сервис")),
    CustomField("remarks", "Remarks", "longtext"),
)
_REASONS = ("Price", "No decision", "Competitor", "Timing", "Product gap", "Lost to 'none'")
_OWNERS = (
    "Ayu Lestari",
    "Bram de Vries",
    "Chloé Dubois",
    "Дмитрий Орлов",
    "Emeka Obi",
    "藤井 花",
    "Gül Şahin",
    "Hannah Weiß",
    "Inés Núñez",
)
_FIRST = (
    "Blue",
    "Nusantara",
    "Alpine",
    "Harbour",
    "Øst",
    "Río",
    "東京",
    "Kite",
    "Cedar",
    "Ångström",
    "Delta",
    "Żabka",
    "Prime",
    "Sinar",
    "Loom",
)
_SECOND = (
    "Logistics",
    "Foods",
    "Energi",
    "Systems",
    "Médical",
    "商事",
    "Textiles",
    "Bank",
    "Robotics",
    "Travel",
    "Glas",
    "Studio",
)
_INDUSTRIES = ("Manufacturing", "Retail", "Finance", "Health", "Logistics", "Public sector")
_COUNTRIES = ("ID", "DE", "US", "JP", "FR", "BR", "GB", "NG")


def populate(world: World, *, deals: int, months: int, owners: int, companies: int, cases: bool) -> None:
    """Fill an empty world. About 4.5 saves that touch stage, amount or close date per deal."""
    rng = random.Random(f"muara-{world.seed}")  # noqa: S311  (a seed, not a secret)
    start_ms = world.now_ms - months * 30 * DAY_MS
    collecting = gc.isenabled()
    gc.disable()  # half a million small objects that all stay: the collector would only walk them again and again
    try:
        _set_up(world, rng, start_ms, owners, companies)
        if cases and deals >= len(CASES):
            play(world, start_ms + DAY_MS * 20)
        _Lives(world, rng, start_ms).fill(deals - len(world.deals))
    finally:
        if collecting:
            gc.enable()


def _set_up(world: World, rng: random.Random, start_ms: int, owners: int, companies: int) -> None:
    if world.multi_currency:
        world.rates.update({code: Decimal(rate) for code, rate in _RATES.items()})
    for number, (name, stages) in enumerate(_PIPELINES, start=1):
        world.pipelines[number] = Pipeline(number, name, number, stamp_ms=start_ms)
        for order, (label, outcome, probability) in enumerate(stages, start=1):
            stage_id = len(world.stages) + 1
            world.stages[stage_id] = Stage(
                stage_id, number, label, order, outcome, probability, label, stamp_ms=start_ms
            )
    world.stage(1, "Verbal Yes").active, world.stage(1, "Verbal Yes").gone = False, True
    world.stage(1, "Legal Hold").active = False
    world.stage(_RENAMED[0], _RENAMED[1]).label = _RENAMED[2]
    for number in range(1, owners + 1):
        name = _OWNERS[(number - 1) % len(_OWNERS)] + ("" if number <= len(_OWNERS) else f" {number}")
        world.owners[number] = Owner(number, name, f"rep{number}@example.com", created_ms=start_ms, stamp_ms=start_ms)
    if owners > 2:
        world.owners[owners - 1].active = False
        world.owners[owners].active, world.owners[owners].deleted = False, True
    for custom in _FIELDS:
        world.custom_fields[custom.key] = custom
    for _ in range(companies):
        company_id = world.take_id("company")
        name = f"{rng.choice(_FIRST)} {rng.choice(_SECOND)} {company_id}"
        world.companies[company_id] = Company(
            company_id,
            name,
            rng.choice(_INDUSTRIES),
            rng.choice(_COUNTRIES),
            rng.randint(1, owners),
            start_ms,
            start_ms,
        )


class _Lives:
    """Ordinary deals, many of them. Writes events directly: the verbs of `World` would cost ten times as much."""

    def __init__(self, world: World, rng: random.Random, start_ms: int) -> None:
        self.world, self.rng, self.start_ms = world, rng, start_ms
        self.ladders = {
            p: [s.id for s in world.pipeline_stages(p) if s.active and s.outcome == OPEN] for p in world.pipelines
        }
        self.ends = {p: (world.stage(p, WON).id, world.stage(p, LOST).id) for p in world.pipelines}
        self.gone = world.stage(1, "Verbal Yes").id
        self.owners = list(world.owners)
        self.companies = list(world.companies)
        self.currencies = list(world.rates)

    def fill(self, count: int) -> None:
        """Deals in order of creation, so that ids grow with time."""
        span = self.world.now_ms - DAY_MS - self.start_ms
        random_ = self.rng.random
        for created in sorted(self.start_ms + int(span * random_() ** 0.8) for _ in range(max(0, count))):
            self.one(created)

    def one(self, created_ms: int) -> None:
        world, rng = self.world, self.rng
        pipeline = 1 if rng.random() < 0.7 else 2
        ladder = self.ladders[pipeline]
        entry = 0 if rng.random() < 0.85 else 1
        deal_id = world.take_id("deal")
        deal = Deal(
            deal_id,
            f"{rng.choice(_FIRST)} {rng.choice(_SECOND)} #{deal_id}",
            pipeline,
            ladder[entry],
            None if rng.random() < 0.06 else self.amount(),
            "USD" if rng.random() < 0.7 else rng.choice(self.currencies),
            to_date(created_ms) + dt.timedelta(days=rng.randint(20, 150)),
            rng.choice(self.owners),
            None if rng.random() < 0.03 else rng.choice(self.companies),
            created_ms,
            created_ms,
            created_ms,
            custom=self.custom(),
        )
        world.record_creation(deal, deal.owner_id)
        if rng.random() >= 0.15:  # the others are never touched again
            self.live(deal, ladder, entry)
        if rng.random() < 0.015:
            self.vanish(deal)

    def amount(self) -> Decimal:
        return (
            Decimal(int(self.rng.lognormvariate(9.3, 1.1)) * 50).scaleb(-2)
            if self.rng.random() < 0.3
            else Decimal(self.rng.randint(5, 900) * 100)
        )

    def custom(self) -> dict[str, Any]:
        rng = self.rng
        values: dict[str, Any] = {}
        if rng.random() < 0.6:
            values["region"] = rng.choice(_FIELDS[0].options)
        if rng.random() < 0.3:
            values["score"] = rng.randint(0, 100)
        if rng.random() < 0.1:
            values["strategic"] = True
        return values

    def save(self, deal: Deal, at_ms: int, *changes: Change) -> None:
        deal.events.append(Event(self.world.take_id("event"), at_ms, deal.owner_id, changes))
        deal.modified_ms = deal.stamp_ms = at_ms

    def live(self, deal: Deal, ladder: list[int], position: int) -> None:
        rng, end_ms, at_ms = self.rng, self.world.now_ms - 60_000, deal.created_ms
        pace = 11 * DAY_MS * (0.3 + rng.random() * 1.7)
        while True:
            at_ms += int(rng.expovariate(1) * pace) + 1000
            if at_ms >= end_ms:
                return
            dice = rng.random()
            if dice < 0.58:
                position = min(position + (1 if dice < 0.52 else 2), len(ladder))
                if position == len(ladder):
                    self.close(deal, at_ms, won=rng.random() < 0.62)
                    if rng.random() > 0.03:
                        return
                    position = len(ladder) - 1  # opened again
                    at_ms += int(rng.expovariate(1) * pace) + 1000
                    if at_ms >= end_ms:
                        return
                self.to_stage(deal, at_ms, ladder[position])
            elif dice < 0.70:
                self.close(deal, at_ms, won=False)
                if rng.random() > 0.04:
                    return
            elif dice < 0.74 and position > 0:
                position -= 1
                self.to_stage(deal, at_ms, ladder[position])
            elif dice < 0.75 and deal.pipeline_id == 1:
                self.to_stage(deal, at_ms, self.gone)
            elif dice < 0.85:
                old, deal.amount = deal.amount, self.amount()
                self.save(deal, at_ms, Change("amount", old, deal.amount))
            elif dice < 0.96:
                old_date = deal.close_date or to_date(at_ms)
                deal.close_date = old_date + dt.timedelta(days=rng.randint(3, 60))
                self.save(deal, at_ms, Change("close_date", old_date, deal.close_date))
            else:
                old_owner, deal.owner_id = deal.owner_id, rng.choice(self.owners)
                if old_owner != deal.owner_id:
                    self.save(deal, at_ms, Change("owner", old_owner, deal.owner_id))

    def to_stage(self, deal: Deal, at_ms: int, stage_id: int) -> None:
        if stage_id == deal.stage_id:
            return
        changes = [Change("stage", deal.stage_id, stage_id)]
        if deal.lost_reason is not None:
            changes.append(Change("lost_reason", deal.lost_reason, None))
            deal.lost_reason = None
        deal.stage_id = stage_id
        self.save(deal, at_ms, *changes)

    def close(self, deal: Deal, at_ms: int, *, won: bool) -> None:
        stage_id = self.ends[deal.pipeline_id][0 if won else 1]
        if stage_id == deal.stage_id:
            return
        changes = [Change("stage", deal.stage_id, stage_id)]
        day = to_date(at_ms)
        if deal.close_date != day:
            changes.append(Change("close_date", deal.close_date, day))
        reason = None if won else self.rng.choice(_REASONS)
        if deal.lost_reason != reason:
            changes.append(Change("lost_reason", deal.lost_reason, reason))
        deal.stage_id, deal.close_date, deal.lost_reason = stage_id, day, reason
        self.save(deal, at_ms, *changes)

    def vanish(self, deal: Deal) -> None:
        at_ms = min(deal.modified_ms + 3 * DAY_MS, self.world.now_ms - 60_000)
        presence = self.rng.choice(("deleted", "deleted", "deleted", "archived", "archived", "purged"))
        deal.presence = presence
        self.save(deal, at_ms, Change("presence", PRESENT, presence))


_NEWS = (
    ("moved", 46),
    ("amount", 14),
    ("close_date", 14),
    ("created", 8),
    ("won", 5),
    ("lost", 5),
    ("owner", 3),
    ("reopened", 2),
    ("name", 2),
    ("deleted", 1),
)


def live_on(world: World, end_ms: int, count: int) -> dict[str, list[int]]:
    """`World.advance`: `count` saves of different deals, in order of time, then the clock stands at the end."""
    rng = random.Random(f"muara-{world.seed}-{world.steps}-{world.now_ms}")  # noqa: S311
    done: dict[str, list[int]] = {}
    used: set[int] = set()
    kinds, weights = zip(*_NEWS, strict=True)
    begin_ms = world.now_ms
    pool = [d.id for d in world.deals.values() if d.presence == PRESENT]
    for at_ms in sorted(rng.randint(begin_ms + 1000, max(begin_ms + 1000, end_ms - 1000)) for _ in range(count)):
        world.go_to(at_ms)
        kind = rng.choices(kinds, weights)[0]
        deal = None if kind == "created" else _somebody(world, rng, pool, used, kind)
        if deal is None:
            kind = "created"
            deal_id = _newcomer(world, rng)
        else:
            deal_id = deal.id
            _NEWS_VERBS[kind](world, rng, deal)
        used.add(deal_id)
        done.setdefault(kind, []).append(deal_id)
    world.go_to(end_ms)
    return done


def _somebody(world: World, rng: random.Random, pool: list[int], used: set[int], kind: str) -> Deal | None:
    closed = kind == "reopened"
    for _ in range(200 if pool else 0):
        deal = world.deals[rng.choice(pool)]
        is_open = world.stages[deal.stage_id].outcome == OPEN
        fits = kind in ("name", "owner", "deleted") or is_open != closed
        if fits and deal.id not in used and deal.presence == PRESENT and not world.locked(deal.id):
            return deal
    return None


def _newcomer(world: World, rng: random.Random) -> int:
    company_id = rng.choice(list(world.companies))
    owner_id = rng.choice([o.id for o in world.owners.values() if o.active])
    amount = Decimal(rng.randint(5, 900) * 100)
    deal = world.create(rng.choice(list(world.pipelines)), amount=amount, company_id=company_id, owner_id=owner_id)
    return deal.id


def _go_on(world: World, rng: random.Random, deal: Deal) -> None:
    stages = [
        s for s in world.pipeline_stages(deal.pipeline_id) if s.active and s.outcome == OPEN and s.id != deal.stage_id
    ]
    ahead = [s for s in stages if s.order > world.stages[deal.stage_id].order]
    target = ahead[0] if ahead and rng.random() < 0.8 else rng.choice(stages)
    world.move(deal.id, target.id)


def _price(world: World, rng: random.Random, deal: Deal) -> None:
    world.edit(deal.id, amount=(deal.amount or Decimal(0)) + rng.randint(1, 50) * 100)


def _put_off(world: World, rng: random.Random, deal: Deal) -> None:
    day = deal.close_date or to_date(world.now_ms)
    world.edit(deal.id, close_date=day + dt.timedelta(days=rng.randint(3, 60)))


def _hand_over(world: World, rng: random.Random, deal: Deal) -> None:
    others = [o.id for o in world.owners.values() if o.active and o.id != deal.owner_id]
    world.edit(deal.id, owner=rng.choice(others))


_NEWS_VERBS: dict[str, Callable[[World, random.Random, Deal], object]] = {
    "moved": _go_on,
    "amount": _price,
    "close_date": _put_off,
    "owner": _hand_over,
    "won": lambda world, rng, deal: world.win(deal.id),
    "lost": lambda world, rng, deal: world.lose(deal.id, rng.choice(_REASONS)),
    "reopened": lambda world, rng, deal: world.reopen(deal.id),
    "name": lambda world, rng, deal: world.edit(deal.id, name=f"{deal.name} *"),
    "deleted": lambda world, rng, deal: world.delete(deal.id),
}
