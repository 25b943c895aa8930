"""Broken connectors: histories, and what is no longer there."""

from __future__ import annotations

import msgspec

from connectors.sdk import Seen, SweepEnd, Tombstone
from connectors.testing.checks import history, presence
from tests.contract.acme.connector import Acme
from tests.contract.broken import breaks

replace = msgspec.structs.replace


@breaks(history.every_move_is_in_the_history)
class FourEventsAtMost(Acme):
    """Takes the entry stage and the last three events of a longer history."""

    def history(self, deal_id, events):
        return Acme.history(self, deal_id, events if len(events) <= 4 else [events[0], *events[-3:]])


@breaks(history.the_entry_stage_is_in_the_history)
class NoEntryStage(Acme):
    """Leaves out the stage in which a deal began, once it has moved."""

    def history(self, deal_id, events):
        reading = Acme.history(self, deal_id, events)
        if len(reading.stage_changes) < 2:
            return reading
        return replace(reading, stage_changes=reading.stage_changes[1:])


@breaks(history.the_last_change_agrees_with_the_stage, "whatever happens to a deal later is missing in its history")
class HistoryOnce(Acme):
    """Reads a deal's history once, when the deal is new."""

    def stale(self, sync, rows):
        held = sync.held.deals([str(row["id"]) for row in rows])
        return [key for key in Acme.stale(self, sync, rows) if key not in held or not held[key].has_history]


@breaks(
    history.events_belong_to_their_deal, "landing puts the strange event aside, so the reading counts as incomplete"
)
class StrangeEvent(Acme):
    """Adds an event of another deal to a history."""

    def history(self, deal_id, events):
        reading = Acme.history(self, deal_id, events)
        strange = replace(reading.stage_changes[-1], event_id="strange", deal_id=f"{deal_id}0")
        return replace(reading, stage_changes=(*reading.stage_changes, strange))


@breaks(history.a_reopened_deal_is_open_again, "a lost deal that changes in any other way is not looked at either")
class ClosedForEver(Acme):
    """Does not look at a deal again that it holds as lost."""

    def page(self, sync, rows, newest):
        held = sync.held.deals([str(row["id"]) for row in rows])
        lost = {key for key, deal in held.items() if deal.status == "lost"}
        yield from Acme.page(self, sync, [row for row in rows if str(row["id"]) not in lost], newest)


@breaks(history.won_and_lost_are_told)
class NeverWon(Acme):
    """Says neither by status nor by stage that a deal is won."""

    def stage(self, pipeline_id, row):
        return replace(Acme.stage(self, pipeline_id, row), outcome=None)

    def deal(self, row):
        return replace(Acme.deal(self, row), status=None)


@breaks(history.changes_of_the_amount_are_in_the_history)
class StagesOnly(Acme):
    """Keeps stage changes alone."""

    def history(self, deal_id, events):
        return replace(Acme.history(self, deal_id, events), field_changes=())


# --- presence --------------------------------------------------------------------------------------------------------


class _Gone(Acme):
    """For those that change what comes of the list of deleted deals."""

    def gone(self, sync):
        for record in Acme.gone(self, sync):
            yield from self.said(record) if isinstance(record, Tombstone) else (record,)

    gone.__muara_stream__ = Acme.gone.__muara_stream__


@breaks(presence.a_deleted_deal_is_reported)
class NoDeletes(_Gone):
    """Does not report deleted deals; the next sweep finds them as purged."""

    def said(self, tomb):
        return [tomb] if tomb.kind != "deleted" else []


@breaks(presence.a_restored_deal_is_there_again)
class DeletedForEver(Acme):
    """Does not look at a deal again that it holds as deleted."""

    def page(self, sync, rows, newest):
        held = sync.held.deals([str(row["id"]) for row in rows])
        gone = {key for key, deal in held.items() if deal.presence == "deleted"}
        yield from Acme.page(self, sync, [row for row in rows if str(row["id"]) not in gone], newest)


@breaks(presence.an_archived_deal_is_archived_not_deleted)
class NoArchives(Acme):
    """Skips archived deals."""

    def page(self, sync, rows, newest):
        yield from Acme.page(self, sync, [row for row in rows if not row["archived"]], newest)


@breaks(presence.a_merge_names_its_survivor)
class NoSurvivor(_Gone):
    """Reports a merge without the deal that stayed."""

    def said(self, tomb):
        return [replace(tomb, survivor=None)]


class _Sweep(Acme):
    """For those that sweep in another way; `seen` are the ids that the source shows."""

    def sweep(self, sync):
        if sync.sweep_is_due("deals", 7):
            yield from self.swept(sync, [str(number) for number in self.api.rows("ids", self.limit)])

    sweep.__muara_stream__ = Acme.sweep.__muara_stream__

    def swept(self, sync, seen):
        yield from (Seen(stream="deals", key=key) for key in seen)
        yield SweepEnd(stream="deals", complete=True, missing_as="purged")


@breaks(presence.a_purged_deal_is_found_by_a_sweep, "without a sweep nothing is ever missed")
class NoSweep(Acme):
    """Never sweeps."""

    def sweep(self, sync):
        return ()

    sweep.__muara_stream__ = Acme.sweep.__muara_stream__


@breaks(presence.a_hidden_deal_comes_back_when_it_is_visible_again)
class SeesOnlyTheLiving(_Sweep):
    """Tells of the ids that a sweep finds only those that it holds as live."""

    def swept(self, sync, seen):
        live = set(sync.held.live_keys("deals"))
        yield from _Sweep.swept(self, sync, [key for key in seen if key in live])


@breaks(presence.half_of_the_deals_hidden_marks_nothing_as_gone, "no deal at all is the same mistake on a larger scale")
class BuriesByItself(_Sweep):
    """Writes tombstones of its own for what a sweep does not find, so that no guard judges them."""

    def swept(self, sync, seen):
        yield from _Sweep.swept(self, sync, seen)
        for key in set(sync.held.live_keys("deals")) - set(seen):
            yield Tombstone(stream="deals", key=key, kind="purged")


@breaks(presence.a_sharp_fall_makes_the_sync_suspicious)
class LeavesTheSweepOpen(_Sweep):
    """Calls a sweep incomplete when it misses much."""

    def swept(self, sync, seen):
        for record in _Sweep.swept(self, sync, seen):
            is_odd = len(seen) < 0.8 * sync.held.live_count("deals")
            yield replace(record, complete=False) if is_odd and isinstance(record, SweepEnd) else record


@breaks(presence.no_rows_at_all_is_suspicious)
class KeepsWhatItHas(_Sweep):
    """Takes an empty list of ids for a hiccup, and calls everything seen."""

    def swept(self, sync, seen):
        yield from _Sweep.swept(self, sync, seen or list(sync.held.live_keys("deals")))


@breaks(presence.a_tombstone_names_what_is_held)
class AnotherStream(_Gone):
    """Says of the stream `deal` what it means of `deals`, too."""

    def said(self, tomb):
        return [tomb, replace(tomb, stream="deal")]
