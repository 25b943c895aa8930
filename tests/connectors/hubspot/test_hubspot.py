"""HubSpot's quirks against the sandbox, through the real sync loop: what lands is the truth of the made-up company."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot import HubSpot, mapping, wire
from connectors.hubspot.mapping import Account
from connectors.sandbox.hubspot import HubSpotServer, serve
from connectors.sandbox.world import World
from connectors.sdk import ConfigError, FakeClock
from connectors.sdk.client import CallPolicy
from connectors.sdk.settings import load
from tests.warehouse.quick import landed
from warehouse.home import Home
from warehouse.sync import SyncReport, run_sync


class Hub:
    """One portal and one home."""

    def __init__(self, portal: HubSpotServer, root: Path, **settings: Any) -> None:
        self.portal, self.home = portal, Home(root)
        self.clock = FakeClock(portal.world.now)
        config = {"access_token": portal.credentials.access_token, "base_url": portal.url, **settings}
        self.settings = load(HubSpot.Settings, config, where="test")

    def sync(self, **options: Any) -> SyncReport:
        self.portal.reset_log()
        policy = CallPolicy("hubspot", clock=self.clock, rng=random.Random(1))
        return run_sync(
            HubSpot(self.settings, source_key="hubspot"), home=self.home, clock=self.clock, calls=policy, **options
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return landed(self.home, "hubspot", sql)

    def paths(self) -> dict[str, list[tuple[Any, ...]]]:
        """Stage path of each deal by its newest reading."""
        rows = self.rows(
            "with newest as (select deal_id, max((_sync_seq, _ordinal)) as last from landing.history_reads group by 1) "
            "select c.deal_id, c.changed_at, c.to_pipeline_id, c.to_stage_id from landing.stage_changes as c "
            "inner join newest as n on n.deal_id = c.deal_id and n.last = (c._sync_seq, c._read_ordinal) order by c.deal_id, c.changed_at, c.sequence"
        )
        found: dict[str, list[tuple[Any, ...]]] = {}
        for deal_id, *visit in rows:
            found.setdefault(deal_id, []).append(tuple(visit))
        return found

    def presence(self) -> dict[str, tuple[str, str | None]]:
        rows = self.rows(
            "select key, kind, survivor from landing.presence where stream = 'deals' order by _read_at, _sync_seq, _ordinal"
        )
        return {key: (kind, survivor) for key, kind, survivor in rows}


def truth(portal: HubSpotServer) -> dict[str, list[tuple[Any, ...]]]:
    """Stage paths of live deals that swallowed no other one."""
    merged = set(portal.portal.survivors.values())
    return {
        portal.deal_id(deal.id): [
            (at.replace(tzinfo=None), pipeline, stage) for at, pipeline, stage in portal.stage_path(deal.id)
        ]
        for deal in portal.world.live()
        if deal.presence == "present" and deal.id not in merged
    }


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    with serve(World(seed=3, deals=220), per_ten_seconds=None, search_per_second=None) as running:
        yield running


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({}, {"api_version": "v3"}),
        ({"opaque_cursors": True}, {}),
        ({"page_cap": 7}, {}),
        ({"extra_properties": 900}, {}),
        ({}, {"page_size": 1}),
    ],
    ids=["dated", "v3", "opaque cursors", "small pages", "900 properties", "page size 1"],
)
def test_a_first_sync_tells_every_deals_true_path(
    tmp_path: Path, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    """A1, A6."""
    with serve(World(seed=3, deals=220), per_ten_seconds=None, search_per_second=None, **options) as portal:
        hub = Hub(portal, tmp_path, **settings)
        report = hub.sync()
        assert (report.status, portal.calls["too_long"]) == ("complete", 0)
        told = hub.paths()
        assert {key: told.get(key) for key in truth(portal)} == truth(portal)


def test_an_increment_equals_a_full_read_and_reads_only_what_changed(portal: HubSpotServer, tmp_path: Path) -> None:
    """A7, A11."""
    hub = Hub(portal, tmp_path / "a")
    hub.sync()
    portal.world.advance(days=1, changes=30)
    hub.clock.advance(days=1)
    hub.sync()
    assert portal.calls["deals.batch_read"] == 1
    fresh = Hub(portal, tmp_path / "b")
    fresh.clock.advance(days=1)
    fresh.sync()
    live, told, whole = truth(portal), hub.paths(), fresh.paths()
    assert {key: told[key] for key in live} == {key: whole[key] for key in live} == live


def test_a_quiet_portal_writes_no_row(portal: HubSpotServer, tmp_path: Path) -> None:
    hub = Hub(portal, tmp_path)
    hub.sync()
    hub.clock.advance(hours=1)
    portal.world.tick(3600)
    report = hub.sync()
    assert report.parts == 0, "also for a stage that only histories name"
    assert portal.calls["deals.batch_read"] == 0


def test_companies_of_one_old_instant_are_not_listed_again_after_the_first_sync(tmp_path: Path) -> None:
    """An import stamps all of them alike; the window of the next sync begins at that very instant."""
    with serve(World(seed=3, deals=1000), per_ten_seconds=None, search_per_second=None) as portal:
        hub = Hub(portal, tmp_path)
        hub.sync()
        assert hub.rows("select count(distinct updated_at), count(*) > 200 from landing.companies") == [(1, True)]
        portal.world.tick(3600)
        hub.clock.advance(hours=1)
        hub.sync()
        assert portal.calls["companies.search"] == 1


def test_archived_and_merged_deals_are_marked_and_the_survivor_is_named(portal: HubSpotServer, tmp_path: Path) -> None:
    """A12."""
    hub, world = Hub(portal, tmp_path), portal.world
    hub.sync()
    archived, loser, survivor = world.cases["won"], world.cases["open"], world.cases["skipped"]
    old = {name: portal.deal_id(name) for name in (archived, loser, survivor)}
    world.archive(archived)
    world.merge(loser, survivor)
    hub.clock.advance(hours=1)
    world.tick(3600)
    hub.sync()
    new = portal.deal_id(survivor)
    presence = hub.presence()
    assert presence[old[archived]][0] == "deleted"
    assert presence[old[loser]] == presence[old[survivor]] == ("merged", new)
    assert hub.rows(f"select is_combined from landing.history_reads where deal_id = '{new}'") == [(True,)]


def test_a_purged_deal_is_found_by_the_weekly_sweep(portal: HubSpotServer, tmp_path: Path) -> None:
    """A13."""
    hub = Hub(portal, tmp_path)
    hub.sync()
    gone = [portal.deal_id(portal.world.cases[name]) for name in ("won", "lost", "edited")]
    for name in ("won", "lost", "edited"):
        portal.world.purge(portal.world.cases[name])
    hub.clock.advance(days=8)
    portal.world.tick(8 * 86_400)
    assert hub.sync().status == "complete"
    presence = hub.presence()
    assert {key: presence[key][0] for key in gone} == dict.fromkeys(gone, "purged")


def test_losing_sight_of_half_the_deals_marks_none(portal: HubSpotServer, tmp_path: Path) -> None:
    hub = Hub(portal, tmp_path)
    hub.sync()
    before = hub.presence()
    portal.world.hide([deal.id for deal in portal.world.live() if deal.id % 2])
    report = hub.sync(full=True)
    assert report.status == "suspicious"
    assert hub.presence() == before


def test_an_index_that_lags_twenty_minutes_loses_nothing(tmp_path: Path) -> None:
    """A9."""
    world = World(seed=3, deals=120)
    with serve(world, per_ten_seconds=None, search_per_second=None, search_lag_seconds=1200) as portal:
        hub = Hub(portal, tmp_path)
        hub.sync()
        for _ in range(6):
            world.advance(days=0.01, changes=5)
            hub.clock.advance(days=0.01)
            hub.sync()
        world.tick(1300)
        hub.clock.advance(seconds=1300)
        hub.sync()
        told = hub.paths()
        assert {key: told[key] for key in truth(portal)} == truth(portal)


def test_more_deals_in_one_millisecond_than_a_search_gives_are_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A6, A8. The cap is lowered so that the test stays small; the benchmark runs 12,000."""
    monkeypatch.setattr("connectors.sandbox.hubspot.search.MOST_RESULTS", 100)
    world = World(seed=3, deals=500)
    with serve(world, per_ten_seconds=None, search_per_second=None) as portal:
        hub = Hub(portal, tmp_path, page_size=20)
        hub.sync()
        world.tick(3600)
        flood = [d for d in world.tie_flood(150) if world.deals[d].presence == "present"]
        hub.clock.advance(hours=1)
        report = hub.sync()
        assert report.status == "complete"
        assert report.rows["deals"].changed == len(flood)


