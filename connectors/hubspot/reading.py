"""How deals with their history are read: whole, by ranges of ids where the cursor allows it, or by what changed.

Whole: pages of 50 with the history in them (ceil(N/50) calls and nothing else per deal). Sequential pages would wait N/50 times for the network, so
where the cursor proves to be the next id, several ranges are read at once; each must end exactly where the next one begins, or the
list is read again from there. Where the cursor is opaque and calls are slow, ids are listed (100 a page) while batches of 50 are read beside.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from connectors.hubspot import wire
from connectors.hubspot.api import LONGEST_URL, Api
from connectors.hubspot.mapping import HISTORY
from connectors.sdk import CallPolicy, Sync, VendorError, to_epoch_ms

T = TypeVar("T")

HISTORY_PAGE = 50
LIST_PAGE = 100
SEARCH_PAGE = 200
ASSOCIATIONS = 1_000
WORKERS = 8
#: Ranges read at once: each costs at most one page more, and three already hide the latency.
RANGES = 3
#: Sequential pages that would wait longer than this altogether are worth half as many calls again.
_PATIENCE_S = 20.0


class Bad(msgspec.Struct):
    """A deal that could not be decoded: its undecoded JSON and why."""

    body: msgspec.Raw
    why: str


Found = wire.Read | Bad


class DealReader:
    """Reads deals for one sync. `wanted` are the properties to ask for."""

    def __init__(self, api: Api, sync: Sync, wanted: Sequence[str]) -> None:
        self._api, self._sync, self._wanted = api, sync, tuple(wanted)
        self._calls: CallPolicy = sync.calls
        #: Objects of the lists that `beside` named, as far as they were read beside the deals.
        self.aside: list[msgspec.Raw] = []
        self._walks: list[Walk] = []

    def beside(self, fetch: Callable[[str | None], wire.Page]) -> Walk:
        """A list to be read while deals are: its pages wait for the network at the same time. Rest and results: `walk.rest`, `aside`."""
        walk = Walk(fetch)
        self._walks.append(walk)
        return walk

    # --- whole ----------------------------------------------------------------------------------------------

    def everything(self, *, archived: bool = False) -> Iterator[Found]:
        """Every live (or archived) deal with its history, in no particular order."""
        query = self._list_query(archived)
        if query is None:
            yield from self._by_batches(archived)
            return
        began = self._sync.clock.monotonic()
        first = self._page(query, None)
        took = self._sync.clock.monotonic() - began
        yield from self._decoded(first)
        if first.after is None:
            return
        last_id = _last_id(first)
        if last_id is None or first.after != str(last_id + 1):
            if self._is_slow(took) and not archived:
                yield from self._by_batches(archived, skip_until=last_id)
            else:
                yield from self._onwards(query, first.after)
            return
        yield from self._by_ranges(query, last_id + 1, archived)

    def _is_slow(self, took: float) -> bool:
        """About how long the rest would take one page after the other, from what is held and the first page's time."""
        return took * self._sync.held.live_count("deals") / HISTORY_PAGE > _PATIENCE_S or took > 0.05

    def _list_query(self, archived: bool) -> dict[str, Any] | None:
        """None when the names of the wanted properties would not fit into an address."""
        query = {
            "limit": min(self._sync.page_size or HISTORY_PAGE, HISTORY_PAGE),
            "properties": ",".join(self._wanted),
            "propertiesWithHistory": ",".join(HISTORY),
            "associations": "companies",
            "archived": "true" if archived else "false",
        }
        return query if sum(len(str(value)) for value in query.values()) * 1.2 < LONGEST_URL else None

    def _page(self, query: Mapping[str, Any], after: str | None) -> wire.Page:
        return wire.page(self._api.list_deals({**query, "after": after} if after else query))

    def _onwards(self, query: Mapping[str, Any], after: str | None) -> Iterator[Found]:
        seen: set[str] = set()
        while after is not None:
            if after in seen:
                raise VendorError("deals.list: HubSpot repeats a page cursor; stopped to avoid reading for ever.")
            seen.add(after)
            page = self._page(query, after)
            yield from self._decoded(page)
            after = page.after

    def _by_ranges(self, query: Mapping[str, Any], start: int, archived: bool) -> Iterator[Found]:
        """Several scans over disjoint ranges of ids at once, in order; falls back to one scan where a range does not fit."""
        top = None if archived else self._highest_id()
        if top is None or top - start < RANGES * HISTORY_PAGE:
            yield from self._onwards(query, str(start))
            return
        width = -(-(top - start) // RANGES)
        bounds = [start + number * width for number in range(RANGES)]
        ends: list[int | None] = [*bounds[1:], None]
        scans = [
            _Scan(lambda after: self._page(query, after), low, high) for low, high in zip(bounds, ends, strict=True)
        ]
        try:
            yield from self._side_by_side(scans)
        except _UnorderedError:
            # The cursor only looked like an id. Nothing is lost: one scan from where the first page ended.
            yield from self._onwards(query, str(start))

    def _side_by_side(self, scans: Sequence[_Scan]) -> Iterator[Found]:
        """All scans at once, each one page ahead of what is handed out. Raises _UnorderedError when one is not where its cursor said."""
        turns = _Turns([*scans, *self._walks])
        for walk, items in self._calls.map(
            turns.read, turns, workers=turns.count, ordered=False, look_ahead=2 * turns.count
        ):
            if isinstance(walk, _Scan):
                yield from self._decoded_items(items)
            else:
                self.aside.extend(items)
        self._walks.clear()
        for left, right in itertools.pairwise(scans):
            if left.overshoot is not None and left.overshoot != right.first:
                raise _UnorderedError

    def _highest_id(self) -> int | None:
        """The greatest id that search knows; only to divide the work, so its lag does no harm."""
        body = {
            "limit": 1,
            "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}],
            "properties": ["hs_object_id"],
        }
        return _last_id(wire.page(self._api.search("deals", body)))

    # --- by id ----------------------------------------------------------------------------------------------

    def _by_batches(self, archived: bool, skip_until: int | None = None) -> Iterator[Found]:
        """Ids and companies from a lean list, deals from batches read beside it."""
        lean = (row for row in self.listed(archived=archived) if skip_until is None or int(row.id) > skip_until)
        yield from self._batches(((row.id, row.company) for row in lean), archived)

    def listed(self, *, archived: bool = False) -> Iterator[Lean]:
        """Id, instant of the last change and company of every live or archived deal, ascending by id."""
        query = {
            "limit": min(self._sync.page_size or LIST_PAGE, LIST_PAGE),
            "properties": "hs_lastmodifieddate",
            "associations": "companies",
            "archived": "true" if archived else "false",
        }
        after: str | None = None
        seen: set[str] = set()
        while True:
            page = self._page(query, after)
            for item in page.results:
                yield msgspec.json.decode(item, type=Lean)
            after = page.after
            if after is None:
                return
            if after in seen:
                raise VendorError("deals.list: HubSpot repeats a page cursor; stopped to avoid reading for ever.")
            seen.add(after)

    def by_id(self, ids: Iterable[str]) -> Iterator[Found]:
        """Live deals by id with history and company, 50 a call, several calls at once; ids that are gone are left out."""
        for group in _chunks(ids, ASSOCIATIONS):
            companies = self.companies_of(group)
            yield from self._batches(((key, companies.get(key)) for key in group), archived=False)

    def _batches(self, keys: Iterable[tuple[str, str | None]], archived: bool) -> Iterator[Found]:
        size = min(self._sync.page_size or HISTORY_PAGE, HISTORY_PAGE)
        for page, companies in self._calls.map(
            lambda chunk: self._batch(chunk, archived), _chunks(keys, size), workers=WORKERS
        ):
            for found in self._decoded_items(page.results):
                if isinstance(found, wire.Read):
                    found.company_id = companies.get(found.id)
                yield found

    def _batch(self, keys: Sequence[tuple[str, str | None]], archived: bool) -> tuple[wire.Page, dict[str, str | None]]:
        inputs = [{"id": key} for key, _ in keys]
        body = {"inputs": inputs, "properties": list(self._wanted), "propertiesWithHistory": list(HISTORY)}
        return wire.page(self._api.batch_read("deals", body, archived=archived)), dict(keys)

    def companies_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Deal id -> primary company id, 1,000 deals a call."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), ASSOCIATIONS):
            answer = msgspec.json.decode(self._api.companies_of(ids[start : start + ASSOCIATIONS]), type=_Associations)
            for result in answer.results:
                labelled = [
                    to for to in result.to if any(kind.get("label") == "Primary" for kind in to.associationTypes)
                ]
                chosen = (labelled or result.to)[:1]
                if chosen:
                    found[str(result.from_.id)] = str(chosen[0].toObjectId)
        return found

    # --- what changed ---------------------------------------------------------------------------------------

    def changed(self, since: datetime, until: datetime, kind: str = "deals") -> Iterator[tuple[str, str | None]]:
        """(id, modified as text) of everything modified in [since, until], by id keyset: neither the 10,000 cap nor ties matter."""
        last = 0
        name = "hs_lastmodifieddate"
        size = min(self._sync.page_size or SEARCH_PAGE, SEARCH_PAGE)
        while True:
            filters = [
                {
                    "propertyName": name,
                    "operator": "BETWEEN",
                    "value": str(to_epoch_ms(since)),
                    "highValue": str(to_epoch_ms(until)),
                },
                {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
            ]
            body = {
                "filterGroups": [{"filters": filters}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": [name],
                "limit": size,
            }
            page = wire.page(self._api.search(kind, body))
            rows = [msgspec.json.decode(item, type=Lean) for item in page.results]
            for row in rows:
                yield row.id, row.properties.get(name)
            top = max((int(row.id) for row in rows), default=last)
            if top <= last or (len(rows) < size and page.after is None):
                return
            last = top

    def _decoded(self, page: wire.Page) -> Iterator[Found]:
        yield from self._decoded_items(page.results)

    def _decoded_items(self, items: Sequence[msgspec.Raw]) -> Iterator[Found]:
        for item in items:
            try:
                yield wire.deal(item)
            except msgspec.MsgspecError as error:
                yield Bad(item, str(error))


class _UnorderedError(Exception):
    """A range of ids did not begin or end where its cursor said."""


class Walk:
    """A list read page by page along its cursor."""

    def __init__(self, fetch: Callable[[str | None], wire.Page]) -> None:
        self._fetch = fetch
        self.after: str | None = None
        self.is_done = False
        self._seen: set[str] = set()

    def step(self) -> list[msgspec.Raw]:
        """The objects of the next page."""
        page = self._fetch(self.after)
        if page.after is not None and page.after in self._seen:
            raise VendorError("HubSpot repeats a page cursor; stopped to avoid reading for ever.")
        self._seen.add(page.after or "")
        self.after, self.is_done = page.after, page.after is None
        return page.results

    def rest(self) -> Iterator[msgspec.Raw]:
        """All objects that are not read yet."""
        while not self.is_done:
            yield from self.step()


class _Scan(Walk):
    """One range of ids: from `low` until an id of `high` or above comes (None: until the end).

    `first` is the range's first id, `overshoot` the first id beyond its end, where a page showed one: the next range must begin with it.
    """

    def __init__(self, fetch: Callable[[str | None], wire.Page], low: int, high: int | None) -> None:
        super().__init__(fetch)
        self.after, self.high = str(low), high
        self.first: int | None = None
        self.overshoot: int | None = None
        self._last = low - 1

    def step(self) -> list[msgspec.Raw]:
        """What the next page holds of this range. Raises _UnorderedError when ids do not rise from where the cursor said."""
        page = self._fetch(self.after)
        ids = [int(msgspec.json.decode(item, type=_Id).id) for item in page.results]
        if any(later <= earlier for earlier, later in itertools.pairwise([self._last, *ids])):
            raise _UnorderedError
        if self.first is None and ids:
            self.first = ids[0]
        self.overshoot = next((key for key in ids if self.high is not None and key >= self.high), None)
        self._last = ids[-1] if ids else self._last
        self.is_done = page.after is None or self.overshoot is not None
        if page.after is not None:
            if not page.after.isdigit() or int(page.after) <= self._last:
                raise _UnorderedError
            self.after = page.after
            self.is_done = self.is_done or (self.high is not None and int(page.after) >= self.high)
        return [item for item, key in zip(page.results, ids, strict=True) if self.high is None or key < self.high]


class _Turns:
    """Hands out each walk again as soon as its last page is in; iterated by the consumer, `read` runs on the workers."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.count = len(walks)
        self._idle = list(walks)
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
        is_read = False
        try:
            items = walk.step()
            is_read = True
        finally:
            with self._changed:
                self._busy -= 1
                self._failed = self._failed or not is_read
                if is_read and not walk.is_done:
                    self._idle.append(walk)
                self._changed.notify_all()
        return walk, items


class _Id(msgspec.Struct):
    id: str


class Lean(msgspec.Struct):
    """A deal or company of a list, little more than its id."""

    id: str
    properties: dict[str, str | None] = {}
    associations: dict[str, wire.Links] = {}
    archivedAt: str | None = None  # noqa: N815

    @property
    def modified(self) -> str | None:
        """When it last changed, as HubSpot writes it."""
        return self.properties.get("hs_lastmodifieddate")

    @property
    def company(self) -> str | None:
        """Its primary company."""
        return wire.primary_company(self.associations)


class _To(msgspec.Struct):
    toObjectId: int | str  # noqa: N815
    associationTypes: list[dict[str, Any]] = []  # noqa: N815


class _FromTo(msgspec.Struct, rename={"from_": "from"}):
    from_: wire.Link
    to: list[_To] = []


class _Associations(msgspec.Struct):
    results: list[_FromTo] = []


def _last_id(page: wire.Page) -> int | None:
    if not page.results:
        return None
    key = msgspec.json.decode(page.results[-1], type=_Id).id
    return int(key) if key.isdigit() else None


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    for key in items:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
