"""Orgs of every kind: ways in, record types, currencies, long field lists, refusals; exact numbers of calls; check, plan, replay."""

import json

import pytest

from connectors.salesforce import Salesforce, settings
from connectors.sandbox.salesforce import Credentials, serve
from connectors.sandbox.world import World
from connectors.sdk import (
    CallPolicy,
    ConfigError,
    CurrencyRate,
    Deal,
    FieldDef,
    MemoryTokens,
    Pipeline,
    SourceInfo,
    Stage,
)
from connectors.sdk.settings import load
from tests.connectors.salesforce.lab import config_of, lab, of, standalone
from warehouse.replay import run_replay


def key_pair():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def signed_in(org, **config):
    found = load(Salesforce.Settings, {"endpoint_override": org.url, **config}, where="sf")
    return standalone_with(org, found)


def standalone_with(org, found):
    from connectors.sdk import FakeClock, StandaloneSync

    return StandaloneSync(Salesforce, found, clock=FakeClock(org.world.now))


# --- ways in -------------------------------------------------------------------------------------------------------------------


def test_a_signed_jwt_signs_in():
    """A25."""
    private, public = key_pair()
    with serve(World(seed=2, deals=40), credentials=Credentials(public_key=public)) as org:
        known = org.credentials
        sync = signed_in(org, auth="jwt", username=known.username, consumer_key=known.consumer_key, private_key=private)
        assert of(sync.run(), Deal)


def test_another_key_is_refused_with_advice():
    private, _ = key_pair()
    _, public = key_pair()
    with serve(World(seed=2, deals=40), credentials=Credentials(public_key=public)) as org:
        known = org.credentials
        sync = signed_in(org, auth="jwt", username=known.username, consumer_key=known.consumer_key, private_key=private)
        with pytest.raises(ConfigError, match="approved"):
            sync.run()


