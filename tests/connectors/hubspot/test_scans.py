"""Ranges of ids read side by side: all ids once, divided where one lags, noticed where a cursor lies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from connectors.hubspot import wire
from connectors.hubspot.scans import Ranges, Turns, UnorderedError

EVEN = list(range(1_000, 21_000, 10))
#: One in ten ids is low, the others lie close together at the top.
UNEVEN = [*range(1_000, 15_000, 70), *range(20_000, 25_000)]


def pages(ids: list[int], start_of: Callable[[int], int] = lambda after: after) -> Callable[[str | None], wire.Page]:
    def fetch(after: str | None) -> wire.Page:
        found = [key for key in ids if key >= start_of(int(after or 0))]
        more = {"next": {"after": str(found[49] + 1)}} if len(found) > 50 else None
        return wire.page(json.dumps({"results": [{"id": str(key)} for key in found[:50]], "paging": more}).encode())

    return fetch


def read(ranges: Ranges) -> tuple[list[int], Counter[int]]:
    """All ids, and how many pages each range took."""
    turns = Turns(ranges.scans, ranges.divide)
    seen: list[int] = []
    taken: Counter[int] = Counter()
    for walk in turns:
        _, items = turns.read(walk)
        taken[id(walk)] += 1
        seen += [int(msgspec.json.decode(item)["id"]) for item in items]
    ranges.check()
    return sorted(seen), taken


def test_even_ranges_are_read_once_and_not_divided() -> None:
    ranges = Ranges(pages(EVEN), EVEN[0], EVEN[-1], 4)
    seen, taken = read(ranges)
    assert seen == EVEN
    assert len(ranges.scans) == 4
    assert sum(taken.values()) <= len(EVEN) // 50 + 4


def test_a_range_that_lags_behind_is_divided_for_a_few_pages_more() -> None:
    ranges = Ranges(pages(UNEVEN), UNEVEN[0], UNEVEN[-1], 4)
    seen, taken = read(ranges)
    assert seen == UNEVEN
    assert len(ranges.scans) > 4
    assert max(taken.values()) < sum(taken.values()) / 2
    assert sum(taken.values()) <= len(UNEVEN) // 50 + 8


def test_a_range_that_begins_too_late_is_noticed() -> None:
    """A cursor that was never handed out leads past some ids."""
    ranges = Ranges(pages(EVEN, lambda after: after if after % 10 == 1 else after + 30), EVEN[0], EVEN[-1], 4)
    with pytest.raises(UnorderedError):
        read(ranges)
