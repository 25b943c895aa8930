"""The only place where time is read. Everything else is handed a Clock, so tests never sleep and never depend on today."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from connectors.sdk.verdict import Answer


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


class SourceTime:
    """When a sync began by the source's own clock: the Date of its first answer; by ours until one came. Windows end there.

    began = SourceTime(sync.clock)
    sync.calls.observe(began.look)
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: datetime | None = None

    def look(self, answer: Answer) -> None:
        """Take the Date header of the first answer that has a readable one."""
        text = answer.headers.get("Date")
        if self._first is not None or not text:
            return
        try:
            found = parsedate_to_datetime(text)
        except ValueError:
            return
        self._first = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)

    @property
    def at(self) -> datetime:
        """The instant, UTC."""
        return self._first or self._clock.now()
