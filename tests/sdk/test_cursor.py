from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sdk.cursor import (
    LONGEST_LAG,
    Newest,
    Window,
    cursor_at,
    latest,
    next_cursor,
    open_window,
    without_repeats,
)
from connectors.sdk.errors import ConfigError, VendorError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
CURSOR = {"at": "2026-01-31T12:00:00.000000Z"}


@pytest.mark.parametrize(
    ("cursor", "settings", "start"),
    [
        ({}, {}, None),
        ({}, {"start_date": "2026-01-01"}, datetime(2026, 1, 1, tzinfo=UTC)),
        (CURSOR, {}, NOON),
        (CURSOR, {"overlap_minutes": 10}, NOON - timedelta(minutes=10)),
        (CURSOR, {"overlap_minutes": 10, "start_date": "2026-01-31"}, NOON - timedelta(minutes=10)),
        (CURSOR, {"overlap_minutes": 10, "start_date": "2026-02-01"}, datetime(2026, 2, 1, tzinfo=UTC)),
        ({"page": 7}, {"overlap_minutes": 10}, None),
    ],
)
def test_where_a_window_starts(cursor, settings, start):
    assert open_window(cursor, **settings) == Window(start, None)


def test_a_window_is_closed_at_both_ends():
    window = Window(NOON, NOON + timedelta(hours=1))
    assert window.holds(NOON)
    assert window.holds(NOON + timedelta(hours=1))
    assert not window.holds(NOON - timedelta(microseconds=1))
    assert Window().holds(NOON)


def test_a_wrong_start_date_is_for_the_user():
    with pytest.raises(ConfigError, match="YYYY-MM-DD"):
        open_window({}, start_date="1.2.2026")


def test_the_watermark_is_the_newest_received_and_never_moves_back():
    """A10."""
    assert next_cursor({}, None) == {}
    assert next_cursor({}, NOON) == CURSOR
    assert next_cursor(CURSOR, None) == CURSOR
    assert next_cursor(CURSOR, NOON - timedelta(days=1)) == CURSOR
    assert cursor_at(next_cursor(CURSOR, NOON + timedelta(seconds=1))) == NOON + timedelta(seconds=1)
    assert next_cursor({"other": 1}, NOON) == {"other": 1, **CURSOR}
    assert latest(None, NOON, None, NOON - timedelta(1)) == NOON
    assert latest() is None


def test_a_scan_that_is_not_in_time_order_never_puts_the_cursor_after_its_own_beginning():
    began = NOON - timedelta(minutes=5)
    assert cursor_at(next_cursor({}, NOON, not_after=began)) == began
    assert cursor_at(next_cursor({}, None, not_after=began)) is None


def test_only_an_equal_row_is_a_repeat():
    """Two versions within one second of the source's clock are two versions."""
    rows = [("a", 1, "x"), ("b", 1, "y"), ("a", 1, "x"), ("a", 1, "x2"), ("b", 2, "y"), ("b", 2, "y")]
    kept = list(without_repeats(rows, key=lambda row: row[0], at=lambda row: row[1]))
    assert kept == [("a", 1, "x"), ("b", 1, "y"), ("a", 1, "x2"), ("b", 2, "y")]


@given(
    start=st.integers(0, 10_000),
    length=st.integers(0, 5_000),
    resolution=st.sampled_from([1, 10, 1000]),
    rows=st.lists(st.integers(0, 15_000), max_size=30),
)
def test_halves_hold_every_row_exactly_once(start, length, resolution, rows):
    """Bounds need not lie on the source's grid; its rows do."""
    base = datetime(2026, 1, 1, tzinfo=UTC)

    def at(units):
        return base + timedelta(milliseconds=units)

    window = Window(at(start), at(start + length))
    held = {at(row // resolution * resolution) for row in rows}
    held = {row for row in held if window.holds(row)}
    try:
        halves = window.halves(timedelta(milliseconds=resolution))
    except VendorError:
        assert len(held) <= 1
        return
    for row in held:
        assert [half.holds(row) for half in halves].count(True) == 1
    assert halves[0].start == window.start
    assert halves[1].end == window.end
    assert all(half.start <= half.end for half in halves)


def test_an_open_window_cannot_be_halved():
    with pytest.raises(ValueError, match="open"):
        Window(NOON).halves()


class Source:
    """Rows by (modified, key); a row may become visible later than its time says. Pages follow `modified >=` alone, so ties meet page edges."""

    def __init__(self, rows):
        self.rows = rows  # (key, modified, visible from)

    def read(self, window, now, page_size):
        there = sorted(
            (modified, key) for key, modified, visible in self.rows if visible <= now and window.holds(modified)
        )
        return [there[start : start + page_size] for start in range(0, len(there), page_size)]


SECONDS = st.integers(0, 60)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.tuples(SECONDS, st.integers(0, 5)), max_size=40),
    reads=st.lists(st.tuples(st.integers(1, 20), st.one_of(st.none(), st.integers(0, 3))), max_size=12),
    page_size=st.integers(1, 7),
)
def test_nothing_is_lost_at_ties_page_edges_restarts_or_late_commits(rows, reads, page_size):
    """A8, A9, A10: coarse clock, rows up to 5 s late, crashes after any page, an overlap of 6 s."""
    base = datetime(2026, 1, 1, tzinfo=UTC)
    source = Source(
        [
            (str(number), base + timedelta(seconds=at), base + timedelta(seconds=at + late))
            for number, (at, late) in enumerate(rows)
        ]
    )
    stored, cursor, now = set(), {}, base
    for step, crash_after in [*reads, (70, None), (10, None)]:
        now += timedelta(seconds=step)
        newest = None
        for number, page in enumerate(source.read(open_window(cursor, overlap_minutes=0.1), now, page_size)):
            stored |= {key for _, key in page}
            newest = latest(newest, *(modified for modified, _ in page))
            cursor = next_cursor(cursor, newest)  # a checkpoint with each page: rows are in time order
            if crash_after == number:
                break
    assert stored == {key for key, _, _ in source.rows}


def test_a_window_open_at_its_start_would_lose_ties():
    """The property above catches `>` in place of `>=`, and a cursor without an overlap."""
    base = datetime(2026, 1, 1, tzinfo=UTC)
    source = Source([("a", base, base), ("b", base, base), ("late", base, base + timedelta(seconds=3))])
    first = source.read(Window(), base, 1)[0]
    cursor = next_cursor({}, first[0][0])
    rest = [key for page in source.read(open_window(cursor), base, 9) for _, key in page]
    assert "b" in rest
    after = Window(cursor_at(cursor) + timedelta(microseconds=1))
    assert source.read(after, base, 9) == []


def test_the_mark_is_the_newest_instant_received_unless_a_page_of_rows_would_be_listed_again_for_ever():
    began = datetime(2026, 3, 2, 12, tzinfo=UTC)
    old = began - timedelta(days=30)

    def mark(*instants):
        newest = Newest(page=3, overlap_minutes=10)
        for instant in instants:
            newest.see(instant)
        return newest.mark(began)

    assert mark() is None
    assert mark(None, old) == old, "a source that shows changes late, or runs by another clock, loses nothing"
    assert mark(old, old, old) == old, "one page of the next sync holds them"
    assert mark(old, old, old, old) == began - LONGEST_LAG, "an import"
    assert mark(old, *(old - timedelta(minutes=11 * n) for n in range(1, 9))) == old, "many, but few in the overlap"
    assert mark(*[began] * 4) == began
