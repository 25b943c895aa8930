"""Trouble on the way: faults, quotas, tokens, locators, fields that go, orgs that refuse."""

import json
import logging

import pytest

from connectors.salesforce.fields import Field, Fields
from connectors.sandbox.faults import Faults
from connectors.sandbox.salesforce import serve
from connectors.sandbox.server import Response
from connectors.sandbox.world import World
from connectors.sdk import CallPolicy, ConfigError, RetryRule
from tests.connectors.salesforce.lab import lab, standalone


@pytest.fixture
def org(tmp_path):
    with lab(tmp_path) as made:
        yield made


def codes(report):
    return {warning.code for warning in report.warnings}


def test_a_storm_of_all_faults_on_five_percent_of_calls_ends_complete_and_equal(tmp_path, monkeypatch):
    """A15, A19."""
    for module in ("run", "deals", "people", "sweep"):
        monkeypatch.setattr(f"connectors.salesforce.{module}.BULK_FROM", 40)
    with lab(tmp_path / "calm", deals=90) as calm:
        calm.sync()
        stormy = 0
        for seed in range(6):
            faults = Faults(seed=seed)
            faults.storm(0.05)
            with lab(tmp_path / str(seed), world=calm.world, faults=faults, page_cap=40) as org:
                assert org.sync().status == "complete"
                assert org.deals() == calm.deals()
                assert org.events() == calm.events()
                stormy += sum(faults.done.values())
        assert stormy > 3


@pytest.mark.parametrize("kind", ["unavailable", "server_error", "bad_gateway", "cut_body", "reset", "reset_after"])
def test_every_kind_of_passing_trouble_is_ridden_out(org, kind):
    org.org.faults.add(kind, every=3)
    assert org.sync().status == "complete"
    org.assert_true()


@pytest.mark.parametrize("match", ["composite", "queryAll", "query_more", "picklist_values"])
def test_a_token_that_dies_in_mid_sync_is_renewed_once(tmp_path, match):
    """A27: the call that was refused is sent again with its own headers."""
    with lab(tmp_path, page_cap=30 if match == "query_more" else None) as org:
        org.org.faults.add("unauthorized", match=match, times=1)
        assert org.sync().status == "complete"
        assert org.calls["token"] == 2
        org.assert_true()


@pytest.mark.parametrize("match", ["job_create", "job_status", "job_results"])
def test_a_token_that_dies_in_mid_bulk_is_renewed_and_the_job_goes_on(tmp_path, monkeypatch, match):
    """A27: the vendor's client keeps the old token here."""
    monkeypatch.setattr("connectors.salesforce.run.BULK_FROM", 20)
    with lab(tmp_path) as org:
        org.org.faults.add("unauthorized", match=match, times=1)
        assert org.sync().status == "complete"
        assert org.calls["token"] == 2
        org.assert_true()


def test_sessions_that_die_all_the_time_are_a_refusal_not_a_loop(org):
    org.org.faults.add("unauthorized", match="composite")
    report = org.sync()
    assert report.status == "failed"
    assert "ConfigError" in report.reasons[0]
    assert org.calls["token"] <= 3


def test_a_token_younger_than_an_hour_serves_the_next_sync_an_older_one_is_not_tried(org):
    org.sync()
    org.minutes(30)
    org.sync()
    assert "token" not in org.calls
    org.minutes(90)
    org.org.expire_sessions()
    org.sync()
    assert org.calls["token"] == 1
    assert 401 not in {call.status for call in org.org.log}


def test_a_used_up_daily_limit_is_partial_at_once(org):
    """A14: no spinning, and what was read is kept."""
    org.sync()
    org.minutes(30)
    org.world.advance(days=0.1, changes=5)
    org.org.faults.add("daily_limit", match="queryAll")
    report = org.sync()
    assert report.status == "partial"
    assert org.calls["queryAll"] == 1
    org.org.faults.clear()
    org.sync()
    org.assert_true()


def test_too_many_calls_at_once_wait_and_go_on(org):
    before = org.clock.now()
    org.org.faults.add("concurrent_limit", match="composite", times=2)
    assert org.sync().status == "complete"
    assert (org.clock.now() - before).total_seconds() > 30
    org.assert_true()


