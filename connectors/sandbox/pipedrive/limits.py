"""Pipedrive's two limits: requests in a rolling two seconds per token, and a daily budget of tokens for the whole company."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

COSTS = {
    "users.me": 2,
    "deals.get": 1,
    "stages.get": 1,
    "deals": 10,
    "deals.archived": 20,
    "deal_fields": 10,
    "pipelines": 5,
    "stages": 5,
    "organizations": 10,
    "users": 20,
    "currencies": 20,
    "changelog": 20,
    "flow": 40,
    "recents": 20,
    "oauth": 0,
}


class Limits:
    """Counts requests and tokens. `seconds`: the clock of the burst window; `day`: the number of the present day."""

    def __init__(
        self,
        *,
        burst: int | None,
        daily: int | None,
        seconds: Callable[[], float],
        day: Callable[[], int],
        block_after: int,
    ) -> None:
        self.burst, self.daily = burst, daily
        self.used = 0  # tokens today
        self.total = 0  # tokens ever
        self.refused = {"burst": 0, "daily": 0, "blocked": 0}
        self._seconds, self._day, self._today = seconds, day, day()
        self._recent: deque[float] = deque()
        self._in_a_row = 0
        self._block_after = block_after
        self._lock = threading.Lock()

    def take(self, cost: int) -> tuple[str | None, dict[str, str]]:
        """(why the call is refused: burst, daily, blocked; or None, the headers to send)."""
        with self._lock:
            now = self._seconds()
            if self._day() != self._today:
                self._today, self.used = self._day(), 0
            while self._recent and self._recent[0] <= now - 2.0:
                self._recent.popleft()
            refusal = self._refusal(cost)
            if refusal is None:
                self._recent.append(now)
                self.used += cost
                self.total += cost
                self._in_a_row = 0
            else:
                self._in_a_row += 1
                if self._in_a_row > self._block_after:
                    refusal = "blocked"
                self.refused[refusal] += 1
            return refusal, self._headers(now)

    def _refusal(self, cost: int) -> str | None:
        if self.daily is not None and self.used + cost > self.daily:
            return "daily"
        if self.burst is not None and len(self._recent) >= self.burst:
            return "burst"
        return None

    def _headers(self, now: float) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.burst is not None:
            headers["x-ratelimit-limit"] = str(self.burst)
            headers["x-ratelimit-remaining"] = str(max(0, self.burst - len(self._recent)))
            oldest = self._recent[0] if self._recent else now
            headers["x-ratelimit-reset"] = str(max(1, round(oldest + 2 - now + 0.49)))
        if self.daily is not None:
            headers["x-daily-ratelimit-token-limit"] = str(self.daily)
            headers["x-daily-ratelimit-token-remaining"] = str(max(0, self.daily - self.used))
        return headers
