"""Rows that come late, rows that share an instant, rows that vanish."""

import pytest

from connectors.sdk import Seen, SweepEnd
from tests.connectors.salesforce.lab import lab, of, standalone


@pytest.fixture
def org(tmp_path):
    with lab(tmp_path) as made:
        yield made


def open_deals(org, count):
    world = org.world
    return [deal.id for deal in world.live() if world.stages[deal.stage_id].outcome == "open"][:count]


def test_ten_of_ten_commits_that_come_five_minutes_late_are_recovered(org):
    """A9: the row carries the old stamp, the sync has passed it already."""
    org.sync()
    late = open_deals(org, 9)
    for number in late:
        org.world.late_commit(number, by=300, amount=org.world.deals[number].amount and 4711)
    org.world.late_commit(None, by=300, name="late and new", amount=None)
    org.minutes(1)
    org.world.touch(open_deals(org, 20)[15:])
    org.sync()
    org.minutes(6)
    org.sync()
    org.assert_true()
    newest = max(org.world.deals)
    assert org.id(newest) in org.deals("stage_id")
    assert org.report.status == "complete"


def test_commits_that_come_hours_late_are_recovered_by_the_daily_wide_pass(org):
    """A9: later than the overlap, within a day."""
    org.sync()
    late = open_deals(org, 10)
    for number in late:
        org.world.late_commit(number, by=5 * 3600, amount=4711)
    for _ in range(13):
        org.minutes(30)
        org.world.touch(open_deals(org, 20)[15:])
        org.sync()
    missed = [number for number in late if org.deals("amount")[org.id(number)] != (4711,)]
    assert missed, "the overlap alone must not have seen them, or this test shows nothing"
    org.minutes(18 * 60)
    org.sync()
    org.assert_true()


def test_without_an_overlap_late_commits_are_lost_which_is_why_there_is_one(tmp_path):
    with lab(tmp_path, settings={"overlap_minutes": 0}) as org:
        org.sync()
        number = open_deals(org, 1)[0]
        org.world.late_commit(number, by=300, amount=4711)
        org.minutes(1)
        org.world.touch(open_deals(org, 20)[15:])
        org.sync()
        org.minutes(6)
        org.sync()
        assert org.deals("amount")[org.id(number)] != (4711,)


def test_two_changes_within_one_second_around_a_sync_are_both_seen(org):
    """The second change has the stamp that is held already."""
    org.sync()
    number = org.world.cases["never_moved"]
    org.minutes()
    org.world.edit(number, amount=1)
    org.sync()
    org.world.edit(number, amount=2)
    org.world.move(number, "Discovery")
    org.sync()
    org.assert_true()
    told = org.events("field_changes", "new_value")[org.id(number)]
    assert [value for (value,) in told] == ["1", "2"]


def test_a_flood_of_ties_over_many_pages_is_read_whole(tmp_path):
    """A8: many deals of one instant, pages far smaller than their number."""
    with lab(tmp_path, deals=90, page_cap=7) as org:
        org.sync()
        org.minutes()
        flooded = org.world.tie_flood(60)
        org.sync()
        org.assert_true()
        org.minutes()
        more = org.world.create(at=org.world.deals[flooded[0]].stamp_ms)
        org.sync()
        assert org.id(more.id) in org.deals("stage_id")


def test_page_size_one_and_the_largest_give_the_same(tmp_path):
    with lab(tmp_path / "one", deals=40, page_cap=1) as small:
        small.sync()
        small.assert_true()
        with lab(tmp_path / "all", world=small.world) as large:
            large.sync()
            assert small.deals() == large.deals()
            assert small.events() == large.events()


def test_ten_of_ten_purged_deals_are_marked(tmp_path):
    """A12, A13: no stamp moves and no list names them."""
    with lab(tmp_path, deals=250) as org:
        org.sync()
        purged = open_deals(org, 10)
        org.minutes(20)
        for number in purged:
            org.world.purge(number)
        report = org.sync()
        assert report.status == "complete"
        assert report.rows["deals"].deleted == 10
        assert {key for key, kind in org.gone().items() if kind == "purged"} == {org.id(number) for number in purged}
        org.minutes(20)
        org.sync()
        assert org.calls == {"composite": 2}, "a purge that is known must not be looked for again"


