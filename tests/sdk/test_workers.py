from __future__ import annotations

import threading
import time

import pytest

from connectors.sdk.client import RetryRule
from connectors.sdk.clock import SystemClock
from connectors.sdk.errors import QuotaError, TransientError
from tests.sdk.conftest import Script, response


def _workers_alive() -> int:
    return sum(thread.name.startswith("muara-calls") for thread in threading.enumerate())


def test_results_come_in_order_whoever_is_faster(policy):
    gate = threading.Event()

    def work(number):
        if number == 0:
            gate.wait(5)
        if number == 3:
            gate.set()
        return number * 10

    assert list(policy.map(work, range(20), workers=4)) == [number * 10 for number in range(20)]
    assert _workers_alive() == 0


def test_results_come_as_completed_when_order_does_not_matter(policy):
    gate = threading.Event()

    def work(number):
        if number == 0:
            gate.wait(5)
        if number == 5:
            gate.set()
        return number

    results = list(policy.map(work, range(10), workers=2, ordered=False))
    assert sorted(results) == list(range(10))
    assert results[0] != 0


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_items_are_taken_than_the_look_ahead(policy, ordered):
    taken = []

    def items():
        for number in range(10_000):
            taken.append(number)
            yield number

    results = policy.map(lambda number: number, items(), workers=4, look_ahead=6, ordered=ordered)
    for yielded in range(1, 50):
        next(results)
        assert len(taken) <= yielded + 6
    results.close()
    assert _workers_alive() == 0


def test_items_are_only_touched_by_the_consumers_thread(policy):
    """So a paginator may feed the workers."""
    touched = set()

    def items():
        for number in range(50):
            touched.add(threading.get_ident())
            yield number

    list(policy.map(lambda number: number, items()))
    assert touched == {threading.get_ident()}


def test_everything_before_an_error_is_yielded_and_nothing_after_it_starts(policy):
    """A14: what was read before the quota ran out is kept."""
    started, got = [], []

    def work(number):
        started.append(number)
        if number == 7:
            raise QuotaError("used up")
        return number

    with pytest.raises(QuotaError):  # noqa: PT012 - what came before counts
        for result in policy.map(work, range(1000), workers=4, look_ahead=8):
            got.append(result)
    assert got == list(range(7))
    assert len(started) < 40
    assert _workers_alive() == 0


def test_unordered_nothing_paid_for_is_lost_at_an_error(policy):
    """A14."""
    finished, got = [], []
    failed = threading.Event()

    def work(number):
        if number == 2:
            failed.set()
            raise QuotaError("used up")
        if number < 4:
            failed.wait(5)
        finished.append(number)
        return number

    with pytest.raises(QuotaError):  # noqa: PT012 - what came before counts
        for result in policy.map(work, range(1000), workers=4, look_ahead=8, ordered=False):
            got.append(result)
    assert sorted(got) == sorted(finished)
    assert {0, 1} <= set(got)


def test_results_under_way_come_before_the_error_of_the_list_that_feeds_them(policy):
    def items():
        yield from range(5)
        raise QuotaError("the list is used up")

    for ordered in (True, False):
        got = []
        with pytest.raises(QuotaError):  # noqa: PT012 - what came before counts
            for result in policy.map(lambda number: number, items(), ordered=ordered):
                got.append(result)
        assert sorted(got) == [0, 1, 2, 3, 4]


def test_a_worker_that_waits_gives_up_when_another_has_failed(make_policy):
    policy = make_policy(clock=SystemClock(), rule=RetryRule(attempts=2, base_s=0.001))
    waiting = threading.Event()

    def work(number):
        if number == 0:
            waiting.set()
            policy.pool("slow").pause(60)
            return policy.call("deals", Script(response()), pool="slow")
        waiting.wait(5)
        return policy.call("deals", Script(response(503)))

    began = time.monotonic()
    with pytest.raises(TransientError):
        list(policy.map(work, range(2), workers=2, ordered=False))
    assert time.monotonic() - began < 5
    assert _workers_alive() == 0


def test_the_allowed_rate_is_reached_when_answers_are_slow(make_policy):
    """100 calls/s allowed, 50 ms each: one at a time would give 20/s."""
    policy = make_policy(clock=SystemClock())
    policy.pool("default", 10, 0.1)

    def slow():
        time.sleep(0.05)
        return response()

    began = time.monotonic()
    done = sum(1 for _ in policy.map(lambda _: policy.call("deals", slow), range(60), workers=8))
    spent = time.monotonic() - began
    assert done == 60
    assert 0.5 < spent < 2.5


def test_a_worker_must_be_there(policy):
    with pytest.raises(ValueError, match="workers"):
        policy.map(str, [], workers=0)


def test_nothing_to_do_is_no_error(policy):
    assert list(policy.map(str, [])) == []
    assert list(policy.map(str, [], ordered=False)) == []
