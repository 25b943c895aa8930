"""What is landed is what happened in the org, in a first sync and after days of changes."""

import pytest

from connectors.sdk import Deal, FieldChange, HistoryRead, StageChange
from tests.connectors.salesforce.lab import lab, of, standalone


@pytest.fixture
def org(tmp_path):
    with lab(tmp_path) as made:
        yield made


def test_the_first_sync_holds_every_deal_with_its_whole_true_history(org):
    """A1, A4: the entry stage and every move, in order, without a switch."""
    assert org.sync().status == "complete"
    org.assert_true()
    assert {row[-1] for rows in org.events().values() for row in rows} == {"exact"}


def test_days_of_changes_end_in_the_same_rows_as_a_first_sync(org, tmp_path):
    """A7: increments and full reads give the same row for the same deal, raw included."""
    org.sync()
    for _ in range(4):
        org.world.advance(days=0.6, changes=25)
        assert org.sync().status == "complete"
        org.assert_true()
    with lab(tmp_path / "fresh", world=org.world) as fresh:
        fresh.sync()
        live = {fresh.id(deal.id) for deal in org.world.live()}
        for stream in ("deals", "companies", "owners", "stages", "pipelines"):
            columns = "* exclude (_key, _read_at, _sync_seq, _ordinal, source_key)"
            ours, theirs = org.latest(stream, columns), fresh.latest(stream, columns)
            keys = live if stream == "deals" else theirs.keys()
            assert {key: ours[key] for key in keys} == {key: theirs[key] for key in keys}
        for stream in ("stage_changes", "field_changes"):
            columns = "e.changed_at, e.event_id, e._hash"
            ours, theirs = org.events(stream, columns), fresh.events(stream, columns)
            assert {key: ours.get(key) for key in live} == {key: theirs.get(key) for key in live}


def test_the_last_change_of_each_deal_agrees_with_its_present_stage(org):
    """A2."""
    org.sync()
    org.world.advance(days=1, changes=30)
    org.sync()
    stages = org.deals("stage_id")
    assert {key: rows[-1][1] for key, rows in org.events().items() if key in stages} == {
        key: stage for key, (stage,) in stages.items() if key in org.events()
    }


def test_amount_and_close_date_changes_come_from_the_same_rows(org):
    org.sync()
    told = org.events("field_changes", "field, old_value, new_value, changed_at")
    number = org.world.cases["edited"]
    assert [row[:3] for row in told[org.id(number)]] == [
        ("amount", "12500.5", "20000"),
        ("expected_close_date", *_dates(org, number)),
        ("amount", "20000", "20000.01"),
    ]
    assert told[org.id(org.world.cases["amount_emptied"])][0][:3] == ("amount", "12500.5", None)


def _dates(org, number):
    return [day.isoformat() for _, day in org.world.field_path(number, "close_date")]


def test_the_entry_of_a_deal_is_no_change_of_its_amount(org):
    """A change from nothing at creation would make the amount at entry unknown."""
    org.sync()
    assert org.id(org.world.cases["never_moved"]) not in org.events("field_changes", "field, changed_at")


@pytest.mark.parametrize("stamp", ["supersede", "created"])
def test_superseded_rows_change_nothing(tmp_path, stamp):
    """SystemModstamp of a history row may move when the next row comes; whole readings do not depend on it."""
    with lab(tmp_path, history_stamp=stamp) as org:
        org.sync()
        org.world.advance(days=1, changes=30)
        org.sync()
        org.assert_true()


def test_repeated_stages_are_collapsed_and_ties_keep_their_order(org):
    org.sync()
    bounced = org.paths()[org.id(org.world.cases["bounced"])]
    assert [stage for _, stage in bounced] == [
        "Prospecting",
        "Qualification",
        "Discovery",
        "Qualification",
        "Discovery",
        "Qualification",
    ]
    ties = org.paths()[org.id(org.world.cases["ties"])]
    assert [stage for _, stage in ties] == ["Prospecting", "Qualification", "Proposal"]
    assert ties[1][0] == ties[2][0]


