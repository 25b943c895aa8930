"""Things that go wrong on request, the same ones for the same seed.

faults = Faults(seed=1)
faults.add("unavailable", every=7)                       # each 7th matching call
faults.add("cut_body", probability=0.05, match="query*") # by a seeded coin per call
faults.add("unauthorized", after=3, times=1)             # once, on the 4th matching call
faults.add("rate_limited", every=5, retry_after=2)       # or retry_after="date", or None for no header
faults.when(lambda: world.purge(9), after=2, match="query")   # do something in mid-sync, just before the 3rd such call
"""

from __future__ import annotations

import fnmatch
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, Unpack

KINDS = {
    "unavailable": "503 with an HTML page; the call had no effect",
    "server_error": "500 with an empty body; the call had no effect",
    "bad_gateway": "502 with an HTML page; the call had no effect",
    "rate_limited": "429 in the vendor's words, with Retry-After as asked",
    "daily_limit": "the vendor's answer when the daily budget is used up",
    "concurrent_limit": "the vendor's answer when too many calls run at once",
    "unauthorized": "401 in the vendor's words; the token is dead from now on where the vendor has tokens that die",
    "cut_body": "the call takes effect, its body ends half way and the connection closes",
    "reset": "the connection is reset before the call takes effect",
    "reset_after": "the call takes effect, the connection is reset before any answer",
    "slow": "the answer waits `seconds` longer",
}


class Conditions(TypedDict, total=False):
    """When a rule holds, and what it does; see `Fault`."""

    match: str
    every: int | None
    probability: float | None
    after: int
    times: int | None
    retry_after: int | str | None
    seconds: float
    action: Callable[[], object] | None


@dataclass(slots=True)
class Fault:
    """One rule. All conditions must hold; counting is per rule over the calls whose endpoint `match`es (a glob)."""

    kind: str
    match: str = "*"
    every: int | None = None
    probability: float | None = None
    after: int = 0  # spare this many matching calls first
    times: int | None = None  # at most this often
    retry_after: int | str | None = None  # seconds, or "date"
    seconds: float = 0.0
    action: Callable[[], object] | None = None
    seen: int = 0
    done: int = 0


class Faults:
    """The rules of one server, and a count of what was done (`done`, by kind)."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rules: list[Fault] = []
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, **conditions: Unpack[Conditions]) -> Fault:
        """A new rule; with no condition but `match` it always holds."""
        if kind not in KINDS:
            raise ValueError(f"faults: no kind {kind!r}; there are {', '.join(KINDS)}")
        fault = Fault(kind, **conditions)
        with self._lock:
            self.rules.append(fault)
        return fault

    def storm(self, probability: float, *kinds: str, match: str = "*") -> None:
        """Trouble of all these kinds (default: every passing one), together on this share of the calls."""
        chosen = kinds or (
            "unavailable",
            "server_error",
            "bad_gateway",
            "rate_limited",
            "cut_body",
            "reset",
            "reset_after",
        )
        for kind in chosen:
            self.add(kind, probability=probability / len(chosen), match=match)

    def when(self, action: Callable[[], object], *, match: str = "*", after: int = 0, times: int = 1) -> Fault:
        """Run `action` just before the matching call after `after` others; the call itself goes on as usual."""
        fault = Fault("action", match, after=after, times=times, action=action)
        with self._lock:
            self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """No rules any more."""
        with self._lock:
            self.rules.clear()

    def pick(self, endpoint: str) -> Fault | None:
        """The fault for this call, if any (the first rule that holds); actions that are due run here."""
        picked: Fault | None = None
        actions: list[Callable[[], object]] = []
        with self._lock:
            for number, rule in enumerate(self.rules):
                if not fnmatch.fnmatchcase(endpoint, rule.match):
                    continue
                rule.seen += 1
                if not self._holds(rule, number, endpoint):
                    continue
                if rule.action is not None:
                    rule.done += 1
                    actions.append(rule.action)
                elif picked is None:
                    rule.done += 1
                    self.done[rule.kind] += 1
                    picked = rule
        for action in actions:
            action()
        return picked

    def _holds(self, rule: Fault, number: int, endpoint: str) -> bool:
        if rule.seen <= rule.after or (rule.times is not None and rule.done >= rule.times):
            return False
        if rule.every is not None and (rule.seen - rule.after) % rule.every:
            return False
        if rule.probability is not None:
            coin = random.Random(f"{self.seed}/{number}/{endpoint}/{rule.seen}")  # noqa: S311
            return coin.random() < rule.probability
        return True
