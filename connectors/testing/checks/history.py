"""The stage history of every deal, from its first stage to the present one."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from connectors.sdk import FieldChange, HistoryRead
from connectors.testing.bench import Bench, must, some
from connectors.testing.check import check
from connectors.testing.harness import TrueDeal

#: An account of this size also holds the made-up company's deals with a story: reopened, bounced, merged ...
_WITH_STORIES = 60


def _visits(bench: Bench, deal_id: str) -> list[tuple[Any, str]]:
    """(instant, stage) of each landed change; rows that repeat the stage are left out, as the build does."""
    found: list[tuple[Any, str]] = []
    for event in bench.landing.events(deal_id):
        if not found or found[-1][1] != event.to_stage_id:
            found.append((event.changed_at, event.to_stage_id))
    return found


def _told(bench: Bench) -> list[TrueDeal]:
    """Live deals whose way through the stages is known."""
    return [deal for deal in bench.truth.deals.values() if _path(deal)]


def _path(deal: TrueDeal) -> list[tuple[datetime, str]]:
    """Its way, empty where it is not known."""
    return list(deal.path) if isinstance(deal.path, tuple) else []


@check("stage_history")
def every_move_is_in_the_history(bench: Bench) -> None:
    """The stage changes of every deal are those of the source: each move at its instant, in order; skips, steps back and reopenings too."""
    bench.start(deals=_WITH_STORIES)
    bench.good_sync()
    for deal in _told(bench):
        path = _path(deal)
        reading = bench.landing.last_reading(deal.deal_id)
        must(reading is not None, f"deal {deal.deal_id}: no HistoryRead came")
        found = _visits(bench, deal.deal_id)
        if found and found[0][1] == path[0][1]:
            found = found[1:]  # the entry stage has a check of its own
        must(
            found == path[1:],
            f"deal {deal.deal_id} moved {len(path) - 1} times, {len(found)} changes came. First difference: {_first(path[1:], found)}",
        )


def _first(expected: list[Any], found: list[Any]) -> str:
    for number in range(max(len(expected), len(found))):
        one = expected[number] if number < len(expected) else None
        other = found[number] if number < len(found) else None
        if one != other:
            return f"the source has {_words(one)}, landing {_words(other)}"
    return "none"


def _words(visit: Any) -> str:
    return "nothing" if visit is None else f"stage {visit[1]} at {visit[0].isoformat()}"


@check("stage_history", "entry_stage")
def the_entry_stage_is_in_the_history(bench: Bench) -> None:
    """The first stage change of every deal says in which stage it was created and when; also of a deal that never moved."""
    new = bench.crm.create()
    bench.good_sync()
    must(
        bench.landing.last_reading(new) is not None,
        f"deal {new} never moved; it needs a HistoryRead with its entry stage",
    )
    for deal in _told(bench):
        events = bench.landing.events(deal.deal_id)
        must(events, f"deal {deal.deal_id} has no stage change at all")
        entry = (events[0].changed_at, events[0].to_stage_id)
        must(
            entry == _path(deal)[0],
            f"deal {deal.deal_id} began as {_words(_path(deal)[0])}; its first event is {_words(entry)}",
        )


@check("stage_history")
def the_last_change_agrees_with_the_stage(bench: Bench) -> None:
    """After moves between two syncs, the newest change of every deal leads to the stage it is in, or its reading says why not."""
    bench.good_sync()
    bench.advance(hours=1)
    for deal_id in bench.ids()[:3]:
        bench.crm.move(deal_id)
    bench.good_sync()
    for deal_id in bench.ids():
        deal, events = bench.landing.current("deals")[deal_id], bench.landing.events(deal_id)
        reading = bench.landing.last_reading(deal_id)
        if reading is not None and not reading.complete:
            must(reading.note, f"deal {deal_id}: its HistoryRead is incomplete and does not say why (`note`)")
            continue
        last = events[-1].to_stage_id if events else None
        # Where won and lost are a status beside the stage, the last change is into the closing stage of that name.
        closing = deal.status if deal.status in ("won", "lost") else None
        must(
            last in (deal.stage_id, closing),
            f"deal {deal_id} is in stage {deal.stage_id}, its history ends in {last}: read it again when a deal moves",
        )


@check("stage_history")
def events_belong_to_their_deal(bench: Bench) -> None:
    """Every event of a HistoryRead is about the deal of that reading, and the deal itself comes, too."""
    outcome = bench.good_sync()
    for reading in outcome.of(HistoryRead):
        strange = [e.deal_id for e in (*reading.stage_changes, *reading.field_changes) if e.deal_id != reading.deal_id]
        must(not strange, f"the history of deal {reading.deal_id} holds events of deal {some(strange)}")
    unknown = bench.landing.readings.keys() - bench.landing.entries.get("deals", {}).keys()
    must(not unknown, f"history came of deals that did not come themselves: {some(unknown)}")


@check("stage_history")
def a_reopened_deal_is_open_again(bench: Bench) -> None:
    """Won, then open again between two syncs: the deal is open, and its history has both moves."""
    deal_id = bench.ids()[0]
    bench.crm.close(deal_id, won=False)
    bench.good_sync()
    bench.advance(hours=1)
    bench.crm.reopen(deal_id)
    bench.good_sync()
    true, found = bench.truth.deals[deal_id], bench.landing.current("deals")[deal_id]
    must(
        found.stage_id == true.stage_id,
        f"deal {deal_id} was reopened into stage {true.stage_id}, landing has {found.stage_id}",
    )
    must(found.status in (None, "open"), f"deal {deal_id} was reopened, its status is {found.status}")
    must(found.closed_at is None, f"deal {deal_id} was reopened, but still has closed_at")
    if true.path is not msgspec.UNSET:
        tail = [stage for _, stage in _visits(bench, deal_id)][-2:]
        expected = [stage for _, stage in true.path][-2:]
        must(tail == expected, f"the history of the reopened deal {deal_id} ends in {tail}, the source says {expected}")


@check()
def won_and_lost_are_told(bench: Bench) -> None:
    """A closed deal says so: by its own status, or by the outcome of its stage."""
    won, lost = bench.ids()[:2]
    bench.crm.close(won, won=True)
    bench.crm.close(lost, won=False)
    bench.good_sync()
    stages = bench.landing.current("stages")
    for deal_id, true in bench.truth.deals.items():
        if true.outcome is msgspec.UNSET:
            continue
        found = bench.landing.current("deals")[deal_id]
        of_stage = [
            s.outcome for s in stages.values() if (s.pipeline_id, s.stage_id) == (found.pipeline_id, found.stage_id)
        ]
        told = found.status or next(iter(of_stage), None)
        must(
            told == true.outcome,
            f"deal {deal_id} is {true.outcome}; status is {found.status}, its stage says {of_stage}",
        )


@check("stage_history", "field_history")
def changes_of_the_amount_are_in_the_history(bench: Bench) -> None:
    """Amounts that changed between two syncs come as FieldChange with old and new value."""
    deal_id = bench.crm.create(amount=Decimal(100))
    bench.good_sync()
    bench.advance(hours=1)
    bench.crm.edit(deal_id, amount=Decimal("250.75"))
    bench.advance(hours=1)
    bench.crm.move(deal_id)
    bench.good_sync()
    values = [
        (_number(e.old_value), _number(e.new_value))
        for e in bench.landing.events(deal_id, FieldChange)
        if e.field == "amount"
    ]
    must(
        (Decimal(100), Decimal("250.75")) in values,
        f"deal {deal_id}: its amount went from 100 to 250.75; FieldChange came for {values}",
    )


def _number(text: str | None) -> Decimal | str | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        return text


HISTORY = [
    every_move_is_in_the_history,
    the_entry_stage_is_in_the_history,
    the_last_change_agrees_with_the_stage,
    events_belong_to_their_deal,
    a_reopened_deal_is_open_again,
    won_and_lost_are_told,
    changes_of_the_amount_are_in_the_history,
]