def test_a_quiet_sync_writes_no_rows_and_takes_two_calls(org):
    org.sync()
    org.minutes(20)
    report = org.sync()
    assert (report.status, report.parts) == ("complete", 0)
    assert org.calls == {"composite": 2}


def test_a_deal_created_and_deleted_between_syncs_is_known_as_deleted(org):
    org.sync()
    deal = org.world.create(amount=None)
    org.minutes()
    org.world.move(deal.id, "Discovery")
    org.minutes()
    org.world.delete(deal.id)
    org.sync()
    assert org.deals("presence")[org.id(deal.id)] == ("deleted",)
    assert [stage for _, stage in org.paths()[org.id(deal.id)]] == ["Prospecting", "Discovery"]


def test_a_deleted_deal_keeps_its_last_values_and_comes_back_when_it_is_restored(tmp_path):
    """A12: Salesforce may show fields of a deleted row empty; what was known stays."""
    with lab(tmp_path, nulls_on_delete=("Amount", "AccountId")) as org:
        org.sync()
        number = org.world.cases["open"]
        amount = org.world.deals[number].amount
        org.minutes()
        org.world.delete(number)
        assert org.sync().rows["deals"].deleted == 1
        assert org.gone()[org.id(number)] == "deleted"
        assert org.deals("amount")[org.id(number)] == (amount,)
        org.minutes()
        org.world.restore(number)
        org.sync()
        assert org.id(number) not in org.gone()
        org.assert_true()


def test_text_that_looks_like_nothing_stays_text(org):
    """NA, N/A and None are words; only an empty value is null."""
    org.sync()
    fields, raw = org.deals("custom_fields, raw")[org.id(org.world.cases["long_text"])]
    assert "line one" in raw
    import json

    found = json.loads(fields)
    assert found["Remarks"] == 'line one\nline "two", NA\r\nNone\tnull; N/A'
    assert found["Region (Region__c)"] == "N/A"
    assert found["Region (Region_Detail__c)"] == "NA"


def test_deals_carry_typed_values_and_their_whole_row():
    from connectors.sandbox.salesforce import serve
    from connectors.sandbox.world import World

    with serve(World(seed=3, deals=60)) as org:
        records = standalone(org, lost_reason_field="Loss_Reason__c").run()
        deals = {deal.deal_id: deal for deal in of(records, Deal)}
        lost = deals[org.record_id("Opportunity", org.world.cases["lost"])]
        true = org.world.deals[org.world.cases["lost"]]
        assert lost.amount == true.amount
        assert lost.expected_close_date == true.close_date
        assert lost.lost_reason == "Competitor"
        assert lost.created_at.tzinfo is not None
        assert lost.probability == 0
        assert lost.status is None
        zero = deals[org.record_id("Opportunity", org.world.cases["zero_amount"])]
        unknown = deals[org.record_id("Opportunity", org.world.cases["unknown_amount"])]
        assert (zero.amount, unknown.amount) == (0, None)
        foreign = deals[org.record_id("Opportunity", org.world.cases["foreign_currency"])]
        assert foreign.currency == "EUR"


def test_an_amount_of_zero_is_what_the_setting_says():
    from connectors.sandbox.salesforce import serve
    from connectors.sandbox.world import World

    with serve(World(seed=3, deals=60)) as org:
        records = standalone(org, zero_amount="unknown").run()
        zero = org.record_id("Opportunity", org.world.cases["zero_amount"])
        assert [deal.amount for deal in of(records, Deal) if deal.deal_id == zero] == [None]
        changes = [change for reading in of(records, HistoryRead) for change in reading.field_changes]
        assert all(isinstance(change, FieldChange) for change in changes)
        assert not [change for change in changes if "0" in (change.old_value, change.new_value)]
        assert of([c for r in of(records, HistoryRead) for c in r.stage_changes], StageChange)