@pytest.mark.parametrize("broken", ["no key at all", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_private_key_that_is_none_is_a_wrong_setting(broken):
    with serve(World(seed=2, deals=40)) as org:
        sync = signed_in(org, auth="jwt", username="u", consumer_key="k", private_key=broken)
        with pytest.raises(ConfigError, match="private_key"):
            sync.run()


def test_username_and_password_sign_in_by_oauth_first_and_by_soap_without_an_app():
    with serve(World(seed=2, deals=40)) as org:
        known = org.credentials
        user = {"auth": "password", "username": known.username, "password": known.password}
        app = {"consumer_key": known.consumer_key, "consumer_secret": known.consumer_secret}
        assert of(signed_in(org, **user, **app).run(), Deal)
        assert "soap_login" not in org.calls
        soap = signed_in(org, **user, security_token=known.security_token, api_version="66.0")
        assert of(soap.run(), Deal)
        assert org.calls["soap_login"] == 1


def test_where_the_password_flow_is_switched_off_soap_is_tried_when_there_is_a_token():
    with serve(World(seed=2, deals=40)) as org:
        org.org.sessions.grants.discard("password")
        known = org.credentials
        config = {"auth": "password", "username": known.username, "password": known.password}
        config |= {"consumer_key": known.consumer_key, "consumer_secret": known.consumer_secret}
        with pytest.raises(ConfigError, match="switched off"):
            signed_in(org, **config).run()
        assert of(signed_in(org, **config, security_token=known.security_token).run(), Deal)


def test_where_soap_login_is_gone_the_message_says_what_to_use():
    with serve(World(seed=2, deals=40)) as org:
        org.org.sessions.soap = False
        known = org.credentials
        sync = signed_in(org, auth="password", username=known.username, password=known.password, security_token="x")
        with pytest.raises(ConfigError, match="client_credentials or jwt"):
            sync.run()


def test_a_wrong_password_is_tried_once_only():
    """Each wrong login counts towards a lock-out."""
    with serve(World(seed=2, deals=40)) as org:
        sync = signed_in(org, auth="password", username="u", password="wrong", security_token="t")
        with pytest.raises(ConfigError, match="INVALID_LOGIN"):
            sync.run()
        assert org.calls == {"soap_login": 1}


def test_a_given_session_is_used_and_its_end_is_told():
    with serve(World(seed=2, deals=40)) as org:
        session = org.org.sessions.issue(org.world.now_ms)
        config = {"auth": "session", "session_id": session, "instance_url": org.credentials.instance_url}
        assert of(signed_in(org, **config).run(), Deal)
        assert "token" not in org.calls
        org.expire_sessions()
        with pytest.raises(ConfigError, match="cannot be renewed"):
            signed_in(org, **config).run()


def test_an_instance_url_on_this_machine_needs_no_override():
    """The vendor's client makes https of every address; plain http to this machine can only be a stand-in."""
    with serve(World(seed=2, deals=40)) as org:
        session = org.org.sessions.issue(org.world.now_ms)
        found = load(
            Salesforce.Settings, {"auth": "session", "session_id": session, "instance_url": org.url}, where="sf"
        )
        assert of(standalone_with(org, found).run(), Deal)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "consumer_key"),
        ({"domain": "login", "consumer_key": "k", "consumer_secret": "s"}, "My Domain"),
        ({"auth": "jwt", "username": "u"}, "private_key"),
        ({"auth": "password", "username": "u", "password": "p"}, "security_token"),
        ({"auth": "session", "session_id": "s"}, "instance_url"),
        ({"domain": "a.my", "consumer_key": "k", "consumer_secret": "s", "api_version": "57.0"}, "58.0"),
        ({"domain": "a.my", "consumer_key": "k", "consumer_secret": "s", "api_version": "v62"}, "62.0"),
        ({"domain": "a.my", "consumer_key": "k", "consumer_secret": "s", "lost_reason_field": "a b"}, "API name"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_call(config, words):
    with pytest.raises(ConfigError, match=words):
        load(Salesforce.Settings, config, where="sf")


@pytest.mark.parametrize("domain", ["acme.my", "https://acme.my.salesforce.com/", "acme.my.salesforce.com"])
def test_a_domain_may_be_written_as_people_write_it(domain):
    found = settings.SalesforceSettings(domain=domain, consumer_key="k", consumer_secret="s")
    assert found.login_domain == "acme.my"


# --- kinds of orgs -------------------------------------------------------------------------------------------------------------


def test_pipelines_are_the_sales_processes_of_record_types(tmp_path):
    with lab(tmp_path, record_types=3) as org:
        org.sync()
        pipelines = org.latest("pipelines", "name, raw")
        assert [name for name, _ in pipelines.values()] == ["New Business", "Renewals"]
        shared = [len(json.loads(raw)["RecordTypes"]) for _, raw in pipelines.values()]
        assert shared == [2, 1]
        names = {org.world.pipelines[deal.pipeline_id].name: 0 for deal in org.world.live()}
        assert names
        for deal in org.world.live():
            (pipeline,) = org.deals("pipeline_id")[org.id(deal.id)]
            assert pipelines[pipeline][0] == org.world.pipelines[deal.pipeline_id].name
            break


def test_without_record_types_there_is_one_pipeline_with_all_stages(tmp_path):
    with lab(tmp_path, record_types=0) as org:
        org.sync()
        assert list(org.latest("pipelines", "name")) == ["default"]
        assert {pipeline for (pipeline,) in org.deals("pipeline_id").values()} == {"default"}
        org.assert_true()


def test_stages_have_order_outcome_and_probability_and_belong_where_they_are_offered_or_used(tmp_path):
    with lab(tmp_path) as org:
        org.sync()
        stages = org.latest("stages", "pipeline_id, stage_id, name, display_order, outcome, probability, is_archived")
        by_name = {}
        for pipeline, stage, *rest in stages.values():
            by_name.setdefault(stage, {})[pipeline] = rest
        business, renewals = (org.org.record_id("BusinessProcess", number) for number in (1, 2))
        assert by_name["Discovery"][business] == ["Discovery & Demo", 30, "open", 0.4, False]
        # A deal came from the other process with this stage in its history: it is known here, but has no place.
        assert by_name["Discovery"][renewals] == ["Discovery & Demo", None, "open", 0.4, True]
        assert by_name["Proposal"].keys() == {business, renewals}
        assert by_name["Closed Won"][renewals][2:] == ["won", 1.0, False]
        assert by_name["Closed Lost"][business][2:] == ["lost", 0.0, False]
        assert by_name["Legal Hold"][business][4] is True
        assert by_name["Verbal Yes"][business] == ["Verbal Yes", None, None, None, True]
        order = [rest[business][1] for name, rest in by_name.items() if business in rest and rest[business][1]]
        assert len(set(order)) == len(order)


def test_a_stage_that_is_removed_keeps_what_was_known_of_it(tmp_path):
    with lab(tmp_path) as org:
        org.sync()
        stage = org.world.stage(1, "Discovery")
        before = org.latest("stages", "name, display_order, outcome")
        org.minutes(20)
        org.world.remove_stage(stage.id, gone=True)
        org.sync()
        key = f"{org.id(1, 'BusinessProcess')}:Discovery"
        assert org.latest("stages", "name, display_order, outcome")[key] == before[key]
        said = org.query(f"select kind from landing.presence where stream = 'stages' and key = '{key}'")
        assert said == [("absent",)]
        org.minutes(20)
        assert org.sync().parts == 0


def test_a_new_stage_and_a_renamed_one_arrive_with_the_next_sync(tmp_path):
    with lab(tmp_path) as org:
        org.sync()
        org.minutes(20)
        org.world.add_stage(2, "Handover", order=9, probability=90)
        org.world.rename_stage(org.world.stage(1, "Proposal").id, "Offer")
        org.sync()
        names = dict(org.latest("stages", "stage_id, name").values())
        assert names["Handover"] == "Handover"
        assert "Offer" in {name for _, name in org.latest("stages", "stage_id, name").values()}


def test_where_picklists_cannot_be_read_membership_comes_from_use(tmp_path):
    with lab(tmp_path, deals=90) as org:
        org.org.org.hidden_objects = set()
        org.org.faults.add("daily_limit", match="nothing")
        answers = org.org.org._answers
        answers.pop("picklist_values")
        assert org.sync().status == "complete"
        assert "picklists_not_readable" in {warning.code for warning in org.report.warnings}
        used = {(pipeline, stage) for pipeline, stage in org.deals("pipeline_id, stage_id").values()}
        assert used <= {(row[0], row[1]) for row in org.latest("stages", "pipeline_id, stage_id").values()}


def test_currency_rates_count_in_the_corporate_currency():
    with serve(World(seed=2, deals=40), dated_rates=True) as org:
        records = standalone(org).run()
        rates = {(rate.currency, rate.rate_date): rate for rate in of(records, CurrencyRate)}
        assert float(rates["EUR", None].rate) == pytest.approx(1 / 0.92)
        assert float(rates["IDR", None].rate) == pytest.approx(1 / 16250, rel=1e-6)
        assert {rate.base_currency for rate in rates.values()} == {"USD"}
        assert sorted(str(day) for code, day in rates if code == "EUR" and day)[0] == "1900-01-01"
        assert of(records, SourceInfo)[0].home_currency == "USD"


def test_an_org_with_one_currency_has_no_rates_and_its_deals_are_in_it(tmp_path):
    world = World(seed=5, deals=60, multi_currency=False)
    with lab(tmp_path, world=world) as org:
        assert org.sync().status == "complete"
        org.assert_true()
        assert set(org.deals("currency").values()) == {("USD",)}
        assert org.query("select count(*) from landing.currency_rates") == [(0,)]
        org.minutes(60 * 25)
        assert org.sync().parts == 0
        assert org.org.org.subcalls["org_settings"] == 1  # asked once, then remembered


@pytest.mark.parametrize("known", [None, "CHF"])
def test_where_salesforce_does_not_tell_the_currency_a_setting_does(tmp_path, known):
    world = World(seed=5, deals=20, multi_currency=False)
    settings = {"default_currency": known} if known else {}
    with lab(tmp_path, world=world, settings=settings, connect_enabled=False) as org:
        report = org.sync()
        assert report.status == "complete"
        assert set(org.deals("currency").values()) == {(known,)}
        assert ("no_currency" in {notice.code for notice in report.warnings}) is (known is None)


def test_rows_in_no_order_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.salesforce.run.BULK_FROM", 20)
    with lab(tmp_path, shuffle=3) as org:
        org.sync()
        org.assert_true()


def test_more_fields_than_an_address_holds_are_read_in_groups(tmp_path):
    """A6: no 414, and no field left out."""
    with lab(tmp_path, extra_fields=450) as org:
        org.sync()
        org.assert_true()
        assert "too_long" not in org.calls
        raw = json.loads(org.deals("raw")[org.id(org.world.cases["open"])][0])
        assert sum(name.startswith("Extra_Field") for name in raw) == 450
        before = org.deals()
        org.minutes(20)
        org.sync()
        assert org.report.parts == 0
        assert org.deals() == before


def test_custom_fields_carry_their_labels_and_formulas_are_listed_but_left_out():
    with serve(World(seed=2, deals=150)) as org:
        records = standalone(org).run()
        defs = {found.code: found for found in of(records, FieldDef)}
        assert defs["Region__c"].label == "Region"
        assert (defs["Weighted__c"].is_calculated, defs["Weighted__c"].is_read) == (True, False)
        assert defs["Site__c"].is_read is False
        names = {name for deal in of(records, Deal) for name in deal.custom_fields}
        assert {"Region (Region__c)", "Region (Region_Detail__c)", "Lead Score", "Strategic"} <= names
        assert not any("Weighted" in name for name in names)


def test_merged_accounts_name_their_survivor(tmp_path):
    with lab(tmp_path) as org:
        org.sync()
        org.minutes(20)
        loser, winner = sorted(org.world.companies)[:2]
        org.world.merge_companies(loser, winner)
        org.sync()
        said = org.query("select key, kind, survivor from landing.presence where stream = 'companies'")
        assert said == [(org.id(loser, "Account"), "merged", org.id(winner, "Account"))]
        held = org.deals("company_id")
        assert org.id(loser, "Account") not in {held[org.id(deal.id)][0] for deal in org.world.live()}


def test_a_changed_owner_and_a_named_stranger_arrive(tmp_path):
    with lab(tmp_path) as org:
        org.sync()
        org.minutes(20)
        org.world.set_owner(1, name="Somebody Else", active=False)
        org.sync()
        assert org.latest("owners", "name, is_active")[org.id(2, "User")] == ("Somebody Else", False)


# --- calls ---------------------------------------------------------------------------------------------------------------------


def day_of_changes(org):
    org.sync()
    org.world.advance(days=1, changes=100)
    org.org.reset_log()


def test_a_day_with_a_hundred_changes_takes_four_calls_login_included(tmp_path):
    """A11: the yardstick elsewhere is 6 to 48."""
    with lab(tmp_path, deals=1500) as org:
        day_of_changes(org)
        org.sync()
        assert org.calls == {"token": 1, "composite": 2, "queryAll": 1}
        org.assert_true()


def test_where_composites_refuse_query_all_it_takes_six(tmp_path):
    with lab(tmp_path, deals=1500, composite_query_all=False) as org:
        day_of_changes(org)
        org.sync()
        assert org.calls == {"token": 1, "composite": 2, "queryAll": 3}
        org.assert_true()


def test_an_org_without_composites_is_read_query_by_query(tmp_path):
    with lab(tmp_path) as org:
        org.org.org._answers.pop("composite")
        assert org.sync().status == "complete"
        org.assert_true()


def test_a_group_of_accounts_with_one_stamp_is_counted_not_read_again(tmp_path):
    with lab(tmp_path, deals=1500) as org:
        org.sync()
        org.minutes(20)
        report = org.sync()
        assert "companies" not in report.rows
        org.minutes(20)
        new = org.world.companies[5]
        new.name, new.stamp_ms = "Renamed", org.world.now_ms
        org.world.journal.append(("company", 5))
        org.sync()
        assert org.latest("companies", "name")[org.id(5, "Account")] == ("Renamed",)
        assert org.report.status == "complete"


# --- before and after ----------------------------------------------------------------------------------------------------------


def findings(org, **config):
    sync = standalone(org, **config)
    return {found.what: found for found in Salesforce(sync.settings, source_key="sf").check(sync)}


def test_check_names_what_is_missing():
    """A29."""
    with serve(World(seed=2, deals=40)) as org:
        good = findings(org)
        assert {found.level for found in good.values()} == {"ok", "warning"}
        assert good["lost_reason_field"].what_to_do.endswith("Loss_Reason__c.")
        org.hide_field("Opportunity", "Amount")
        assert "Amount" in findings(org)["fields of Opportunity"].message
        assert findings(org, lost_reason_field="Nothing__c")["lost_reason_field"].level == "error"
        org.hide_object("OpportunityHistory")
        assert "OpportunityHistory" in findings(org)["access"].message


def test_check_with_wrong_credentials_is_one_finding():
    with serve(World(seed=2, deals=40)) as org:
        found = findings(org, consumer_secret="wrong")
        assert found["login"].level == "error"
        assert "consumer_secret" in found["login"].message


def test_plan_tells_rows_and_calls_without_reading(tmp_path):
    """A16."""
    with lab(tmp_path, deals=300) as org:
        calls = CallPolicy("sf", clock=org.clock, tokens=MemoryTokens())
        sync = standalone(org.org)
        sync.calls = calls
        lines = {line.stream: line for line in Salesforce(org.settings, source_key="sf").plan(sync)}
        assert lines["deals"].rows == sum(1 for _ in org.world.live())
        assert lines["companies"].rows == len(org.world.companies)
        planned = sum(line.calls or 0 for line in lines.values())
        assert org.total <= 3
        org.sync()
        assert org.total <= planned + 1
        assert org.total >= planned / 2


def test_a_replay_of_stored_rows_changes_nothing(tmp_path):
    with lab(tmp_path, settings={"lost_reason_field": "Loss_Reason__c"}) as org:
        org.sync()

        class Newer(Salesforce):
            mapper_version = 2

        report = run_replay(Newer(org.settings, source_key=org.key), home=org.home, clock=org.clock)
        assert report.status == "complete"
        assert {name: (rows.read, rows.changed) for name, rows in report.rows.items() if rows.changed} == {}
        assert report.rows["deals"].read >= 50


def test_a_stand_in_without_an_organization_is_known_by_its_address():
    with serve(World(seed=2, deals=12)) as org:
        org.hide_object("Organization")
        records = standalone(org).run()
        assert of(records, SourceInfo)[0].account_id.endswith(".salesforce.com")
        assert len(of(records, Deal)) == 12


def test_the_source_says_who_it_is_and_where_a_deal_is_seen():
    with serve(World(seed=2, deals=40)) as org:
        records = standalone(org).run()
        info = of(records, SourceInfo)[0]
        assert info.account_id == org.org.sessions.org_id
        assert info.deep_link == "https://acme.my.salesforce.com/lightning/r/Opportunity/{id}/view"
        assert info.time_zone == "America/New_York"
        assert of(records, Pipeline)
        assert of(records, Stage)
        assert config_of(org)
