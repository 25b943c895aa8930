"""The only place where time is read. Everything else is handed a Clock, so tests never sleep and never depend on today."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting, as one injected thing."""

    def now(self) -> datetime:
        """The present instant, timezone-aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""

    def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the process's monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Really wait."""
        if seconds > 0:
            time.sleep(seconds)


class FakeClock:
    """A clock that tests move by hand. `sleep` moves it on at once and remembers how long was asked. Safe to share between threads."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The instant it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since 1970 of the fake instant."""
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` without waiting."""
        with self._lock:
            self.slept.append(seconds)
            if seconds > 0:
                self._now += timedelta(seconds=seconds)

    def advance(self, **delta: float) -> None:
        """Move on: `advance(days=1, minutes=5)`."""
        with self._lock:
            self._now += timedelta(**delta)
