"""The HubSpot sandbox speaks as the vendor's documents say: raw requests, and the unmodified hubspot-api-client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import hubspot
import pytest
import requests

from connectors.sandbox.hubspot import HubSpotServer, serve
from connectors.sandbox.world import World

V = "2026-09"


class Time:
    """A clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    with serve(World(seed=3, deals=160), per_ten_seconds=None, search_per_second=None) as running:
        yield running


def call(portal: HubSpotServer, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or portal.credentials.access_token}"}
    return requests.request(method, portal.url + path, headers=headers, timeout=10, **more)


def listed(portal: HubSpotServer, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = call(portal, "GET", f"/crm/objects/{V}/deals", params={"limit": 50, "after": after, **query}).json()
        found += page["results"]
        if "paging" not in page:
            return found
        after = page["paging"]["next"]["after"]


def search(portal: HubSpotServer, **body: Any) -> requests.Response:
    return call(portal, "POST", f"/crm/objects/{V}/deals/search", json=body)


def test_a_list_gives_every_live_deal_once_in_the_order_of_ids_and_no_archived_one(portal: HubSpotServer) -> None:
    ids = [int(item["id"]) for item in listed(portal)]
    gone = {portal.deal_id(portal.world.cases[name]) for name in ("deleted", "archived", "merged", "purged")}
    assert ids == sorted(set(ids))
    assert not gone & {str(i) for i in ids}
    assert len(ids) == sum(1 for deal in portal.world.deals.values() if deal.presence == "present")


def test_archived_deals_are_listed_apart_with_the_instant(portal: HubSpotServer) -> None:
    archived = listed(portal, archived="true")
    put_away = {d.id for d in portal.world.deals.values() if d.presence in ("deleted", "archived")}
    assert {portal.world.cases["deleted"], portal.world.cases["archived"]} <= put_away
    assert {item["id"] for item in archived} == {portal.deal_id(deal) for deal in put_away}
    assert all(item["archived"] and item["archivedAt"].endswith("Z") for item in archived)


@pytest.mark.parametrize(("query", "most"), [({}, 100), ({"propertiesWithHistory": "dealstage"}, 50)])
def test_pages_are_limited_to_100_and_to_50_with_history(
    portal: HubSpotServer, query: dict[str, str], most: int
) -> None:
    path = f"/crm/objects/{V}/deals"
    assert call(portal, "GET", path, params={"limit": most, **query}).status_code == 200
    refused = call(portal, "GET", path, params={"limit": most + 1, **query})
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")


def test_values_are_text_or_null_and_unknown_names_are_ignored_in_silence(portal: HubSpotServer) -> None:
    deal = portal.deal_id(portal.world.cases["unknown_amount"])
    wish = {"inputs": [{"id": deal}], "properties": ["amount", "hs_is_closed", "no_such_property"]}
    found = call(portal, "POST", f"/crm/objects/{V}/deals/batch/read", json=wish).json()["results"][0]["properties"]
    assert found["amount"] is None
    assert found["hs_is_closed"] == "false"
    assert "no_such_property" not in found


def test_history_is_newest_first_and_tells_the_true_path(portal: HubSpotServer) -> None:
    for name in ("won", "reopened", "backward", "bounced", "moved_pipeline", "never_moved"):
        world_id = portal.world.cases[name]
        wish = {"inputs": [{"id": portal.deal_id(world_id)}], "propertiesWithHistory": ["dealstage", "pipeline"]}
        answer = call(portal, "POST", f"/crm/objects/{V}/deals/batch/read", json=wish).json()["results"][0]
        entries = answer["propertiesWithHistory"]["dealstage"]
        told = [entry["value"] for entry in reversed(entries)]
        assert told == [stage for _, _, stage in portal.stage_path(world_id)], name
        assert [e["timestamp"] for e in entries] == sorted((e["timestamp"] for e in entries), reverse=True)


def test_batch_read_tells_missing_ids_with_207_and_refuses_more_than_its_limits(portal: HubSpotServer) -> None:
    path = f"/crm/objects/{V}/deals/batch/read"
    gone = portal.deal_id(portal.world.cases["purged"])
    answer = call(
        portal, "POST", path, json={"inputs": [{"id": portal.deal_id(portal.world.cases["won"])}, {"id": gone}]}
    )
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["ids"] == [gone]
    assert len(answer.json()["results"]) == 1
    many = [{"id": str(n)} for n in range(51)]
    assert call(portal, "POST", path, json={"inputs": many, "propertiesWithHistory": ["dealstage"]}).status_code == 400
    assert call(portal, "POST", path, json={"inputs": many * 2}).status_code == 400


def test_a_merge_gives_the_survivor_a_new_id_with_the_combined_history(portal: HubSpotServer) -> None:
    world = portal.world
    loser, survivor = world.cases["open"], world.cases["skipped"]
    old = [portal.deal_id(loser), portal.deal_id(survivor)]
    world.merge(loser, survivor)
    new = portal.deal_id(survivor)
    assert new not in old
    wish = {"inputs": [{"id": new}], "properties": ["hs_merged_object_ids"], "propertiesWithHistory": ["dealstage"]}
    found = call(portal, "POST", f"/crm/objects/{V}/deals/batch/read", json=wish).json()["results"][0]
    assert set(found["properties"]["hs_merged_object_ids"].split(";")) == set(old)
    assert len(found["propertiesWithHistory"]["dealstage"]) == len(world.stage_path(loser)) + len(
        world.stage_path(survivor)
    )
    assert call(portal, "GET", f"/crm/objects/{V}/deals/{old[0]}").json()["id"] == new
    assert not set(old) & {item["id"] for item in listed(portal) + listed(portal, archived="true")}


def test_search_stops_at_10000_and_pages_of_200(portal: HubSpotServer) -> None:
    assert search(portal, limit=201).status_code == 400
    assert search(portal, limit=200, after="9900").status_code == 400
    page = search(portal, limit=20).json()
    assert page["paging"]["next"]["after"] == "20"
    assert page["total"] == len(listed(portal))


def test_search_by_window_and_id_keyset_finds_everything_once(portal: HubSpotServer) -> None:
    world = portal.world
    flood = world.tie_flood(60)
    last, found = 0, []
    while True:
        filters = [
            {
                "propertyName": "hs_lastmodifieddate",
                "operator": "BETWEEN",
                "value": str(world.now_ms),
                "highValue": str(world.now_ms),
            },
            {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
        ]
        sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
        page = search(portal, filterGroups=[{"filters": filters}], sorts=sorts, limit=25).json()["results"]
        if not page:
            break
        found += [item["id"] for item in page]
        last = int(found[-1])
    assert found == sorted((portal.deal_id(d) for d in flood if world.deals[d].presence == "present"), key=int)


def test_ties_of_the_sorted_property_come_in_no_order(portal: HubSpotServer) -> None:
    portal.world.tie_flood(100)
    body = {"sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "DESCENDING"}], "limit": 50}
    first, second = (search(portal, **body).json()["results"] for _ in range(2))
    assert [item["id"] for item in first] != [item["id"] for item in second]


def test_the_search_index_lags_and_lists_do_not() -> None:
    world = World(seed=3, deals=60)
    with serve(world, per_ten_seconds=None, search_per_second=None, search_lag_seconds=1200) as portal:
        deal = world.create(name="Fresh")
        fresh = portal.deal_id(deal.id)
        query = {"filters": [{"propertyName": "hs_object_id", "operator": "EQ", "value": fresh}]}
        assert search(portal, **query).json()["total"] == 0
        assert fresh in {item["id"] for item in listed(portal)}
        world.tick(1201)
        assert search(portal, **query).json()["total"] == 1


def test_search_shows_no_rate_headers_and_has_its_own_limit() -> None:
    clock = Time()
    with serve(World(seed=3, deals=40), search_per_second=2, per_ten_seconds=3, seconds=clock) as portal:
        assert [search(portal).status_code for _ in range(3)] == [200, 200, 429]
        refused = search(portal)
        assert refused.json()["policyName"] == "SECONDLY"
        assert "category" not in refused.json()
        assert not any(name.lower().startswith("x-hubspot-ratelimit") for name in search(portal).headers)
        codes = [call(portal, "GET", f"/crm/owners/{V}").status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        clock.now += 10
        answer = call(portal, "GET", f"/crm/owners/{V}")
        assert (answer.status_code, answer.headers["X-HubSpot-RateLimit-Remaining"]) == (200, "2")


def test_the_daily_limit_names_its_policy() -> None:
    with serve(World(seed=3, deals=40), daily_limit=1) as portal:
        call(portal, "GET", f"/crm/owners/{V}")
        refused = call(portal, "GET", f"/crm/owners/{V}")
        assert (refused.status_code, refused.json()["policyName"]) == (429, "DAILY")


def test_a_missing_scope_is_named() -> None:
    with serve(World(seed=3, deals=40), missing_scopes={"crm.objects.owners.read"}) as portal:
        refused = call(portal, "GET", f"/crm/owners/{V}")
        assert refused.status_code == 403
        assert refused.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.owners.read"]
        assert call(portal, "GET", f"/crm/objects/{V}/deals").status_code == 200


def test_tokens_are_refreshed_by_form_and_run_out() -> None:
    clock = Time()
    with serve(World(seed=3, deals=40), token_seconds=100, seconds=clock) as portal:
        known = portal.credentials
        form = {
            "grant_type": "refresh_token",
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "refresh_token": known.refresh_token,
        }
        token = requests.post(portal.url + "/oauth/2026-03/token", data=form, timeout=10).json()["access_token"]
        assert len(token) > 300
        assert call(portal, "GET", f"/crm/owners/{V}", token=token).status_code == 200
        clock.now += 101
        assert call(portal, "GET", f"/crm/owners/{V}", token=token).json()["category"] == "EXPIRED_AUTHENTICATION"
        wrong = requests.post(portal.url + "/oauth/v1/token", data={**form, "refresh_token": "x"}, timeout=10)
        assert (wrong.status_code, wrong.json()["status"]) == (400, "BAD_REFRESH_TOKEN")
        assert call(portal, "GET", f"/crm/owners/{V}", token="wrong").json()["category"] == "INVALID_AUTHENTICATION"


def test_a_very_long_url_is_answered_with_414_in_html() -> None:
    with serve(World(seed=3, deals=40), extra_properties=900) as portal:
        names = [item["name"] for item in call(portal, "GET", f"/crm/properties/{V}/deals").json()["results"]]
        assert len(names) > 900
        answer = call(portal, "GET", f"/crm/objects/{V}/deals", params={"properties": ",".join(names)})
        assert answer.status_code == 414
        assert answer.text.startswith("<h1>")


def test_deactivated_owners_come_only_among_the_archived_and_deleted_ones_nowhere(portal: HubSpotServer) -> None:
    world = portal.world
    active = {o["email"] for o in call(portal, "GET", f"/crm/owners/{V}").json()["results"]}
    archived = {
        o["email"] for o in call(portal, "GET", f"/crm/owners/{V}", params={"archived": "true"}).json()["results"]
    }
    assert active == {o.email for o in world.owners.values() if o.active and not o.deleted}
    assert archived == {o.email for o in world.owners.values() if not o.active and not o.deleted}


def test_a_stage_that_is_gone_vanishes_from_pipelines_but_its_audit_remembers(portal: HubSpotServer) -> None:
    world = portal.world
    stage = world.pipeline_stages(2)[1]
    stage_id = portal.portal.names.stage(stage.id)
    world.remove_stage(stage.id, gone=True)
    pipelines = call(portal, "GET", f"/crm/pipelines/{V}/deals").json()["results"]
    assert stage_id not in {s["id"] for p in pipelines for s in p["stages"]}
    audit = call(
        portal, "GET", f"/crm/pipelines/{V}/deals/{portal.portal.names.pipeline(2)}/stages/{stage_id}/audit"
    ).json()
    assert audit["results"][-1]["action"] == "DELETE"
    assert audit["results"][0]["rawObject"]["label"] == stage.label


def test_associations_are_read_in_batches_and_by_list(portal: HubSpotServer) -> None:
    world = portal.world
    deal = world.cases["won"]
    wish = {"inputs": [{"id": portal.deal_id(deal)}, {"id": portal.deal_id(world.cases["no_company"])}]}
    answer = call(portal, "POST", f"/crm/associations/{V}/deals/companies/batch/read", json=wish)
    assert answer.status_code == 207
    company = answer.json()["results"][0]["to"][0]["toObjectId"]
    row = next(item for item in listed(portal, associations="companies") if item["id"] == portal.deal_id(deal))
    assert [link["id"] for link in row["associations"]["companies"]["results"]] == [company, company]
    found = call(
        portal,
        "POST",
        f"/crm/objects/{V}/companies/batch/read",
        json={"inputs": [{"id": company}], "properties": ["name"]},
    )
    assert found.json()["results"][0]["properties"]["name"] == world.companies[world.deals[deal].company_id or 0].name


def test_hidden_deals_vanish_and_come_back(portal: HubSpotServer) -> None:
    deal = portal.deal_id(portal.world.cases["won"])
    portal.world.hide([portal.world.cases["won"]])
    assert deal not in {item["id"] for item in listed(portal)}
    portal.world.unhide()
    assert deal in {item["id"] for item in listed(portal)}


def test_a_close_day_is_an_evening_in_the_accounts_zone(portal: HubSpotServer) -> None:
    world_id = portal.world.cases["won"]
    wish = {"inputs": [{"id": portal.deal_id(world_id)}], "properties": ["closedate"]}
    shown = call(portal, "POST", f"/crm/objects/{V}/deals/batch/read", json=wish).json()["results"][0]["properties"][
        "closedate"
    ]
    day = portal.world.deals[world_id].close_date
    assert day is not None
    assert shown.startswith((day + timedelta(days=1)).isoformat())  # cut as UTC it would be the wrong day


def test_the_unmodified_client_reads_v3(portal: HubSpotServer) -> None:
    client = hubspot.Client.create(access_token=portal.credentials.access_token, host=portal.url)
    deals = client.crm.deals.basic_api
    page = deals.get_page(limit=50, properties_with_history=["dealstage"])
    assert len(page.results) == 50
    assert page.results[0].properties_with_history["dealstage"][0].value
    pipelines = client.crm.pipelines.pipelines_api.get_all("deals").results
    assert {p.id for p in pipelines} >= {"default"}
    found = client.crm.deals.search_api.do_search(
        {"limit": 3, "sorts": [{"propertyName": "createdate", "direction": "ASCENDING"}]}
    )
    assert len(found.results) == 3
    assert client.crm.owners.owners_api.get_page(limit=500).results


def test_faults_come_in_the_vendors_words(portal: HubSpotServer) -> None:
    portal.faults.add("rate_limited", times=1, retry_after=3)
    refused = call(portal, "GET", f"/crm/objects/{V}/deals")
    assert (refused.status_code, refused.headers["Retry-After"], refused.json()["policyName"]) == (
        429,
        "3",
        "TEN_SECONDLY_ROLLING",
    )
    portal.faults.add("bad_gateway", times=1)
    assert "<html>" in call(portal, "GET", f"/crm/objects/{V}/deals").text
    portal.faults.add("cut_body", times=1)
    with pytest.raises(requests.exceptions.RequestException):
        call(portal, "GET", f"/crm/objects/{V}/deals", params={"limit": 50})