def test_trouble_of_all_kinds_ends_complete_with_equal_rows(tmp_path: Path) -> None:
    world = World(seed=3, deals=220)
    with serve(world, per_ten_seconds=None, search_per_second=None) as portal:
        calm = Hub(portal, tmp_path / "calm")
        calm.sync()
        portal.faults.storm(0.15)
        stormy = Hub(portal, tmp_path / "storm", page_size=10)
        assert stormy.sync().status == "complete"
        assert sum(portal.faults.done.values()) > 3
        assert stormy.paths() == calm.paths()


def test_the_daily_limit_ends_the_sync_as_partial_and_the_next_one_goes_on(
    portal: HubSpotServer, tmp_path: Path
) -> None:
    """A14, A15."""
    hub = Hub(portal, tmp_path)
    portal.faults.add("daily_limit", match="deals.list", after=2, times=1)
    assert hub.sync().status == "partial"
    assert portal.faults.done["daily_limit"] == 1
    assert hub.sync().status == "complete"
    told = hub.paths()
    assert {key: told[key] for key in truth(portal)} == truth(portal)


def test_an_access_token_that_dies_in_mid_sync_is_renewed_once(tmp_path: Path) -> None:
    """A27."""
    with serve(World(seed=3, deals=220), per_ten_seconds=None, search_per_second=None) as portal:
        known = portal.credentials
        hub = Hub(portal, tmp_path)
        hub.settings = load(
            HubSpot.Settings,
            {
                "client_id": known.client_id,
                "client_secret": known.client_secret,
                "refresh_token": known.refresh_token,
                "base_url": portal.url,
            },
            where="test",
        )
        portal.faults.when(portal.expire_tokens, match="deals.list", after=2)
        assert hub.sync().status == "complete"
        assert portal.calls["token"] == 2