def test_a_tenth_of_the_orgs_calls_is_left_to_others(tmp_path):
    """A14: stop before the customer's other apps starve, and go on when there is room again."""
    with lab(tmp_path, page_cap=5, daily_limit=60, used_elsewhere=30) as org:
        report = org.sync()
        assert report.status == "partial"
        assert "left to its other apps" in report.reasons[0]
        assert 53 <= org.org.api_usage <= 58
        for _ in range(40):
            org.minutes(25 * 60)
            if org.sync().status == "complete":
                break
        org.assert_true()
        assert org.report.status == "complete"


def test_a_tiny_daily_limit_still_comes_to_an_end_day_by_day(tmp_path):
    """A14: each day goes on where the last one stopped, it does not start again."""
    with lab(tmp_path, deals=50, page_cap=4, daily_limit=45, used_elsewhere=0) as org:
        days = 0
        while org.sync().status == "partial":
            days += 1
            assert days < 12
            org.minutes(25 * 60)
        assert days >= 1
        org.assert_true()


def test_expired_locators_are_replaced_by_the_place_of_the_last_row(tmp_path):
    with lab(tmp_path, deals=80, page_cap=6) as org:
        for after in (1, 4, 9, 15):
            org.org.faults.when(org.org.expire_locators, match="query_more", after=after)
        assert org.sync().status == "complete"
        org.assert_true()


def test_a_query_that_runs_too_long_is_asked_for_in_halves(tmp_path):
    """A timeout must never pass for the end of the rows."""
    with lab(tmp_path, deals=80, query_timeout_rows=60) as org:
        assert org.sync().status == "complete"
        org.assert_true()
        org.minutes(8 * 24 * 60)
        org.world.purge(org.world.cases["open"])
        assert org.sync().status == "complete"
        assert org.gone()[org.id(org.world.cases["open"])] == "purged"


def test_a_field_that_is_hidden_between_syncs_is_dropped_and_told_and_comes_back(org):
    """A21, A29."""
    org.sync()
    org.org.hide_field("Opportunity", "LeadSource")
    org.minutes(20)
    org.world.advance(days=0.01, changes=3)
    report = org.sync()
    assert report.status == "complete"
    assert "field_gone" in codes(report)
    org.assert_true()
    org.org.show_field("Opportunity", "LeadSource")
    org.minutes(25 * 60)
    org.world.advance(days=0.01, changes=3)
    assert org.sync().status == "complete"
    assert '"LeadSource"' in max(org.deals("updated_at, raw").values())[1]


def test_a_field_that_is_new_to_us_is_read_in_deals_that_did_not_change(org):
    """A21: their stamps do not move for it."""
    org.org.hide_field("Opportunity", "Score__c")
    org.sync()
    assert '"Score__c"' not in "".join(raw for (raw,) in org.deals("raw").values())
    org.org.show_field("Opportunity", "Score__c")
    org.minutes(25 * 60)
    assert org.sync().status == "complete"
    wanted = {org.id(deal.id) for deal in org.world.live() if deal.custom.get("score") is not None}
    assert {
        key for key, (raw,) in org.deals("raw").items() if '"Score__c":' in raw and '"Score__c":null' not in raw
    } == wanted
    assert org.sync().parts == 0


def test_values_of_a_new_field_wait_for_a_full_sync_where_they_are_very_many(org, monkeypatch):
    monkeypatch.setattr("connectors.salesforce.deals.BULK_FROM", 5)
    org.org.hide_field("Opportunity", "Score__c")
    org.sync()
    org.org.show_field("Opportunity", "Score__c")
    org.minutes(25 * 60)
    report = org.sync()
    assert [w.message for w in report.warnings if w.code == "new_fields"]
    assert report.rows["deals"].changed <= 1  # the newest, which the overlap brings again
    assert org.sync(full=True).rows["deals"].changed > 5


