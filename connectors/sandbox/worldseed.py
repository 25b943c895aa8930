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

CASES = {
    "open": "an ordinary open deal with a few moves",
    "won": "the straight road to won",
    "lost": "lost after two moves, with a reason",
    "never_moved": "created and never touched again",
    "reopened": "lost, later open again",
    "won_reopened_won": "won, opened again, won for good",
    "lost_reopened_lost": "lost twice",
    "skipped": "jumped over stages",
    "backward": "a step back in the pipeline",
    "bounced": "the same stage visited three times",
    "ties": "two moves and an edit in one and the same second",
    "born_closed": "entered as won; it was never open",
    "moved_pipeline": "changed its pipeline (and with it the stage)",
    "equal_stage_moved_pipeline": "changed its pipeline into a stage of the same name",
    "edited": "amount, close date and owner edited while the stage stood still",
    "unknown_amount": "nobody ever said an amount",
    "zero_amount": "an amount of exactly 0",
    "amount_emptied": "had an amount once, has none now",
    "foreign_currency": "in euros (or the home currency in a single-currency company)",
    "currency_changed": "same number, another currency",
    "non_ascii": "a name in several scripts, quotes, a comma, a line break",
    "long_text": "a custom text with line breaks, quotes, NA and None in it",
    "no_company": "belongs to no company",
    "deactivated_owner": "its owner has left",
    "deleted_owner": "its owner is listed nowhere any more",
    "inactive_stage": "sits in a stage that is no longer offered",
    "gone_stage": "was once in a stage that the CRM has forgotten",
    "renamed_stage": "sits in the stage that was renamed",
    "back_dated": "won, with a close date a month before it really closed",
    "deleted": "in the recycle bin",
    "restored": "was in the bin, is back",
    "archived": "put away",
    "merged": "merged away; `merged_into` names the survivor",
    "merge_survivor": "took over another deal",
    "purged": "gone without a trace",
}

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
            _Cases(world, start_ms + DAY_MS * 20).play()
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


