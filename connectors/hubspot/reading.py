"""How deals with their history are read: whole, by ranges of ids where the cursor allows it, or by what changed.

Whole: pages of 50 with the history in them (ceil(N/50) calls and nothing else per deal). Sequential pages would wait N/50 times for the network, so
where the cursor proves to be the next id, several ranges are read at once; each must end exactly where the next one begins, or the
list is read again from there. Where the cursor is opaque and calls are slow, ids are listed (100 a page) while batches of 50 are read beside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from connectors.hubspot import wire
from connectors.hubspot.api import LONGEST_URL, OPTIONAL, Api, MissingScopesError
from connectors.hubspot.mapping import HISTORY
from connectors.hubspot.scans import Ranges, Scan, Turns, UnorderedError, Walk
from connectors.hubspot.wire import Lean
from connectors.sdk import BAD_ROW, CallPolicy, Sync, to_epoch_ms

T = TypeVar("T")

HISTORY_PAGE = 50
LIST_PAGE = 100
SEARCH_PAGE = 200
ASSOCIATIONS = 1_000
WORKERS = 8
#: Ranges read at once: each costs half a page more, so there are more of them only where a page takes longer than this.
RANGES, RANGES_WHEN_SLOW = 3, 5
_SLOW_S = 0.05
#: Lists that are read beside batches have a page for so many of them.
_BATCHES_A_PAGE = 4
#: Sequential pages that would wait longer than this altogether are worth half as many calls again.
_PATIENCE_S = 20.0


class Bad(msgspec.Struct):
    """A deal that could not be decoded: its undecoded JSON and why."""

    body: msgspec.Raw
    why: str

    @property
    def key(self) -> str | None:
        """Its id, where that can be read."""
        try:
            return wire.lean(self.body).key
        except msgspec.MsgspecError:
            return None


Found = wire.Read | Bad
#: Objects, and the company of each deal that was asked for; None: objects of a list that is read beside.
Work = tuple[list[msgspec.Raw], dict[str, str | None] | None]


class DealReader:
    """Reads deals for one sync. `wanted` are the properties to ask for."""

    def __init__(self, api: Api, sync: Sync, wanted: Sequence[str]) -> None:
        self._api, self._sync, self._wanted = api, sync, tuple(wanted)
        self._calls: CallPolicy = sync.calls
        #: Objects of the lists that `beside` named, as far as they were read beside the deals.
        self.aside: list[msgspec.Raw] = []
        self._walks: list[Walk] = []
        #: False once HubSpot refused to tell the companies of deals.
        self._sees_companies = True
        #: False once an object of a list had no readable id: what a sweep does not see must not be taken for gone.
        self.saw_all = True

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
        yield from self._decoded(first.results)
        if first.after is None:
            return
        if not archived and self._is_id(first):
            yield from self._by_ranges(query, first.after, RANGES if took <= _SLOW_S else RANGES_WHEN_SLOW)
        elif not archived and self._is_slow(took):
            yield from self._by_batches(archived, skip_until=_last_id(first))
        else:
            yield from self._onwards(query, first.after)

    @staticmethod
    def _is_id(page: wire.Page) -> bool:
        """Whether the cursor may be an id: HubSpot documents it as opaque, in practice it is the last id and one. Ranges check it again."""
        last_id = _last_id(page)
        return last_id is not None and page.after is not None and page.after.isdigit() and int(page.after) >= last_id

    def _is_slow(self, took: float) -> bool:
        """About how long the rest would take one page after the other, from what is held and the first page's time."""
        return took * self._sync.held.live_count("deals") / HISTORY_PAGE > _PATIENCE_S or took > _SLOW_S

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
        """A page of the deal list; without associations where the token may not see companies."""
        wish = {**query, "after": after} if after else dict(query)
        if not self._sees_companies:
            wish.pop("associations", None)
        try:
            return wire.page(self._api.list_deals(wish))
        except MissingScopesError as error:
            if "associations" not in wish or not error.is_about("companies"):
                raise
            self._sees_companies = False
            return self._page(query, after)

    def _onwards(self, query: Mapping[str, Any], after: str | None) -> Iterator[Found]:
        yield from self._decoded(Walk(lambda cursor: self._page(query, cursor), after).rest())

    def _by_ranges(self, query: Mapping[str, Any], after: str, count: int) -> Iterator[Found]:
        """Several scans over disjoint ranges of ids at once; falls back to one scan where a range does not fit."""
        start, top = int(after), self._highest_id()
        if top is None or top - start < count * HISTORY_PAGE:
            yield from self._onwards(query, after)
            return
        ranges = Ranges(lambda cursor: self._page(query, cursor), start, top, count)
        try:
            for walk, items in self._side_by_side(Turns([*ranges.scans, *self._walks], ranges.divide)):
                if isinstance(walk, Scan):
                    yield from self._decoded(items)
                else:
                    self.aside.extend(items)
            ranges.check()
        except UnorderedError:
            # The cursor only looked like an id. Nothing is lost: one scan from where the first page ended.
            yield from self._onwards(query, after)

    def _side_by_side(self, turns: Turns) -> Iterator[tuple[Walk, list[msgspec.Raw]]]:
        """Pages of all walks as they come, each walk one page ahead of what is handed out."""
        pages: Iterator[tuple[Walk, list[msgspec.Raw]]] = self._calls.map(
            turns.read, turns, workers=turns.count, ordered=False, look_ahead=2 * turns.count
        )
        return pages

    def _highest_id(self) -> int | None:
        """The greatest id that search knows; only to divide the work, so neither its lag nor its absence does harm."""
        body = {
            "limit": 1,
            "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}],
            "properties": ["hs_object_id"],
        }
        try:
            return _last_id(wire.page(self._api.search("deals", body)))
        except OPTIONAL:
            return None

    # --- by id ----------------------------------------------------------------------------------------------

    def rest(self, is_wanted: Callable[[Sequence[Lean]], Iterable[Lean]]) -> Iterator[Found]:
        """Those of all live deals that `is_wanted` picks from each page of the lean list; read in batches while the list goes on."""
        wanted = (row for page in chunks(self.listed(), LIST_PAGE) for row in is_wanted(page))
        yield from self._batches(((row.key, row.company) for row in wanted), archived=False)

    def _by_batches(self, archived: bool, skip_until: int | None = None) -> Iterator[Found]:
        """Ids and companies from a lean list, deals from batches read beside it."""
        lean = (row for row in self.listed(archived=archived) if skip_until is None or int(row.id) > skip_until)
        yield from self._batches(((row.key, row.company) for row in lean), archived)

    def listed(self, *, archived: bool = False) -> Iterator[Lean]:
        """Id, instant of the last change and company of every live or archived deal, ascending by id."""
        query = {
            "limit": min(self._sync.page_size or LIST_PAGE, LIST_PAGE),
            "properties": "hs_lastmodifieddate",
            "associations": "companies",
            "archived": "true" if archived else "false",
        }
        yield from self._lean(Walk(lambda cursor: self._page(query, cursor)).rest())

    def _lean(self, items: Iterable[msgspec.Raw]) -> Iterator[Lean]:
        for item in items:
            try:
                row = wire.lean(item)
                int(row.id)
            except (msgspec.MsgspecError, ValueError):
                self.saw_all = False
                continue
            yield row

    def by_id(self, ids: Iterable[str]) -> Iterator[Found]:
        """Live deals by id with history and company, 50 a call, several calls at once; ids that are gone are left out."""
        for group in chunks(ids, ASSOCIATIONS):
            companies = self.companies_of(group)
            yield from self._batches(((key, companies.get(key)) for key in group), archived=False, asked=set(group))

    def again(self, keys: Iterable[tuple[str, str | None]], *, archived: bool = False) -> Iterator[Found]:
        """Live (or archived) deals by id whose company is known."""
        return self._batches(keys, archived)

    def _batches(
        self, keys: Iterable[tuple[str, str | None]], archived: bool, asked: Collection[str] = ()
    ) -> Iterator[Found]:
        """Batches of `keys`. A survivor that comes for an id that was merged away is read by its own id, unless that is among `asked`."""
        size = min(self._sync.page_size or HISTORY_PAGE, HISTORY_PAGE)
        strays: list[str] = []
        work = self._with_walks(partial(self._batch, chunk, archived) for chunk in chunks(keys, size))
        for items, companies in self._calls.map(lambda job: job(), work, workers=WORKERS):
            if companies is None:
                self.aside.extend(items)
                continue
            for found in self._decoded(items):
                if isinstance(found, wire.Read):
                    if found.id not in companies:
                        strays.append(found.id)
                        continue
                    found.company_id = companies[found.id]
                yield found
        unasked = [key for key in dict.fromkeys(strays) if key not in asked]
        if unasked:
            yield from self.by_id(unasked)

    def _batch(self, keys: Sequence[tuple[str, str | None]], archived: bool) -> Work:
        inputs = [{"id": key} for key, _ in keys]
        body = {"inputs": inputs, "properties": list(self._wanted), "propertiesWithHistory": list(HISTORY)}
        return wire.page(self._api.batch_read("deals", body, archived=archived)).results, dict(keys)

    def _with_walks(self, batches: Iterable[Callable[[], Work]]) -> Iterator[Callable[[], Work]]:
        """Batches, and after every few of them a page of each list that is to be read beside."""
        for number, batch in enumerate(batches):
            yield batch
            if number % _BATCHES_A_PAGE == 0:
                yield from (walk.aside for walk in self._walks if not walk.is_done)

    def companies_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Deal id -> primary company id, 1,000 deals a call; none where the account or the token does not show them."""
        found: dict[str, str] = {}
        for start in range(0, len(ids) if self._sees_companies else 0, ASSOCIATIONS):
            try:
                answer = self._api.companies_of(ids[start : start + ASSOCIATIONS])
            except OPTIONAL:
                self._sees_companies = False
                break
            found |= wire.companies(answer)
        return found

    # --- what changed ---------------------------------------------------------------------------------------

    def changed(self, since: datetime, kind: str = "deals") -> Iterator[tuple[str, str | None]]:
        """(id, modified as text) of everything modified since, by id keyset: neither the 10,000 cap nor ties matter.

        Without an end: what changes meanwhile keeps its place in the order of ids, and the source's clock is told in whole seconds only.
        """
        last = 0
        name = "hs_lastmodifieddate"
        size = min(self._sync.page_size or SEARCH_PAGE, SEARCH_PAGE)
        window = {"propertyName": name, "operator": "GTE", "value": _ms(since)}
        while True:
            body = {
                "filterGroups": [
                    {"filters": [window, {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)}]}
                ],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": [name],
                "limit": size,
            }
            page = wire.page(self._api.search(kind, body))
            rows = list(self._lean(page.results))
            yield from ((row.key, row.modified) for row in rows)
            top = max((int(row.id) for row in rows), default=last)
            if top <= last or (len(page.results) < size and page.after is None):
                return
            last = top

    @staticmethod
    def _decoded(items: Iterable[msgspec.Raw]) -> Iterator[Found]:
        for item in items:
            try:
                yield wire.deal(item)
            except (msgspec.MsgspecError, *BAD_ROW) as error:
                yield Bad(item, str(error))


def _ms(at: datetime) -> str:
    return str(to_epoch_ms(at))


def _last_id(page: wire.Page) -> int | None:
    if not page.results:
        return None
    try:
        return int(wire.lean(page.results[-1]).id)
    except (msgspec.MsgspecError, ValueError):
        return None


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    chunk: list[T] = []
    for key in items:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
