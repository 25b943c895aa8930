"""There or gone: tombstones, sweeps, the guard, and coming back."""

from datetime import timedelta

import pytest

from connectors.sdk.records import Checkpoint, Reject, Seen, Stage, Tombstone
from tests.warehouse.scripted import INFO, START, Land, deal, deals, sweep
from warehouse.sync import exit_code


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def gone(deal_id, kind="deleted", **values):
    return Tombstone(stream="deals", key=deal_id, kind=kind, **values)


def test_a_deal_hidden_and_visible_again_comes_back_though_its_content_is_unchanged(land):
    """A8: a deal that was out of sight for a while is not lost and not doubled."""
    land.sync(*deals(3), sweep())
    land.clock.advance(hours=1)
    hidden = land.sync(*deals(3)[:2], sweep(missing_as="hidden"))
    land.clock.advance(hours=1)
    back = land.sync(*deals(3), sweep(missing_as="hidden"))
    land.clock.advance(hours=1)
    quiet = land.sync(*deals(3), sweep(missing_as="hidden"))
    assert land.presence() == [("d0002", "hidden"), ("d0002", "present")]
    assert (hidden.rows["deals"].deleted, back.rows["deals"].deleted, quiet.parts) == (1, 0, 0)
    assert land.query("select count(*) from landing.deals") == [(3,)]


def test_an_id_sweep_brings_back_what_it_sees(land):
    land.sync(*deals(2))
    land.sync(gone("d0000"))
    land.sync(Seen(stream="deals", key="d0000"), Seen(stream="deals", key="d0001"), sweep())
    assert land.presence() == [("d0000", "deleted"), ("d0000", "present")]


def test_a_sweep_leaves_a_deal_alone_that_its_own_record_calls_archived(land):
    land.sync(deal("a", presence="archived"), deal("b"))
    report = land.sync(Seen(stream="deals", key="a"), Seen(stream="deals", key="b"), sweep())
    assert land.presence() == []
    assert report.parts == 0
    land.sync(Seen(stream="deals", key="b"), sweep())
    assert land.presence() == []


def test_a_deal_marked_gone_and_then_stated_archived_with_its_old_content_is_archived(land):
    land.sync(deal("a", presence="archived"))
    land.sync(gone("a", "hidden"))
    land.sync(deal("a", presence="archived"))
    assert land.presence() == [("a", "hidden"), ("a", "archived")]
    assert land.sync(deal("a", presence="archived")).parts == 0


def test_the_same_tombstone_again_writes_nothing(land):
    land.sync(*deals(2))
    assert land.sync(gone("d0000", gone_at=START)).rows["deals"].deleted == 1
    again = land.sync(gone("d0000", gone_at=START))
    assert (again.parts, again.rows["deals"].deleted) == (0, 0)


def test_a_merged_deal_keeps_its_survivor_when_it_stands_in_the_deleted_list_too(land):
    land.sync(*deals(2))
    records = [gone("d0000", "merged", survivor="d0001"), gone("d0000"), deal("d0000", presence="deleted")]
    land.sync(*records)
    said = land.query(
        "select 'version', presence, _ordinal from landing.deals where deal_id = 'd0000' and _sync_seq > 1 union all "
        "select survivor, kind, _ordinal from landing.presence order by all"
    )
    assert [row[:2] for row in sorted(said, key=lambda row: row[2])] == [
        ("d0001", "merged"),
        ("version", "deleted"),
        ("d0001", "merged"),
    ]
    assert land.sync(*records).parts == 0


def test_a_sweep_does_not_overrule_a_tombstone_of_the_same_sync(land):
    land.sync(*deals(3), sweep())
    land.sync(gone("d0000", "merged", survivor="d0001"), deal("d0001"), sweep())
    assert land.presence() == [("d0000", "merged"), ("d0002", "purged")]


