"""Which records become a new version, and which are held already."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connectors.sdk.records import Company, CurrencyRate, FieldDef, Owner, Pipeline, Stage
from tests.warehouse.scripted import INFO, START, Land, deal, deals
from warehouse.landing import intake, recent


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def versions(land, deal_id="a"):
    return land.query(
        f"select stage_id from landing.deals where deal_id = '{deal_id}' order by _read_at, _sync_seq, _ordinal"
    )


def test_two_syncs_without_new_data_write_no_new_part(land):
    records = [
        INFO,
        Pipeline(pipeline_id="p", name="Sales"),
        Stage(pipeline_id="p", stage_id="new", name="New", probability=0.1),
        Owner(owner_id="o", name="Olga"),
        Company(company_id="c", name="Cora"),
        CurrencyRate(currency="EUR", base_currency="USD", rate=Decimal("1.1")),
        FieldDef(object_type="deal", code="x", label="X", field_type="text"),
        *deals(50, amount=Decimal("12.50"), created_at=START),
    ]
    land.sync(*records)
    before = land.manifest()
    land.clock.advance(hours=1)
    report = land.sync(*records)
    assert report.status == "complete"
    assert land.manifest().parts == before.parts
    assert report.parts == 0
    assert report.rows["deals"].read == 50
    assert report.total("new") == report.total("changed") == 0


def test_a_changed_record_is_a_new_version_and_the_old_one_stays(land):
    land.sync(deal("a"))
    land.clock.advance(hours=1)
    report = land.sync(deal("a", "won"))
    assert versions(land) == [("new",), ("won",)]
    assert (report.rows["deals"].new, report.rows["deals"].changed) == (0, 1)


def test_within_one_sync_a_then_b_then_a_lands_all_three(land):
    """The last word of a sync must not be dropped because the index knows it from before."""
    land.sync(deal("a"))
    land.sync(deal("a", "won"), deal("a"))
    assert versions(land) == [("new",), ("won",), ("new",)]


def test_a_key_repeated_within_one_sync_lands_once(land):
    land.sync(deal("a"), deal("a"), deal("a"))
    assert versions(land) == [("new",)]


def test_a_change_back_is_landed_even_when_the_sync_has_forgotten_the_key(land, monkeypatch):
    monkeypatch.setattr(intake, "Recent", lambda: recent.Recent(5))
    land.sync(*deals(40))
    land.sync(deal("d0001", "won"), *deals(40)[2:], deal("d0001"))
    assert versions(land, "d0001") == [("new",), ("won",), ("new",)]


def test_the_same_instant_in_another_zone_is_the_same_content(land):
    elsewhere = START.astimezone(timezone(timedelta(hours=7)))
    land.sync(deal("a", updated_at=START))
    assert land.sync(deal("a", updated_at=elsewhere)).parts == 0
    assert land.query("select updated_at from landing.deals") == [(START.replace(tzinfo=None),)]


def test_money_and_dates_keep_their_exact_value(land):
    land.sync(
        deal("a", amount=Decimal("99999999999999.9999"), expected_close_date=datetime(2026, 2, 28, tzinfo=UTC).date())
    )
    assert land.query("select amount, expected_close_date::varchar from landing.deals") == [
        (Decimal("99999999999999.9999"), "2026-02-28")
    ]


def test_raw_is_kept_letter_by_letter(land):
    import msgspec

    text = '{"amount":1.10,"big":123456789012345678901234567890,"é":"\\u0000\\n\\"","nested":{"a":[1,2.50]}}'
    record = msgspec.structs.replace(deal("a"), raw=msgspec.Raw(text.encode()))
    land.sync(record)
    assert land.query("select raw from landing.deals") == [(text,)]
    assert land.sync(record).parts == 0


def test_text_of_every_script_and_a_nul_character_survive(land):
    land.sync(deal("ключ/🙂", name="a\x00b\n\t\"quoted\" 'single' \\"))
    assert land.query("select deal_id, name from landing.deals") == [("ключ/🙂", "a\x00b\n\t\"quoted\" 'single' \\")]


def test_a_dated_row_is_landed_for_each_instant_and_once_for_the_same(land):
    first = [deal("a", read_at=START - timedelta(days=30)), deal("a", read_at=START - timedelta(days=10))]
    land.sync(*first)
    assert versions(land) == [("new",), ("new",)]
    assert land.sync(*first).parts == 0


def test_a_late_older_snapshot_takes_its_place_between_two_equal_ones(land):
    days = {number: START - timedelta(days=number) for number in (30, 20, 10)}
    land.sync(deal("a", read_at=days[30]), deal("a", read_at=days[10]))
    land.sync(deal("a", read_at=days[30]), deal("a", "won", read_at=days[20]), deal("a", read_at=days[10]))
    assert versions(land) == [("new",), ("won",), ("new",)]


def test_a_corrected_snapshot_of_the_same_instant_is_landed_and_so_is_the_correction_undone(land):
    at = START - timedelta(days=3)
    for stage in ("new", "won", "new"):
        land.sync(deal("a", stage, read_at=at))
    assert versions(land) == [("new",), ("won",), ("new",)]


def test_keys_of_two_parts_do_not_run_together(land):
    land.sync(
        Stage(pipeline_id="a:b", stage_id="c", name="1"),
        Stage(pipeline_id="a", stage_id="b:c", name="2"),
    )
    assert len(set(land.query("select _key from landing.stages"))) == 2


def test_a_clock_set_back_a_little_does_not_reorder_readings(land):
    land.sync(deal("a"))
    land.clock.advance(minutes=-30)
    land.sync(deal("a", "won"))
    assert versions(land) == [("new",), ("won",)]
