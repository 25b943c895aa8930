"""A made-up sales world as plain events: three systems, their pipelines, and deals that do everything deals do.

Only inputs stand here (what a CRM would report); nothing is computed from them. Instants are UTC without a zone.
`make_world` is a pure function of its seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

AS_OF = datetime.fromisoformat("2025-07-01T09:30")
BEGIN = datetime.fromisoformat("2024-06-20")
ZONE = "America/Phoenix"  # UTC-7: a deal of 1 February 03:00 UTC belongs to January


@dataclass(frozen=True)
class Source:
    key: str
    name: str
    data_through: datetime


@dataclass(frozen=True)
class Pipeline:
    key: str
    source: str
    name: str


@dataclass(frozen=True)
class Stage:
    key: str
    pipeline: str
    label: str
    canonical: str
    ladder: int | None  # place on the canonical ladder
    order: int | None  # place in the pipeline
    outcome: str
    is_archived: bool = False
    probability: float | None = None


@dataclass(frozen=True)
class Event:
    """The deal is in `stage` from `at` on. `outcome`: what the stage meant then, where that differs from today."""

    at: datetime
    sequence: int
    stage: str
    evidence: str = "exact"
    outcome: str | None = None


@dataclass(frozen=True)
class FieldChange:
    at: datetime
    field: str
    old: str | None
    new: str | None


@dataclass
class Deal:
    key: str
    source: str
    events: list[Event]
    created_at: datetime
    amount: Decimal | None  # in the reporting currency, now
    owner: str | None
    close_date: date | None
    lead_source: str | None
    deal_type: str | None
    company: str | None
    lost_reason: str | None = None
    probability: float | None = None
    last_activity_at: datetime | None = None
    next_activity_at: datetime | None = None
    presence: str = "present"
    deleted_at: datetime | None = None
    merged_into: str | None = None
    unified: str = ""
    is_primary: bool = True
    changes: list[FieldChange] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    sources: list[Source]
    pipelines: list[Pipeline]
    stages: list[Stage]
    people: dict[str, tuple[str, str]]  # owner key -> person key, name
    companies: dict[str, str | None]  # company key -> industry
    deals: list[Deal]
    as_of: datetime = AS_OF
    zone: str = ZONE


def _stages(pipeline: str, spec: list[tuple[str, str, int | None, str, bool]]) -> list[Stage]:
    ladder = {"prospecting": 10, "qualification": 20, "discovery": 30, "nurture": 40, "proposal": 50, "negotiation": 60}
    return [
        Stage(
            f"{pipeline}:{label}",
            pipeline,
            label,
            canonical,
            ladder.get(canonical),
            order,
            outcome,
            archived,
            None if pipeline.startswith("sheet") or order is None else 0.15 * order,
        )
        for label, canonical, order, outcome, archived in spec
    ]


CLOSED = [("won", "won", None, "won", False), ("lost", "lost", None, "lost", False)]
STAGES = [
    *_stages(
        "force:sales",
        [
            ("P", "prospecting", 1, "open", False),
            ("Q", "qualification", 2, "open", False),
            ("R", "proposal", 3, "open", False),
            ("Old", "nurture", None, "open", True),  # removed, place unknown
            ("N", "negotiation", 4, "open", False),
            ("Hold", "on_hold", None, "open", False),
            ("Onboarding", "post_sale", None, "won", False),
            ("Pilot", "won", None, "won", False),  # was an open stage until it was declared a win
            *CLOSED,
        ],
    ),
    *_stages(
        "spot:default",
        [  # HubSpot's order: appointment (discovery) comes before qualified (qualification)
            ("Appointment", "discovery", 1, "open", False),
            ("Qualified", "qualification", 2, "open", False),
            ("Gone", "unmapped", 3, "open", True),  # removed, place known
            ("Quote", "proposal", 4, "open", False),
            *CLOSED,
        ],
    ),
    *_stages(
        "spot:partners",
        [
            ("Intro", "prospecting", 1, "open", False),
            ("Talk", "nurture", 2, "open", False),
            ("Deal", "negotiation", 3, "open", False),
            *CLOSED,
        ],
    ),
    *_stages("spot:care", [("Setup", "post_sale", None, "won", False), ("Live", "post_sale", None, "won", False)]),
    *_stages(
        "sheet:deals",
        [
            ("Lead", "prospecting", 1, "open", False),
            ("Meeting", "discovery", 2, "open", False),
            ("Offer", "proposal", 3, "open", False),
            ("Nobody", "negotiation", 4, "open", False),  # no deal ever gets here by itself
            *CLOSED,
        ],
    ),
]
PIPELINES = [
    Pipeline("force:sales", "force", "Sales"),
    Pipeline("spot:default", "spot", "Sales"),
    Pipeline("spot:partners", "spot", "Partners"),
    Pipeline("spot:care", "spot", "Care"),
    Pipeline("sheet:deals", "sheet", "Deals"),
]
PILOT_EDIT = datetime.fromisoformat("2025-03-10T12:00")


def make_world(seed: int = 7, deals: int = 2100) -> World:
    """Sources `force` (exact history), `spot` (several pipelines, stopped syncing ten days ago) and `sheet` (dates, unseen entries)."""
    rng = random.Random(seed)
    sources = [
        Source("force", "Force EMEA", AS_OF),
        Source("spot", "Spot", AS_OF - timedelta(days=10, hours=3)),
        Source("sheet", "Tracker", AS_OF.replace(hour=0, minute=0)),
    ]
    people = {
        f"{s}:owner:u{n}": (f"u{n}@example.com" if n < 4 else f"{s}:owner:u{n}", f"Person {n}")
        for s in ("force", "spot", "sheet")
        for n in range(5)
    }
    companies = {
        f"{s}:company:c{n}": [None, "Retail", "Mining", "Banking"][n % 4] for s in ("force", "spot") for n in range(30)
    }
    made = [_deal(rng, f"d{n}", rng.choices(("force", "spot", "sheet"), (5, 4, 2))[0]) for n in range(deals)]
    _copy_across(rng, made)
    for deal in made:
        deal.unified = deal.unified or deal.key
    return World(sources, PIPELINES, STAGES, people, companies, made)


def _deal(rng: random.Random, number: str, source: str) -> Deal:
    walk = {"force": _force_walk, "spot": _spot_walk, "sheet": _sheet_walk}[source](rng)
    created = walk[0].at + timedelta(days=rng.choice((0, 0, 0, -3, 2)))
    deal = Deal(
        key=f"{source}:{number}",
        source=source,
        events=walk,
        created_at=created,
        amount=_amount(rng),
        owner=rng.choice([f"{source}:owner:u{n}" for n in range(5)] + [None]),
        close_date=rng.choice([None, (walk[-1].at + timedelta(days=rng.randint(-60, 120))).date()]),
        lead_source=rng.choice([None, "Web", "Referral", "Event"]),
        deal_type=rng.choice([None, "New", "Renewal"]),
        company=rng.choice([None, *(f"{source}:company:c{n}" for n in range(30))]) if source != "sheet" else None,
        lost_reason=rng.choice([None, "Price", "Timing"]),
        probability=rng.choice([None, 0.1, 0.4, 0.75]),
        last_activity_at=rng.choice([None, AS_OF - timedelta(days=rng.randint(0, 100), hours=rng.randint(1, 20))]),
        next_activity_at=rng.choice([None, None, None, AS_OF + timedelta(days=3), AS_OF - timedelta(days=30)]),
        presence=rng.choices(("present", "absent", "hidden", "archived"), (90, 3, 3, 4))[0],
    )
    if rng.random() < 0.06:
        deal.deleted_at = min(walk[-1].at + timedelta(days=rng.randint(0, 80), minutes=7), AS_OF - timedelta(hours=1))
        deal.presence = "deleted"
        if rng.random() < 0.3:
            deal.presence, deal.merged_into = "merged", f"{source}:d1"
    _field_history(rng, deal)
    return deal


def _amount(rng: random.Random) -> Decimal | None:
    kind = rng.random()
    if kind < 0.2:
        return None
    if kind < 0.25:
        return Decimal(0)
    return Decimal(rng.randint(1, 20_000_000)) / 100 if kind < 0.9 else Decimal(rng.choice((1000, 10000, 100000)))


def _field_history(rng: random.Random, deal: Deal) -> None:
    """Amount, date and owner changes after the first event; the last new value is today's value."""
    begin, end = deal.events[0].at, min(deal.deleted_at or AS_OF, AS_OF)
    span = (end - begin).total_seconds()
    if span <= 0:
        return
    found: list[FieldChange] = []
    for name in ("amount", "expected_close_date", "owner"):
        value = {"amount": deal.amount, "expected_close_date": deal.close_date, "owner": deal.owner}[name]
        instants = sorted(
            (begin + timedelta(seconds=int(rng.uniform(0, span))) for _ in range(rng.choice((0, 0, 1, 2, 3)))),
            reverse=True,
        )
        for at in instants:
            old = {
                "amount": lambda: _amount(rng),
                "expected_close_date": lambda: rng.choice([None, (end + timedelta(days=rng.randint(-90, 90))).date()]),
                "owner": lambda: f"{deal.source}:owner:u{rng.randint(0, 4)}",
            }[name]()
            if old == value:
                continue
            found.append(
                FieldChange(
                    at, name, *(None if v is None else f"{v:.2f}" if name == "amount" else str(v) for v in (old, value))
                )
            )
            value = old
    deal.changes = sorted(found, key=lambda change: (change.at, change.field))


