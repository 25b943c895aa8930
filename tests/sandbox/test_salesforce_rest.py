"""REST of the fake org, against what the public documentation and the client's source say (facts page, sections 4, 5, 7)."""

import datetime as dt
import json
import re
import subprocess
import sys
from decimal import Decimal

import pytest
import requests
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceRefusedRequest

from connectors.sandbox.salesforce import serve
from connectors.sandbox.salesforce.ids import PREFIXES, make_id, suffix, to_18
from connectors.sandbox.world import World
from tests.sandbox.salesforce_client import Raw, login, session_to


def opportunity(raw, world, case, fields="Id,StageName", kind="query"):
    deal_id = make_id("Opportunity", world.cases[case])
    return raw.rows(f"SELECT {fields} FROM Opportunity WHERE Id = '{deal_id}'", kind)


# --- ids, pages, records ---------------------------------------------------------------------------------------------


def test_ids_carry_the_documented_checksum():
    assert suffix("00D000000000062") == "EAA"
    assert to_18("0065g0000000001") == "0065g0000000001AAA"
    assert to_18("00D000000000062eaa") == "00D000000000062EAA"
    assert to_18("nonsense") is None
    upper, lower = make_id("Opportunity", 10), make_id("Opportunity", 36)
    assert upper[:15].lower() == lower[:15].lower()
    assert upper.lower() != lower.lower()
    numbers = [make_id("Opportunity", n) for n in range(1, 4000)]
    assert numbers == sorted(numbers)


def test_simple_salesforce_reads_every_page(world, sf):
    found = sf.query_all("SELECT Id, Name FROM Opportunity")
    assert found["totalSize"] == len(found["records"]) == sum(1 for _ in world.live())
    assert found["records"][0]["attributes"]["type"] == "Opportunity"


def test_pages_hold_2000_rows_and_nextrecordsurl_is_followed_verbatim():
    with serve(World(seed=2, deals=900)) as org, session_to(org) as session:
        raw = Raw(org, session)
        first = raw.query("SELECT Id FROM OpportunityHistory", "queryAll").json()
        assert len(first["records"]) == 2000
        assert not first["done"]
        assert re.fullmatch(r"/services/data/v66\.0/queryAll/0r8\w{15}-2000", first["nextRecordsUrl"])
        everything = raw.ids("SELECT Id FROM OpportunityHistory", "queryAll")
        assert len(everything) == len(set(everything)) == first["totalSize"]


def test_batch_size_is_a_wish_between_200_and_2000(raw, org):
    soql = "SELECT Id FROM OpportunityHistory"
    assert len(raw.query(soql, **{"Sforce-Query-Options": "batchSize=250"}).json()["records"]) == 250
    assert len(raw.query(soql, **{"Sforce-Query-Options": "batchSize=5"}).json()["records"]) == 200
    org.org.page_cap = 3
    page = raw.query(soql, **{"Sforce-Query-Options": "batchSize=250"}).json()
    assert len(page["records"]) == 3
    assert not page["done"]


def test_page_size_one_and_the_largest_give_the_same_rows(raw, org):
    soql = "SELECT Id, StageName, CreatedDate FROM OpportunityHistory WHERE StageName = 'Proposal'"
    whole = raw.rows(soql)
    org.org.page_cap = 1
    assert raw.rows(soql) == whole


def test_a_last_page_that_is_just_full_is_the_last_page(raw, org):
    soql = "SELECT Id FROM User"
    org.org.page_cap = raw.query("SELECT COUNT() FROM User").json()["totalSize"]
    page = raw.query(soql).json()
    assert page["done"] is True
    assert "nextRecordsUrl" not in page


def test_records_are_typed_nested_and_in_select_order(raw, world):
    fields = "Name, Amount, IsWon, CloseDate, CreatedDate, Owner.Name, Account.Name, Account.Owner.Email, FiscalYear, Probability"
    record = opportunity(raw, world, "won", fields)[0]
    deal = world.deals[world.cases["won"]]
    assert list(record)[1:6] == ["Name", "Amount", "IsWon", "CloseDate", "CreatedDate"]
    assert record["Amount"] == 12500.5
    assert record["IsWon"] is True
    assert record["CloseDate"] == deal.close_date.isoformat()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000", record["CreatedDate"])
    assert record["FiscalYear"] == deal.close_date.year
    assert record["Owner"]["Name"] == world.owners[deal.owner_id].name
    assert record["Owner"]["attributes"]["type"] == "User"
    assert record["Account"]["Owner"]["Email"].endswith("@example.com")
    assert opportunity(raw, world, "no_company", "Account.Name")[0]["Account"] is None


def test_amounts_survive_as_decimals(raw, world):
    answer = raw.query("SELECT Id, Amount FROM Opportunity")
    rows = json.loads(answer.text, parse_float=Decimal)["records"]
    for row, deal in zip(rows, world.live(), strict=True):
        assert row["Amount"] == deal.amount
        assert row["Id"] == make_id("Opportunity", deal.id)


def test_text_in_any_script_comes_through(raw, world):
    assert opportunity(raw, world, "non_ascii", "Name")[0]["Name"] == world.deals[world.cases["non_ascii"]].name
    remarks = opportunity(raw, world, "long_text", "Remarks__c")[0]["Remarks__c"]
    assert remarks == world.deals[world.cases["long_text"]].custom["remarks"]


