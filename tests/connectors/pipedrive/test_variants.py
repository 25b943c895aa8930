"""What Pipedrive's documents allow and the sandbox does not do by itself: other forms of answers, missing permissions, other paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.pipedrive import PipedriveServer, serve
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import World
from tests.connectors.pipedrive.test_pipedrive import Hub, truth

Answering = Callable[[Request, Callable[[Request], Response]], Response]


@pytest.fixture
def company() -> Iterator[PipedriveServer]:
    with serve(World(seed=3, deals=60), burst=None) as running:
        yield running


def between(company: PipedriveServer, answer: Answering) -> None:
    """Answer in the company's place; the second argument is the company."""
    handle = company.company.handle
    company.company.handle = lambda request: answer(request, handle)  # type: ignore[method-assign]


def failing(company: PipedriveServer, endpoint: str, status: int, body: Any = None) -> None:
    def answer(request: Request, handle: Callable[[Request], Response]) -> Response:
        if company.company.endpoint(request) == endpoint:
            return Response(status, json.dumps(body or {"success": False, "error": "no"}).encode())
        return handle(request)

    between(company, answer)


def assert_paths_are_true(company: PipedriveServer, hub: Hub, without: int | None = None) -> None:
    told, real = hub.paths(), truth(company)
    assert {key: told.get(key) for key in real if key != without} == {key: real[key] for key in real if key != without}


def codes(report: Any) -> list[str]:
    return [notice.code for notice in report.warnings]


def test_absent_keys_texts_for_numbers_and_other_forms_of_times_are_understood(
    company: PipedriveServer, tmp_path: Path
) -> None:
    calm = Hub(company, tmp_path / "calm")
    calm.sync()

    def loose(request: Request, handle: Callable[[Request], Response]) -> Response:
        response = handle(request)
        body = json.loads(response.body)
        rows = body.get("data") or []
        for row in rows if isinstance(rows, list) else ():
            _loosen(row)
        extra = body.get("additional_data")
        if isinstance(extra, dict) and extra.get("next_cursor") is None:
            del body["additional_data"]
        if not rows:
            body["data"] = None
        response.body = json.dumps(body).encode()
        return response

    between(company, loose)
    hub = Hub(company, tmp_path / "loose")
    report = hub.sync()
    assert (report.status, report.rows["deals"].rejected) == ("complete", 0)
    assert hub.paths() == calm.paths()
    assert hub.presence() == calm.presence()
    sql = "select deal_id, amount, presence, stage_entered_at, closed_at from landing.deals order by 1"
    assert hub.rows(sql) == calm.rows(sql)


def _loosen(row: dict[str, Any]) -> None:
    row["brand_new"] = {"a": [1]}
    for key in ("add_time", "update_time", "stage_change_time", "won_time", "lost_time"):
        if row.get(key):
            row[key] = row[key].replace("Z", ".000Z")
    if isinstance(row.get("time"), str):
        row["time"] = row["time"].replace(" ", "T") + "Z"
    if "custom_fields" in row and not any(row["custom_fields"].values()):
        row["custom_fields"] = None if row["id"] % 2 else []
    if "stage_change_time" in row:
        row["value"] = str(row["value"])
        if row.pop("is_deleted"):
            row["status"] = "deleted"
        row.pop("is_archived")
        if row["stage_change_time"] is None:
            del row["stage_change_time"]


def test_without_the_list_of_archived_deals_none_is_taken_for_purged(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path)
    hub.sync()
    failing(company, "deals.archived", 404)
    report = hub.sync(full=True)
    assert report.status == "complete"
    assert "archived_not_read" in codes(report)
    assert "purged" not in hub.presence().values()