def test_a_purge_hidden_behind_a_new_deal_is_found_within_a_week(org):
    """Equal counts can hide it from the count, not from the weekly sweep."""
    org.sync()
    victim = open_deals(org, 1)[0]
    org.world.purge(victim)
    org.world.create(at=org.world.now_ms - 40 * 86_400_000, amount=None)
    org.minutes(20)
    org.sync()
    org.world.tick(8 * 86_400)
    org.sync()
    assert org.gone()[org.id(victim)] == "purged"
    assert len(org.deals("stage_id")) >= sum(1 for _ in org.world.live())


def test_half_of_the_deals_hidden_marks_nothing_and_says_so(tmp_path):
    """C3: a permission change looks exactly like a purge."""
    with lab(tmp_path, deals=120) as org:
        org.sync()
        before = org.gone()
        hidden = [deal.id for deal in org.world.live()][::2]
        org.world.hide(hidden)
        org.minutes(20)
        report = org.sync()
        assert report.status == "suspicious"
        assert org.gone() == before
        assert "no_longer_visible" in {warning.code for warning in report.warnings}
        org.minutes(20)
        assert org.sync().status == "suspicious", "it stays so until somebody looks"
        org.world.unhide()
        org.minutes(20)
        assert org.sync().status == "complete"
        assert org.gone() == before
        org.assert_true()


def test_accepted_deletes_are_marked_and_come_back_when_they_are_visible_again(tmp_path):
    with lab(tmp_path, deals=120) as org:
        org.sync()
        hidden = [deal.id for deal in org.world.live()][::2]
        org.world.hide(hidden)
        org.minutes(20)
        assert org.sync(accept_deletes=True).status == "complete"
        assert {org.id(number) for number in hidden} <= org.gone().keys()
        org.world.unhide()
        org.minutes(20)
        assert org.sync().status == "complete"
        assert not {org.id(number) for number in hidden} & org.gone().keys()
        org.assert_true()


def test_a_deal_that_becomes_visible_is_read_though_its_stamp_is_old(org):
    hidden = open_deals(org, 3)
    org.world.hide(hidden)
    org.sync()
    assert org.id(hidden[0]) not in org.deals("stage_id")
    org.world.unhide()
    org.minutes(20)
    org.sync()
    org.assert_true()


def test_a_sweep_names_every_live_deal_before_it_ends(org):
    sync = standalone(org.org)
    sync.run()
    following = sync.again()
    following._swept.clear()
    records = following.run()
    seen = {record.key for record in of(records, Seen)}
    assert seen == {org.id(deal.id) for deal in org.world.live()}
    place = [isinstance(record, SweepEnd) and record.stream == "deals" for record in records].index(True)
    assert not of(records[place:], Seen)


def test_a_start_date_leaves_older_deals_out_and_marks_none_of_them(tmp_path):
    with lab(tmp_path, deals=120, settings={"start_date": "2026-06-01"}) as org:
        assert org.sync().status == "complete"
        since = 1_780_272_000_000
        young = {org.id(deal.id) for deal in org.world.live() if deal.stamp_ms >= since}
        held = {key for key, (presence,) in org.deals("presence").items() if presence == "present"}
        assert held == young
        assert 0 < len(young) < sum(1 for _ in org.world.live())
        org.minutes(20)
        org.sync()
        assert org.gone().keys().isdisjoint(young)
        assert org.calls == {"composite": 2}


def test_a_first_sync_cut_after_its_sweep_does_not_take_the_rest_for_purged(org):
    """A10: the stages' checkpoint stores the end of the sweep, so the end of the whole read must be stored by then."""
    sync = standalone(org.org)
    for record in sync.stream():
        if isinstance(record, SweepEnd) and record.stream == "stages":
            break
    following = sync.again()
    ended = [record for record in of(following.run(), SweepEnd) if record.stream == "deals" and record.complete]
    assert ended == []
