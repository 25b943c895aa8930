"""Progress of long steps in Dagster's log: now and then, because every line is a database write."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds between two lines; a step shorter than this logs none.
EVERY_S = 10.0


def progress_to(say: Callable[[str], None], every_s: float = EVERY_S) -> Callable[[int, int | None, str], None]:
    """A `(done, total, what)` callback that says at most one line each `every_s` seconds."""
    last = time.monotonic()

    def told(done: int, total: int | None, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            say(f"{done:,}{f' of {total:,}' if total else ''} {what}")

    return told
