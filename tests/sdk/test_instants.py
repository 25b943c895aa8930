from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.errors import DataError
from connectors.sdk.instants import from_epoch_ms, instant_text, parse_date, parse_instant, to_epoch_ms

HALF_NINE = datetime(2026, 7, 28, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-28T09:30:00.000+0000", HALF_NINE),  # Salesforce REST
        ("2026-07-28T09:30:00.000Z", HALF_NINE),  # Salesforce Bulk, HubSpot
        ("2026-07-28T09:30:00Z", HALF_NINE),  # HubSpot drops a zero fraction
        ("2026-07-28T11:30:00+02:00", HALF_NINE),
        ("2026-07-28 09:30:00+00:00", HALF_NINE),
        ("2026-07-28T09:30:00.123Z", HALF_NINE + timedelta(milliseconds=123)),
        ("2026-07-28T09:30:00.1Z", HALF_NINE + timedelta(milliseconds=100)),
        ("2026-07-28T09:30:00.123456789Z", HALF_NINE + timedelta(microseconds=123456)),
        ("2026-07-28T09:30Z", HALF_NINE),
    ],
)
def test_instants_are_read_however_vendors_write_them(text, expected):
    found = parse_instant(text)
    assert found == expected
    assert found.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused_unless_the_zone_is_told():
    """Pipedrive v1 writes UTC with a space and no offset."""
    with pytest.raises(DataError, match="without a zone"):
        parse_instant("2026-07-28 09:30:00")
    assert parse_instant("2026-07-28 09:30:00", UTC) == HALF_NINE
    assert parse_instant("2026-07-28 11:30:00", ZoneInfo("Europe/Berlin")) == HALF_NINE
    assert parse_instant("2026-07-28T09:30:00Z", ZoneInfo("Europe/Berlin")) == HALF_NINE


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "28.07.2026 09:30", None, 5, "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_instant_is_the_records_fault(text):
    with pytest.raises(DataError, match="not an instant"):
        parse_instant(text)


def test_a_date_is_no_instant_whatever_the_zone():
    with pytest.raises(DataError, match="a date"):
        parse_instant("2026-07-28", UTC)


def test_an_error_shows_the_shape_and_never_the_value():
    with pytest.raises(DataError) as caught:
        parse_instant("Jane Doe 4711")
    assert "'aaaa aaa 9999'" in str(caught.value)
    assert "Jane" not in str(caught.value)


def test_dates_never_shift():
    assert parse_date("2026-03-01") == date(2026, 3, 1)
    for text in ("2026-03-01T00:00:00Z", "20260301", "2026-02-30", "", None):
        with pytest.raises(DataError):
            parse_date(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_text_goes_there_and_back_and_sorts_like_time(naive, offset):
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    text = instant_text(instant)
    assert parse_instant(text) == instant
    assert (text < instant_text(instant + timedelta(microseconds=1))) is True


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_go_there_and_back(milliseconds):
    assert to_epoch_ms(from_epoch_ms(milliseconds)) == milliseconds
    assert from_epoch_ms(str(milliseconds)) == from_epoch_ms(milliseconds)


@pytest.mark.parametrize("value", ["x", None, 10**30, ""])
def test_what_is_no_millisecond_count_is_the_records_fault(value):
    with pytest.raises(DataError):
        from_epoch_ms(value)


def test_a_naive_datetime_is_a_bug():
    for function in (instant_text, to_epoch_ms):
        with pytest.raises(ValueError, match="naive"):
            function(datetime(2026, 1, 1))  # noqa: DTZ001 - the point
