"""The Pipedrive sandbox answers as the official documents say."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from connectors.sandbox.pipedrive import PipedriveServer, serve
from connectors.sandbox.world import World

SPECS = Path(__file__).parents[2].parent / "shared" / "specs" / "pipedrive"


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def company() -> Iterator[PipedriveServer]:
    with serve(World(seed=3, deals=160), burst=None) as running:
        yield running


def get(company: PipedriveServer, path: str, **query: Any) -> requests.Response:
    headers = {"x-api-token": company.credentials.api_token}
    return requests.get(company.url + path, headers=headers, params=query, timeout=10)


def walked(company: PipedriveServer, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = get(company, path, **query).json()
        found += body["data"]
        query["cursor"] = body["additional_data"]["next_cursor"]
        if query["cursor"] is None:
            return found


def test_a_deal_keeps_its_last_open_stage_when_it_is_won_or_lost(company: PipedriveServer) -> None:
    for name in ("won", "lost", "reopened", "lost_reopened_lost"):
        deal = company.world.deals[company.world.cases[name]]
        shown = get(company, f"/api/v2/deals/{deal.id}").json()["data"]
        last = company.world.last_open_stage(deal)
        assert last is not None
        assert shown["stage_id"] == last.id
        assert shown["status"] == company.world.stages[deal.stage_id].outcome
        assert (shown["won_time"] is not None) == (shown["status"] == "won")


def test_a_deal_that_never_moved_has_no_stage_change_time_and_an_empty_changelog(company: PipedriveServer) -> None:
    deal = company.world.cases["never_moved"]
    assert get(company, f"/api/v2/deals/{deal}").json()["data"]["stage_change_time"] is None
    assert get(company, f"/api/v1/deals/{deal}/changelog").json()["data"] == []
    assert [line["data"]["field_key"] for line in get(company, f"/api/v1/deals/{deal}/flow").json()["data"]] == [
        "add_time"
    ]


def test_the_changelog_replayed_ends_where_the_deal_is(company: PipedriveServer) -> None:
    for deal in company.world.live():
        shown = get(company, f"/api/v2/deals/{deal.id}").json()
        if not shown["success"]:
            continue
        lines = get(company, f"/api/v1/deals/{deal.id}/changelog", limit=500).json()["data"]
        moves = [line for line in reversed(lines) if line["field_key"] == "stage_id"]
        assert all(a["new_value"] == b["old_value"] for a, b in itertools.pairwise(moves))
        if moves:
            assert moves[-1]["new_value"] == str(shown["data"]["stage_id"])
            assert moves[-1]["time"].replace(" ", "T") + "Z" == shown["data"]["stage_change_time"]


def test_lists_leave_out_archived_and_deleted_unless_asked(company: PipedriveServer) -> None:
    world = company.world
    plain = {row["id"] for row in walked(company, "/api/v2/deals", limit=50)}
    archived = {row["id"] for row in walked(company, "/api/v2/deals/archived", limit=50)}
    deleted = {row["id"] for row in walked(company, "/api/v2/deals", status="deleted")}
    assert world.cases["archived"] in archived - plain
    assert {world.cases["deleted"], world.cases["merged"]} <= deleted
    assert not deleted & plain
    assert world.cases["purged"] not in plain | archived | deleted


def test_a_deleted_deal_is_gone_after_30_days(company: PipedriveServer) -> None:
    world = company.world
    deal = world.cases["won"]
    world.delete(deal)
    world.tick(29 * 86_400)
    assert get(company, f"/api/v2/deals/{deal}").json()["data"]["is_deleted"] is True
    world.tick(2 * 86_400)
    assert get(company, f"/api/v2/deals/{deal}").status_code == 404


def test_a_cursor_names_the_first_item_of_the_next_page_and_pages_are_complete(company: PipedriveServer) -> None:
    body = get(company, "/api/v2/deals", limit=7, sort_by="update_time").json()
    mark = base64.b64decode(body["additional_data"]["next_cursor"])
    assert b'"field": "update_time"' in mark
    one = [row["id"] for row in walked(company, "/api/v2/deals", limit=1, sort_by="update_time")]
    many = [row["id"] for row in walked(company, "/api/v2/deals", limit=500, sort_by="update_time")]
    assert one == many
    assert len(set(one)) == len(one)


@pytest.mark.parametrize(
    "query",
    [
        {"start": "0"},
        {"updated_since": "2026-01-01 00:00:00"},
        {"updated_since": "2026-01-01T00:00:00.000Z"},
        {"sort_by": "stage_change_time"},
    ],
)
def test_v2_refuses_what_it_does_not_know(company: PipedriveServer, query: dict[str, str]) -> None:
    assert get(company, "/api/v2/deals", **query).status_code == 400


def test_stages_have_no_updated_since(company: PipedriveServer) -> None:
    assert get(company, "/api/v2/stages", updated_since="2026-01-01T00:00:00Z").status_code == 400


def test_updated_since_is_inclusive_and_until_exclusive(company: PipedriveServer) -> None:
    flood = company.world.tie_flood(5)
    at = get(company, f"/api/v2/deals/{flood[0]}").json()["data"]["update_time"]
    since = {row["id"] for row in walked(company, "/api/v2/deals", updated_since=at)}
    assert set(flood) <= since
    assert not set(flood) & {row["id"] for row in walked(company, "/api/v2/deals", updated_until=at)}


@pytest.mark.parametrize("path", ["/api/v1/deals", "/v1/stages", "/api/v1/pipelines/1", "/api/v1/deals/7"])
def test_replaced_endpoints_are_gone(company: PipedriveServer, path: str) -> None:
    assert get(company, path).status_code == 410


def test_a_stage_that_is_gone_is_in_no_list_but_history_names_it(company: PipedriveServer) -> None:
    deal = company.world.cases["gone_stage"]
    known = {str(row["id"]) for row in walked(company, "/api/v2/stages")}
    lines = get(company, f"/api/v1/deals/{deal}/changelog").json()["data"]
    assert {line["old_value"] for line in lines if line["field_key"] == "stage_id"} - known
    flow = get(company, f"/api/v1/deals/{deal}/flow", items="dealChange").json()["data"]
    assert any(line["data"]["additional_data"] for line in flow)


def test_tokens_and_bursts_are_counted_in_their_own_windows() -> None:
    clock = Time()
    with serve(World(seed=3, deals=40), burst=3, daily_tokens=60, seconds=clock) as company:
        codes = [get(company, "/api/v2/deals").status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        clock.now += 2.5
        answer = get(company, "/api/v2/stages")
        assert answer.headers["x-daily-ratelimit-token-remaining"] == "25"
        assert int(answer.headers["x-ratelimit-reset"]) in (1, 2)
        clock.now += 2.5
        get(company, "/api/v1/users")
        daily = get(company, "/api/v1/users")
        assert daily.status_code == 429
        assert company.tokens == 55
        company.world.tick(86_400)
        clock.now += 2.5
        assert get(company, "/api/v1/users").status_code == 200


def test_hammering_on_ends_in_an_html_403() -> None:
    with serve(World(seed=3, deals=40), burst=1, block_after=3, seconds=Time()) as company:
        answers = [get(company, "/api/v2/stages") for _ in range(6)]
    assert answers[-1].status_code == 403
    assert answers[-1].text.startswith("<!DOCTYPE html>")


def test_oauth_rotates_the_refresh_token() -> None:
    clock = Time()
    with serve(World(seed=3, deals=40), burst=None, token_seconds=60, seconds=clock) as company:
        known = company.credentials
        auth = (known.client_id, known.client_secret)
        form = {"grant_type": "refresh_token", "refresh_token": known.refresh_token}
        first = requests.post(company.url + "/oauth/token", data=form, auth=auth, timeout=10).json()
        again = requests.post(company.url + "/oauth/token", data=form, auth=auth, timeout=10)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        bearer = {"Authorization": f"Bearer {first['access_token']}"}
        assert requests.get(company.url + "/api/v2/stages", headers=bearer, timeout=10).status_code == 200
        clock.now += 61
        assert requests.get(company.url + "/api/v2/stages", headers=bearer, timeout=10).status_code == 401


def test_only_an_admin_has_admin_access() -> None:
    with serve(World(seed=3, deals=40), burst=None, admin=False) as company:
        assert not any(entry["admin"] for entry in get(company, "/api/v1/users/me").json()["data"]["access"])


def test_local_dates_are_days_of_the_companys_zone(company: PipedriveServer) -> None:
    rows = [row for row in walked(company, "/api/v2/deals", status="won", limit=500) if row["won_time"]]
    assert any(row["local_won_date"] != row["won_time"][:10] for row in rows)


@pytest.mark.skipif(not SPECS.is_dir(), reason="the official OpenAPI files are not beside this checkout")
@pytest.mark.parametrize(
    ("file", "path", "target"),
    [
        ("v2", "/deals", "/api/v2/deals?include_fields=first_won_time"),
        ("v2", "/deals/archived", "/api/v2/deals/archived"),
        ("v2", "/deals/{id}", "/api/v2/deals/1"),
        ("v2", "/pipelines", "/api/v2/pipelines"),
        ("v2", "/stages", "/api/v2/stages"),
        ("v2", "/organizations", "/api/v2/organizations"),
        ("v2", "/dealFields", "/api/v2/dealFields"),
        ("v1", "/deals/{id}/changelog", "/api/v1/deals/1/changelog"),
        ("v1", "/deals/{id}/flow", "/api/v1/deals/1/flow"),
        ("v1", "/users", "/api/v1/users"),
        ("v1", "/users/me", "/api/v1/users/me"),
        ("v1", "/currencies", "/api/v1/currencies"),
    ],
)
def test_answers_agree_with_the_official_openapi_files(
    company: PipedriveServer, file: str, path: str, target: str
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = _spec(file)
    answer = document["paths"][path]["get"]["responses"]["200"]
    schema = _plain(document, answer)["content"]["application/json"]["schema"]
    body = get(company, target).json()
    problems = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(body)
    ]
    assert problems == []


_LOADED: dict[str, Any] = {}


def _spec(file: str) -> Any:
    if file not in _LOADED:
        text = (SPECS / f"pipedrive-{file}-openapi.yml").read_text(encoding="utf-8")
        _LOADED[file] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return _LOADED[file]


def _plain(document: Any, node: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: references resolved, `nullable` as a type, examples dropped."""
    if isinstance(node, list):
        return [_plain(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _plain(document, target)
    found = {
        key: _plain(document, value)
        for key, value in node.items()
        if key not in ("example", "examples", "format", "x-enumNames")
    }
    # The page says little about what may be null: every field may, except where the record could not be told without it.
    may_be_null = found.pop("nullable", False) or found.get("type") not in ("object", "array", "boolean")
    if isinstance(found.get("type"), str) and may_be_null:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found