class _Clock:
    """Random instants that never go back; sometimes two events share one."""

    def __init__(self, rng: random.Random, start: datetime | None = None) -> None:
        self.rng = rng
        self.now = start or BEGIN + timedelta(milliseconds=rng.randint(0, 365 * 86_400_000))
        self.count = 0

    def event(self, stage: str, **more: str) -> Event:
        self.count += 1
        return Event(self.now, self.count, stage, **more)

    def wait(self) -> None:
        kind = self.rng.random()
        if kind < 0.05:
            return  # the same instant
        if kind < 0.4:  # whole days, so that dwell times tie
            self.now += timedelta(days=self.rng.randint(1, 30))
        else:
            self.now += timedelta(milliseconds=self.rng.randint(1, 45 * 86_400_000))


def _force_walk(rng: random.Random) -> list[Event]:
    clock = _Clock(rng)
    pipeline, names = "force:sales:", ["P", "Q", "R", "N"]
    at = rng.choices((0, 1, 2, 3, None), (12, 3, 2, 1, 1))[0]
    if at is None:  # closed at first sight
        return [clock.event(pipeline + rng.choice(("won", "lost")))]
    events = [clock.event(pipeline + names[at], evidence=rng.choice(("exact", "created")))]
    for _ in range(rng.randint(0, 9)):
        clock.wait()
        move = rng.choices(
            ("next", "skip", "back", "repeat", "hold", "old", "pilot", "lost", "won", "wrong win"),
            (30, 8, 8, 8, 4, 4, 2, 14, 12, 2),
        )[0]
        if move == "next":
            at = min(at + 1, 3)
        elif move == "skip":
            at = min(at + 2, 3)
        elif move == "back":
            at = max(at - rng.randint(1, 2), 0)
        stage = {"hold": "Hold", "old": "Old", "lost": "lost", "won": "won", "wrong win": "won"}.get(move, names[at])
        if move == "pilot":
            events.append(clock.event(pipeline + "Pilot", **({"outcome": "open"} if clock.now < PILOT_EDIT else {})))
            continue
        events.append(clock.event(pipeline + stage))
        if move == "won" and rng.random() < 0.4:
            clock.wait()
            events.append(clock.event(pipeline + "Onboarding"))
        if move == "wrong win":
            clock.wait()
            events.append(clock.event(pipeline + "lost"))
        if move in ("lost", "won", "wrong win") and rng.random() < 0.75:
            break
    return _known(_with_edit(events))


