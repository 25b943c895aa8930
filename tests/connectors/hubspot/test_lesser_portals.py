"""Portals that show less than the sandbox, or run by another clock: found with simulators written from the vendor's documents alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.hubspot import mapping, wire
from connectors.hubspot.mapping import Account
from connectors.sandbox.hubspot import HubSpotServer, serve
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import World
from tests.connectors.hubspot.test_hubspot import Hub, truth
from tests.connectors.hubspot.test_variants import _refuse, alter


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    with serve(World(seed=3, deals=120), per_ten_seconds=None, search_per_second=None) as running:
        yield running


def assert_true(hub: Hub) -> None:
    told, live = hub.paths(), truth(hub.portal)
    assert {key: told.get(key) for key in live} == live


@pytest.mark.parametrize(
    ("endpoint", "codes"), [("associations", []), ("deals.search", ["no_search"])], ids=["associations", "search"]
)
def test_an_account_without_associations_or_search_is_read_all_the_same(
    portal: HubSpotServer, tmp_path: Path, endpoint: str, codes: list[str]
) -> None:
    _refuse(portal, {endpoint}, "", 404)
    hub = Hub(portal, tmp_path)
    assert hub.sync().status == "complete"
    portal.world.advance(days=1, changes=15)
    hub.clock.advance(days=1)
    report = hub.sync()
    assert (report.status, [notice.code for notice in report.warnings]) == ("complete", codes)
    assert_true(hub)


@pytest.mark.parametrize("form", ["no histories", "empty histories"])
def test_a_recycle_bin_without_histories_leaves_what_is_known(portal: HubSpotServer, tmp_path: Path, form: str) -> None:
    """Such an answer must not pass for a deal that never left its last stage."""

    def without(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            if item.get("archived") and "propertiesWithHistory" in item:
                item["propertiesWithHistory"] = {} if form == "empty histories" else None
        return body

    alter(portal, without)
    hub, world = Hub(portal, tmp_path), portal.world
    hub.sync()
    deal = world.cases["reopened"]
    key, before = portal.deal_id(deal), hub.paths()[portal.deal_id(deal)]
    world.tick(600)
    world.archive(deal)
    hub.clock.advance(hours=1)
    hub.sync()
    assert hub.presence()[key][0] == "deleted"
    told = hub.rows(
        f"select changed_at, to_stage_id from landing.stage_changes where deal_id = '{key}' order by 1, sequence"
    )
    assert told == [(at, stage) for at, _, stage in before]


def test_a_portal_that_lists_live_deals_as_archived_deletes_nothing(portal: HubSpotServer, tmp_path: Path) -> None:
    """What a gateway that drops a query parameter it does not know makes of the recycle bin."""
    handle = portal.portal.handle

    def deaf(request: Request) -> Response:
        request.query["archived"] = ["false"]
        return handle(request)

    portal.portal.handle = deaf  # type: ignore[method-assign]
    hub = Hub(portal, tmp_path)
    for _ in range(2):
        assert hub.sync().status == "complete"
        assert [kind for kind, _ in hub.presence().values() if kind == "deleted"] == []
        hub.clock.advance(hours=1)
    assert_true(hub)


def test_instants_may_stand_beside_the_properties_only(portal: HubSpotServer, tmp_path: Path) -> None:
    calm = Hub(portal, tmp_path / "calm")
    calm.sync()

    def bare(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            for name in ("createdate", "hs_lastmodifieddate"):
                (item.get("properties") or {}).pop(name, None)
        return body

    alter(portal, bare)
    hub = Hub(portal, tmp_path / "bare")
    hub.sync()
    sql = "select deal_id, created_at, updated_at from landing.deals order by 1"
    assert hub.rows(sql) == calm.rows(sql)
    portal.world.advance(days=1, changes=10)
    hub.clock.advance(days=1)
    hub.sync()
    assert portal.calls["deals.batch_read"] == 1
    assert_true(hub)


def test_a_stage_id_that_two_pipelines_use_belongs_to_the_one_the_deal_was_in() -> None:
    account = Account(
        pipeline_of={"new": "b", "won": "b", "own": "a"},
        shared=frozenset({("a", "new"), ("b", "new"), ("a", "won"), ("b", "won")}),
    )
    read = wire.Read(
        id="1",
        properties={"dealstage": "won", "pipeline": "b"},
        history={
            "dealstage": [_entry("won", 4), _entry("own", 3), _entry("new", 1)],
            "pipeline": [_entry("b", 4), _entry("a", 1)],
        },
        company_id=None,
        archived=False,
        archived_at=None,
        raw=msgspec.Raw(b"{}"),
    )
    changes = mapping.history(read, account).stage_changes
    assert [(c.to_pipeline_id, c.to_stage_id) for c in changes] == [("a", "new"), ("a", "own"), ("b", "won")]


def _entry(value: str, day: int) -> wire.Entry:
    return wire.Entry(value=value, timestamp=f"2026-03-0{day}T00:00:00Z")


def test_a_change_in_the_very_second_of_the_sync_is_read(portal: HubSpotServer, tmp_path: Path) -> None:
    """The Date header has whole seconds, HubSpot's stamps have milliseconds."""
    hub, world = Hub(portal, tmp_path), portal.world
    hub.sync()
    world.tick(3600.7)
    world.win(world.cases["open"])
    hub.clock.advance(hours=1)
    hub.sync()
    assert_true(hub)


