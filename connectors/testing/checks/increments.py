"""From one sync to the next: nothing is lost at the cursor, nothing is read for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from connectors.sdk import Checkpoint, HistoryRead
from connectors.testing.bench import Bench, agrees, must, same_landing, some
from connectors.testing.check import check


def _a_day_of_changes(bench: Bench, *, deletes: bool = False) -> None:
    """Deals are moved, edited, closed, created, and deleted where that is wanted and can be."""
    crm, (one, two, three, four, five, *_) = bench.crm, bench.ids()
    crm.move(one)
    bench.advance(minutes=15)
    crm.edit(two, amount=Decimal("4321.5"))
    bench.advance(minutes=15)
    crm.move(three)
    crm.edit(three, amount=Decimal(77))
    crm.close(four, won=True)
    bench.advance(minutes=15)
    if deletes and bench.capabilities.reports_deletes:
        crm.delete(five)
    crm.create(amount=Decimal("10.25"))


@check("incremental")
def an_increment_gives_the_same_rows_as_a_full_sync(bench: Bench) -> None:
    """After a day of changes, what increments have landed equals a first sync of the account as it is now, field by field."""
    bench.good_sync()
    edited = bench.ids()[1]
    bench.advance(hours=2)
    _a_day_of_changes(bench)
    bench.advance(hours=1)
    bench.good_sync()
    step_by_step = bench.landing
    bench.fresh()
    bench.good_sync()
    same_landing(bench.landing, step_by_step, "a first sync (first) against increments (second)", unmoved=[edited])


@check("incremental")
def ties_at_the_cursor_are_not_lost(bench: Bench) -> None:
    """Deals that share the cursor's instant come, also those that were saved at that instant after the sync had read it."""
    bench.good_sync(overlap_minutes=0)
    bench.advance(hours=1)
    ids = bench.ids()
    half = len(ids) // 2
    for deal_id in ids[:half]:
        bench.crm.edit(deal_id, amount=Decimal(5001))
    bench.good_sync(overlap_minutes=0)
    for deal_id in ids[half:]:
        bench.crm.edit(deal_id, amount=Decimal(5002))
    bench.advance(minutes=1)
    bench.good_sync(overlap_minutes=0)
    agrees(bench, "deals saved at the very instant of the cursor")


@check("incremental", "late_commits")
def late_rows_inside_the_overlap_are_not_lost(bench: Bench) -> None:
    """A row that the source shows five minutes after its own time stamp is caught by the default overlap."""
    _late(bench, seconds=300, overlap=None)


@check("incremental", "late_commits")
def the_overlap_is_a_setting(bench: Bench) -> None:
    """With `overlap_minutes: 30` a row that is shown twenty minutes late is caught."""
    _late(bench, seconds=1200, overlap=30)


def _late(bench: Bench, *, seconds: float, overlap: int | None) -> None:
    config = {} if overlap is None else {"overlap_minutes": overlap}
    bench.good_sync(**config)
    bench.advance(hours=3)
    late, other = bench.ids()[:2]
    bench.crm.late_commit(late, amount=Decimal(8080), seconds=seconds)
    bench.advance(minutes=seconds / 60 * 0.8)
    bench.crm.edit(other, amount=Decimal(9090))
    bench.good_sync(**config)
    bench.advance(minutes=seconds / 60 * 0.4)
    bench.good_sync(**config)
    agrees(bench, f"a row shown {seconds / 60:.0f} minutes late")


@check("incremental", "late_commits")
def the_cursor_never_runs_ahead_of_what_was_read(bench: Bench) -> None:
    """In a quiet account the cursor stays at the newest row that was read; so a row that is very late still lies after it."""
    bench.good_sync()
    bench.advance(hours=6)
    late = bench.ids()[0]
    bench.crm.late_commit(late, amount=Decimal(8181), seconds=45 * 60)
    bench.advance(minutes=30)
    bench.good_sync()
    bench.advance(minutes=30)
    bench.good_sync()
    agrees(bench, "nothing was read in between, yet the cursor has moved (to the clock's time?)")


@check()
def an_unchanged_account_yields_nothing_new(bench: Bench) -> None:
    """A sync without news, and a full one, write no row: no time of reading in the content, event ids that stay."""
    bench.good_sync()
    for hours, full in ((0, False), (30, False), (1, True)):
        bench.advance(hours=hours)
        before = {s: {k: len(e.versions) for k, e in es.items()} for s, es in bench.landing.entries.items()}
        outcome = bench.good_sync(full=full)
        again = [
            f"{stream} {key}"
            for stream, entries in bench.landing.entries.items()
            for key, entry in entries.items()
            if len(entry.versions) != before.get(stream, {}).get(key)
        ]
        what = f": {some(again)}" if again else " (history or presence)"
        kind = "full sync" if full else "sync"
        must(outcome.rows == 0, f"nothing has changed, but a {kind} wrote {outcome.rows} rows{what}")