def _with_edit(events: list[Event]) -> list[Event]:
    """The stage Pilot was open until it was edited into a win: whoever sits there at the edit gets one observed change."""
    done: list[Event] = []
    for event, following in zip(events, [*events[1:], None], strict=True):
        done.append(event)
        if event.outcome == "open" and (following is None or following.at > PILOT_EDIT):
            done.append(Event(PILOT_EDIT, 0, event.stage, evidence="observed"))
    return [replace(event, sequence=number) for number, event in enumerate(done, start=1)]


def _spot_walk(rng: random.Random) -> list[Event]:
    clock = _Clock(rng)
    ladders = {
        "spot:default:": ["Appointment", "Qualified", "Gone", "Quote"],
        "spot:partners:": ["Intro", "Talk", "Deal"],
    }
    pipeline = rng.choice(list(ladders))
    at = rng.choices((0, 1, 2), (8, 2, 1))[0]
    events = [clock.event(pipeline + ladders[pipeline][at])]
    for _ in range(rng.randint(0, 8)):
        clock.wait()
        move = rng.choices(("next", "skip", "back", "switch", "lost", "won"), (26, 10, 8, 9, 12, 10))[0]
        if move == "switch":
            pipeline = next(name for name in ladders if name != pipeline)
            at = rng.randint(0, 2)
        at = {"next": at + 1, "skip": at + 2, "back": at - 1}.get(move, at)
        at = max(0, min(at, len(ladders[pipeline]) - 1))
        events.append(clock.event(pipeline + (move if move in ("lost", "won") else ladders[pipeline][at])))
        if move == "won" and rng.random() < 0.5:
            clock.wait()
            events.append(clock.event("spot:care:" + rng.choice(("Setup", "Live"))))
        if move in ("lost", "won") and rng.random() < 0.75:
            break
    return _known(events)