def test_changes_are_found_whatever_clock_they_were_stamped_by(portal: HubSpotServer, tmp_path: Path) -> None:
    """A portal whose data lie a year behind its Date header: the cursor follows what was received."""
    now_ms = portal.portal.now_ms
    portal.portal.now_ms = lambda: now_ms() + 366 * 86_400_000  # type: ignore[method-assign]
    hub, world = Hub(portal, tmp_path), portal.world
    hub.sync()
    for _ in range(2):
        world.tick(3600)
        world.advance(days=0.1, changes=8)
        hub.clock.advance(hours=4)
        assert hub.sync().status == "complete"
        assert_true(hub)


def test_a_first_read_that_a_quota_ends_goes_on_with_the_rest(tmp_path: Path) -> None:
    """Sixteen calls a day are fewer than a first read takes; what was read is not asked for again."""
    with serve(World(seed=3, deals=700), per_ten_seconds=None, search_per_second=None) as portal:
        handle, left = portal.portal.handle, [0]

        def limited(request: Request) -> Response:
            left[0] -= 1
            if left[0] < 0:
                body = b'{"status":"error","policyName":"DAILY","message":"daily limit"}'
                return Response(429, body)
            return handle(request)

        portal.portal.handle = limited  # type: ignore[method-assign]
        hub = Hub(portal, tmp_path)
        statuses = []
        # Three days as a rule; pages that were under way when the limit came are asked for again, and how many is up to the threads.
        while "complete" not in statuses and len(statuses) < 5:
            left[0] = 16
            statuses.append(hub.sync().status)
            hub.clock.advance(days=1)
        assert statuses[0] == "partial"
        assert statuses[-1] == "complete"
        assert_true(hub)
        archived = {portal.deal_id(key) for key, kind in portal.world.tombstones().items() if kind == "archived"}
        assert archived <= hub.presence().keys()


def test_every_stage_that_only_histories_know_gets_its_name_in_time(portal: HubSpotServer, tmp_path: Path) -> None:
    """At most 50 are looked up in one sync; the others wait for the next one."""
    keys = sorted(truth(portal))[:60]

    def aged(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            if item.get("id") in keys and item.get("propertiesWithHistory"):
                first = item["propertiesWithHistory"]["dealstage"][-1]
                first["value"] = f"gone-{keys.index(item['id'])}"
        return body

    alter(portal, aged)
    hub = Hub(portal, tmp_path)
    sql = "select count(distinct stage_id) from landing.stages where is_archived"
    counts = []
    for _ in range(3):
        hub.sync()
        hub.clock.advance(hours=1)
        counts += hub.rows(sql)
    assert counts == [(50,), (61,), (61,)]
    assert portal.calls["pipelines.audit"] == 0


@pytest.mark.parametrize("version", ["2026-09", "v3"])
def test_a_name_cut_in_the_middle_of_an_emoji_costs_nothing(
    portal: HubSpotServer, tmp_path: Path, version: str
) -> None:
    """Half a character as JavaScript sends it: no JSON decoder takes it."""
    key = portal.deal_id(portal.world.cases["open"])

    def cut(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            if item.get("id") == key and "dealname" in item.get("properties", {}):
                item["properties"]["dealname"] = "Rocket \ud83d"
        return body

    alter(portal, cut)
    hub = Hub(portal, tmp_path, api_version=version)
    report = hub.sync()
    assert (report.status, report.rows["deals"].rejected) == ("complete", 0)
    assert hub.rows(f"select name from landing.deals where deal_id = '{key}'") == [("Rocket \ufffd",)]


@pytest.mark.parametrize("odd", [{"associationTypes": 5}, {"toObjectId": 1e308}, {"toObjectId": None}])
def test_one_odd_association_costs_nothing_but_itself(portal: HubSpotServer, tmp_path: Path, odd: Any) -> None:
    def spoiled(request: Request, body: Any) -> Any:
        if portal.portal.endpoint(request) == "associations" and body["results"]:
            body["results"][0]["to"][0] |= odd
        return body

    hub = Hub(portal, tmp_path)
    hub.sync()
    alter(portal, spoiled)
    portal.world.advance(days=1, changes=20)
    hub.clock.advance(days=1)
    assert hub.sync().status == "complete"
    assert portal.calls["associations"]
    assert_true(hub)


@pytest.mark.parametrize(
    "endpoint", ["pipelines", "pipelines.audit", "owners", "properties", "companies.list", "deals.list"]
)
def test_entries_that_are_no_objects_cost_nothing_but_themselves(
    portal: HubSpotServer, tmp_path: Path, endpoint: str
) -> None:
    def spoiled(request: Request, body: Any) -> Any:
        if portal.portal.endpoint(request) == endpoint:
            body["results"] += ["", None, [], {}]
        return body

    alter(portal, spoiled)
    hub = Hub(portal, tmp_path)
    assert hub.sync().status == "complete"
    assert_true(hub)
