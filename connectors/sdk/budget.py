"""How many calls (or tokens) a day an account may use, counted in one locked file whoever runs.

The vendor's daily quota belongs to the customer's account and is shared with all its other apps. Two bounds, each optional:
- `ceiling`: what we allow ourselves a day (the setting `daily_call_budget`);
- `reserve_share`: the part of the vendor's own quota that we leave to the others (setting `quota_reserve`), judged by what answers say is left.

The file is JSON: account -> calls used and the instant at which the count starts again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.errors import ConfigError, QuotaError

log = logging.getLogger("muara.calls")

#: What an answer said about the vendor's quota is believed this long; then one call is let through to hear it anew, because
#: rolling quotas refill without our doing.
_TOLD_FOR = timedelta(minutes=15)
#: A day plus room for a zone that changes its offset; a reset further away than this is a mistake.
_LONGEST_DAY = timedelta(hours=30)


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """One account's budget now. `left` is how many may still be used before the nearest bound, None where there is none.

    `vendor_limit`/`vendor_left` are what the source last said of its own quota (None: it said nothing). Instants are UTC.
    """

    account: str
    used: int
    ceiling: int | None
    left: int | None
    resumes_at: datetime
    vendor_limit: int | None = None
    vendor_left: int | None = None


class _Entry(msgspec.Struct):
    used: int
    resets_at: datetime


class _Told(msgspec.Struct):
    limit: int | None
    left: int
    told_at: datetime


class DailyBudget:
    """The daily budgets of all accounts in one file. Safe between threads and between processes.

    `zone`: where the vendor's day begins at midnight, unless an answer tells its reset instant (`told`).
    """

    def __init__(
        self, path: Path, *, clock: Clock, ceiling: int | None = None, reserve_share: float = 0.0, zone: tzinfo = UTC
    ) -> None:
        if not 0 <= reserve_share < 1:
            raise ConfigError(f"reserve share of a daily budget must be at least 0 and below 1, not {reserve_share}.")
        self._path = path
        self._clock = clock
        self._zone = zone
        self._lock = threading.Lock()
        self._handle = -1
        self._owner = 0
        self._told: dict[str, _Told] = {}
        self.ceiling = ceiling
        self.reserve_share = reserve_share

    def spend(self, account: str, n: int = 1) -> None:
        """Use `n` before calling. Raises QuotaError with `resumes_at` and counts nothing when a bound would be crossed."""
        if n <= 0:
            return
        with self._entries() as entries:
            entry = self._current(entries, account)
            if self.ceiling is not None and entry.used + n > self.ceiling:
                raise QuotaError(
                    f"{account}: the daily budget of {self.ceiling} calls is used up ({entry.used} used). What was read is kept; "
                    f"the next sync after {_text(entry.resets_at)} goes on, or raise daily_call_budget.",
                    resumes_at=entry.resets_at,
                )
            self._keep_reserve(account, n, entry)
            entry.used += n

    def charge(self, account: str, n: int) -> None:
        """Count `n` that were already used (negative: give back). Never refuses."""
        if n:
            with self._entries() as entries:
                entry = self._current(entries, account)
                entry.used = max(0, entry.used + n)

    def move(self, old: str, new: str, n: int) -> None:
        """Count `n` under `new` instead of `old`: for calls made before the account's id was known."""
        if old != new and n:
            with self._entries() as entries:
                self._current(entries, new).used += n
                before = self._current(entries, old)
                before.used -= n
                if before.used <= 0:
                    del entries[old]

    def told(self, account: str, *, left: int, limit: int | None = None, resets_at: datetime | None = None) -> None:
        """Take over what an answer says about the vendor's own daily quota. `resets_at` also moves our own day's end."""
        now = self._clock.now()
        with self._lock:
            self._told[account] = _Told(limit, left, now)
        if resets_at is not None and now < resets_at <= now + _LONGEST_DAY:
            with self._entries() as entries:
                self._current(entries, account).resets_at = resets_at

    def state(self, account: str) -> BudgetState:
        """What is used and left now."""
        with self._entries(write=False) as entries:
            entry = self._current(entries, account)
        told = self._fresh_told(account)
        bounds = [] if self.ceiling is None else [self.ceiling - entry.used]
        if told is not None:
            bounds.append(told.left - self._reserve(told))
        return BudgetState(
            account=account,
            used=entry.used,
            ceiling=self.ceiling,
            left=max(0, min(bounds)) if bounds else None,
            resumes_at=entry.resets_at,
            vendor_limit=told.limit if told else None,
            vendor_left=told.left if told else None,
        )

    def _keep_reserve(self, account: str, n: int, entry: _Entry) -> None:
        told = self._fresh_told(account)
        if told is None:
            return
        if self.reserve_share and told.left - n < self._reserve(told):
            raise QuotaError(
                f"{account}: the source says {told.left} calls are left today; {self._reserve(told)} are kept for the account's other "
                f"apps (quota_reserve). The next sync after {_text(entry.resets_at)} goes on.",
                resumes_at=entry.resets_at,
            )
        told.left -= n

    def _reserve(self, told: _Told) -> int:
        return round((told.limit or 0) * self.reserve_share)

    def _fresh_told(self, account: str) -> _Told | None:
        told = self._told.get(account)
        return told if told is not None and self._clock.now() - told.told_at < _TOLD_FOR else None

    def _current(self, entries: dict[str, _Entry], account: str) -> _Entry:
        now = self._clock.now()
        entry = entries.get(account)
        if entry is None or not now < entry.resets_at <= now + _LONGEST_DAY:
            entry = entries[account] = _Entry(0, self._end_of_day(now))
        return entry

    def _end_of_day(self, now: datetime) -> datetime:
        tomorrow = now.astimezone(self._zone).date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self._zone).astimezone(UTC)

    @contextmanager
    def _entries(self, *, write: bool = True) -> Iterator[dict[str, _Entry]]:
        """All entries of the file, under its lock; written back unless the caller raises."""
        if self._owner != os.getpid():
            # A forked child shares its parent's lock, which is no lock: it needs its own handle.
            self._lock, self._handle, self._owner = threading.Lock(), -1, os.getpid()
        with self._lock:
            handle = self._open()
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                data = os.pread(handle, os.fstat(handle).st_size, 0)
                entries = self._decode(data)
                yield entries
                if write:
                    # One write, padded to the old length: a killed process leaves the old or the new text.
                    os.pwrite(handle, msgspec.json.encode(entries).ljust(len(data)), 0)
            finally:
                fcntl.flock(handle, fcntl.LOCK_UN)

    def _open(self) -> int:
        if self._handle < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._handle

    def _decode(self, data: bytes) -> dict[str, _Entry]:
        if not data.strip():
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, _Entry])
        except msgspec.MsgspecError:
            log.warning("%s is not readable; today's call counts start again from zero.", self._path)
            return {}

    def close(self) -> None:
        """Close the file. The budget opens it again when needed."""
        with self._lock:
            if self._handle >= 0 and self._owner == os.getpid():
                os.close(self._handle)
            self._handle = -1


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