def _sheet_walk(rng: random.Random) -> list[Event]:
    """First sight is either the creation (`created`) or a sync that found the deal in the middle (`observed`); days only."""
    start = BEGIN + timedelta(days=rng.randint(0, 365))
    names = ["Lead", "Meeting", "Offer", "won", "lost"]
    at = rng.choices((0, 1, 2, 3, 4), (8, 4, 3, 2, 1))[0]
    clock = _Clock(rng, start)
    events = [clock.event("sheet:deals:" + names[at], evidence="created" if at == 0 else "observed")]
    for _ in range(rng.randint(0, 3)):
        clock.now += timedelta(days=rng.choice((0, 7, 7, 14, 30)))
        at = rng.choices((0, 1, 2, 3, 4), (1, 3, 4, 3, 3))[0]
        events.append(clock.event("sheet:deals:" + names[at], evidence="observed" if rng.random() < 0.7 else "exact"))
        if at > 2:
            break
    return _known(events)


def _known(events: list[Event]) -> list[Event]:
    """Keep the first event always, and no other that would only happen later; now and then leave one after as_of in, to be ignored."""
    first = (
        events[0] if events[0].at < AS_OF else Event(AS_OF - timedelta(days=1), 1, events[0].stage, events[0].evidence)
    )
    return [first, *(event for event in events[1:] if event.at < AS_OF or event.at.minute % 4 == 0)]


def _copy_across(rng: random.Random, deals: list[Deal]) -> None:
    """Some deals of the sheet are copies of deals in a CRM: one of each pair is primary."""
    crm = [deal for deal in deals if deal.source != "sheet" and deal.deleted_at is None]
    for deal in deals:
        if deal.source == "sheet" and rng.random() < 0.4:
            other = rng.choice(crm)
            if other.unified or deal.unified:
                continue
            other.unified = deal.unified = f"one:{other.key}"
            deal.is_primary = False