def test_a_missing_scope_is_named_and_owners_are_done_without(tmp_path: Path) -> None:
    """A20, A29."""
    with serve(
        World(seed=3, deals=60),
        missing_scopes={"crm.objects.owners.read"},
        per_ten_seconds=None,
        search_per_second=None,
    ) as portal:
        hub = Hub(portal, tmp_path)
        report = hub.sync()
        assert report.status == "complete"
        assert any("crm.objects.owners.read" in warning.message for warning in report.warnings)
        connector = HubSpot(hub.settings, source_key="hubspot")
        from connectors.sdk.standalone import StandaloneSync

        findings = list(connector.check(StandaloneSync(HubSpot, hub.settings, clock=hub.clock)))
        assert [(f.what, f.level) for f in findings if f.level != "ok"] == [("owners", "warning")]


def test_a_gone_stage_keeps_its_last_label(portal: HubSpotServer, tmp_path: Path) -> None:
    hub = Hub(portal, tmp_path)
    hub.sync()
    gone = {portal.portal.names.stage(s.id): s.label for s in portal.world.stages.values() if s.gone}
    found = dict(hub.rows("select stage_id, name from landing.stages where is_archived"))
    assert gone
    assert found == {key: label for key, label in gone.items() if key in found}
    assert found


def test_a_close_date_is_a_day_of_the_accounts_zone(portal: HubSpotServer, tmp_path: Path) -> None:
    """B17."""
    hub = Hub(portal, tmp_path)
    hub.sync()
    shown = dict(hub.rows("select deal_id, expected_close_date from landing.deals"))
    for deal in portal.world.live():
        assert shown[portal.deal_id(deal.id)] == deal.close_date


def read(**properties: str | None) -> wire.Read:
    return wire.Read(
        id="1", properties=properties, history=None, company_id=None, archived=False, archived_at=None, raw=b"{}"
    )


@pytest.mark.parametrize(
    ("zero", "closed", "expected"),
    [
        ("zero", "lost", Decimal(0)),
        ("unknown", "open", None),
        ("unknown_if_lost", "lost", None),
        ("unknown_if_lost", "won", Decimal(0)),
    ],
)
def test_what_an_amount_of_zero_means_is_a_setting(zero: str, closed: str, expected: Decimal | None) -> None:
    found = read(amount="0", hs_is_closed=str(closed != "open").lower(), hs_is_closed_won=str(closed == "won").lower())
    assert mapping.deal(found, Account(zero_amount=zero)).amount == expected


def test_instants_are_read_with_and_without_fraction_and_as_milliseconds() -> None:
    whole, part = mapping.instant("2026-03-01T09:00:00Z"), mapping.instant("2026-03-01T09:00:00.250Z")
    assert whole is not None
    assert part is not None
    assert part - whole == timedelta(milliseconds=250)
    assert mapping.instant("1772355600000") == whole
    assert mapping.instant("") is None


def test_labels_that_repeat_get_the_property_beside_them() -> None:
    found = mapping.labels(
        [{"name": "a", "label": "Region"}, {"name": "b", "label": "Region"}, {"name": "c", "label": "Score"}]
    )
    assert found == {"a": "Region (a)", "b": "Region (b)", "c": "Score"}


def test_a_history_that_ends_elsewhere_is_never_called_complete() -> None:
    """A2."""
    found = read(dealstage="b", createdate="2026-01-01T00:00:00Z")
    found.history = {"dealstage": [wire.Entry(value="a", timestamp="2026-01-01T00:00:00Z")]}
    reading_ = mapping.history(found, Account())
    assert not reading_.complete
    assert reading_.note is not None


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"client_id": "x"},
        {"access_token": "t", "client_id": "x"},
        {"access_token": "t", "base_url": "http://example.com"},
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        load(HubSpot.Settings, config, where="test")
