"""Rolling limits of a portal: ten seconds for everything, one second for search, a day for the account."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Limits:
    """Counts calls in their windows by a clock of its own (`seconds`: the machine's, or a test's fake one)."""

    def __init__(
        self,
        *,
        per_ten_seconds: int | None,
        search_per_second: int | None,
        daily: int | None,
        seconds: Callable[[], float],
    ) -> None:
        self.per_ten_seconds, self.search_per_second, self.daily = per_ten_seconds, search_per_second, daily
        self.used_today = 0
        self.refused = {"TEN_SECONDLY_ROLLING": 0, "SECONDLY": 0, "DAILY": 0}
        self._seconds = seconds
        self._recent: deque[float] = deque()
        self._searches: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self, *, search: bool) -> tuple[str | None, int]:
        """(the policy that refuses this call or None, what is left in the ten seconds)."""
        with self._lock:
            now = self._seconds()
            if self.daily is not None and self.used_today >= self.daily:
                return self._refuse("DAILY"), 0
            if search:
                if not self._fits(self._searches, now, 1.0, self.search_per_second):
                    return self._refuse("SECONDLY"), 0
            elif not self._fits(self._recent, now, 10.0, self.per_ten_seconds):
                return self._refuse("TEN_SECONDLY_ROLLING"), 0
            self.used_today += 1
            left = (self.per_ten_seconds or 0) - len(self._recent)
            return None, max(0, left)

    def _refuse(self, policy: str) -> str:
        self.refused[policy] += 1
        return policy

    @staticmethod
    def _fits(window: deque[float], now: float, length: float, most: int | None) -> bool:
        while window and window[0] <= now - length:
            window.popleft()
        if most is not None and len(window) >= most:
            return False
        window.append(now)
        return True