def test_pretty_print_changes_the_form_only(raw):
    soql = "SELECT Id, Name, Owner.Name, Account.Owner.Name FROM Opportunity"
    plain = raw.query(soql)
    pretty = raw.query(soql, **{"X-PrettyPrint": "1"})
    assert pretty.json() == plain.json()
    assert pretty.text.startswith('{\n  "totalSize" : ')
    assert len(pretty.text) > 1.2 * len(plain.text)
    assert raw.get("limits", headers={"X-PrettyPrint": "1"}).text.startswith("{\n")


def test_a_slash_before_the_question_mark_is_accepted(raw):
    assert raw.get("query/", params={"q": "SELECT COUNT() FROM User"}).json()["records"] == []


def test_addresses_over_16_kb_are_refused_with_html(raw):
    answer = raw.query("SELECT Id FROM User WHERE Name IN (" + ",".join(["'x'"] * 6000) + ")")
    assert answer.status_code == 414
    assert "json" not in answer.headers["Content-Type"]
    assert raw.query("SELECT Id FROM User WHERE Name IN (" + ",".join(["'x'"] * 1000) + ")").status_code == 200


# --- SOQL --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        ("StageName = 'closed won'", lambda d, w: w.stages[d.stage_id].name == "Closed Won"),
        ("StageName != 'Closed Won'", lambda d, w: w.stages[d.stage_id].name != "Closed Won"),
        ("Amount > 20000", lambda d, w: d.amount is not None and d.amount > 20000),
        ("Amount <= 12500.5", lambda d, w: d.amount is not None and d.amount <= Decimal("12500.5")),
        ("Amount >= 12500.5", lambda d, w: d.amount is not None and d.amount >= Decimal("12500.5")),
        ("Amount < 12500.5", lambda d, w: d.amount is not None and d.amount < Decimal("12500.5")),
        ("Amount = null", lambda d, w: d.amount is None),
        ("Amount != null", lambda d, w: d.amount is not None),
        ("NOT Amount = null", lambda d, w: d.amount is not None),
        ("CloseDate >= 2026-01-01", lambda d, w: d.close_date >= dt.date(2026, 1, 1)),
        ("IsWon = TRUE", lambda d, w: w.stages[d.stage_id].outcome == "won"),
        ("Name LIKE 'case: %'", lambda d, w: d.name.startswith("Case: ")),
        ("Name LIKE '%_on'", lambda d, w: d.name.lower()[:-2] != "" and d.name.lower().endswith("on")),
        ("StageName IN ('Proposal', 'Prüfung')", lambda d, w: w.stages[d.stage_id].name in ("Proposal", "Prüfung")),
        ("Region__c NOT IN ('EMEA')", lambda d, w: d.custom.get("region") != "EMEA"),
        ("CALENDAR_YEAR(CreatedDate) = 2025", lambda d, w: w_year(d) == 2025),
        (
            "(StageName = 'Proposal' OR StageName = 'Discovery') AND Amount != null",
            lambda d, w: w.stages[d.stage_id].name in ("Proposal", "Discovery") and d.amount is not None,
        ),
        (
            "NOT (IsClosed = true OR Amount = null)",
            lambda d, w: w.stages[d.stage_id].outcome == "open" and d.amount is not None,
        ),
        ("Owner.Name = 'ayu lestari'", lambda d, w: w.owners[d.owner_id].name == "Ayu Lestari"),
    ],
)
def test_where_keeps_exactly_the_rows_it_says(raw, world, where, keep):
    wanted = [make_id("Opportunity", d.id) for d in world.live() if keep(d, world)]
    assert raw.ids(f"SELECT Id FROM Opportunity WHERE {where}") == wanted
    assert 0 < len(wanted) < sum(1 for _ in world.live())


def w_year(deal):
    return dt.datetime.fromtimestamp(deal.created_ms / 1000, dt.UTC).year


