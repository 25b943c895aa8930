"""What is no longer there: said as it is, never guessed, and never believed in bulk."""

from __future__ import annotations

from connectors.sdk import Seen, SweepEnd, Tombstone
from connectors.testing.bench import Bench, agrees, must, some
from connectors.testing.check import check
from connectors.testing.landing import KEYED_STREAMS

#: More than the guard believes may vanish at once, out of twice as many.
_MANY = 25


def _presence(bench: Bench, deal_id: str) -> str:
    return bench.landing.presence().get(deal_id, "not held")


@check("reports_deletes")
def a_deleted_deal_is_reported(bench: Bench) -> None:
    """A deal that somebody deletes is `deleted` after the next sync, without waiting for a sweep."""
    bench.good_sync()
    bench.advance(hours=1)
    deal_id = bench.ids()[0]
    bench.crm.delete(deal_id)
    bench.advance(hours=1)
    bench.good_sync()
    kind = _presence(bench, deal_id)
    must(
        kind == "deleted",
        f"deal {deal_id} was deleted, landing has it as {kind}. Read the source's list of deleted deals.",
    )


@check("reports_deletes")
def a_restored_deal_is_there_again(bench: Bench) -> None:
    """Deleted, seen as deleted, restored: after the next sync the deal is present."""
    bench.good_sync()
    deal_id = bench.ids()[0]
    bench.advance(hours=1)
    bench.crm.delete(deal_id)
    bench.advance(hours=1)
    bench.good_sync()
    bench.advance(hours=1)
    bench.crm.restore(deal_id)
    bench.advance(hours=1)
    bench.good_sync()
    agrees(bench, "a deal was restored")


@check("reports_archives")
def an_archived_deal_is_archived_not_deleted(bench: Bench) -> None:
    """A deal that is put away comes as `archived`, keeps its content, and is present again when it is taken out."""
    bench.good_sync()
    bench.advance(hours=1)
    deal_id = bench.ids()[0]
    bench.crm.archive(deal_id)
    bench.advance(days=bench.harness.sweep_days)
    bench.good_sync()
    kind = _presence(bench, deal_id)
    must(kind == "archived", f"deal {deal_id} was archived, landing has it as {kind}")
    bench.advance(hours=1)
    bench.crm.restore(deal_id)
    bench.advance(days=bench.harness.sweep_days)
    bench.good_sync()
    agrees(bench, "an archived deal was taken out again")


@check("reports_merges")
def a_merge_names_its_survivor(bench: Bench) -> None:
    """The deal that was merged away is `merged`, and names the deal that it became."""
    bench.good_sync()
    bench.advance(hours=1)
    loser, survivor = bench.ids()[:2]
    bench.crm.merge(loser, survivor)
    bench.advance(hours=1)
    bench.good_sync()
    kind, told = _presence(bench, loser), bench.landing.survivors().get(loser)
    must(kind == "merged", f"deal {loser} was merged into {survivor}, landing has it as {kind}")
    # A CRM may give the survivor a new id: the harness says which.
    survivor = bench.crm.truth.survivors.get(loser, survivor)
    must(told == survivor, f"deal {loser} was merged into {survivor}, its tombstone names {told}")


@check("finds_purges")
def a_purged_deal_is_found_by_a_sweep(bench: Bench) -> None:
    """A deal that vanishes without a trace is marked as gone by the next sweep, and no other deal is."""
    bench.good_sync()
    bench.advance(hours=1)
    deal_id = bench.ids()[1]
    bench.crm.purge(deal_id)
    bench.advance(days=bench.harness.sweep_days)
    bench.good_sync()
    kind = _presence(bench, deal_id)
    hint = "Compare ids with the source now and then (`sync.sweep_is_due`, Seen, SweepEnd)."
    must(kind not in ("present", "not held"), f"deal {deal_id} was purged, landing has it as {kind}. {hint}")
    agrees(bench, "another deal was purged")