def test_a_checkbox_counts_as_filled_in_only_when_it_is_ticked():
    known = Fields(
        [
            Field("A__c", "boolean", "A"),
            Field("B__c", "string", "B"),
            Field("C__c", "textarea", "C", is_filterable=False),
        ]
    )
    assert known.has_value(["A__c", "B__c", "C__c"]) == "(A__c = true OR B__c != null)"
    assert known.has_value(["C__c"]) == ""


def test_hidden_fields_are_named(org):
    """A29."""
    org.org.hide_field("Opportunity", "Amount")
    org.org.hide_field("Opportunity", "LeadSource")
    report = org.sync()
    told = [warning.message for warning in report.warnings if warning.code == "hidden_fields"]
    assert "Amount" in told[0]
    assert "LeadSource" in told[0]
    assert set(org.deals("amount").values()) == {(None,)}


@pytest.mark.parametrize("name", ["Account", "User", "RecordType", "BusinessProcess", "CurrencyType"])
def test_an_object_that_cannot_be_read_costs_only_itself(org, name):
    """A19."""
    org.org.hide_object(name)
    assert org.sync().status == "complete"
    assert len(org.paths()) >= sum(1 for _ in org.world.live())


def test_without_the_history_object_the_sync_fails_and_says_which_permission(org):
    """A3: deals without history are never landed as if they had none."""
    org.org.hide_object("OpportunityHistory")
    report = org.sync()
    assert report.status == "failed"
    assert "OpportunityHistory" in report.reasons[0]


def test_histories_without_rows_are_partial_not_complete(org, monkeypatch):
    """A3: the object answers, but shows nothing."""
    org.org.org.tables.rows["OpportunityHistory"].clear()
    report = org.sync()
    assert report.status == "partial"
    assert "OpportunityHistory" in report.reasons[0]


def test_a_deal_without_history_rows_has_its_entry_from_its_creation(org):
    """A4: derived, marked so, and asked for again later."""
    number = org.world.cases["never_moved"]
    rows = org.org.org.tables.rows["OpportunityHistory"]
    gone = [key for key, row in rows.items() if row[1] == org.id(number)]
    kept = {key: rows.pop(key) for key in gone}
    org.sync()
    created = org.events(columns="changed_at, to_stage_id, evidence")[org.id(number)]
    assert [row[1:] for row in created] == [("Prospecting", "created")]
    rows.update(kept)
    org.minutes(25 * 60)
    org.sync()
    assert [row[3] for row in org.events()[org.id(number)]] == ["exact"]


def test_the_api_switched_off_is_a_setting_of_the_org_not_a_retry(org):
    """A20."""
    org.org.org.api_disabled = True
    report = org.sync()
    assert report.status == "failed"
    assert "API Enabled" in report.reasons[0]
    assert org.total <= 3


def test_a_retired_api_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.sandbox.salesforce.org.OLDEST", 65)
    with lab(tmp_path) as org:
        assert "api_version" in org.sync().reasons[0]


def test_no_secret_is_in_reports_logs_or_errors(org, caplog):
    """A28."""
    caplog.set_level(logging.DEBUG)
    org.org.faults.add("unauthorized", match="composite", times=1)
    org.org.faults.add("unavailable", every=4)
    org.sync()
    secrets = [org.org.credentials.consumer_secret, *org.org.org.sessions._live]
    texts = [caplog.text, str(org.report), *(path.read_text() for path in org.home.root.rglob("*.json"))]
    assert not [secret for secret in secrets for text in texts if secret in text]


def test_a_sync_that_cannot_get_through_fails_with_its_rows_kept(org):
    org.sync()
    org.minutes(30)
    org.world.advance(days=0.1, changes=5)
    org.org.faults.add("unavailable", match="queryAll")
    calls = CallPolicy("sf", clock=org.clock, tokens=org.tokens, rule=RetryRule(attempts=2))
    assert org.sync(calls=calls).status == "failed"
    org.org.faults.clear()
    assert org.sync().status == "complete"
    org.assert_true()


def test_two_orgs_with_equal_ids_stand_side_by_side(tmp_path):
    """A35."""
    with (
        lab(tmp_path, deals=40, seed=1) as one,
        lab(tmp_path, deals=40, seed=2, org_number=2) as two,
    ):
        two.key = "sf_two"
        one.sync()
        two.sync()
        one.assert_true()
        two.assert_true()
        assert one.deals("stage_id").keys() & two.deals("stage_id").keys()


