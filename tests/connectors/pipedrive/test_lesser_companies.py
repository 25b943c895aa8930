"""Companies that answer otherwise than the sandbox where Pipedrive's documents leave it open: found with simulators written from them alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.sandbox.pipedrive import PipedriveServer, serve
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import World
from tests.connectors.pipedrive.test_pipedrive import Hub
from tests.connectors.pipedrive.test_variants import assert_paths_are_true, between, codes, failing


@pytest.fixture
def company() -> Iterator[PipedriveServer]:
    with serve(World(seed=3, deals=60), burst=None) as running:
        yield running


def test_a_deal_that_never_moved_may_show_its_creation_as_its_last_move(
    company: PipedriveServer, tmp_path: Path
) -> None:
    calm = Hub(company, tmp_path / "calm")
    calls = calm.sync().calls["changelog"]

    def filled(request: Request, handle: Callable[[Request], Response]) -> Response:
        response = handle(request)
        body = json.loads(response.body)
        for row in (body.get("data") or []) if "/v2/deals" in request.path else ():
            row["stage_change_time"] = row["stage_change_time"] or row["add_time"]
        response.body = json.dumps(body).encode()
        return response

    between(company, filled)
    hub = Hub(company, tmp_path / "filled")
    report = hub.sync()
    assert (report.calls["changelog"], codes(report)) == (calls, [])
    assert_paths_are_true(company, hub)


def test_a_company_that_does_not_say_who_it_is_is_read_all_the_same(company: PipedriveServer, tmp_path: Path) -> None:
    failing(company, "users.me", 404)
    hub = Hub(company, tmp_path)
    report = hub.sync()
    assert (report.status, codes(report)) == ("complete", ["account_not_read"])
    assert_paths_are_true(company, hub)


def test_no_changelog_at_all_is_no_company_of_purged_deals(company: PipedriveServer, tmp_path: Path) -> None:
    failing(company, "changelog", 404)
    report = Hub(company, tmp_path).sync()
    assert (report.status, codes(report)) == ("partial", ["history_not_read"])


@pytest.mark.parametrize("kind", ["deleted", "archived"])
def test_a_deal_that_goes_without_moving_its_update_time_is_noticed(
    company: PipedriveServer, tmp_path: Path, kind: str
) -> None:
    """Whether deleting and archiving move it is unconfirmed: the short lists of such deals are read whole."""
    world = company.world
    hub = Hub(company, tmp_path)
    hub.sync()
    world.tick(7 * 3600)
    world.advance(days=0.1, changes=5)
    hub.clock.advance(hours=12)
    hub.sync()
    deal = world.cases["open"]
    key = str(deal)
    world.tick(7 * 3600)
    (world.delete if kind == "deleted" else world.archive)(deal)

    def unmoved(request: Request, handle: Callable[[Request], Response]) -> Response:
        response = handle(request)
        if request.first("updated_since"):
            body = json.loads(response.body)
            body["data"] = [row for row in body["data"] if str(row["id"]) != key]
            response.body = json.dumps(body).encode()
        return response

    between(company, unmoved)
    hub.clock.advance(hours=12)
    report = hub.sync()
    assert report.status == "complete"
    shown = dict(hub.rows("select deal_id, arg_max(presence, (_sync_seq, _ordinal)) from landing.deals group by 1"))
    assert shown[key] == kind
    written = hub.rows("select count(*) from landing.presence")
    hub.clock.advance(hours=1)
    hub.sync()
    assert hub.rows("select count(*) from landing.presence") == written


def test_a_long_archive_is_not_read_whole_each_time(company: PipedriveServer, tmp_path: Path) -> None:
    asked: list[str] = []

    def listed(request: Request, handle: Callable[[Request], Response]) -> Response:
        if "/v2/deals" in request.path:
            asked.append(request.target)
        return handle(request)

    between(company, listed)
    hub = Hub(company, tmp_path)
    hub.sync()
    asked.clear()
    hub.clock.advance(hours=1)
    hub.sync()
    assert [("archived" in target, "updated_since" in target) for target in asked] == [
        (False, True),
        (False, False),
        (True, False),
    ]
    asked.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.pipedrive.deals.PAGE", 0)
        hub.clock.advance(hours=1)
        hub.sync()
    assert [("archived" in target, "updated_since" in target) for target in asked] == [(False, True), (True, True)]


def test_changes_are_found_whatever_clock_they_were_stamped_by(company: PipedriveServer, tmp_path: Path) -> None:
    """A company whose data lie a year behind its Date header: the cursor follows what was received."""
    now_ms = company.company.now_ms
    company.company.now_ms = lambda: now_ms() + 366 * 86_400_000  # type: ignore[method-assign]
    hub, world = Hub(company, tmp_path), company.world
    hub.sync()
    for _ in range(2):
        world.tick(3600)
        world.advance(days=0.1, changes=6)
        hub.clock.advance(hours=4)
        assert hub.sync().status == "complete"
        assert_paths_are_true(company, hub)


def test_a_name_cut_in_the_middle_of_an_emoji_costs_nothing(company: PipedriveServer, tmp_path: Path) -> None:
    """Half a character as JavaScript sends it: no JSON decoder takes it."""
    deal = company.world.cases["open"]

    def cut(request: Request, handle: Callable[[Request], Response]) -> Response:
        response = handle(request)
        body = json.loads(response.body)
        for row in body.get("data") or () if "/v2/deals" in request.path else ():
            row["title"] = "Rocket \ud83d" if row["id"] == deal else row["title"]
        response.body = json.dumps(body).encode()
        return response

    between(company, cut)
    hub = Hub(company, tmp_path)
    report = hub.sync()
    assert (report.status, report.rows["deals"].rejected) == ("complete", 0)
    assert hub.rows(f"select name from landing.deals where deal_id = '{deal}'") == [("Rocket \ufffd",)]


@pytest.mark.parametrize(
    "endpoint", ["users.me", "pipelines", "stages", "deal_fields", "users", "organizations", "deals"]
)
def test_entries_that_are_no_objects_cost_nothing_but_themselves(
    company: PipedriveServer, tmp_path: Path, endpoint: str
) -> None:
    odd = ["", None, [], {}]

    def spoiled(request: Request, handle: Callable[[Request], Response]) -> Response:
        response = handle(request)
        if company.company.endpoint(request) == endpoint:
            body = json.loads(response.body)
            if endpoint == "users.me":
                body["data"]["access"] = [*odd, *body["data"]["access"]]
            else:
                for field in body["data"] if endpoint == "deal_fields" else ():
                    field["options"] = [*(field.get("options") or ()), *odd]
                body["data"] += odd
            response.body = json.dumps(body).encode()
        return response

    between(company, spoiled)
    hub = Hub(company, tmp_path)
    assert hub.sync().status == "complete"
    assert_paths_are_true(company, hub)
