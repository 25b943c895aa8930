"""What the connector does when the source says no, not now, or not any more; and how much it takes of it."""

from __future__ import annotations

import gc
import sys

from connectors.sdk import ConfigError, DataError, Finding, PlanLine, QuotaError, TransientError
from connectors.testing.bench import Bench, must, same_landing
from connectors.testing.check import check
from connectors.testing.harness import FaultKind
from connectors.testing.landing import Landing


def _undisturbed(bench: Bench) -> tuple[Landing, int]:
    """(what a sync without trouble lands, how many calls it takes); the bench is fresh again."""
    before = bench.crm.calls
    bench.good_sync()
    landing, calls = bench.landing, bench.crm.calls - before
    bench.fresh()
    return landing, calls


@check("call_budget")
def too_many_requests_waits_as_told(bench: Bench) -> None:
    """After 429 with `Retry-After: 17` the connector waits so long, asks again, and ends with the same tables."""
    undisturbed, calls = _undisturbed(bench)
    bench.crm.fault("rate_limited", after=calls // 2, times=1, retry_after=17)
    outcome = bench.good_sync()
    waited = sum(outcome.slept)
    must(
        waited >= 17,
        f"the source asked to wait 17 s, the connector waited {waited:.1f} s. Send every request through `sync.calls`.",
    )
    must(waited < 17 + 60, f"the source asked to wait 17 s, the connector waited {waited:.0f} s")
    same_landing(undisturbed, bench.landing, "after 429")


@check("call_budget")
def a_used_up_day_ends_the_sync_as_partial(bench: Bench) -> None:
    """When the source says that today's quota is used up: no waiting, no hammering, partial; the next day goes on to the same tables."""
    undisturbed, calls = _undisturbed(bench)
    before = bench.crm.calls
    bench.crm.fault("daily_limit", after=calls // 2, times=None)
    outcome = bench.sync()
    must(
        isinstance(outcome.error, QuotaError),
        f"the day's quota is used up, the sync ended as {outcome.status} ({_named(outcome.error)}). It must raise QuotaError: "
        "let the judge say `Verdict.daily`.",
    )
    must(sum(outcome.slept) < 60, f"the day's quota is used up, yet the connector waited {sum(outcome.slept):.0f} s")
    extra = bench.crm.calls - before - calls // 2
    must(extra <= 10, f"{extra} calls were made after the source had said that the day is over")
    bench.crm.clear_faults()
    bench.advance(days=1)
    bench.good_sync()
    same_landing(undisturbed, bench.landing, "after a day on which the quota was used up")


@check("call_budget")
def our_own_budget_is_kept(bench: Bench) -> None:
    """With `daily_call_budget` no more calls than that are made in a day; the sync is partial and goes on the next day."""
    report = bench.good_sync().calls
    calls = sum(report.cost.values()) if report is not None else 0
    undisturbed = bench.landing
    bench.fresh()
    budget, file = calls - 1, bench.folder() / "budget.json"
    ended = []
    for _ in range(4):
        before = bench.crm.calls
        outcome = bench.sync(daily_call_budget=budget, budget_file=file)
        made = bench.crm.calls - before
        ended.append(outcome.status)
        # Calls for a token are not counted: they cost nothing of the source's quota.
        must(
            made <= budget + 2,
            f"a day's budget is {budget} calls, {made} were made. Send every request through `sync.calls`.",
        )
        if outcome.status == "complete":
            break
        bench.advance(days=1)
    must(ended[0] == "partial", f"the budget was one call short, the sync ended as {ended[0]}")
    must(
        ended[-1] == "complete",
        f"with {budget} of {calls} calls a day the sync never came to its end: {', '.join(ended)}",
    )
    same_landing(undisturbed, bench.landing, "after days with a budget")


@check("renews_tokens")
def a_token_that_dies_in_mid_sync_is_renewed(bench: Bench) -> None:
    """401 in the middle: one renewal, the refused call again, and the same tables in the end."""
    undisturbed, calls = _undisturbed(bench)
    before = bench.crm.calls
    bench.crm.fault("unauthorized", after=calls // 2, times=1)
    bench.good_sync()
    extra = bench.crm.calls - before - calls
    must(extra <= 6, f"one dead token cost {extra} calls")
    same_landing(undisturbed, bench.landing, "after a renewed token")


@check()
def refused_credentials_end_the_sync_at_once(bench: Bench) -> None:
    """401 whatever is done: ConfigError that tells the user, after a few calls and without waiting."""
    bench.start()
    bench.crm.fault("unauthorized", times=None)
    before = bench.crm.calls
    outcome = bench.sync()
    must(
        isinstance(outcome.error, ConfigError),
        f"the credentials are refused, the sync ended as {outcome.status} ({_named(outcome.error)}). Only the user can cure that: ConfigError.",
    )
    calls, waited = bench.crm.calls - before, sum(outcome.slept)
    must(calls <= 6, f"the credentials are refused, and {calls} calls were made")
    must(waited < 5, f"the credentials are refused, and the connector waited {waited:.0f} s for that to change")


@check()
def server_errors_are_tried_again(bench: Bench) -> None:
    """Two 503 in a row in the middle of a sync change nothing in the end."""
    _trouble_passes(bench, "unavailable", times=2, spots=1)


@check()
def cut_answers_are_asked_for_again(bench: Bench) -> None:
    """An answer that breaks off half way is not taken for the whole, wherever it happens."""
    _trouble_passes(bench, "cut_body", times=1, spots=3)


def _trouble_passes(bench: Bench, kind: FaultKind, *, times: int, spots: int) -> None:
    undisturbed, calls = _undisturbed(bench)
    for number in range(1, spots + 1):
        bench.crm.fault(kind, after=calls * number // (spots + 1), times=times)
        bench.good_sync()
        bench.crm.clear_faults()
        same_landing(undisturbed, bench.landing, f"after {kind}")
        bench.fresh()


@check()
def trouble_that_stays_is_no_success(bench: Bench) -> None:
    """A source that stays down ends the sync as failed after a bounded number of tries; when it is back, the next sync completes the tables."""
    undisturbed, calls = _undisturbed(bench)
    before = bench.crm.calls
    bench.crm.fault("unavailable", after=calls // 2, times=None)
    outcome = bench.sync()
    must(
        isinstance(outcome.error, TransientError),
        f"the source is down, the sync ended as {outcome.status} ({_named(outcome.error)})",
    )
    tried = bench.crm.calls - before - calls // 2
    must(tried <= 100, f"the source is down, and {tried} calls were made")
    bench.crm.clear_faults()
    bench.advance(hours=1)
    bench.good_sync()
    same_landing(undisturbed, bench.landing, "after the source was down for a while")


@check()
def what_no_retry_cures_is_not_tried_again(bench: Bench) -> None:
    """400 to a request: no second try, no waiting, an error that says so; later the next sync completes the tables."""
    undisturbed, calls = _undisturbed(bench)
    before = bench.crm.calls
    bench.crm.fault("bad_request", after=calls // 2, times=None)
    outcome = bench.sync()
    must(outcome.status != "complete", "requests were refused (400), and the sync ended as complete")
    cured = isinstance(outcome.error, (TransientError, QuotaError, DataError))
    must(not cured, f"400 is nothing that time cures, but the error is {_named(outcome.error)}")
    tried = bench.crm.calls - before - calls // 2
    # Several requests may be under way at once; each of them is refused once.
    repeats = outcome.calls.retries + outcome.calls.bursts if outcome.calls else 0
    must(
        not repeats and tried <= 12,
        f"{tried} calls were made, {repeats} of them again, after requests were refused (400)",
    )
    must(sum(outcome.slept) < 5, f"a request was refused (400), and the connector waited {sum(outcome.slept):.0f} s")
    bench.crm.clear_faults()
    bench.advance(hours=1)
    bench.good_sync()
    same_landing(undisturbed, bench.landing, "after requests were refused for a while")


def _named(error: BaseException | None) -> str:
    return "no error" if error is None else type(error).__name__


@check()
def check_tells_what_is_wrong(bench: Bench) -> None:
    """`check` finds nothing wrong with good credentials, and says so when they are refused, in a few calls."""
    bench.start()
    before = bench.crm.calls
    errors = [finding for finding in _findings(bench) if finding.level == "error"]
    must(not errors, f"all is well, but `check` says: {errors[0].message if errors else ''}")
    calls = bench.crm.calls - before
    must(calls <= 25, f"`check` took {calls} calls")
    bench.crm.fault("unauthorized", times=None)
    try:
        errors = [finding for finding in _findings(bench) if finding.level == "error"]
    except ConfigError:
        return
    must(errors, "the credentials are refused, but `check` finds no error")


def _findings(bench: Bench) -> list[Finding]:
    sync = bench.prepared()
    return list(bench.connector(sync.settings, source_key=sync.source_key).check(sync))


@check()
def plan_reads_no_data(bench: Bench) -> None:
    """`plan` tells about how many rows and calls a sync will take, in at most five calls."""
    bench.start()
    sync = bench.prepared()
    before = bench.crm.calls
    lines = list(bench.connector(sync.settings, source_key=sync.source_key).plan(sync))
    must(lines and all(isinstance(line, PlanLine) for line in lines), "`plan` says nothing")
    calls = bench.crm.calls - before
    must(calls <= 5, f"`plan` took {calls} calls")


@check()
def slow_answers_are_waited_for_together(bench: Bench) -> None:
    """When answers are slow, calls that do not need each other are under way at once: a call for each deal is not waited for alone; never more
    than 20 at once.
    """
    crm = bench.start(deals=_MANY)
    crm.limit_pages(_PAGE)
    crm.slow(_SLOW_S)
    calls, alone = crm.calls, crm.alone
    bench.good_sync(page_size=max(_PAGE, bench.harness.smallest_page))
    calls, alone = crm.calls - calls, crm.alone - alone
    must(
        alone <= _MANY // 2,
        f"reading {_MANY} deals took {calls} calls, {alone} of which waited for their answer alone. Give calls that do not need each other to "
        "`sync.calls.map`: it keeps several under way, behind one limiter.",
    )
    most = crm.most_at_once
    must(
        most <= _MOST_AT_ONCE, f"{most} calls were under way at once; `sync.calls.map` with a few `workers` bounds them"
    )


#: So many deals that a connector cannot afford to wait for a call for each of them.
_MANY = 60
_SLOW_S = 0.02
_MOST_AT_ONCE = 20


@check()
def memory_does_not_grow_with_the_account(bench: Bench) -> None:
    """Reading four times as many deals takes about the same memory: records are handed on page by page."""
    peaks = []
    small, large = bench.harness.memory_sizes
    for size in (small, large):
        bench.start(deals=size).limit_pages(_PAGE)
        _peak(bench)  # the fake CRM, and whatever is made once
        gc.collect()
        peaks.append(_peak(bench))
    grown = (peaks[1] - peaks[0] - _NOISE) / (large - small)
    must(
        grown <= _BLOCKS,
        f"a sync of {large} deals holds {grown:.0f} objects for each deal more than one of {small} deals. "
        "Yield each page before the next is asked for.",
    )


#: A set of ids may be held; whoever keeps rows or records holds some fifteen objects and more for each (measured).
_BLOCKS = 8
_NOISE = 100
#: Rows a page: few against the account, so that a page is not taken for the whole; enough that there are not too many calls.
_PAGE = 20


def _peak(bench: Bench) -> int:
    """The most memory blocks in use between two records of one full reading, beyond those at its start; nothing is landed."""
    sync = bench.prepared(full=True, page_size=max(_PAGE, bench.harness.smallest_page))
    records = bench.connector(sync.settings, source_key=sync.source_key).read(sync)
    before = most = sys.getallocatedblocks()
    for _ in records:
        most = max(most, sys.getallocatedblocks())
    return most - before


LIMITS = [
    too_many_requests_waits_as_told,
    a_used_up_day_ends_the_sync_as_partial,
    our_own_budget_is_kept,
    a_token_that_dies_in_mid_sync_is_renewed,
    refused_credentials_end_the_sync_at_once,
    server_errors_are_tried_again,
    cut_answers_are_asked_for_again,
    trouble_that_stays_is_no_success,
    what_no_retry_cures_is_not_tried_again,
    check_tells_what_is_wrong,
    plan_reads_no_data,
    slow_answers_are_waited_for_together,
    memory_does_not_grow_with_the_account,
]
