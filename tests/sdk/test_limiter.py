from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sdk.clock import FakeClock
from connectors.sdk.limiter import Limiter


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(1, 8),
    interval=st.sampled_from([0.5, 1, 2, 10]),
    gaps=st.lists(st.sampled_from([0, 0, 0, 0.01, 0.3, 2.5]), min_size=1, max_size=80),
)
def test_no_stretch_of_the_interval_ever_holds_more_starts_than_allowed(limit, interval, gaps):
    clock = FakeClock()
    limiter = Limiter(limit, interval, clock=clock)
    starts = []
    for gap in gaps:
        clock.advance(seconds=gap)
        limiter.acquire()
        starts.append(clock.monotonic())
    for first, later in zip(starts, starts[limit:], strict=False):
        assert later - first >= interval


def test_waiting_is_no_longer_than_needed():
    clock = FakeClock()
    limiter = Limiter(20, 2, clock=clock)
    for _ in range(200):
        limiter.acquire()
    # 10 windows of 20: nine waits of the interval and its slack.
    assert abs(sum(clock.slept) - 9 * 2.1) < 0.05


def test_a_limit_learnt_from_a_header_counts_from_now_on():
    clock = FakeClock()
    limiter = Limiter(100, 10, clock=clock)
    for _ in range(50):
        limiter.acquire()
    limiter.update(40)
    assert limiter.acquire() > 10
    limiter.update(limit=None, interval_s=1)
    assert (limiter.limit, limiter.interval_s) == (40, 1)
    limiter.update(0)
    assert limiter.limit == 1


def test_no_limit_lets_everything_through_until_a_pause():
    clock = FakeClock()
    limiter = Limiter(None, 1, clock=clock)
    for _ in range(1000):
        assert limiter.acquire() == 0
    limiter.pause(5)
    limiter.pause(2)
    assert limiter.acquire() >= 5


def test_threads_share_one_window():
    clock = FakeClock()
    limiter = Limiter(10, 1, clock=clock)
    starts, lock = [], threading.Lock()

    def work():
        for _ in range(25):
            limiter.acquire()
            with lock:
                starts.append(clock.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 100
    assert max(starts) - min(starts) >= 9
