"""Records to lines and lines to parts: what goes in comes out, or is set aside with a reason."""

import json
import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sdk.records import CurrencyRate, Deal, HistoryRead, Stage, StageChange
from tests.warehouse.scripted import START, Land, deal
from warehouse.landing.lines import CODECS, BadRecordError, instant, micros

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3),
)
DEALS = st.builds(
    Deal,
    deal_id=TEXT.filter(bool),
    name=st.none() | TEXT,
    amount=st.none() | st.decimals(-(10**13), 10**13, places=4),
    created_at=st.none() | INSTANTS,
    expected_close_date=st.none() | st.dates(),
    probability=st.none() | st.floats(0, 1),
    source_row=st.none() | st.integers(0, 2**40),
    dates_only=st.booleans(),
    custom_fields=st.dictionaries(TEXT, JSON, max_size=3),
    raw=st.dictionaries(TEXT, JSON, max_size=4),
)


@settings(max_examples=10, deadline=None)
@given(st.lists(DEALS, min_size=1, max_size=12, unique_by=lambda record: record.deal_id))
def test_every_value_comes_back_as_it_went_in_and_a_second_sync_finds_it_unchanged(records):
    with tempfile.TemporaryDirectory() as folder:
        land = Land(folder)
        assert land.sync(*records).status == "complete"
        rows = land.query(
            "select deal_id, name, amount, created_at, expected_close_date, probability, source_row, dates_only, custom_fields, raw "
            "from landing.deals order by _ordinal"
        )
        assert len(rows) == len(records)
        for record, row in zip(records, rows, strict=True):
            created = record.created_at.replace(tzinfo=None) if record.created_at else None
            assert row[:4] == (record.deal_id, record.name, record.amount, created)
            assert row[4:8] == (record.expected_close_date, record.probability, record.source_row, record.dates_only)
            assert json.loads(row[8]) == record.custom_fields
            assert row[9] == msgspec.json.encode(record.raw).decode()
        assert land.sync(*records).parts == 0


def test_a_value_that_only_overflows_when_it_is_rounded_loses_its_own_row_and_no_other(tmp_path):
    """The check before cannot see it, DuckDB refuses the whole spool: the culprit is found and set aside."""
    land = Land(tmp_path)
    report = land.sync(deal("a"), deal("b", amount=Decimal("99999999999999.99999")), deal("c"))
    assert land.query("select deal_id from landing.deals order by all") == [("a",), ("c",)]
    assert land.query("select key, reason from landing.rejects") == [("b", "bad_value")]
    assert "amount" in land.query("select detail from landing.rejects")[0][0]
    assert (report.rows["deals"].read, report.rows["deals"].rejected) == (3, 1)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Deal(deal_id="a", name=5), "bad_value"),
        (Deal(deal_id="a", presence=None), "bad_value"),
        (Deal(deal_id="a", presence="purged"), "bad_value"),
        (Deal(deal_id="a", expected_close_date=START), "bad_value"),
        (Deal(deal_id="a", source_row=2**70), "bad_value"),
        (Deal(deal_id="a", amount=Decimal("Infinity")), "bad_decimal"),
        (Deal(deal_id="a", created_at=datetime(2026, 1, 1)), "naive_instant"),  # noqa: DTZ001
        (Deal(deal_id="a", raw={"x": {1, object()}}), "not_encodable"),
        (Stage(pipeline_id="p", stage_id="s", name="S", outcome="WON"), "bad_value"),
        (CurrencyRate(currency="EUR", base_currency="USD", rate=Decimal(10) ** 13), "bad_decimal"),
    ],
)
def test_what_cannot_be_stored_says_why_and_shows_no_value(record, reason):
    with pytest.raises(BadRecordError) as caught:
        CODECS[type(record)].encode(record)
    assert caught.value.reason == reason
    assert "purged" not in caught.value.detail
    assert "WON" not in caught.value.detail


def test_whole_numbers_serve_as_amounts_and_every_zone_becomes_utc():
    codec = CODECS[Deal]
    one = codec.encode(Deal(deal_id="a", amount=5, created_at=START))
    assert one == codec.encode(Deal(deal_id="a", amount=Decimal(5), created_at=START))
    assert b"2026-03-01T08:00:00Z" in one.head


def test_the_content_hash_ignores_when_it_was_read_and_nothing_else():
    codec = CODECS[Deal]
    base = Deal(deal_id="a", raw={"x": 1})
    assert codec.encode(base).digest == codec.encode(msgspec.structs.replace(base, read_at=START)).digest
    for change in ({"name": "n"}, {"raw": {"x": 2}}, {"dates_only": True}, {"custom_fields": {"x": 1}}):
        assert codec.encode(base).digest != codec.encode(msgspec.structs.replace(base, **change)).digest


def test_a_field_that_is_none_is_not_part_of_the_hash_so_that_a_new_field_changes_no_old_version():
    assert b"lost_reason" not in CODECS[Deal].encode(Deal(deal_id="a")).head


@given(INSTANTS)
def test_microseconds_are_exact(value):
    assert instant(micros(value)) == value


def test_history_with_every_odd_character_is_read_back(tmp_path):
    land = Land(tmp_path)
    odd = "a:b\\c\n\"d'\t\x00é🙂"
    event = StageChange(
        event_id=odd, deal_id=odd, changed_at=START + timedelta(microseconds=1), to_stage_id=odd, raw={odd: odd}
    )
    reading = HistoryRead(deal_id=odd, complete=False, stage_changes=(event,), note=odd)
    land.sync(deal(odd), reading)
    assert land.query("select event_id, to_stage_id, changed_at from landing.stage_changes") == [
        (odd, odd, (START + timedelta(microseconds=1)).replace(tzinfo=None))
    ]
    assert land.sync(deal(odd), reading).parts == 0


def test_dates_of_the_far_past_and_future_are_stored(tmp_path):
    land = Land(tmp_path)
    early, late = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    land.sync(deal("a", created_at=early, closed_at=late, expected_close_date=date(9999, 12, 31)))
    assert land.query("select created_at, closed_at, expected_close_date from landing.deals") == [
        (early.replace(tzinfo=None), late.replace(tzinfo=None), date(9999, 12, 31))
    ]