def test_a_rejected_row_is_not_taken_for_a_vanished_one(land):
    land.sync(*deals(2), sweep())
    land.sync(deal("d0000"), Reject(stream="deals", key="d0001", reason="bad_date", detail="no date"), sweep())
    assert land.presence() == []


@pytest.mark.parametrize(
    ("held", "vanish", "believed"), [(30, 20, True), (30, 21, False), (600, 30, True), (600, 31, False)]
)
def test_more_than_twenty_or_five_percent_vanishing_is_not_believed(land, held, vanish, believed):
    """C3: a permission change that hides deals must not look like mass deletion."""
    land.sync(*deals(held), sweep())
    land.clock.advance(days=1)
    report = land.sync(*deals(held)[vanish:], sweep())
    assert (report.status, exit_code(report)) == (("complete", 0) if believed else ("suspicious", 3))
    assert len(land.presence()) == (vanish if believed else 0)
    if not believed:
        assert str(vanish) in report.reasons[0]
        assert "--accept-deletes" in report.reasons[0]


def test_a_guarded_sweep_is_not_recorded_as_done_until_the_deletes_are_accepted(land):
    land.sync(*deals(30), sweep())
    first = land.manifest().swept_at
    land.clock.advance(days=1)
    assert land.sync(*deals(5), sweep()).status == "suspicious"
    assert land.manifest().swept_at == first
    assert land.manifest().data_through_at == START
    accepted = land.sync(*deals(5), sweep(), accept_deletes=True)
    assert (accepted.status, accepted.rows["deals"].deleted) == ("complete", 25)
    assert land.manifest().swept_at["deals"] == START + timedelta(days=1)


def test_a_full_read_of_nothing_is_suspicious_even_for_a_small_account(land):
    land.sync(INFO, *deals(5), Stage(pipeline_id="p", stage_id="s", name="S"), sweep(), sweep("stages"))
    report = land.sync(INFO, sweep(), sweep("stages"))
    assert report.status == "suspicious"
    assert [reason.split(":")[0] for reason in report.reasons] == ["deals", "stages"]
    assert land.query("select count(*) from landing.presence") == [(0,)]


def test_a_full_sync_without_sweeps_is_judged_by_volume_too(land):
    from connectors.sdk.connector import stream
    from connectors.sdk.records import Deal
    from tests.warehouse.scripted import Scripted
    from warehouse.sync import run_sync

    class Declared(Scripted):
        @stream(Deal)
        def all_deals(self, sync):
            """All deals."""

    def run(*records, full):
        return run_sync(Declared(records), home=land.home, clock=land.clock, full=full)

    run(*deals(100), full=False)
    assert run(*deals(3), full=False).status == "complete"
    assert run(*deals(3), full=True).status == "suspicious"
    assert run(*deals(100), full=True).status == "complete"
    assert land.presence() == []


def test_an_interrupted_full_sync_changes_no_presence(land):
    from connectors.sdk.errors import QuotaError

    land.sync(*deals(10), sweep())
    report = land.sync(*deals(4), QuotaError("used up"), full=True)
    assert report.status == "partial"
    assert land.presence() == []


def test_an_open_sweep_goes_on_in_the_next_sync(land):
    land.sync(*deals(12), sweep())
    land.clock.advance(days=1)
    land.sync(
        *[Seen(stream="deals", key=f"d{number:04d}") for number in range(5)],
        sweep(complete=False),
        Checkpoint(stream="deals", cursor={"sweep_after": "d0004"}),
    )
    assert land.presence() == []
    assert land.manifest().sweeps["deals"].files[0].rows == 5
    land.clock.advance(hours=1)
    due = []

    def second(sync):
        due.append(sync.sweep_is_due("deals", 7))
        yield deal("d0099")
        yield from (Seen(stream="deals", key=f"d{number:04d}") for number in range(6, 12))
        yield sweep()

    land.sync(script=second)
    assert due == [True]
    assert land.presence() == [("d0005", "purged")]
    assert land.manifest().sweeps == {}
    assert land.manifest().swept_at["deals"] == START + timedelta(days=1)