def test_another_org_under_the_same_key_is_refused(tmp_path):
    with lab(tmp_path, deals=40) as one:
        one.sync()
        with lab(tmp_path, deals=40, org_number=2) as two, pytest.raises(ConfigError, match="source key of its own"):
            two.sync()


def test_standalone_needs_no_landing():
    with serve(World(seed=2, deals=40)) as org:
        sync = standalone(org)
        first = sync.run()
        again = sync.again().run()
        assert len(first) > 40
        assert len(again) < len(first) / 2


@pytest.mark.parametrize("hidden", ["User", "Account"])
def test_an_object_that_is_never_readable_costs_its_names_in_every_sync(org, hidden):
    """The second sync remembers the object as one without fields."""
    org.org.hide_object(hidden)
    for _ in range(2):
        assert org.sync().status == "complete"
        assert "not_readable" in codes(org.report)
        org.minutes(30)
    org.assert_true()


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>"])
@pytest.mark.parametrize("endpoint", ["composite", "queryAll"])
def test_an_answer_that_is_no_json_is_asked_for_again(org, endpoint, body):
    handle, spoiled = org.org.org.handle, []

    def once(request):
        if org.org.org.endpoint(request) == endpoint and not spoiled:
            spoiled.append(request)
            return Response(200, body, "text/html")
        return handle(request)

    org.org.org.handle = once
    assert org.sync().status == "complete"
    assert spoiled
    org.assert_true()


@pytest.mark.parametrize("composites", [True, False])
def test_half_a_character_costs_nothing(org, composites):
    """No JSON decoder takes one surrogate without the other."""
    handle, name = org.org.org.handle, org.world.deals[org.world.cases["open"]].name.encode()

    def cut(request):
        if not composites and org.org.org.endpoint(request) == "composite":
            return Response(404, b"[]")
        response = handle(request)
        response.body = response.body.replace(name, name + rb" \ud83d")
        return response

    org.org.org.handle = cut
    assert org.sync().status == "complete"
    (found,) = org.deals("name")[org.id(org.world.cases["open"])]
    assert found == name.decode() + " \ufffd"
    org.assert_true()


@pytest.mark.parametrize(
    ("entity", "field", "value"),
    [
        ("Account", "SystemModstamp", True),
        ("Account", "Website", 5),
        ("Account", None, "no row"),
        ("User", "Email", 1e308),
        ("User", "SystemModstamp", "x"),
        ("RecordType", "BusinessProcessId", {"a": 1}),
        ("RecordType", "SystemModstamp", 5),
        ("RecordType", None, []),
        ("OpportunityStage", "DefaultProbability", {}),
        ("CurrencyType", "ConversionRate", [None]),
        ("Opportunity", "Probability", 1e308),
        ("Opportunity", "AccountId", 5),
        ("Opportunity", "LastActivityDate", {}),
        ("Opportunity", None, "no row"),
    ],
)
def test_one_odd_record_costs_nothing_but_itself(org, entity, field, value):
    """Values that no document allows, in the first row of an answer; found by changing answers at random."""
    handle, spoiled = org.org.org.handle, []

    def odd(request):
        response = handle(request)
        if spoiled or not response.body.startswith(b"{"):
            return response
        body = json.loads(response.body)
        for part in [body, *(part["body"] for part in body.get("compositeResponse", ()))]:
            records = part.get("records") if isinstance(part, dict) else None
            if records and not spoiled and records[0].get("attributes", {}).get("type") == entity:
                spoiled.append(records[0].get("Id"))
                records[0] = value if field is None else records[0] | {field: value}
        response.body = json.dumps(body).encode()
        return response

    org.org.org.handle = odd
    assert org.sync().status == "complete"
    assert spoiled
    told, real = org.paths(), org.true_paths()
    others = real.keys() - set(spoiled)
    assert {key: told.get(key) for key in others} == {key: real[key] for key in others}