def test_datetimes_compare_with_any_offset_and_parts_of_seconds(raw):
    stamps = sorted({r["SystemModstamp"] for r in raw.rows("SELECT SystemModstamp FROM Opportunity")})
    edge = stamps[len(stamps) // 2]
    instant = dt.datetime.fromisoformat(edge)

    def count(operator, literal):
        return raw.query(f"SELECT COUNT() FROM Opportunity WHERE SystemModstamp {operator} {literal}").json()[
            "totalSize"
        ]

    utc = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    east = instant.astimezone(dt.timezone(dt.timedelta(hours=7))).isoformat()
    assert count(">=", utc) == count(">=", east) == count("<", utc) * -1 + count("!=", "null")
    assert count(">", utc) == count(">", utc.replace("Z", ".500Z")) < count(">=", utc)
    assert count("=", utc) >= 1


def test_order_limit_offset_and_nulls(raw):
    amounts = [r["Amount"] for r in raw.rows("SELECT Amount FROM Opportunity ORDER BY Amount")]
    filled = [a for a in amounts if a is not None]
    assert amounts == [None] * (len(amounts) - len(filled)) + sorted(filled)
    last = [r["Amount"] for r in raw.rows("SELECT Amount FROM Opportunity ORDER BY Amount DESC NULLS LAST LIMIT 3")]
    assert last == sorted(filled, reverse=True)[:3]
    ids = raw.ids("SELECT Id FROM Opportunity ORDER BY Id")
    assert ids == sorted(ids)
    assert raw.ids("SELECT Id FROM Opportunity ORDER BY Id LIMIT 5 OFFSET 10") == ids[10:15]
    pairs = [
        (r["SystemModstamp"], r["Id"])
        for r in raw.rows("SELECT Id, SystemModstamp FROM OpportunityHistory ORDER BY SystemModstamp, Id")
    ]
    assert pairs == sorted(pairs)


def test_keyset_paging_by_stamp_and_id_finds_every_row(raw):
    everything = sorted(raw.ids("SELECT Id FROM OpportunityHistory", "queryAll"))
    found, condition = [], ""
    while True:
        page = raw.query(
            f"SELECT Id, SystemModstamp FROM OpportunityHistory {condition} ORDER BY SystemModstamp, Id LIMIT 97",
            "queryAll",
        ).json()["records"]
        if not page:
            break
        found += [r["Id"] for r in page]
        stamp = page[-1]["SystemModstamp"].replace("+0000", "Z")
        condition = f"WHERE (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{page[-1]['Id']}'))"
    assert sorted(found) == everything


def test_counts_and_groups(raw, world):
    assert raw.query("SELECT COUNT() FROM Opportunity").json() == {
        "totalSize": sum(1 for _ in world.live()),
        "done": True,
        "records": [],
    }
    soql = (
        "SELECT COUNT(Id) n, CALENDAR_YEAR(CreatedDate) y, CALENDAR_MONTH(CreatedDate) m FROM Opportunity "
        "GROUP BY CALENDAR_YEAR(CreatedDate), CALENDAR_MONTH(CreatedDate)"
    )
    groups = raw.query(soql).json()["records"]
    assert groups[0]["attributes"] == {"type": "AggregateResult"}
    assert sum(g["n"] for g in groups) == sum(1 for _ in world.live())
    assert len({(g["y"], g["m"]) for g in groups}) == len(groups)
    unnamed = raw.query("SELECT StageName, COUNT(Id), MAX(Amount) FROM Opportunity GROUP BY StageName").json()[
        "records"
    ]
    assert set(unnamed[0]) == {"attributes", "StageName", "expr0", "expr1"}
    newest = raw.query("SELECT MAX(SystemModstamp) t FROM Opportunity").json()["records"][0]["t"]
    assert newest == max(r["SystemModstamp"] for r in raw.rows("SELECT SystemModstamp FROM Opportunity"))


def test_groups_sort_by_value_not_by_text(raw):
    month = "CALENDAR_MONTH(CreatedDate)"
    groups = raw.query(f"SELECT {month} m, COUNT(Id) n FROM Opportunity GROUP BY {month} ORDER BY {month}").json()[
        "records"
    ]
    months = [g["m"] for g in groups]
    assert months == sorted(months)
    assert {9, 10, 11} <= set(months)


def test_a_semi_join_takes_ids_from_another_object(raw, world):
    soql = "SELECT Id, OpportunityId FROM OpportunityHistory WHERE OpportunityId IN (SELECT Id FROM Opportunity WHERE IsWon = true)"
    won = {make_id("Opportunity", d.id) for d in world.live() if world.stages[d.stage_id].outcome == "won"}
    assert {r["OpportunityId"] for r in raw.rows(soql)} == won


def test_fields_function_needs_a_limit_for_custom_ones(raw):
    assert raw.error("SELECT FIELDS(ALL) FROM Opportunity")[1] == "MALFORMED_QUERY"
    assert "Region__c" in raw.query("SELECT FIELDS(CUSTOM) FROM Opportunity LIMIT 1").json()["records"][0]
    standard = raw.query("SELECT FIELDS(STANDARD) FROM Opportunity").json()["records"][0]
    assert "StageName" in standard
    assert "Region__c" not in standard


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Nope FROM Opportunity", "INVALID_FIELD", "No such column 'Nope' on entity 'Opportunity'"),
        ("SELECT Id FROM Opportunity WHERE Nope = 1", "INVALID_FIELD", "ERROR at Row:1:Column:34"),
        ("SELECT Owner.Nope FROM Opportunity", "INVALID_FIELD", "No such column 'Nope' on entity 'User'"),
        ("SELECT Nope.Name FROM Opportunity", "INVALID_FIELD", "Didn't understand relationship 'Nope'"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT Id FROM OpportunityFieldHistory", "INVALID_TYPE", "OpportunityFieldHistory"),
        ("SELECT Id FRM Opportunity", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Opportunity WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Opportunity WHERE IsWon = true AND IsClosed = true OR Amount = 1", "MALFORMED_QUERY", "'OR'"),
        ("SELECT Id FROM Opportunity WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Opportunity WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Opportunity WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Opportunity WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
        ("SELECT Id FROM Opportunity WHERE Remarks__c = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Opportunity LIMIT 5 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id, Id FROM Opportunity", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Amount, COUNT(Id) FROM Opportunity", "MALFORMED_QUERY", "must be grouped or aggregated"),
        ("SELECT MAX(Id) FROM Opportunity", "MALFORMED_QUERY", "does not support aggregate operator MAX"),
        ("SELECT Id FROM Opportunity WHERE Name = 'it's'", "MALFORMED_QUERY", ""),
    ],
)
def test_bad_queries_are_refused_in_salesforces_words(raw, soql, code, words):
    status, found, message = raw.error(soql)
    assert (status, found) == (400, code)
    assert words in message


def test_what_the_sandbox_does_not_know_is_not_blamed_on_the_query(raw):
    status, code, _ = raw.error("SELECT Id, (SELECT Id FROM OpportunityHistories) FROM Opportunity")
    assert (status, code) == (501, "SANDBOX_UNSUPPORTED")


def test_the_client_raises_its_own_errors(sf):
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sf.query("SELECT Nope FROM Opportunity")
    assert caught.value.content[0]["errorCode"] == "INVALID_FIELD"


# --- locators ------------------------------------------------------------------------------------------------------------


def test_a_locator_shows_the_rows_of_its_first_page_even_if_the_world_goes_on(raw, org, world):
    org.org.page_cap = 40
    first = raw.query("SELECT Id FROM Opportunity").json()
    world.advance(days=1, changes=30)
    found, page = list(first["records"]), first
    while not page["done"]:
        page = raw.get(page["nextRecordsUrl"]).json()
        found += page["records"]
    assert len(found) == first["totalSize"]
    assert len({r["Id"] for r in found}) == len(found)


def test_locators_expire_on_request_by_age_and_by_number(raw, org, world):
    org.org.page_cap = 10

    def open_one():
        return raw.query("SELECT Id FROM Opportunity").json()["nextRecordsUrl"]

    def code(url):
        answer = raw.get(url)
        return answer.json()[0]["errorCode"] if answer.status_code == 400 else answer.status_code

    url = open_one()
    org.expire_locators()
    assert code(url) == "INVALID_QUERY_LOCATOR"
    url = open_one()
    world.tick(3 * 86_400)
    raw.renew()
    assert code(url) == "INVALID_QUERY_LOCATOR"
    url = open_one()
    more = [open_one() for _ in range(10)]
    assert code(url) == "INVALID_QUERY_LOCATOR"
    assert code(more[-1]) == 200


# --- deletes, replication --------------------------------------------------------------------------------------------------


def test_deleted_rows_come_with_queryall_only_and_with_a_new_stamp(raw, world):
    deal_id = world.cases["open"]
    key = make_id("Opportunity", deal_id)
    world.tick(3600)
    world.delete(deal_id)
    assert opportunity(raw, world, "open") == []
    row = opportunity(raw, world, "open", "IsDeleted, SystemModstamp, LastModifiedDate", "queryAll")[0]
    assert row["IsDeleted"] is True
    assert row["SystemModstamp"] == world.now.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    history = raw.rows(f"SELECT Id, IsDeleted FROM OpportunityHistory WHERE OpportunityId = '{key}'", "queryAll")
    assert history
    assert all(r["IsDeleted"] for r in history)
    assert raw.ids(f"SELECT Id FROM OpportunityHistory WHERE OpportunityId = '{key}'") == []
    world.tick(60)
    world.restore(deal_id)
    assert opportunity(raw, world, "open", "IsDeleted")[0]["IsDeleted"] is False


def test_purged_rows_are_nowhere(raw, world):
    assert opportunity(raw, world, "purged", kind="queryAll") == []
    before = raw.query("SELECT COUNT() FROM Opportunity").json()["totalSize"]
    history = raw.query("SELECT COUNT() FROM OpportunityHistory", "queryAll").json()["totalSize"]
    world.purge(world.cases["won"])
    assert raw.query("SELECT COUNT() FROM Opportunity").json()["totalSize"] == before - 1
    assert raw.query("SELECT COUNT() FROM OpportunityHistory", "queryAll").json()["totalSize"] < history


def test_getdeleted_knows_the_bin_but_not_a_silent_purge(sf, world):
    silent = make_id("Opportunity", world.cases["won"])
    emptied, binned = world.cases["lost"], world.cases["open"]
    world.tick(60)
    world.purge(world.cases["won"])
    world.delete(binned)
    world.delete(emptied)
    world.tick(60)
    world.purge(emptied)
    world.tick(120)
    answer = sf.Opportunity.deleted(world.now - dt.timedelta(days=1), world.now)
    ids = {r["id"] for r in answer["deletedRecords"]}
    assert {make_id("Opportunity", emptied), make_id("Opportunity", binned)} <= ids
    assert silent not in ids
    assert {"earliestDateAvailable", "latestDateCovered"} <= set(answer)
    changed = sf.Opportunity.updated(world.now - dt.timedelta(days=1), world.now)
    assert "ids" in changed


def test_replication_windows_have_limits(sf, world):
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sf.Opportunity.deleted(world.now - dt.timedelta(days=20), world.now)
    assert caught.value.content[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    with pytest.raises(SalesforceMalformedRequest):
        sf.Opportunity.deleted(world.now, world.now)


def test_merged_accounts_point_to_the_winner_and_deals_are_touched(raw, world):
    deal = next(d for d in world.live() if d.company_id == 1)
    world.tick(600)
    world.merge_companies(1, 2)
    loser = raw.rows(f"SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '{make_id('Account', 1)}'", "queryAll")[
        0
    ]
    assert loser["IsDeleted"] is True
    assert loser["MasterRecordId"] == make_id("Account", 2)
    key = make_id("Opportunity", deal.id)
    row = raw.rows(f"SELECT AccountId, SystemModstamp, LastModifiedDate FROM Opportunity WHERE Id = '{key}'")[0]
    assert row["AccountId"] == make_id("Account", 2)
    assert row["SystemModstamp"] > row["LastModifiedDate"]


# --- history ---------------------------------------------------------------------------------------------------------------


def history(raw, world, case, kind="query"):
    key = make_id("Opportunity", world.cases[case])
    fields = "Id, StageName, Amount, CloseDate, PrevAmount, PrevCloseDate, CreatedDate, SystemModstamp"
    return raw.rows(
        f"SELECT {fields} FROM OpportunityHistory WHERE OpportunityId = '{key}' ORDER BY CreatedDate, Id", kind
    )


def test_collapsed_history_is_the_true_path_of_every_deal(raw, org, world):
    soql = (
        "SELECT OpportunityId, StageName, CreatedDate FROM OpportunityHistory ORDER BY OpportunityId, CreatedDate, Id"
    )
    rows = raw.rows(soql)
    found = {}
    for row in rows:
        path = found.setdefault(row["OpportunityId"], [])
        if not path or path[-1][1] != row["StageName"]:
            path.append((row["CreatedDate"], row["StageName"]))
    for deal in world.live():
        assert found[org.record_id("Opportunity", deal.id)] == [
            (when.strftime("%Y-%m-%dT%H:%M:%S.000+0000"), name) for when, name in org.stage_path(deal.id)
        ]
    assert any(len(path) > 4 for path in found.values())


def test_history_has_rows_for_amount_and_close_date_and_none_for_owner_or_process(raw, world):
    edited = history(raw, world, "edited")
    assert [r["StageName"] for r in edited] == ["Prospecting"] * 4
    assert [r["PrevAmount"] for r in edited] == [None, 12500.5, None, 20000.0]
    assert [r["PrevCloseDate"] is None for r in edited] == [True, True, False, True]
    assert edited[-1]["Amount"] == 20000.01
    assert [r["StageName"] for r in history(raw, world, "equal_stage_moved_pipeline")] == ["Prospecting", "Proposal"]


def test_ties_share_the_second_and_ids_tell_their_order(raw, world):
    ties = history(raw, world, "ties")
    assert len({r["CreatedDate"] for r in ties[1:]}) == 1
    assert [r["StageName"] for r in ties] == ["Prospecting", "Qualification", "Qualification", "Proposal"]
    assert [r["Id"] for r in ties] == sorted(r["Id"] for r in ties)


def test_a_superseded_history_row_moves_its_stamp_or_not_as_configured(raw, org, world):
    rows = history(raw, world, "won")
    assert [r["SystemModstamp"] for r in rows[:-1]] == [r["CreatedDate"] for r in rows[1:]]
    assert rows[-1]["SystemModstamp"] == rows[-1]["CreatedDate"]
    with serve(world, history_stamp="created") as other, session_to(other) as session:
        for row in history(Raw(other, session), world, "won"):
            assert row["SystemModstamp"] == row["CreatedDate"]


def test_stage_stays_the_api_name_when_the_label_changes(raw, world):
    assert opportunity(raw, world, "renamed_stage")[0]["StageName"] == "Discovery"
    assert opportunity(raw, world, "renamed_stage", "toLabel(StageName)")[0]["StageName"] == "Discovery & Demo"
    stages = {
        s["ApiName"]: s for s in raw.rows("SELECT ApiName, MasterLabel, IsActive, SortOrder FROM OpportunityStage")
    }
    assert stages["Discovery"]["MasterLabel"] == "Discovery & Demo"
    assert stages["Legal Hold"]["IsActive"] is False
    assert "Verbal Yes" not in stages
    assert "Verbal Yes" in [r["StageName"] for r in history(raw, world, "gone_stage")]
    assert len(stages) == len({s["SortOrder"] for s in stages.values()})
    world.rename_stage(world.stage(1, "Proposal").id, "Quote")
    assert raw.rows("SELECT MasterLabel FROM OpportunityStage WHERE ApiName = 'Proposal'")[0]["MasterLabel"] == "Quote"


def test_the_list_of_stages_agrees_with_the_flags_of_deals(raw):
    stages = {
        s["ApiName"]: s for s in raw.rows("SELECT ApiName, IsClosed, IsWon, DefaultProbability FROM OpportunityStage")
    }
    for row in raw.rows("SELECT StageName, IsClosed, IsWon, Probability FROM Opportunity"):
        stage = stages.get(row["StageName"])
        if stage:
            assert (row["IsClosed"], row["IsWon"], row["Probability"]) == (
                stage["IsClosed"],
                stage["IsWon"],
                stage["DefaultProbability"],
            )


def test_field_history_is_there_when_tracking_is_on(world):
    with serve(world, field_history=True) as org, session_to(org) as session:
        raw = Raw(org, session)
        key = make_id("Opportunity", world.cases["edited"])
        soql = (
            f"SELECT Field, OldValue, NewValue FROM OpportunityFieldHistory WHERE OpportunityId = '{key}' ORDER BY Id"
        )
        fields = [r["Field"] for r in raw.rows(soql)]
        assert fields[0] == "created"
        assert fields.count("Owner") == 2
        assert fields.count("Amount") == 2
        world.move(world.cases["edited"], "Proposal")
        assert raw.rows(soql)[-1]["NewValue"] == "Proposal"
        assert raw.error("SELECT Id FROM OpportunityFieldHistory WHERE NewValue = 'x'")[1] == "INVALID_FIELD"


# --- describe, permissions, set-up --------------------------------------------------------------------------------------------


def test_describe_lists_fields_types_and_record_types(sf):
    answer = sf.Opportunity.describe()
    fields = {f["name"]: f for f in answer["fields"]}
    assert answer["keyPrefix"] == PREFIXES["Opportunity"]
    assert fields["StageName"]["type"] == "picklist"
    assert {v["value"] for v in fields["StageName"]["picklistValues"]} >= {"Prospecting", "Closed Won"}
    assert fields["OwnerId"]["referenceTo"] == ["User"]
    assert fields["OwnerId"]["relationshipName"] == "Owner"
    assert fields["Region__c"]["label"] == fields["Region_Detail__c"]["label"] == "Region"
    assert fields["Weighted__c"]["calculated"] is True
    assert fields["Site__c"]["type"] == "location"
    assert fields["Loss_Reason__c"]["custom"] is True
    names = {r["developerName"] for r in answer["recordTypeInfos"]}
    assert names == {"New_Business", "Renewals", "Master"}
    assert "OpportunityHistory" in {o["name"] for o in sf.describe()["sobjects"]}


def test_every_described_field_can_be_selected(raw):
    for name in (
        "Opportunity",
        "OpportunityHistory",
        "OpportunityStage",
        "Account",
        "User",
        "CurrencyType",
        "Organization",
    ):
        fields = [f["name"] for f in raw.get(f"sobjects/{name}/describe").json()["fields"]]
        assert raw.query(f"SELECT {','.join(fields)} FROM {name} LIMIT 1").status_code == 200


def test_describe_answers_304_until_something_changes(raw, org, world):
    first = raw.get("sobjects/Opportunity/describe")
    date = {"If-Modified-Since": first.headers["Date"]}
    again = raw.get("sobjects/Opportunity/describe", headers=date)
    assert (again.status_code, again.content) == (304, b"")
    world.tick(10)
    org.hide_field("Opportunity", "Amount")
    changed = raw.get("sobjects/Opportunity/describe", headers=date)
    assert changed.status_code == 200
    assert "Amount" not in {f["name"] for f in changed.json()["fields"]}


def test_hidden_fields_are_absent_and_refused(raw, org, world):
    org.hide_field("Opportunity", "Amount")
    world.hide_field("deal", "custom:region")
    names = {f["name"] for f in raw.get("sobjects/Opportunity/describe").json()["fields"]}
    assert not {"Amount", "Region__c"} & names
    assert raw.error("SELECT Amount FROM Opportunity")[1] == "INVALID_FIELD"
    assert raw.error("SELECT Id FROM Opportunity WHERE Region__c = 'EMEA'")[1] == "INVALID_FIELD"
    world.show_field("deal", "custom:region")
    org.show_field("Opportunity", "Amount")
    assert raw.query("SELECT Amount, Region__c FROM Opportunity").status_code == 200


def test_hidden_objects_do_not_exist(raw, org):
    org.hide_object("OpportunityHistory")
    assert raw.error("SELECT Id FROM OpportunityHistory")[1] == "INVALID_TYPE"
    assert raw.get("sobjects/OpportunityHistory/describe").status_code == 404


def test_sharing_hides_rows_and_their_history_without_a_trace(raw, world):
    half = [d.id for d in world.live()][::2]
    world.hide(half)
    seen = set(raw.ids("SELECT Id FROM Opportunity", "queryAll"))
    assert not seen & {make_id("Opportunity", i) for i in half}
    owners = {r["OpportunityId"] for r in raw.rows("SELECT OpportunityId FROM OpportunityHistory", "queryAll")}
    assert owners <= seen
    assert raw.query("SELECT COUNT() FROM Opportunity").json()["totalSize"] == sum(1 for _ in world.live("api"))
    world.unhide()
    assert raw.query("SELECT COUNT() FROM Opportunity").json()["totalSize"] == sum(1 for _ in world.live())


def test_record_types_lead_to_sales_processes_with_their_own_stages(raw, world):
    types = raw.rows("SELECT Id, DeveloperName, BusinessProcessId FROM RecordType WHERE SobjectType = 'Opportunity'")
    processes = {p["Id"]: p["Name"] for p in raw.rows("SELECT Id, Name FROM BusinessProcess")}
    assert sorted(processes.values()) == ["New Business", "Renewals"]
    for record_type in types:
        path = f"ui-api/object-info/Opportunity/picklist-values/{record_type['Id']}/StageName"
        values = [v["value"] for v in raw.get(path).json()["values"]]
        pipeline = 1 if record_type["DeveloperName"] == "New_Business" else 2
        assert values == [s.name for s in world.pipeline_stages(pipeline) if s.active]
    moved = opportunity(raw, world, "equal_stage_moved_pipeline", "RecordType.DeveloperName")[0]
    assert moved["RecordType"]["DeveloperName"] == "Renewals"


def test_an_org_without_record_types_has_one_pipeline(world):
    with serve(world, record_types=0) as org, session_to(org) as session:
        raw = Raw(org, session)
        assert raw.rows("SELECT Id FROM RecordType") == []
        assert {r["RecordTypeId"] for r in raw.rows("SELECT RecordTypeId FROM Opportunity")} == {None}
        values = raw.get("ui-api/object-info/Opportunity/picklist-values/012000000000000AAA/StageName").json()["values"]
        assert len(values) == len({v["value"] for v in values}) > 5


def test_two_record_types_may_share_a_process(world):
    with serve(world, record_types=3) as org, session_to(org) as session:
        raw = Raw(org, session)
        types = raw.rows("SELECT Id, BusinessProcessId FROM RecordType")
        assert len(types) == 3
        assert len({t["BusinessProcessId"] for t in types}) == 2
        assert len({r["RecordTypeId"] for r in raw.rows("SELECT RecordTypeId FROM Opportunity")}) == 3


def test_a_single_currency_org_knows_no_currencies():
    with serve(World(seed=4, deals=60, multi_currency=False)) as org, session_to(org) as session:
        raw = Raw(org, session)
        assert raw.error("SELECT Id FROM CurrencyType")[1] == "INVALID_TYPE"
        assert raw.error("SELECT CurrencyIsoCode FROM Opportunity")[1] == "INVALID_FIELD"


@pytest.mark.parametrize("is_multi", [True, False])
def test_the_organization_tells_its_currency_only_where_it_has_one(is_multi):
    with serve(World(seed=4, deals=5, multi_currency=is_multi)) as org, session_to(org) as session:
        raw = Raw(org, session)
        features = raw.get("connect/organization").json()["features"]
        assert features["multiCurrency"] is is_multi
        assert features.get("defaultCurrencyIsoCode") == (None if is_multi else "USD")


def test_currencies_tell_units_per_home_unit(raw):
    rates = {r["IsoCode"]: r for r in raw.rows("SELECT IsoCode, ConversionRate, IsCorporate FROM CurrencyType")}
    assert rates["USD"]["IsCorporate"] is True
    assert rates["USD"]["ConversionRate"] == 1.0
    assert rates["IDR"]["ConversionRate"] == 16250.0


def test_users_are_never_missing_only_inactive(raw, world):
    users = {u["Id"]: u for u in raw.rows("SELECT Id, IsActive FROM User")}
    for row in raw.rows("SELECT OwnerId FROM Opportunity"):
        assert row["OwnerId"] in users
    assert not users[make_id("User", world.deals[world.cases["deactivated_owner"]].owner_id + 1)]["IsActive"]


# --- composite, limits, versions -----------------------------------------------------------------------------------------------


def part(reference, soql, kind="query"):
    return {"method": "GET", "url": f"/services/data/v66.0/{kind}?q={soql.replace(' ', '+')}", "referenceId": reference}


def test_composite_counts_as_one_call_and_keeps_errors_apart(raw, org):
    before = org.api_usage
    answer = raw.post(
        "composite",
        {
            "allOrNone": False,
            "compositeRequest": [
                part("stages", "SELECT Id FROM OpportunityStage"),
                part("gone", "SELECT Id FROM Opportunity", "queryAll"),
                part("bad", "SELECT Nope FROM User"),
                {"method": "GET", "url": "/services/data/v66.0/limits", "referenceId": "limits"},
            ],
        },
    ).json()["compositeResponse"]
    assert [(a["referenceId"], a["httpStatusCode"]) for a in answer] == [
        ("stages", 200),
        ("gone", 200),
        ("bad", 400),
        ("limits", 200),
    ]
    assert answer[2]["body"][0]["errorCode"] == "INVALID_FIELD"
    assert answer[0]["body"]["records"][0]["attributes"]["type"] == "OpportunityStage"
    assert org.api_usage == before + 1
    assert org.org.subcalls == {"query": 2, "queryAll": 1, "limits": 1}


def test_composite_takes_25_parts_and_5_queries(raw):
    query = part("a", "SELECT Id FROM User")
    limits = {"method": "GET", "url": "/services/data/v66.0/limits", "referenceId": "l"}
    assert raw.post("composite", {"compositeRequest": [query] * 5 + [limits] * 20}).status_code == 200
    assert raw.post("composite", {"compositeRequest": [query] * 6}).status_code == 400
    assert raw.post("composite", {"compositeRequest": [limits] * 26}).status_code == 400


def test_composite_can_refuse_queryall(raw, org):
    org.org.composite_query_all = False
    parts = [part("all", "SELECT Id FROM Opportunity", "queryAll"), part("live", "SELECT Id FROM Opportunity")]
    answer = raw.post("composite", {"compositeRequest": parts}).json()["compositeResponse"]
    assert [a["httpStatusCode"] for a in answer] == [400, 200]


def test_all_or_none_halts_the_others(raw):
    parts = [part("bad", "SELECT Nope FROM User"), part("good", "SELECT Id FROM User")]
    answer = raw.post("composite", {"allOrNone": True, "compositeRequest": parts}).json()["compositeResponse"]
    assert answer[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"


def test_a_batch_counts_each_of_its_parts(raw, org):
    before = org.api_usage
    parts = [{"method": "GET", "url": "v66.0/query?q=SELECT+Id+FROM+User"}, {"method": "GET", "url": "v66.0/limits"}]
    answer = raw.post("composite/batch", {"batchRequests": parts}).json()
    assert [r["statusCode"] for r in answer["results"]] == [200, 200]
    assert org.api_usage == before + 2


def test_usage_is_told_with_every_answer_and_rolls_over_24_hours(raw, org, world):
    def used():
        return raw.query("SELECT Nope FROM User").headers["Sforce-Limit-Info"]

    assert used() == "api-usage=19/100000"
    assert used() == "api-usage=20/100000"
    remaining = raw.get("limits").json()["DailyApiRequests"]
    assert remaining["Max"] - remaining["Remaining"] == 21
    world.tick(86_401)
    assert used() == "api-usage=19/100000"


def test_the_daily_limit_stops_everything_with_403(sf, org):
    org.org.daily_limit = org.api_usage
    with pytest.raises(SalesforceRefusedRequest) as caught:
        sf.query("SELECT Id FROM User")
    assert caught.value.content == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]


def test_a_disabled_api_says_so(raw, org):
    org.org.api_disabled = True
    answer = raw.get("limits")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "API_DISABLED_FOR_ORG")


@pytest.mark.parametrize(("version", "status"), [("30.0", 410), ("67.0", 404), ("66.5", 404), ("58.0", 200)])
def test_versions_come_and_go(org, session, version, status):
    assert Raw(org, session, version).get("limits").status_code == status


def test_unknown_resources_are_not_found(raw):
    answer = raw.get("sobjects/Nope/describe")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")
    assert raw.get("nothing/here").status_code == 404
    assert raw.get(f"sobjects/Opportunity/{make_id('Opportunity', 999_999)}").status_code == 404


def test_one_record_can_be_read_by_id(sf, world):
    record = sf.Opportunity.get(make_id("Opportunity", world.cases["won"]))
    assert record["StageName"] == "Closed Won"


def test_a_query_over_too_many_rows_can_time_out(raw, org):
    org.org.query_timeout_rows = 50
    assert raw.error("SELECT Id FROM OpportunityHistory")[1] == "QUERY_TIMEOUT"
    assert raw.query("SELECT COUNT() FROM OpportunityHistory").status_code == 200
    assert raw.query("SELECT Id FROM OpportunityHistory LIMIT 50").status_code == 200


# --- time and trouble -------------------------------------------------------------------------------------------------------------


def test_late_commits_appear_behind_the_readers_back(raw, world):
    stamp = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    deal_id = world.cases["open"]
    world.late_commit(deal_id, by=120, amount=Decimal(4242))
    world.tick(60)
    world.edit(world.cases["won"], amount=Decimal(1))
    first = raw.ids(f"SELECT Id FROM Opportunity WHERE SystemModstamp >= {stamp}")
    assert make_id("Opportunity", deal_id) not in first
    world.tick(120)
    late = raw.rows(f"SELECT Id, Amount, SystemModstamp FROM Opportunity WHERE SystemModstamp >= {stamp}")
    assert [r["Amount"] for r in late if r["Id"] == make_id("Opportunity", deal_id)] == [4242.0]
    assert min(r["SystemModstamp"] for r in late).startswith(stamp[:-1])


def test_a_tie_flood_shares_one_second(raw, world):
    world.tick(5)
    world.tie_flood(100)
    stamp = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert raw.query(f"SELECT COUNT() FROM Opportunity WHERE SystemModstamp = {stamp}").json()["totalSize"] == 100
    assert raw.query(f"SELECT COUNT() FROM Opportunity WHERE SystemModstamp > {stamp}").json()["totalSize"] == 0


def test_rows_without_order_can_come_in_any(world):
    with serve(world, shuffle=1) as org, session_to(org) as session:
        raw = Raw(org, session)
        ids = raw.ids("SELECT Id FROM Opportunity")
        assert ids != sorted(ids)
        assert raw.ids("SELECT Id FROM Opportunity ORDER BY Id") == sorted(ids)


def test_the_session_dies_in_mid_sync_and_the_client_goes_on(org, sf, world):
    org.org.page_cap = 20
    org.faults.add("unauthorized", match="query_more", after=2, times=1)
    found = sf.query_all("SELECT Id FROM Opportunity", include_deleted=False)["records"]
    assert len({r["Id"] for r in found}) == sum(1 for _ in world.live())
    assert org.calls["token"] == 2


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("daily_limit", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("concurrent_limit", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("unauthorized", 401, "INVALID_SESSION_ID"),
        ("rate_limited", 429, "TOO_MANY_REQUESTS"),
    ],
)
def test_faults_speak_salesforces_json(raw, org, kind, status, code):
    org.faults.add(kind, match="query", times=1)
    answer = raw.query("SELECT Id FROM User")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_503_is_html(raw, org):
    org.faults.add("unavailable", match="query", times=1)
    answer = raw.query("SELECT Id FROM User")
    assert answer.status_code == 503
    assert "html" in answer.headers["Content-Type"]
    assert raw.query("SELECT Id FROM User").status_code == 200


def test_the_clock_can_move_with_the_calls(world):
    with serve(world, tick_per_call=30) as org, session_to(org) as session:
        before = world.now_ms
        raw = Raw(org, session)
        dates = {raw.get("limits").headers["Date"] for _ in range(3)}
        assert len(dates) == 3
        assert world.now_ms == before + 4 * 30_000


def test_two_orgs_have_equal_record_ids_and_different_org_ids(world):
    with serve(world, org_number=2) as other, serve(world) as one, session_to(other) as a, session_to(one) as b:
        first, second = Raw(other, a), Raw(one, b)
        assert first.ids("SELECT Id FROM Opportunity") == second.ids("SELECT Id FROM Opportunity")
        assert first.ids("SELECT Id FROM Organization") != second.ids("SELECT Id FROM Organization")


def test_many_fields_make_a_long_query(world):
    with serve(world, extra_fields=700) as org, session_to(org) as session:
        raw = Raw(org, session)
        names = [f["name"] for f in raw.get("sobjects/Opportunity/describe").json()["fields"]]
        assert raw.query(f"SELECT {','.join(names)} FROM Opportunity").status_code == 414
        half = [n for n in names if not n.startswith("Extra")] + [n for n in names if n.startswith("Extra")][:300]
        assert raw.query(f"SELECT {','.join(half)} FROM Opportunity LIMIT 1").status_code == 200


def test_wrong_options_are_refused(world):
    with pytest.raises(TypeError, match="nonsense"):
        serve(world, nonsense=1)


def test_the_client_reads_the_usage_header(org, sf):
    sf.query("SELECT Id FROM User LIMIT 1")
    assert sf.api_usage["api-usage"].used == org.api_usage


def test_login_is_not_counted_by_salesforce_but_seen_in_the_log(org, session):
    login(org, session)
    assert org.calls == {"token": 1}
    assert org.api_usage == 18


def test_it_runs_in_a_process_of_its_own():
    command = [
        sys.executable,
        "-m",
        "connectors.sandbox.salesforce",
        "--deals",
        "40",
        "--options",
        '{"record_types": 0}',
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        assert len(requests.get(ready["url"] + "/services/data/", timeout=10).json()) > 30
        news = requests.post(ready["url"] + "/_sandbox/advance", json={"days": 1, "changes": 7}, timeout=10).json()
        assert sum(map(len, news.values())) == 7
        assert requests.get(ready["url"] + "/_sandbox/calls", timeout=10).json()["total"] == 1
        process.stdin.close()
        assert process.wait(timeout=10) == 0
