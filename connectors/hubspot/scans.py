"""Lists read page by page, several at once: along their cursors, or over disjoint ranges of ids that check each other."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from connectors.hubspot import wire
from connectors.sdk import VendorError

Fetch = Callable[[str | None], wire.Page]

#: A range that others leave behind is divided while it has at least so many pages to go; each division costs half a page more.
_WORTH_DIVIDING = 20
_MOST_DIVISIONS = 4


class UnorderedError(Exception):
    """A range of ids did not begin or end where its cursor said."""


class Walk:
    """A list read page by page along its cursor."""

    def __init__(self, fetch: Fetch, after: str | None = None) -> None:
        self._fetch = fetch
        self.after = after
        self.is_done = False
        self._seen: set[str] = set()
        self._turn = threading.Lock()

    def step(self) -> list[msgspec.Raw]:
        """The objects of the next page."""
        page = self._fetch(self.after)
        if page.after is not None and page.after in self._seen:
            raise VendorError("HubSpot repeats a page cursor; stopped to avoid reading for ever.")
        self._seen.add(page.after or "")
        self.after, self.is_done = page.after, page.after is None
        return page.results

    def aside(self) -> tuple[list[msgspec.Raw], None]:
        """The next page's objects; any thread may ask, none are left at the end."""
        with self._turn:
            return [] if self.is_done else self.step(), None

    def rest(self) -> Iterator[msgspec.Raw]:
        """All objects that are not read yet."""
        while not self.is_done:
            yield from self.step()


class Scan(Walk):
    """One range of ids: from `low` until an id of `high` or above comes (None: until the list ends).

    `first` is the range's first id, `overshoot` the first id beyond its end: the next range must begin with it.
    """

    def __init__(self, fetch: Fetch, low: int, high: int | None, lock: threading.Lock) -> None:
        super().__init__(fetch, str(low))
        self.high = high
        self.first: int | None = None
        self.overshoot: int | None = None
        self.last = low - 1
        #: How many ids lie between the first and the last of a page, as last seen.
        self.page_width = 0
        self._lock = lock

    def step(self) -> list[msgspec.Raw]:
        """What the next page holds of this range. Raises UnorderedError when ids do not rise from where the cursor said."""
        page = self._fetch(self.after)
        with self._lock:
            return self._take(page)

    def _take(self, page: wire.Page) -> list[msgspec.Raw]:
        try:
            ids = [int(wire.lean(item).id) for item in page.results]
            after = None if page.after is None else int(page.after)
        except (msgspec.MsgspecError, ValueError):
            raise UnorderedError from None
        if any(later <= earlier for earlier, later in itertools.pairwise([self.last, *ids])):
            raise UnorderedError
        if ids:
            self.first = ids[0] if self.first is None else self.first
            self.page_width, self.last = ids[-1] - ids[0] + 1, ids[-1]
            self.overshoot = next((key for key in ids if self.high is not None and key >= self.high), None)
        if after is not None and after < self.last:
            raise UnorderedError
        self.after = page.after
        self.is_done = after is None or self.overshoot is not None
        return [item for item, key in zip(page.results, ids, strict=True) if self.high is None or key < self.high]


class Ranges:
    """Disjoint ranges over all ids from `start` on; `top` is about where they end. Where one lags behind, it is divided again."""

    def __init__(self, fetch: Fetch, start: int, top: int, count: int) -> None:
        self._fetch, self._top, self._lock = fetch, top, threading.Lock()
        width = -(-(top - start) // count)
        bounds = [start + number * width for number in range(count)]
        ends: list[int | None] = [*bounds[1:], None]
        self.scans = [Scan(fetch, low, high, self._lock) for low, high in zip(bounds, ends, strict=True)]
        self._most = count + _MOST_DIVISIONS

    def divide(self) -> Scan | None:
        """The upper half of the range with the most pages to go; None where none is worth it."""
        with self._lock:
            if len(self.scans) >= self._most:
                return None
            pages, number = max((self._pages_left(scan), number) for number, scan in enumerate(self.scans))
            if pages < _WORTH_DIVIDING:
                return None
            slow = self.scans[number]
            middle = (slow.last + (self._top if slow.high is None else slow.high)) // 2 + 1
            upper = Scan(self._fetch, middle, slow.high, self._lock)
            slow.high = middle
            self.scans.insert(number + 1, upper)
            return upper

    def _pages_left(self, scan: Scan) -> float:
        end = self._top if scan.high is None else scan.high
        return 0.0 if scan.is_done or not scan.page_width else (end - scan.last) / scan.page_width

    def check(self) -> None:
        """Raise UnorderedError unless each range ended exactly where the next one began."""
        for number, scan in enumerate(self.scans):
            following = next((later.first for later in self.scans[number + 1 :] if later.first is not None), None)
            if scan.high is not None and scan.overshoot != following:
                raise UnorderedError


class Turns:
    """Hands out each walk again as soon as its last page is in; iterated by the consumer, `read` runs on the workers.

    `more` is asked for another walk whenever one has come to its end.
    """

    def __init__(self, walks: Sequence[Walk], more: Callable[[], Walk | None] = lambda: None) -> None:
        self.count = len(walks)
        self._idle = list(walks)
        self._more = more
        self._busy = 0
        self._failed = False
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Walk]:
        while True:
            with self._changed:
                while not self._idle and self._busy and not self._failed:
                    self._changed.wait()
                if self._failed or not self._idle:
                    return
                walk = self._idle.pop(0)
                self._busy += 1
            yield walk

    def read(self, walk: Walk) -> tuple[Walk, list[msgspec.Raw]]:
        """The next page of a walk."""
        following: Walk | None = None
        is_read = False
        try:
            items = walk.step()
            following = self._more() if walk.is_done else walk
            is_read = True
        finally:
            with self._changed:
                self._busy -= 1
                self._failed = self._failed or not is_read
                if following is not None:
                    self._idle.append(following)
                self._changed.notify_all()
        return walk, items