@check("finds_purges")
def a_hidden_deal_comes_back_when_it_is_visible_again(bench: Bench) -> None:
    """A permission hides a deal for a while: after it is shown again it is present, though nothing in it has changed."""
    bench.good_sync()
    deal_id = bench.ids()[2]
    bench.crm.hide([deal_id])
    bench.advance(days=bench.harness.sweep_days)
    bench.good_sync()
    must(_presence(bench, deal_id) != "present", f"deal {deal_id} cannot be seen any more, landing has it as present")
    bench.crm.unhide([deal_id])
    bench.advance(days=bench.harness.sweep_days)
    bench.good_sync()
    agrees(bench, "a hidden deal is visible again")


@check("finds_purges")
def half_of_the_deals_hidden_marks_nothing_as_gone(bench: Bench) -> None:
    """A permission change that hides half of the account writes not one tombstone."""
    _hide_half(bench)
    bench.sync()
    bench.advance(hours=1)
    bench.sync(full=True)
    gone = [key for key, kind in bench.landing.presence().items() if kind != "present" and key not in bench.truth.gone]
    must(
        not gone,
        f"{len(gone)} deals that were only hidden are marked as gone: {some(gone)}. Leave that to SweepEnd: a Tombstone is for what the "
        "source itself calls deleted.",
    )


@check("finds_purges")
def a_sharp_fall_makes_the_sync_suspicious(bench: Bench) -> None:
    """When half of the account is missing from a sweep, the sync is suspicious, and so is the next one: the sweep stays due."""
    _hide_half(bench)
    for when in ("first", "next"):
        outcome = bench.sync()
        must(
            outcome.status == "suspicious",
            f"half of the deals have vanished, the {when} sync ended as {outcome.status}",
        )
        bench.advance(hours=1)


@check()
def no_rows_at_all_is_suspicious(bench: Bench) -> None:
    """When the source suddenly shows no deal at all, a full sync is suspicious or fails, and marks nothing as gone."""
    bench.start(deals=_MANY * 2)
    bench.good_sync()
    before = {key for key, kind in bench.landing.presence().items() if kind == "present"}
    archived = [key for key, kind in bench.truth.gone.items() if kind == "archived"]
    bench.crm.hide([*bench.ids(), *archived])
    bench.advance(days=bench.harness.sweep_days)
    outcome = bench.sync(full=True)
    must(outcome.status in ("suspicious", "failed"), f"not one deal came, and the sync ended as {outcome.status}")
    gone = [key for key in before if _presence(bench, key) != "present"]
    must(not gone, f"not one deal came, and these were marked as gone: {some(gone)}")


def _hide_half(bench: Bench) -> None:
    bench.start(deals=_MANY * 2)
    bench.good_sync()
    bench.advance(hours=1)
    bench.crm.hide(bench.ids()[::2])
    bench.advance(days=bench.harness.sweep_days)


@check()
def a_tombstone_names_what_is_held(bench: Bench) -> None:
    """Tombstones and sweeps speak of streams that landing keeps, with keys written as the records write them."""
    bench.good_sync()
    bench.advance(hours=1)
    deal_id = bench.ids()[0]
    bench.crm.delete(deal_id)
    bench.advance(days=bench.harness.sweep_days)
    outcome = bench.good_sync()
    for record in outcome.of(Tombstone, Seen, SweepEnd):
        kind = type(record).__name__
        must(
            record.stream in KEYED_STREAMS, f"a {kind} names the stream {record.stream!r}, which has no keys in landing"
        )
    known = bench.truth.gone.keys() | bench.truth.deals.keys()
    unknown = [
        f"{stream} {key}"
        for stream, entries in bench.landing.entries.items()
        for key, entry in entries.items()
        if not entry.versions and not (stream == "deals" and key in known)
    ]
    must(not unknown, f"these are said to be gone, but nothing ever had such a key: {some(unknown)}")


PRESENCE = [
    a_deleted_deal_is_reported,
    a_restored_deal_is_there_again,
    an_archived_deal_is_archived_not_deleted,
    a_merge_names_its_survivor,
    a_purged_deal_is_found_by_a_sweep,
    a_hidden_deal_comes_back_when_it_is_visible_again,
    half_of_the_deals_hidden_marks_nothing_as_gone,
    a_sharp_fall_makes_the_sync_suspicious,
    no_rows_at_all_is_suspicious,
    a_tombstone_names_what_is_held,
]