@check("incremental")
def history_is_read_only_for_deals_that_changed(bench: Bench) -> None:
    """After a change to two deals, no other deal's history is read again."""
    bench.good_sync()
    bench.advance(hours=1)
    one, two = bench.ids()[:2]
    bench.crm.move(one)
    bench.crm.edit(two, amount=Decimal(99))
    outcome = bench.good_sync()
    read = {reading.deal_id for reading in outcome.of(HistoryRead)} - {one, two}
    must(
        not read, f"history was read of deals that did not change: {some(read)}. Ask `sync.held` what is held already."
    )


@check("incremental")
def calls_grow_with_what_changed(bench: Bench) -> None:
    """An increment of two deals takes as many calls in an account of five times as many deals (two more for longer lists)."""
    made, few = [], bench.harness.usual_size
    for size in (few, 5 * few):
        crm = bench.start(deals=size)
        bench.good_sync()
        bench.advance(hours=1)
        for deal_id in bench.ids()[:2]:
            crm.move(deal_id)
        before = crm.calls
        bench.good_sync()
        made.append(crm.calls - before)
    must(
        made[1] <= made[0] + 2,
        f"two changed deals took {made[0]} calls among {few} deals, {made[1]} among {5 * few}",
    )


@check()
def a_restart_after_a_cut_loses_and_repeats_nothing(bench: Bench) -> None:
    """The process dies after any record; the next sync ends with the same tables as one that was never cut."""
    whole = bench.good_sync()
    uncut = bench.landing
    for place in _cuts(whole.records):
        bench.fresh()
        bench.sync(stop_after=place)
        bench.good_sync()
        same_landing(uncut, bench.landing, f"cut after record {place} of {len(whole.records)}")


@check("incremental")
def a_restart_in_an_increment_loses_and_repeats_nothing(bench: Bench) -> None:
    """The same for a sync that reads only what is new."""
    bench.good_sync()
    bench.advance(hours=2)
    _a_day_of_changes(bench, deletes=True)
    first = bench.landing.copy()
    whole = bench.good_sync()
    uncut = bench.landing
    for place in _cuts(whole.records):
        bench.fresh()
        bench.landing = first.copy()
        bench.sync(stop_after=place)
        bench.good_sync()
        same_landing(uncut, bench.landing, f"cut after record {place} of {len(whole.records)} of an increment")


def _cuts(records: Sequence[object]) -> list[int]:
    """Where to cut: around the checkpoints, and in the midst of the rows."""
    count = len(records)
    marks = [number for number, record in enumerate(records, start=1) if isinstance(record, Checkpoint)]
    around = [place for mark in (*marks[:1], *marks[-1:]) for place in (mark, mark + 2)]
    return sorted({place for place in (*around, count - 1) if 0 < place < count})


@check()
def cursors_are_json_and_stable(bench: Bench) -> None:
    """A cursor is a JSON object, the same after it was written and read, and the same after a sync that brought nothing."""
    outcome = bench.good_sync()
    for mark in outcome.of(Checkpoint):
        if mark.cursor is None:
            continue
        kept = msgspec.json.decode(msgspec.json.encode(mark.cursor))
        must(
            kept == _with_lists(mark.cursor),
            f"{mark.stream}: its cursor is another after it was written as JSON: {mark.cursor!r}",
        )
    before = dict(bench.landing.cursors)
    bench.good_sync()
    must(bench.landing.cursors == before, "the cursor moved though nothing changed and no time passed")


def _with_lists(value: Any) -> Any:
    """JSON knows no tuples; they come back as lists, which is harmless."""
    if isinstance(value, Mapping):
        return {name: _with_lists(inner) for name, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, tuple | list) else value


INCREMENTS = [
    an_increment_gives_the_same_rows_as_a_full_sync,
    ties_at_the_cursor_are_not_lost,
    late_rows_inside_the_overlap_are_not_lost,
    the_overlap_is_a_setting,
    the_cursor_never_runs_ahead_of_what_was_read,
    an_unchanged_account_yields_nothing_new,
    history_is_read_only_for_deals_that_changed,
    calls_grow_with_what_changed,
    a_restart_after_a_cut_loses_and_repeats_nothing,
    a_restart_in_an_increment_loses_and_repeats_nothing,
    cursors_are_json_and_stable,
]
