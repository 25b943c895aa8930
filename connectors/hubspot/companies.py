"""Companies: all of them at first, read beside the deals; later those that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from connectors.hubspot import mapping, wire
from connectors.hubspot.api import OPTIONAL
from connectors.hubspot.reading import LIST_PAGE, SEARCH_PAGE
from connectors.hubspot.run import Run
from connectors.hubspot.scans import Walk
from connectors.sdk import Checkpoint, Company, Newest, Record, Warn, mapped, next_cursor, open_window

_WANTED = ("name", "domain", "country", "industry", "hs_lastmodifieddate")


class Companies:
    """One sync's companies."""

    def __init__(self, run: Run) -> None:
        self._run, self._sync = run, run.sync
        self._walk: Walk | None = None
        self._refused: Exception | None = None

    def begin(self) -> None:
        """In a first sync: let the reader of deals take pages of companies in between."""
        if not self._sync.cursor("companies"):
            self._walk = self._run.reader.beside(self._page)

    def read(self) -> Iterator[Record]:
        """All companies at first, later those that changed. Without the scope a warning, and deals keep their company ids."""
        cursor, began = self._sync.cursor("companies"), self._run.began.at
        newest = self._run.newest(SEARCH_PAGE)
        try:
            rows = self._all() if self._walk is not None else self._changed(cursor, began, newest)
            for record in mapped("companies", rows, company):
                if self._walk is not None and isinstance(record, Company):
                    newest.see(record.updated_at)
                yield record
        except OPTIONAL as error:
            self._refused = error
        if self._refused is not None:
            yield Warn(code="companies_not_read", message=f"companies are not read: {self._refused}")
            return
        yield Checkpoint(stream="companies", cursor=next_cursor(cursor, newest.mark(began), not_after=began))

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

    def _changed(self, cursor: Mapping[str, Any], began: datetime, newest: Newest) -> Iterator[dict[str, Any]]:
        since = open_window(cursor, overlap_minutes=self._run.settings.overlap_minutes).start or began
        found = dict(self._run.reader.changed(since, "companies"))
        for modified in found.values():
            newest.see(mapping.instant(modified))
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
