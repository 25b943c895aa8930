"""What HubSpot's documents allow and the sandbox does not do by itself: other forms of values, missing keys, missing scopes, other cursors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.hubspot import HubSpotServer, errors, serve
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import PRESENT, World
from tests.connectors.hubspot.test_hubspot import Hub, truth

Change = Callable[[Request, Any], Any]


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    with serve(World(seed=3, deals=150), per_ten_seconds=None, search_per_second=None) as running:
        yield running


def alter(portal: HubSpotServer, change: Change) -> None:
    """Change every JSON answer on its way out."""
    handle = portal.portal.handle

    def altered(request: Request) -> Response:
        response = handle(request)
        if response.status < 300:
            response.body = json.dumps(change(request, json.loads(response.body))).encode()
        return response

    portal.portal.handle = altered  # type: ignore[method-assign]


def test_numbers_nulls_and_unknown_keys_are_understood(portal: HubSpotServer, tmp_path: Path) -> None:
    calm = Hub(portal, tmp_path / "calm")
    calm.sync()

    def loose(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            properties = item.get("properties")
            if not isinstance(properties, dict):
                continue
            item |= {"id": int(item["id"]), "brand_new": {"a": [1]}, "archived": item.get("archived") or None}
            item.setdefault("associations", None)
            for name, value in properties.items():
                if value in ("true", "false") or (name in ("amount", "hs_exchange_rate") and value):
                    properties[name] = json.loads(value)
                if name == "createdate" and value:
                    properties[name] = value.replace("Z", "+00:00")
            for entry in (item.get("propertiesWithHistory") or {}).get("amount") or []:
                entry["value"] = json.loads(entry["value"] or "null")
        body.setdefault("paging", None)
        return body

    alter(portal, loose)
    hub = Hub(portal, tmp_path / "loose")
    report = hub.sync()
    assert (report.status, report.rows["deals"].rejected) == ("complete", 0)
    assert hub.paths() == calm.paths()
    sql = "select deal_id, amount, company_id, created_at from landing.deals order by 1"
    assert hub.rows(sql) == calm.rows(sql)


@pytest.mark.parametrize("form", ["the last id", "an id that skips", "an offset"])
def test_whatever_the_cursor_is_every_deal_is_read(portal: HubSpotServer, tmp_path: Path, form: str) -> None:
    app = portal.portal
    handed: set[int] = set()
    if form == "the last id":
        app.cursor = lambda start: str(start - 1)  # type: ignore[method-assign]
        app.cursor_of = lambda after: int(after) + 1 if after else 0  # type: ignore[method-assign]
    elif form == "an id that skips":  # a cursor that was never handed out leads somewhere else
        app.cursor = lambda start: (handed.add(start), str(start))[1]  # type: ignore[method-assign]
        app.cursor_of = lambda after: 0 if not after else int(after) + (0 if int(after) in handed else 9)  # type: ignore[method-assign]
    else:
        order = app.order
        app.cursor = lambda start: str(sum(key < start for key in order))  # type: ignore[method-assign]
        app.cursor_of = lambda after: order[int(after)] if after and int(after) < len(order) else 0  # type: ignore[method-assign]
    hub = Hub(portal, tmp_path, page_size=5)
    assert hub.sync().status == "complete"
    told = hub.paths()
    assert {key: told.get(key) for key in truth(portal)} == truth(portal)


def test_ids_that_lie_unevenly_are_read_side_by_side_all_the_same(portal: HubSpotServer, tmp_path: Path) -> None:
    """Nine tenths of the deals have the highest ids: the range that holds them is divided again."""
    app = portal.portal
    names = app.names.deal_ids
    for number, world_id in enumerate(sorted(names)):
        names[world_id] = (
            1_000_000
            + number * (7_000 if number < len(names) // 10 else 1)
            + (0 if number < len(names) // 10 else 500_000)
        )
    for world_id in list(app.world.deals):
        app._update(world_id)
    app._renumber()
    app.index = {key: found for key, found in app.rows.items() if not found.archived}
    hub = Hub(portal, tmp_path, page_size=5)
    report = hub.sync()
    told = hub.paths()
    assert {key: told.get(key) for key in truth(portal)} == truth(portal)
    assert report.calls["deals.list"] <= -(-len(app.order) // 5) + len(app.archived_order) // 5 + 10


@pytest.mark.parametrize(
    ("endpoint", "scope", "code"),
    [
        ("account", "oauth", "account_not_read"),
        ("properties", "crm.schemas.deals.read", "fields_not_read"),
        ("companies.list", "crm.objects.companies.read", "companies_not_read"),
    ],
)
@pytest.mark.parametrize("status", [403, 404])
def test_what_the_token_may_not_see_costs_only_that(
    portal: HubSpotServer, tmp_path: Path, endpoint: str, scope: str, code: str, status: int
) -> None:
    _refuse(portal, {endpoint}, scope, status)
    hub = Hub(portal, tmp_path)
    report = hub.sync()
    assert report.status == "complete"
    assert [notice.code for notice in report.warnings if notice.code.endswith("_not_read")] == [code]
    told = hub.paths()
    assert {key: told.get(key) for key in truth(portal)} == truth(portal)


def test_deals_are_read_without_their_companies_where_the_scope_is_missing(
    portal: HubSpotServer, tmp_path: Path
) -> None:
    handle = portal.portal.handle
    portal.portal.handle = lambda request: (  # type: ignore[method-assign]
        errors.missing_scopes(["crm.objects.companies.read"], request.number)
        if "associations" in request.target
        else handle(request)
    )
    hub = Hub(portal, tmp_path)
    assert hub.sync().status == "complete"
    portal.world.advance(days=1, changes=10)
    hub.clock.advance(days=1)
    assert hub.sync().status == "complete"
    assert hub.rows("select count(*), count(company_id) from landing.deals")[0][1] == 0
    told = hub.paths()
    assert {key: told.get(key) for key in truth(portal)} == truth(portal)


def test_a_page_that_is_no_json_is_asked_for_again(portal: HubSpotServer, tmp_path: Path) -> None:
    handle, spoiled = portal.portal.handle, []

    def once(request: Request) -> Response:
        if portal.portal.endpoint(request) == "deals.list" and not spoiled:
            spoiled.append(request)
            return Response(200, b"<html>maintenance</html>", "text/html")
        return handle(request)

    portal.portal.handle = once  # type: ignore[method-assign]
    assert Hub(portal, tmp_path).sync().status == "complete"
    assert spoiled


@pytest.mark.parametrize("is_cured", [True, False])
def test_a_deal_that_disagrees_with_its_history_is_read_once_more_or_listed(
    portal: HubSpotServer, tmp_path: Path, is_cured: bool
) -> None:
    """The two parts of one answer may differ in age; three such deals cost one call together."""
    late = [portal.deal_id(portal.world.cases[name]) for name in ("won", "skipped", "reopened")]

    def stale(request: Request, body: Any) -> Any:
        for item in body.get("results") or []:
            is_stale = item.get("id") in late and not (
                is_cured and portal.portal.endpoint(request) == "deals.batch_read"
            )
            if is_stale and "propertiesWithHistory" in item:
                del item["propertiesWithHistory"]["dealstage"][0]
        return body

    alter(portal, stale)
    hub = Hub(portal, tmp_path)
    report = hub.sync()
    assert report.status == "complete"
    assert portal.calls["deals.batch_read"] == 1
    incomplete = hub.rows(
        "select deal_id from (select deal_id, arg_max(complete, (_sync_seq, _ordinal)) as whole from landing.history_reads group by 1) "
        "where not whole order by 1"
    )
    assert [key for (key,) in incomplete] == ([] if is_cured else sorted(late))
    assert any(notice.code == "history_incomplete" for notice in report.warnings) is not is_cured


def _refuse(portal: HubSpotServer, endpoints: set[str], scope: str, status: int) -> None:
    handle = portal.portal.handle

    def refusing(request: Request) -> Response:
        if portal.portal.endpoint(request) in endpoints:
            return errors.missing_scopes([scope], request.number) if status == 403 else errors.not_found(request.number)
        return handle(request)

    portal.portal.handle = refusing  # type: ignore[method-assign]


def test_what_a_deal_went_through_before_it_was_archived_is_read(portal: HubSpotServer, tmp_path: Path) -> None:
    """Search shows no archived deal, so its last changes come with the recycle bin."""
    hub, world = Hub(portal, tmp_path), portal.world
    hub.sync()
    deal = world.cases["open"]
    world.tick(600)
    world.win(deal)
    world.tick(600)
    world.archive(deal)
    hub.clock.advance(hours=1)
    hub.sync()
    key = portal.deal_id(deal)
    expected = [(at.replace(tzinfo=None), pipeline, stage) for at, pipeline, stage in portal.stage_path(deal)]
    assert hub.paths()[key] == expected
    assert hub.presence()[key][0] == "deleted"
    assert portal.calls["deals.batch_read"] == 1


def test_newly_archived_deals_are_read_in_one_batch_wherever_the_recycle_bin_lists_them(
    portal: HubSpotServer, tmp_path: Path
) -> None:
    """The list comes by 100; each page of it used to ask for its own few deals."""
    world = portal.world
    live = sorted(key for key, deal in world.deals.items() if deal.presence == PRESENT)
    for deal in live[1:111]:
        world.archive(deal)
    hub = Hub(portal, tmp_path)
    hub.sync()
    world.tick(600)
    world.archive(live[0])
    world.archive(live[-1])
    hub.clock.advance(hours=1)
    hub.sync()
    assert [hub.presence()[portal.deal_id(deal)][0] for deal in (live[0], live[-1])] == ["deleted", "deleted"]
    assert portal.calls["deals.batch_read"] == 1
