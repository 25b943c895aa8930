"""One made-up org, its source in a home of its own, and a look at what landing then holds."""

from __future__ import annotations

from contextlib import contextmanager

from connectors.salesforce import Salesforce
from connectors.sandbox.salesforce import serve
from connectors.sandbox.world import World
from connectors.sdk import CallPolicy, FakeClock, MemoryTokens, StandaloneSync
from connectors.sdk.settings import load
from tests.warehouse.quick import landed
from warehouse.home import Home
from warehouse.landing import reading
from warehouse.sync import run_sync

KEY = "sf"


def config_of(org, **more):
    known = org.credentials
    config = {
        "domain": known.domain,
        "consumer_key": known.consumer_key,
        "consumer_secret": known.consumer_secret,
        "endpoint_override": org.url,
    }
    return config | more


class Lab:
    """`sync()` runs a real sync into landing; the clock of the sync goes along with the org's."""

    def __init__(self, root, org, *, key=KEY, **settings):
        self.org, self.world, self.key = org, org.world, key
        self.home = Home(root)
        self.clock = FakeClock(org.world.now)
        self.tokens = MemoryTokens()
        self.settings = load(Salesforce.Settings, config_of(org, **settings), where=key)
        self.report = None

    def sync(self, *, calls=None, **options):
        self.follow()
        self.org.reset_log()
        calls = calls or CallPolicy(self.key, clock=self.clock, tokens=self.tokens)
        connector = Salesforce(self.settings, source_key=self.key)
        self.report = run_sync(connector, home=self.home, clock=self.clock, calls=calls, **options)
        return self.report

    def follow(self):
        ahead = (self.world.now - self.clock.now()).total_seconds()
        self.clock.advance(seconds=max(ahead, 1))

    def minutes(self, count=1):
        self.world.tick(60 * count)
        self.follow()

    @property
    def calls(self):
        return dict(self.org.calls)

    @property
    def total(self):
        return sum(self.org.calls.values())

    def manifest(self):
        return reading.snapshot(self.home, [self.key]).manifests[self.key]

    def query(self, sql):
        return landed(self.home, self.key, sql)

    # --- what is held now --------------------------------------------------------------------------------------------------

    def latest(self, stream, columns):
        """Key -> chosen columns of the newest version of each key."""
        rows = self.query(
            f"select _key, {columns} from landing.{stream} qualify row_number() over (partition by _key "
            "order by coalesce(updated_at, _read_at) desc, _read_at desc, _sync_seq desc, _ordinal desc) = 1 order by _key"
        )
        return {row[0]: row[1:] for row in rows}

    def deals(self, columns="stage_id, pipeline_id, amount, currency, raw"):
        return self.latest("deals", columns)

    def events(self, stream="stage_changes", columns="changed_at, to_stage_id, from_stage_id, evidence"):
        """Deal -> its events in force, in order."""
        rows = self.query(
            "with last as (select deal_id, max((_read_at, _sync_seq, _ordinal)) filter (where complete) as since "
            "from landing.history_reads group by deal_id) "
            f"select e.deal_id, {columns} from landing.{stream} as e join last as l using (deal_id) "
            "where l.since is null or (e._read_at, e._sync_seq, e._read_ordinal) >= l.since "
            "qualify row_number() over (partition by e.deal_id, e.event_id order by e._sync_seq desc, e._ordinal desc) = 1 "
            "order by e.deal_id, changed_at, sequence, event_id"
        )
        found = {}
        for deal_id, *rest in rows:
            found.setdefault(deal_id, []).append(tuple(rest))
        return found

    def gone(self):
        """Deal -> how it is gone."""
        said = self.query(
            "select key, kind from landing.presence where stream = 'deals' "
            "qualify row_number() over (partition by key order by _read_at desc, _sync_seq desc, _ordinal desc) = 1"
        )
        return {key: kind for key, kind in said if kind != "present"}

    def id(self, number, kind="Opportunity"):
        return self.org.record_id(kind, number)

    # --- what is true ------------------------------------------------------------------------------------------------------

    def true_paths(self, *, deleted=False):
        """Deal -> (instant, stage) of each change, as Salesforce can tell it, for deals that are there."""
        there = {deal.id for deal in self.world.live()}
        if deleted:
            there |= {i for i, kind in self.world.tombstones().items() if kind != "purged"}
        return {
            self.id(number): [(at.replace(tzinfo=None), stage) for at, stage in self.org.stage_path(number)]
            for number in there
        }

    def paths(self):
        return {deal_id: [(at, stage) for at, stage, *_ in rows] for deal_id, rows in self.events().items()}

    def assert_true(self):
        """Every live deal is held with its present stage and its true path; nothing is there twice."""
        true, held = self.true_paths(), self.paths()
        assert {key: held.get(key) for key in true} == true
        deals = self.deals("stage_id, amount")
        for deal in self.world.live():
            stage, amount = deals[self.id(deal.id)]
            assert stage == self.world.stages[deal.stage_id].name
            assert amount == deal.amount
        assert self.query("select _key from landing.deals group by _key, _hash having count(*) > 1") == []


@contextmanager
def lab(tmp_path, *, deals=60, seed=5, world=None, settings=None, **options):
    with serve(world or World(seed=seed, deals=deals), **options) as org:
        yield Lab(tmp_path, org, **(settings or {}))


def standalone(org, **settings):
    """The connector by itself, without landing."""
    clock = FakeClock(org.world.now)
    return StandaloneSync(Salesforce, config_of(org, **settings), clock=clock)


def of(records, kind):
    return [record for record in records if isinstance(record, kind)]