def test_a_sweep_larger_than_memory_allows_keeps_its_keys_on_disk(land, monkeypatch):
    from warehouse.landing import sweeps

    monkeypatch.setattr(sweeps, "_BUFFERED", 10)
    land.sync(*deals(95), sweep())
    land.sync(*deals(50), sweep(complete=False), *deals(94)[50:], sweep())
    assert land.presence() == [("d0094", "purged")]


def test_a_dated_sweep_judges_only_what_was_there_by_then(land):
    early, late = START - timedelta(days=20), START - timedelta(days=10)
    snapshots = [
        deal("a", read_at=early),
        deal("b", read_at=early),
        sweep(read_at=early, missing_as="absent"),
        deal("a", read_at=late),
        deal("c", read_at=late),
        sweep(read_at=late, missing_as="absent"),
    ]
    land.sync(*snapshots)
    assert land.presence() == [("b", "absent")]
    assert land.query("select _read_at from landing.presence") == [(late.replace(tzinfo=None),)]
    assert land.sync(*snapshots).parts == 0


def test_a_late_older_snapshot_says_who_was_away_then_once(land):
    days = [START - timedelta(days=number) for number in (30, 10)]
    ends = [[deal("a", read_at=at), deal("b", read_at=at), sweep(read_at=at, missing_as="absent")] for at in days]
    between = START - timedelta(days=20)
    middle = [deal("a", read_at=between), sweep(read_at=between, missing_as="absent")]
    land.sync(*ends[0], *ends[1])
    land.sync(*ends[0], *middle, *ends[1])
    assert land.query("select key, kind, _read_at from landing.presence") == [
        ("b", "absent", between.replace(tzinfo=None))
    ]
    assert land.sync(*ends[0], *middle, *ends[1]).parts == 0


def test_sweep_is_due_by_its_own_clock(land):
    due = []

    def ask(sync):
        due.append((sync.sweep_is_due("deals", 7), sync.sweep_is_due("owners", 7)))
        yield from deals(1)
        if len(due) == 1:
            yield sweep()

    land.sync(script=ask)
    land.clock.advance(days=6)
    land.sync(script=ask)
    land.clock.advance(days=1)
    land.sync(script=ask)
    land.clock.advance(days=-1)
    land.sync(script=ask, full=True)
    assert due == [(True, True), (False, True), (True, True), (True, True)]


def test_a_merge_told_before_the_deals_first_version_keeps_its_survivor(land):
    """The loser of a merge comes as a tombstone first, then among the deleted, and was never held before."""
    records = [gone("a", "merged", survivor="b"), deal("a", presence="deleted"), gone("a"), deal("b")]
    land.sync(*records)
    last = "select kind, survivor, _ordinal > (select _ordinal from landing.deals where deal_id = 'a') from landing.presence"
    assert land.query(f"{last} order by _ordinal desc limit 1") == [("merged", "b", True)]
    held = []
    land.sync(script=lambda sync: held.append(sync.held.deals(["a"])["a"].presence) or [])
    assert held == ["merged"]
    assert land.sync(*records).parts == 0


def test_a_survivor_is_remembered_however_many_others_are_told_of_in_between(land, monkeypatch):
    from warehouse.landing import recent

    monkeypatch.setattr(recent.Recent.__init__, "__defaults__", (5,))
    crowd = [gone(f"x{number}", "deleted", gone_at=START) for number in range(20)]
    land.sync(gone("a", "merged", survivor="b"), *crowd, deal("a", presence="deleted"))
    held = []
    land.sync(script=lambda sync: held.append(sync.held.deals(["a"])["a"].presence) or [])
    assert held == ["merged"]
    found = land.query("select kind, survivor from landing.presence where key = 'a' order by _ordinal desc limit 1")
    assert found == [("merged", "b")]
