"""Readings of history: a complete one replaces, an incomplete one merges, and nothing is written twice."""

from datetime import datetime, timedelta

import pytest

from connectors.sdk.records import FieldChange, HistoryRead
from tests.warehouse.scripted import START, Land, change, deal, history

#: The events in force, as every model must see them (docs/architecture.md): since the last complete reading, the latest of each id.
IN_FORCE = """
with last as (
    select deal_id, max((_read_at, _sync_seq, _ordinal)) as since from landing.history_reads where complete group by deal_id
)
select e.event_id, e.to_stage_id from landing.stage_changes as e left join last as l using (deal_id)
where l.since is null or (e._read_at, e._sync_seq, e._read_ordinal) >= l.since
qualify row_number() over (partition by e.deal_id, e.event_id order by e._read_at desc, e._sync_seq desc, e._ordinal desc) = 1
order by e.event_id
"""


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def test_a_corrected_history_row_counts_once(land):
    """A5: a corrected date must not count twice."""
    land.sync(history("a", change("a", "1", "new"), change("a", "2", "won", START)))
    land.clock.advance(hours=1)
    land.sync(history("a", change("a", "1", "new"), change("a", "2b", "won", START + timedelta(days=1))))
    assert land.query(IN_FORCE) == [("1", "new"), ("2b", "won")]
    land.clock.advance(hours=1)
    land.sync(history("a", change("a", "2b", "lost", START + timedelta(days=2)), complete=False))
    assert land.query(IN_FORCE) == [("1", "new"), ("2b", "lost")]


def test_an_unchanged_complete_reading_is_not_written_again_in_whatever_order_its_events_come(land):
    one, two = change("a", "1"), change("a", "2", "won")
    land.sync(deal("a", "won"), history("a", one, two))
    assert land.sync(deal("a", "won"), history("a", two, one)).parts == 0


def test_complete_a_then_incomplete_b_then_complete_a_is_written_again(land):
    a = history("a", change("a", "1"))
    land.sync(a)
    land.sync(history("a", change("a", "2", "won"), complete=False))
    assert land.query(IN_FORCE) == [("1", "new"), ("2", "won")]
    land.sync(a)
    assert land.query(IN_FORCE) == [("1", "new")]


def test_all_of_this_also_holds_within_one_sync(land):
    a = history("a", change("a", "1"))
    land.sync(a)
    land.sync(history("a", change("a", "2", "won"), complete=False), a, history("a", change("a", "1"), complete=False))
    assert land.query(IN_FORCE) == [("1", "new")]


def test_an_incomplete_reading_writes_only_what_is_new(land):
    land.sync(history("a", change("a", "1"), change("a", "2", "won")))
    report = land.sync(history("a", change("a", "2", "won"), change("a", "3", "new"), complete=False))
    assert land.query("select count(*) from landing.stage_changes") == [(3,)]
    assert (report.rows["stage_changes"].read, report.rows["stage_changes"].changed) == (2, 1)
    assert land.sync(history("a", change("a", "2", "won"), change("a", "3", "new"), complete=False)).parts == 0
    assert land.query(IN_FORCE) == [("1", "new"), ("2", "won"), ("3", "new")]


def test_a_first_incomplete_reading_without_events_says_so_once(land):
    nothing = history("a", complete=False, note="the vendor keeps 12 months")
    land.sync(deal("a"), nothing)
    assert land.query("select complete, note from landing.history_reads") == [(False, "the vendor keeps 12 months")]
    assert land.sync(deal("a"), nothing).parts == 0


def test_events_carry_the_place_of_their_reading(land):
    field = FieldChange(event_id="f", deal_id="a", field="amount", changed_at=START, old_value="1", new_value="2")
    land.sync(
        deal("x"), HistoryRead(deal_id="a", complete=True, stage_changes=(change("a", "1"),), field_changes=(field,))
    )
    rows = land.query(
        "select h._ordinal = s._read_ordinal, h._ordinal = f._read_ordinal, h._sync_seq = s._sync_seq, h._read_at = s._read_at, "
        "s._ordinal > h._ordinal from landing.history_reads as h, landing.stage_changes as s, landing.field_changes as f"
    )
    assert rows == [(True, True, True, True, True)]


def test_a_reading_is_written_once_more_after_the_deal_moved_to_prove_that_it_is_current(land):
    land.sync(deal("a"), history("a", change("a", "1")))
    land.sync(deal("a", "won"))
    waiting = []

    def ask(sync):
        waiting.append((list(sync.held.live_deals_without_history()), sync.held.deals(["a"])["a"].history_complete))
        yield history("a", change("a", "1"))

    land.sync(script=ask)
    land.sync(script=ask)
    report = land.sync(script=ask)
    assert waiting == [(["a"], False), ([], True), ([], True)]
    assert report.parts == 0


def test_a_bad_event_is_set_aside_and_its_reading_no_longer_replaces(land):
    land.sync(history("a", change("a", "1"), change("a", "2", "won")))
    naive = change("a", "2", "won", datetime(2026, 1, 1))  # noqa: DTZ001
    report = land.sync(history("a", change("a", "1"), naive))
    assert land.query(IN_FORCE) == [("1", "new"), ("2", "won")]
    assert land.query("select stream, key, reason from landing.rejects") == [("stage_changes", "a:2", "naive_instant")]
    assert report.rows["stage_changes"].rejected == 1
    assert report.status == "complete"


def test_an_event_of_another_deal_is_set_aside(land):
    land.sync(history("a", change("a", "1"), change("b", "2")))
    assert land.query("select event_id from landing.stage_changes") == [("1",)]
    assert land.query("select reason from landing.rejects") == [("foreign_event",)]


def test_dated_readings_are_landed_once_for_each_instant(land):
    early, late = START - timedelta(days=9), START - timedelta(days=2)
    readings = [
        history("a", change("a", "1"), read_at=early),
        history("a", change("a", "1"), change("a", "2", "won"), read_at=late),
    ]
    land.sync(*reversed(readings))
    assert land.query(IN_FORCE) == [("1", "new"), ("2", "won")]
    assert land.sync(*readings).parts == 0