class _Cases:
    """Deals with a story, told through the world's own verbs; one step is two days."""

    def __init__(self, world: World, start_ms: int) -> None:
        self.world, self.clock = world, start_ms

    def play(self) -> None:
        for name in CASES:
            if name != "merge_survivor":  # made by "merged"
                self.clock += DAY_MS // 3 + 17_321
                self.at = self.clock
                getattr(self, name)()

    def later(self) -> int:
        self.at += 2 * DAY_MS + 61_007
        return self.at

    def new(self, case: str, stage: int | str | None = None, pipeline: int = 1, **values: Any) -> int:
        values.setdefault("name", f"Case: {case}")
        values.setdefault("amount", Decimal("12500.50"))
        values.setdefault("company_id", 1)
        values.setdefault("owner_id", 1)
        deal = self.world.create(pipeline, stage, at=self.at, **values)
        self.world.cases[case] = deal.id
        return deal.id

    def steps(self, deal_id: int, *stages: str) -> int:
        for stage in stages:
            self.world.move(deal_id, stage, at=self.later())
        return deal_id

    def open(self) -> None:
        self.steps(self.new("open"), "Qualification", "Discovery")

    def won(self) -> None:
        deal = self.steps(self.new("won"), "Qualification", "Discovery", "Proposal", "Negotiation")
        self.world.win(deal, at=self.later())

    def lost(self) -> None:
        deal = self.steps(self.new("lost"), "Qualification", "Proposal")
        self.world.lose(deal, "Competitor", at=self.later())

    def never_moved(self) -> None:
        self.new("never_moved")

    def reopened(self) -> None:
        deal = self.steps(self.new("reopened"), "Proposal")
        self.world.lose(deal, "Timing", at=self.later())
        self.world.reopen(deal, at=self.later())

    def won_reopened_won(self) -> None:
        deal = self.steps(self.new("won_reopened_won"), "Proposal")
        self.world.win(deal, at=self.later())
        self.world.reopen(deal, "Negotiation", at=self.later())
        self.world.win(deal, at=self.later())

    def lost_reopened_lost(self) -> None:
        deal = self.steps(self.new("lost_reopened_lost"), "Qualification")
        self.world.lose(deal, "Price", at=self.later())
        self.world.reopen(deal, at=self.later())
        self.world.lose(deal, "No decision", at=self.later())

    def skipped(self) -> None:
        self.steps(self.new("skipped"), "Negotiation")

    def backward(self) -> None:
        self.steps(self.new("backward"), "Qualification", "Proposal", "Qualification")

    def bounced(self) -> None:
        self.steps(self.new("bounced"), "Qualification", "Discovery", "Qualification", "Discovery", "Qualification")

    def ties(self) -> None:
        deal = self.new("ties")
        second = self.later() // 1000 * 1000
        self.world.move(deal, "Qualification", at=second + 10)
        self.world.edit(deal, at=second + 10, amount=Decimal(777))
        self.world.move(deal, "Proposal", at=second + 900)

    def born_closed(self) -> None:
        self.new("born_closed", "Closed Won", close_date=to_date(self.at))

    def moved_pipeline(self) -> None:
        deal = self.steps(self.new("moved_pipeline"), "Discovery")
        self.world.change_pipeline(deal, 2, "Renewal Due", at=self.later())

    def equal_stage_moved_pipeline(self) -> None:
        deal = self.steps(self.new("equal_stage_moved_pipeline"), "Proposal")
        self.world.change_pipeline(deal, 2, "Proposal", at=self.later())

    def edited(self) -> None:
        deal = self.new("edited")
        self.world.edit(deal, at=self.later(), amount=Decimal(20000))
        self.world.edit(deal, at=self.later(), close_date=to_date(self.at) + dt.timedelta(days=90))
        self.world.edit(deal, at=self.later(), owner=2)
        self.world.edit(deal, at=self.later(), amount=Decimal("20000.01"), name="Case: edited (twice)")

    def unknown_amount(self) -> None:
        self.steps(self.new("unknown_amount", amount=None), "Qualification")

    def zero_amount(self) -> None:
        self.steps(self.new("zero_amount", amount=Decimal(0)), "Qualification")

    def amount_emptied(self) -> None:
        self.world.edit(self.new("amount_emptied"), at=self.later(), amount=None)

    def foreign_currency(self) -> None:
        self.steps(self.new("foreign_currency", currency="EUR" if self.world.multi_currency else "USD"), "Proposal")

    def currency_changed(self) -> None:
        deal = self.new("currency_changed")
        if self.world.multi_currency:
            self.world.edit(deal, at=self.later(), currency="JPY")

    def non_ascii(self) -> None:
        deal = self.new("non_ascii", pipeline=2, name="Größe, \"Über\" 東京 – Łódź\nproyek 🚀 \\ 'Ω'")
        self.world.move(deal, "Prüfung", at=self.later())

    def long_text(self) -> None:
        self.new(
            "long_text",
            custom={"remarks": 'line one\nline "two", NA\r\nNone\tnull; N/A', "region": "N/A", "region_detail": "NA"},
        )

    def no_company(self) -> None:
        self.new("no_company", company_id=None)

    def deactivated_owner(self) -> None:
        left = [o.id for o in self.world.owners.values() if not o.active and not o.deleted]
        self.new("deactivated_owner", owner_id=left[0] if left else 1)

    def deleted_owner(self) -> None:
        gone = [o.id for o in self.world.owners.values() if o.deleted]
        self.new("deleted_owner", owner_id=gone[0] if gone else 1)

    def inactive_stage(self) -> None:
        self.steps(self.new("inactive_stage"), "Proposal", "Legal Hold")

    def gone_stage(self) -> None:
        self.steps(self.new("gone_stage"), "Discovery", "Verbal Yes", "Negotiation")

    def renamed_stage(self) -> None:
        self.steps(self.new("renamed_stage"), "Qualification", "Discovery")

    def back_dated(self) -> None:
        deal = self.steps(self.new("back_dated"), "Proposal")
        self.world.win(deal, at=self.later(), close_date=to_date(self.at - 30 * DAY_MS))

    def deleted(self) -> None:
        self.world.delete(self.steps(self.new("deleted"), "Proposal"), at=self.world.now_ms - 3 * DAY_MS)

    def restored(self) -> None:
        deal = self.steps(self.new("restored"), "Proposal")
        self.world.delete(deal, at=self.later())
        self.world.restore(deal, at=self.later())

    def archived(self) -> None:
        self.world.archive(self.steps(self.new("archived"), "Qualification"), at=self.world.now_ms - 5 * DAY_MS)

    def merged(self) -> None:
        loser = self.steps(self.new("merged", amount=Decimal(900)), "Qualification")
        survivor = self.steps(self.new("merge_survivor", amount=None), "Proposal")
        self.world.merge(loser, survivor, at=self.world.now_ms - 2 * DAY_MS)

    def purged(self) -> None:
        deal = self.steps(self.new("purged"), "Proposal")
        self.world.purge(deal, at=self.later())


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
