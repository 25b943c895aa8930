"""Companies: all of them at first, read beside the deals; later those that changed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.hubspot import mapping, wire
from connectors.hubspot.api import OPTIONAL
from connectors.hubspot.reading import LIST_PAGE, SEARCH_PAGE
from connectors.hubspot.run import Run
from connectors.hubspot.scans import Walk
from connectors.sdk import Checkpoint, Company, Record, Warn, latest, mapped, next_cursor, open_window

_WANTED = ("name", "domain", "country", "industry", "hs_lastmodifieddate")


class Companies:
    """One sync's companies."""

    def __init__(self, run: Run) -> None:
        self._run, self._sync = run, run.sync
        self._walk: Walk | None = None
        self._refused: Exception | None = None
        self._is_many = False

    def begin(self) -> None:
        """In a first sync: let the reader of deals take pages of companies in between."""
        if not self._sync.cursor("companies"):
            self._walk = self._run.reader.beside(self._page)

    def read(self) -> Iterator[Record]:
        """All companies at first, later those that changed. Without the scope a warning, and deals keep their company ids."""
        cursor, began = self._sync.cursor("companies"), self._run.began.at
        newest: datetime | None = None
        latest_ones: list[datetime] = []
        try:
            rows = self._all() if self._walk is not None else self._changed(cursor, began)
            for record in mapped("companies", rows, company):
                if isinstance(record, Company) and record.updated_at is not None:
                    newest = latest(newest, record.updated_at)
                    heapq.heappush(latest_ones, record.updated_at)
                    if len(latest_ones) > SEARCH_PAGE + 1:
                        heapq.heappop(latest_ones)
                yield record
        except OPTIONAL as error:
            self._refused = error
        if self._refused is not None:
            yield Warn(code="companies_not_read", message=f"companies are not read: {self._refused}")
            return
        if newest is not None and len(latest_ones) > SEARCH_PAGE:
            # They were read just now; the next sync would list them all again.
            overlap = timedelta(minutes=self._run.settings.overlap_minutes)
            self._is_many = self._is_many or latest_ones[0] >= newest - overlap
        mark = self._run.mark(newest, is_many=self._is_many)
        yield Checkpoint(stream="companies", cursor=next_cursor(cursor, mark, not_after=began))

    def _all(self) -> Iterator[dict[str, Any]]:
        """What was read beside the deals, and the rest."""
        assert self._walk is not None
        aside, self._run.reader.aside = self._run.reader.aside, []
        yield from map(msgspec.json.decode, aside)
        yield from map(msgspec.json.decode, self._walk.rest())

    def _page(self, after: str | None) -> wire.Page:
        query = {"limit": min(self._sync.page_size or LIST_PAGE, LIST_PAGE), "properties": ",".join(_WANTED)}
        try:
            return wire.page(self._run.api.list_companies(query | ({"after": after} if after else {})))
        except OPTIONAL as error:  # said later: it must not end the reading of deals
            self._refused = error
            return wire.Page()

    def _changed(self, cursor: Mapping[str, Any], began: datetime) -> Iterator[dict[str, Any]]:
        since = open_window(cursor, overlap_minutes=self._run.settings.overlap_minutes).start or began
        found = dict(self._run.reader.changed(since, "companies"))
        self._is_many = len(found) > SEARCH_PAGE
        held = self._sync.held.versions("companies", list(found))
        keys = [key for key, modified in found.items() if mapping.differs(held.get(key, ""), modified)]
        for start in range(0, len(keys), LIST_PAGE):
            body = {"inputs": [{"id": key} for key in keys[start : start + LIST_PAGE]], "properties": list(_WANTED)}
            page = wire.page(self._run.api.batch_read("companies", body))
            yield from map(msgspec.json.decode, page.results)


def company(item: Mapping[str, Any]) -> Company:
    """A company of a list or a batch read."""
    found = {name: wire.text(value) for name, value in (item.get("properties") or {}).items()}
    return Company(
        company_id=str(item["id"]),
        name=found.get("name"),
        domain=found.get("domain"),
        country=found.get("country"),
        industry=found.get("industry"),
        updated_at=mapping.instant(found.get("hs_lastmodifieddate") or item.get("updatedAt")),
        raw=dict(item),
    )