def test_a_deal_list_that_is_not_there_is_an_error_and_no_empty_company(
    company: PipedriveServer, tmp_path: Path
) -> None:
    hub = Hub(company, tmp_path)
    hub.sync()
    failing(company, "deals", 404)
    report = hub.sync(full=True)
    assert report.status == "failed"
    assert any("404" in reason and "base_url" in reason for reason in report.reasons)
    assert "purged" not in hub.presence().values()


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("organizations", "companies_not_read"),
        ("users", "owners_not_read"),
        ("deal_fields", "fields_not_read"),
        ("changelog", "history_not_read"),
    ],
)
def test_a_permission_that_is_missing_costs_only_what_it_is_for(
    company: PipedriveServer, tmp_path: Path, endpoint: str, code: str
) -> None:
    failing(company, endpoint, 403)
    hub = Hub(company, tmp_path)
    report = hub.sync()
    assert report.status == "complete"
    assert code in codes(report)
    assert hub.rows("select count(distinct deal_id) from landing.deals") == [(len(company.company.rows),)]
    if endpoint != "changelog":
        assert_paths_are_true(company, hub)


def test_v1_is_found_where_the_general_host_has_it(company: PipedriveServer, tmp_path: Path) -> None:
    def answer(request: Request, handle: Callable[[Request], Response]) -> Response:
        return Response(404, b"{}") if request.path.startswith("/api/v1") else handle(request)

    between(company, answer)
    hub = Hub(company, tmp_path)
    assert hub.sync().status == "complete"
    assert_paths_are_true(company, hub)


def test_one_deal_that_cannot_be_answered_for_costs_only_its_history(company: PipedriveServer, tmp_path: Path) -> None:
    broken = company.world.cases["skipped"]

    def answer(request: Request, handle: Callable[[Request], Response]) -> Response:
        is_broken = request.path.endswith(f"/deals/{broken}/changelog")
        return Response(400, b'{"success": false, "error": "broken"}') if is_broken else handle(request)

    between(company, answer)
    hub = Hub(company, tmp_path)
    assert hub.sync().status == "complete"
    assert [key for (key,) in hub.rows("select key from landing.rejects")] == [str(broken)]
    assert_paths_are_true(company, hub, without=broken)


def test_when_no_changelog_can_be_read_the_sync_fails(company: PipedriveServer, tmp_path: Path) -> None:
    failing(company, "changelog", 400)
    assert Hub(company, tmp_path).sync().status == "failed"


@pytest.mark.parametrize("case", ["won", "lost"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_deal_closed_anew_between_two_syncs_shows_its_reopening(
    company: PipedriveServer, tmp_path: Path, case: str, is_cut: bool
) -> None:
    """Stage and status are those that are held; only the closing time tells. Also where the budget ends before its changelog."""
    hub, world = Hub(company, tmp_path), company.world
    hub.sync()
    deal = world.cases[case]
    world.tick(3600)
    world.reopen(deal)
    world.tick(3600)
    (world.win if case == "won" else world.lose)(deal)
    hub.clock.advance(hours=2)
    if is_cut:
        company.faults.add("daily_limit", match="changelog", times=1)
        assert hub.sync().status == "partial"
        world.tick(86_400)
        hub.clock.advance(days=1)
    assert hub.sync().status == "complete"
    assert company.calls["changelog"] == 1
    assert hub.paths()[deal] == truth(company)[deal]
    hub.sync()
    assert company.calls["changelog"] == 0


def test_a_deal_that_never_moved_keeps_its_reopenings_when_it_closes_again(
    company: PipedriveServer, tmp_path: Path
) -> None:
    hub, world = Hub(company, tmp_path), company.world
    deal = world.cases["never_moved"]
    for change in (world.lose, world.reopen, world.lose):
        hub.sync()
        world.tick(3600)
        hub.clock.advance(hours=1)
        change(deal)
    hub.sync()
    assert hub.paths()[deal] == truth(company)[deal]


def test_a_daily_refusal_is_not_hammered_at(tmp_path: Path) -> None:
    """Fewer tokens left than a call costs: the next answer would be the same until midnight."""
    with serve(World(seed=3, deals=60), burst=None, daily_tokens=395) as company:
        assert Hub(company, tmp_path).sync().status == "partial"
        assert company.company.limits.refused["daily"] <= 16
        assert company.company.limits.refused["blocked"] == 0
