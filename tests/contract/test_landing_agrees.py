"""The reference landing of the contract suite and Muara's own landing say the same of the same records."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest

from connectors.sdk import (
    Checkpoint,
    Deal,
    FakeClock,
    FieldChange,
    HistoryRead,
    Owner,
    QuotaError,
    Reject,
    Seen,
    StageChange,
    SweepEnd,
    Tombstone,
    TransientError,
    Warn,
)
from connectors.testing.landing import Landing
from connectors.testing.runs import new_sync, run
from tests.warehouse.scripted import START, Land, Scripted

KEYS = [f"d{number}" for number in range(8)]
STAGES = ("new", "talk", "won")

CURRENT = """
select deal_id, stage_id, cast(amount as varchar), epoch_us(updated_at) from landing.deals
qualify row_number() over (partition by _key order by coalesce(updated_at, _read_at) desc, _read_at desc,
                           _mapper_version desc, _sync_seq desc, _ordinal desc) = 1 order by 1
"""
EVENTS = """
with complete as (
    select deal_id, max((_read_at, _sync_seq, _ordinal)) as since from landing.history_reads where complete group by 1)
select e.deal_id, e.event_id, epoch_us(e.changed_at), {value} from landing.{stream} e left join complete c using (deal_id)
where c.since is null or (e._read_at, e._sync_seq, e._read_ordinal) >= c.since
qualify row_number() over (partition by e.deal_id, e.event_id order by e._read_at desc, e._sync_seq desc, e._ordinal desc) = 1
order by 1, 2
"""


class Twins:
    """Both landings, fed alike."""

    def __init__(self, root):
        self.real = Land(root)
        self.landing = Landing()
        self.clock = FakeClock(START)

    def sync(self, records, *, full=False, hours=1.0):
        real = self.real.sync(*records, full=full, checkpoint_s=0)
        connector = Scripted(records)
        sync = new_sync(Scripted, connector.settings, self.landing, clock=self.clock, full=full)
        outcome = run(connector, sync)
        assert outcome.bug is None, outcome.bug
        self.clock.advance(hours=hours)
        self.real.clock.advance(hours=hours)
        return real, outcome

    def held(self):
        """What a connector is told in the next sync, by each landing."""
        told = []

        def ask(sync):
            deals = sync.held.deals(KEYS)
            told.append(
                {
                    "deals": deals,
                    "live": list(sync.held.live_keys("deals")),
                    "owners": (sync.held.live_count("owners"), sync.held.versions("owners", ["o1", "o2"])),
                    "without_history": sorted(sync.held.live_deals_without_history()),
                    "due": [sync.sweep_is_due(stream, 1) for stream in ("deals", "owners")],
                    "cursors": {name: dict(cursor) for name, cursor in sync.cursors.items()},
                }
            )
            return []

        self.real.sync(script=ask)
        connector = Scripted(ask)
        run(connector, new_sync(Scripted, connector.settings, self.landing, clock=self.clock))
        return told

    def contents(self):
        us = lambda at: None if at is None else (at - START) // timedelta(microseconds=1)  # noqa: E731
        offset = (START - START.replace(year=1970, month=1, day=1, hour=0)) // timedelta(microseconds=1)
        shifted = lambda at: None if at is None else at - offset  # noqa: E731
        theirs = [(k, s, a and Decimal(a), shifted(u)) for k, s, a, u in self.real.query(CURRENT)]
        ours = [(k, d.stage_id, d.amount, us(d.updated_at)) for k, d in self.landing.current("deals").items()]
        streams = (("stage_changes", "e.to_stage_id", StageChange), ("field_changes", "e.new_value", FieldChange))
        for stream, value, kind in streams:
            found = self.real.query(EVENTS.format(stream=stream, value=value))
            theirs += [(k, e, shifted(at), v) for k, e, at, v in found]
            mine = [event for key in KEYS for event in self.landing.events(key, kind)]
            told = [(e.deal_id, e.event_id, us(e.changed_at), getattr(e, value[2:])) for e in mine]
            ours += sorted(told, key=lambda row: row[:2])
        return theirs, ours


@pytest.fixture
def twins(tmp_path):
    return Twins(tmp_path)


def check(twins):
    theirs, ours = twins.contents()
    assert theirs == ours
    real, reference = twins.held()
    for key in KEYS:
        assert real["deals"].get(key) == reference["deals"].get(key)
    assert real == reference


def random_record(rng, dated):
    """Any record at all, often one that was said before."""
    key, at = rng.choice(KEYS), START + timedelta(days=rng.randrange(4))
    read_at = START - timedelta(days=rng.randrange(1, 5)) if dated and rng.random() < 0.7 else None
    kind = rng.randrange(10)
    if kind < 4:
        return Deal(
            deal_id=key,
            stage_id=rng.choice(STAGES),
            amount=rng.choice([None, Decimal(5)]),
            presence=rng.choice(["present"] * 6 + ["archived", "deleted"]),
            updated_at=rng.choice([None, at]),
            read_at=read_at,
        )
    if kind < 6:
        events = [
            StageChange(event_id=f"e{n}", deal_id=key, changed_at=at, to_stage_id=rng.choice(STAGES))
            for n in rng.sample(range(3), 2)
        ]
        if rng.random() < 0.1:
            events.append(StageChange(event_id="x", deal_id="other", changed_at=at, to_stage_id="new"))
        fields = (FieldChange(event_id="f", deal_id=key, field="amount", changed_at=at, new_value=rng.choice("12")),)
        return HistoryRead(
            deal_id=key,
            complete=rng.random() < 0.6,
            stage_changes=tuple(events),
            field_changes=fields,
            read_at=read_at,
        )
    if kind == 6:
        gone = rng.choice(["deleted", "merged", "purged"])
        return Tombstone(stream="deals", key=key, kind=gone, survivor="d0" if gone == "merged" else None)
    if kind == 7:
        return Seen(stream="deals", key=key, read_at=read_at)
    if kind == 8:
        return Owner(owner_id=rng.choice(["o1", "o2"]), name=rng.choice("ab"))
    return Reject(stream="deals", key=key, reason="bad_date", detail="no date")


@pytest.mark.parametrize("seed", range(3))
def test_random_syncs_are_landed_alike(twins, seed):
    rng = random.Random(seed)
    twins.sync([Deal(deal_id=key, stage_id="new") for key in KEYS])
    for _ in range(3):
        records = [random_record(rng, dated=False) for _ in range(25)]
        ending = rng.choice(["sweep", "checkpoint", "open", "quota", "nothing"])
        if ending in ("sweep", "open"):
            records.append(SweepEnd(stream="deals", complete=ending == "sweep"))
        elif ending == "checkpoint":
            records.insert(7, Checkpoint(stream="deals", cursor={"at": rng.randrange(9)}))
        elif ending == "quota":
            records.insert(9, QuotaError("used up"))
        real, outcome = twins.sync(records)
        assert (real.status, len(real.reasons)) == (outcome.status, len(outcome.reasons))
    check(twins)


def test_random_dated_snapshots_are_landed_alike(twins):
    rng = random.Random(100)
    for _ in range(3):
        twins.sync([random_record(rng, dated=True) for _ in range(30)])
    check(twins)


def test_a_dated_sweep_is_judged_alike(twins):
    early, late = START - timedelta(days=20), START - timedelta(days=10)
    twins.sync(
        [
            Deal(deal_id="d0", read_at=early),
            Deal(deal_id="d1", read_at=early),
            SweepEnd(stream="deals", complete=True, read_at=early, missing_as="absent"),
            Deal(deal_id="d0", read_at=late),
            Deal(deal_id="d2", read_at=late),
            SweepEnd(stream="deals", complete=True, read_at=late, missing_as="absent"),
        ]
    )
    assert twins.landing.presence() == {"d0": "present", "d1": "absent", "d2": "present"}
    check(twins)


@pytest.mark.parametrize(("vanish", "status"), [(20, "complete"), (21, "suspicious"), (40, "suspicious")])
@pytest.mark.parametrize("full", [False, True])
def test_the_guard_is_the_same(twins, vanish, status, full):
    deals = [Deal(deal_id=f"g{number:03d}") for number in range(40)]
    twins.sync([*deals, SweepEnd(stream="deals", complete=True)])
    real, outcome = twins.sync([*deals[vanish:], SweepEnd(stream="deals", complete=True)], full=full, hours=30)
    assert (real.status, outcome.status) == (status, status)
    deleted = real.rows["deals"].deleted if "deals" in real.rows else 0
    assert deleted == sum(kind != "present" for kind in twins.landing.presence().values())
    check(twins)


def test_the_same_records_again_write_nothing_in_either(twins):
    rng = random.Random(7)
    records = [Deal(deal_id=key, stage_id=rng.choice(STAGES)) for key in KEYS]
    records += [HistoryRead(deal_id=key, complete=True) for key in KEYS]
    twins.sync(records)
    real, outcome = twins.sync(records)
    assert (real.parts, outcome.rows) == (0, 0)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (QuotaError("used up"), "partial"),
        (TransientError("gave up"), "failed"),
        (Warn(code="x", message="half of it", makes="partial"), "partial"),
        (Warn(code="x", message="odd", makes="suspicious"), "suspicious"),
        (Warn(code="x", message="by the way"), "complete"),
    ],
)
def test_a_sync_ends_alike(twins, ending, status):
    real, outcome = twins.sync([Deal(deal_id="d1"), Checkpoint(stream="deals", cursor={"n": 1}), ending])
    assert (real.status, outcome.status) == (status, status)
    check(twins)
