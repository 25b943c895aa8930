"""Rows by REST: a window of an object in order of (SystemModstamp, Id), or rows by their ids.

A scan goes on by itself where Salesforce lets it down: an expired locator is replaced by a query for what lies behind the last row, a query
that runs too long is asked for in two halves of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec

from connectors.salesforce import soql
from connectors.salesforce.api import MOST_URL, Api, Ask, Page, page_of
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.fields import Fields
from connectors.salesforce.mapping import stamp_of
from connectors.salesforce.rows import Row, rows_of_json
from connectors.sdk import VendorError, Window

#: An id in an address: 18 characters, two quotes and a comma, percent-encoded.
_ID_CHARS = 27
_MOST_IDS = 400
#: Portions of ids asked for before their rows are handed on: four composites of five queries.
_PORTIONS = 20
#: Rows that one id brings, roughly: a deal has four or five rows of history.
_ROWS_PER_ID = 5
#: Before Salesforce there was nothing.
_FIRST_DAY = datetime(1999, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
#: Refusals of a query that was too much to ask for at once.
TOO_MUCH = frozenset({"QUERY_TIMEOUT", "OPERATION_TOO_LARGE"})
_MOST_REPAIRS = 3


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan reads. `refresh` is asked for the fields anew when Salesforce refuses one of them (INVALID_FIELD)."""

    entity: str
    fields: Callable[[], Sequence[str]]
    types: Callable[[], dict[str, str]]
    refresh: Callable[[RefusedError], None]
    everything: bool = True
    conditions: tuple[str, ...] = ()

    def soql(self, *more: str) -> str:
        """The query for the whole window and more conditions."""
        return soql.select(self.fields(), self.entity, *self.conditions, *more, order="SystemModstamp, Id")


class Scan:
    """One scan. `is_long`: it took more than one answer, so its rows were not all read at one instant."""

    def __init__(self, api: Api, source: Source) -> None:
        self._api = api
        self._source = source
        self._last: tuple[datetime, str] | None = None
        self._repairs = 0
        self.is_long = False

    def ask(self, window: Window) -> Ask:
        """The first query, for a bundle; hand its answer to `pages`."""
        return Ask(self._source.soql(soql.inside(window)), self._source.everything)

    def pages(self, window: Window, first: Any = None) -> Iterator[list[Row]]:
        """Rows in order, page by page. `first`: the decoded answer (or refusal) to `ask`. Raises RefusedError."""
        try:
            yield from self._pages(window, first)
        except RefusedError as error:
            if error.code in TOO_MUCH:
                self.is_long = True
                for half in _halves(self._rest(window), self._api.server_now):
                    yield from self.pages(half)
            elif error.code == "INVALID_FIELD" and self._repairs < _MOST_REPAIRS:
                self._repairs += 1
                self._source.refresh(error)
                yield from self.pages(self._rest(window))
            else:
                raise

    def _pages(self, window: Window, first: Any) -> Iterator[list[Row]]:
        what = self._source.entity
        page = page_of(first, what) if first is not None else self._query(window)
        while True:
            rows = rows_of_json(page.records, self._source.types())
            fresh = [row for row in rows if self._is_behind(row)]
            if fresh:
                yield fresh
            if page.further is None:
                return
            self.is_long = True
            page = self._next(self._api.further_of(page), window)

    def _query(self, window: Window) -> Page:
        behind = "" if self._last is None else soql.after(*self._last)
        asked = self._source.soql(soql.inside(window), behind)
        return self._api.query(asked, what=self._source.entity, everything=self._source.everything)

    def _next(self, further: str, window: Window) -> Page:
        try:
            return self._api.more(further, what=self._source.entity)
        except RefusedError as error:
            if error.code != "INVALID_QUERY_LOCATOR":
                raise
            return self._query(window)

    def _is_behind(self, row: Row) -> bool:
        """Note the place of a row; False for one that came before (a page read again)."""
        stamp = stamp_of(row)
        if stamp is None or not isinstance(row.get("Id"), str):
            return True
        place = (stamp, row["Id"])
        if place == self._last:
            return False
        if self._last is None or place > self._last:
            self._last = place
        return True

    def _rest(self, window: Window) -> Window:
        return window if self._last is None else Window(self._last[0], window.end)


def _halves(window: Window, server_now: datetime | None) -> tuple[Window, Window]:
    end = window.end or (server_now or datetime(2100, 1, 1, tzinfo=UTC)) + timedelta(days=1)
    early, late = Window(window.start or _FIRST_DAY, end).halves(_SECOND)
    return early, Window(late.start, window.end)


def by_ids(
    api: Api, fields: Sequence[str], entity: str, field: str, ids: Sequence[str], *, types: dict[str, str], what: str
) -> Iterator[tuple[Sequence[str], list[Row]]]:
    """(ids, all rows whose `field` holds one of them), portion by portion; deleted rows too. Raises RefusedError."""
    room = MOST_URL - len(quote(soql.select(fields, entity, soql.among(field, ()))))
    size = min(_MOST_IDS, room // _ID_CHARS)
    if size < 1:
        raise VendorError(f"{what}: the list of fields is too long for one query.")
    if api.page_rows is not None:
        # Where pages are small, small portions: what a quota breaks off is then little.
        size = min(size, max(1, api.page_rows // _ROWS_PER_ID))
    portions = soql.portions(list(ids), size)
    while block := list(islice(portions, _PORTIONS)):
        asks = {
            f"part_{number}": Ask(soql.select(fields, entity, soql.among(field, portion)), everything=True)
            for number, portion in enumerate(block)
        }
        answers = api.gather(asks) if len(asks) > 1 else {}
        for name, portion in zip(asks, block, strict=True):
            try:
                yield portion, _whole(api, asks[name], answers.pop(name, None), types, what)
            except RefusedError as error:
                if error.code not in TOO_MUCH or len(portion) == 1:
                    raise
                middle = len(portion) // 2
                for half in (portion[:middle], portion[middle:]):
                    yield from by_ids(api, fields, entity, field, half, types=types, what=what)


def _whole(api: Api, ask: Ask, answer: Any, types: dict[str, str], what: str) -> list[Row]:
    """All rows of one query. A user has only some ten locators: one that was pushed out by others is replaced by asking anew."""
    for attempt in range(_MOST_REPAIRS):
        try:
            page = page_of(answer, what) if answer is not None else api.query(ask.soql, what=what, everything=True)
            return [row for one in api.pages(page, what=what) for row in rows_of_json(one.records, types)]
        except RefusedError as error:
            if error.code != "INVALID_QUERY_LOCATOR" or attempt == _MOST_REPAIRS - 1:
                raise
            answer = None
    return []


def columns_in_groups(fields: Fields, essential: Sequence[str], *, room: int) -> list[list[str]]:
    """The read fields in groups that each fit into an address of `room` characters; the first holds the essential ones, each the Id."""
    first = fields.only(essential)
    groups, length = [first], sum(map(_chars, first))
    for name in fields.read:
        if name in first:
            continue
        if length + _chars(name) > room:
            groups.append(["Id"])
            length = 0
        groups[-1].append(name)
        length += _chars(name)
    return groups


def _chars(name: str) -> int:
    return len(name) + len(quote(", "))
