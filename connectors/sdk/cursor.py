"""From where to read on: windows and watermarks as pure functions. The committed cursor itself lives in the landing zone.

    window = open_window(sync.cursor("deals"), overlap_minutes=settings.overlap_minutes, start_date=settings.start_date)
    newest = None
    for page in pages:                                  # rows with updated_at >= window.start
        yield from map(deal, page)
        newest = latest(newest, *(row.updated_at for row in page))
    yield Checkpoint(stream="deals", cursor=next_cursor(sync.cursor("deals"), newest))

Why nothing is lost
- The window is closed at its start (`>=`): rows that share the cursor's instant are read again, landing drops those that have not changed.
- It starts an overlap before the cursor: a row that the source showed late is still inside.
- The cursor is the newest instant *received*, never the clock, never later than a row that was really read.
A row is not skipped because its key and instant were seen in an earlier sync: clocks with whole seconds give two versions one instant.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from connectors.sdk.errors import ConfigError, DataError, VendorError
from connectors.sdk.instants import instant_text, parse_date, parse_instant

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Search indexes and commits lag by seconds or minutes (public threads of the vendors); more than this is not believed.
LONGEST_LAG = timedelta(hours=6)
#: The name of the watermark in a cursor. A connector may keep other entries beside it.
AT = "at"


class Window(msgspec.Struct, frozen=True):
    """From `start` to `end`, both included; None = open on that side. UTC."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """True when `at` lies inside."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)

    def halves(self, resolution: timedelta = timedelta(milliseconds=1)) -> tuple[Window, Window]:
        """Two windows that together hold the same instants, for a source that answers only so many rows per query.

        `resolution`: the source's own or finer, as all its instants are whole steps of it; the halves share no instant and miss none. Raises
        VendorError when only one step is left, ValueError for a window that is open.
        """
        if self.start is None or self.end is None:
            raise ValueError("an open window cannot be halved: set both ends")
        first, last = -((_EPOCH - self.start) // resolution), (self.end - _EPOCH) // resolution
        if last <= first:
            raise VendorError(
                f"more rows at {instant_text(self.start)} than the source gives in one answer; read them by key instead."
            )
        middle = (first + last) // 2
        return (
            Window(self.start, _EPOCH + middle * resolution),
            Window(_EPOCH + (middle + 1) * resolution, self.end),
        )


def open_window(
    cursor: Mapping[str, Any],
    *,
    overlap_minutes: float = 0,
    start_date: str | None = None,
    end: datetime | None = None,
) -> Window:
    """The window to read now: from the cursor less the overlap, never before `start_date` (YYYY-MM-DD, midnight UTC).

    An empty cursor (first sync, `--full`) starts at `start_date` or is open. Raises ConfigError for a wrong `start_date`.
    """
    floor = _midnight(start_date)
    at = cursor_at(cursor)
    start = None if at is None else at - timedelta(minutes=overlap_minutes)
    if floor is not None and (start is None or start < floor):
        start = floor
    return Window(start, end)


def cursor_at(cursor: Mapping[str, Any]) -> datetime | None:
    """The watermark in a cursor, None in an empty one."""
    text = cursor.get(AT)
    return None if text is None else parse_instant(text)


def next_cursor(
    cursor: Mapping[str, Any], newest: datetime | None, *, not_after: datetime | None = None
) -> dict[str, Any]:
    """The cursor after reading rows up to `newest` (None: no row came); other entries stay, the watermark never moves back.

    `not_after`: for a scan that is not in time order, the instant at which it began. A row that changed behind the scan's back lies after it, so
    the next window still holds it.
    """
    at = newest if not_after is None or newest is None else min(newest, not_after)
    kept = latest(cursor_at(cursor), at)
    return dict(cursor) | ({} if kept is None else {AT: instant_text(kept)})


class Newest:
    """Follows the instants of the rows that come; says how far the cursor may go.

    `page`: rows that the source lists in one call; `overlap_minutes` as for `open_window`.
    """

    def __init__(self, *, page: int, overlap_minutes: float) -> None:
        self._page, self._overlap = page, timedelta(minutes=overlap_minutes)
        #: A heap of the newest instants, one more than a page.
        self._kept: list[datetime] = []

    def see(self, at: datetime | None) -> None:
        """Count a row; one without an instant says nothing."""
        if at is None:
            return
        if len(self._kept) <= self._page:
            heapq.heappush(self._kept, at)
        else:
            heapq.heappushpop(self._kept, at)

    def mark(self, began: datetime) -> datetime | None:
        """For `next_cursor`: the newest instant received, so that nothing which the source shows late is lost, whatever clock it was stamped by.

        But where more than a page of rows lie in the overlap before it (an import gave them one instant), every sync from now on would list
        all of them again: then at least `LONGEST_LAG` before this sync began.
        """
        if not self._kept:
            return None
        newest = max(self._kept)
        is_crowded = len(self._kept) > self._page and self._kept[0] >= newest - self._overlap
        return max(newest, began - LONGEST_LAG) if is_crowded else newest


def latest(*instants: datetime | None) -> datetime | None:
    """The newest of the instants; None ones do not count, None when there is none."""
    return max((instant for instant in instants if instant is not None), default=None)


def without_repeats(
    rows: Iterable[T], *, key: Callable[[T], Hashable], at: Callable[[T], datetime | None]
) -> Iterator[T]:
    """Rows of one scan in time order, less those that come again unchanged at a page's edge.

    Only an equal row is dropped: the same key with other content is a newer version. Remembers the rows of one instant only.
    """
    edge: datetime | None = None
    seen: dict[Hashable, T] = {}
    for row in rows:
        instant = at(row)
        if instant != edge:
            edge, seen = instant, {}
        name = key(row)
        if name in seen and seen[name] == row:
            continue
        seen[name] = row
        yield row


def _midnight(start_date: str | None) -> datetime | None:
    if start_date is None:
        return None
    try:
        day = parse_date(start_date)
    except DataError:
        raise ConfigError("start_date: write it as YYYY-MM-DD.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
