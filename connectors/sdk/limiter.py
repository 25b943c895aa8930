"""How fast calls may go: at most `limit` starts in any `interval_s` seconds, shared by all workers of a pool."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from connectors.sdk.clock import Clock

#: A vendor counts arrivals, we count starts; two calls may arrive closer together than they started. 5 % of the interval covers that.
SLACK = 0.05
#: Waiting less than this would be lost in the rounding of clocks.
_TICK_S = 0.001


class Limiter:
    """A rolling window. `limit=None` lets everything through until `pause` or `update` says otherwise. Safe to share between threads.

    A rolling window never has more than `limit` starts in any stretch of `interval_s`, so it also respects vendors that count in fixed
    windows; and it does not slow down calls that take long: only their starts count.
    """

    def __init__(self, limit: int | None, interval_s: float, *, clock: Clock, slack: float = SLACK) -> None:
        self._clock = clock
        self._slack = slack
        self._lock = threading.Lock()
        self._starts: deque[float] = deque()
        self._paused_until = float("-inf")
        self.limit = limit
        self.interval_s = interval_s

    def acquire(self, wait: Callable[[float], None] | None = None) -> float:
        """Wait for a turn and take it. Returns the seconds waited. `wait` is used instead of the clock's sleep where given."""
        waited = 0.0
        while True:
            with self._lock:
                pause = self._take_or_wait(self._clock.monotonic())
            if pause <= 0:
                return waited
            pause = max(pause, _TICK_S)
            (wait or self._clock.sleep)(pause)
            waited += pause

    def update(self, limit: int | None = None, interval_s: float | None = None) -> None:
        """Take over what the source's headers say. None leaves a value as it is. Starts so far still count."""
        with self._lock:
            if limit is not None:
                self.limit = max(1, limit)
            if interval_s is not None and interval_s > 0:
                self.interval_s = interval_s

    def pause(self, seconds: float) -> None:
        """Nobody starts for `seconds`: the source asked for it. A longer pause wins over a shorter one."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def _take_or_wait(self, now: float) -> float:
        if now < self._paused_until:
            return self._paused_until - now
        if self.limit is None:
            return 0.0
        window = self.interval_s * (1 + self._slack)
        while self._starts and self._starts[0] <= now - window:
            self._starts.popleft()
        if len(self._starts) >= self.limit:
            return self._starts[len(self._starts) - self.limit] + window - now
        self._starts.append(now)
        return 0.0
