"""Deals with their histories: everything, or what changed; then archived and merged ones, and what did not agree with itself."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.hubspot import mapping, wire
from connectors.hubspot.api import NotFoundError
from connectors.hubspot.companies import Companies
from connectors.hubspot.reading import HISTORY_PAGE, LIST_PAGE, SEARCH_PAGE, Bad, chunks
from connectors.hubspot.run import Run
from connectors.sdk import (
    BAD_ROW,
    Checkpoint,
    CurrencyRate,
    Deal,
    HistoryRead,
    Record,
    Reject,
    Seen,
    SweepEnd,
    Tombstone,
    Warn,
    next_cursor,
    open_window,
)

#: When more than this share of the deals changed, reading all of them takes no more calls than by id, and their companies come with them.
_CHANGED_SHARE = 0.9
_SWEEP_DAYS = 7.0
_BEGINNING = timedelta(days=36_500)


class Deals:
    """One sync's deals."""

    def __init__(self, run: Run) -> None:
        self._run, self._sync, self._reader, self._settings = run, run.sync, run.reader, run.settings
        self._companies = Companies(run)
        self._rates: dict[str, tuple[datetime, CurrencyRate]] = {}
        #: Deal id -> company of deals whose history ends elsewhere than they are: the two parts of one answer may differ in age.
        self._again: dict[str, str | None] = {}
        self._doubtful = 0
        self._newest = run.newest(SEARCH_PAGE)

    def read(self) -> Iterator[Record]:
        """Everything, or what changed since the cursor; then archived and merged deals, companies, and stages that only history knows."""
        cursor, began = self._sync.cursor("deals"), self._run.began.at
        self._companies.begin()
        start_date = self._settings.start_date
        window = open_window(cursor, overlap_minutes=self._settings.overlap_minutes, start_date=start_date)
        is_first = not cursor and start_date is None
        # A first read that a budget broke off goes on with what it did not come to.
        is_resumed = is_first and not self._sync.full and self._sync.held.live_count("deals") > 0
        if is_resumed:
            yield from self._rest()
        elif is_first:
            yield from self._whole()
        else:
            yield from self._changed(window.start or began - _BEGINNING)
        yield from self._repaired()
        yield from self._archived() if is_first and not is_resumed else self._newly_archived(unheld=is_resumed)
        yield from (rate for _, rate in self._rates.values())
        yield Checkpoint(stream="deals", cursor=next_cursor(cursor, self._newest.mark(began), not_after=began))
        yield from self._run.gone_stages()
        yield from self._companies.read()
        if self._doubtful:
            yield Warn(
                code="history_incomplete",
                message=f"{self._doubtful} deal(s) whose stage history may lack entries; ops.checks lists them.",
            )

    # --- which deals ------------------------------------------------------------------------------------------

    def _whole(self) -> Iterator[Record]:
        self._newest = self._run.newest(SEARCH_PAGE)
        total = self._sync.held.live_count("deals") or None
        for count, found in enumerate(self._reader.everything(), start=1):
            if count % HISTORY_PAGE == 0:
                self._sync.progress(count, total, "deals")
            self._newest.see((yield from self._deal(found)))
        yield SweepEnd(stream="deals", complete=self._reader.saw_all, missing_as="purged")

    def _rest(self) -> Iterator[Record]:
        """All live ids, and the deals that are not held as they are: what was read before is not paid for again."""
        seen: list[str] = []

        def not_held(page: Sequence[wire.Lean]) -> Iterable[wire.Lean]:
            self._see(row.modified for row in page)
            wanted = {*self._not_held({row.key: row.modified for row in page})}
            seen.extend(row.key for row in page if row.key not in wanted)
            return [row for row in page if row.key in wanted]

        for found in self._reader.rest(not_held):
            yield from self._deal(found)
        yield from (Seen(stream="deals", key=key) for key in seen)
        yield SweepEnd(stream="deals", complete=self._reader.saw_all, missing_as="purged")

    def _see(self, modified: Iterable[str | None]) -> None:
        for text in modified:
            self._newest.see(mapping.instant(text))

    def _changed(self, since: datetime) -> Iterator[Record]:
        """Deals modified since that are not held as they are; the overlap costs one search page and no more."""
        fresh: list[str] = []
        is_searched = True
        try:
            for chunk in map(dict, chunks(self._reader.changed(since), SEARCH_PAGE)):
                self._see(chunk.values())
                fresh += self._not_held(chunk)
        except NotFoundError as error:
            is_searched = False
            yield Warn(code="no_search", message=f"changes are found by listing all deals: {error}")
        if not is_searched or self._sync.sweep_is_due("deals", _SWEEP_DAYS):
            fresh = yield from self._sweep(set(fresh))
        most = max(HISTORY_PAGE, self._sync.held.live_count("deals") * _CHANGED_SHARE)
        if self._settings.start_date is None and len(fresh) > most:
            yield from self._whole()
            return
        for found in self._reader.by_id(fresh):
            yield from self._deal(found)

    def _not_held(self, modified: Mapping[str, str | None]) -> list[str]:
        """Ids to read; all of them in a full read, which with a start_date comes through here too."""
        if self._sync.full:
            return list(modified)
        held = self._sync.held.deals(list(modified))
        return [
            key
            for key, text in modified.items()
            if key not in held or mapping.differs(held[key].version, text) or held[key].presence != "present"
        ]

    def _unnoticed(self, modified: Mapping[str, str | None]) -> list[str]:
        """Like `_not_held`; with a start_date, deals from before it are none of ours."""
        if self._settings.start_date is not None:
            held = self._sync.held.versions("deals", list(modified))
            modified = {key: text for key, text in modified.items() if key in held}
        return self._not_held(modified)

    def _sweep(self, fresh: set[str]) -> Generator[Record, None, list[str]]:
        """All live ids: what vanished without a trace is marked, what changed unnoticed is read."""
        for chunk in map(dict, chunks(((row.key, row.modified) for row in self._reader.listed()), SEARCH_PAGE)):
            for key in chunk:
                yield Seen(stream="deals", key=key)
            fresh.update(self._unnoticed(chunk))
        yield SweepEnd(stream="deals", complete=self._reader.saw_all, missing_as="purged")
        return sorted(fresh, key=int)

    # --- one deal ---------------------------------------------------------------------------------------------

    def _deal(self, found: wire.Read | Bad, *, is_last_try: bool = False) -> Generator[Record, None, datetime | None]:
        """A deal with its history and what it tells of others; its time of change."""
        if isinstance(found, Bad):
            why = f"a deal that is not of HubSpot's shape: {found.why}"
            yield Reject(stream="deals", reason="undecodable", detail=why, key=found.key, raw=found.body)
            return None
        try:
            deal, history = mapping.deal(found, self._run.account), mapping.history(found, self._run.account)
            self._note_rate(found, deal)
        except BAD_ROW as error:
            yield Reject(
                stream="deals", reason="undecodable", detail=f"deal {found.id}: {error}", key=found.id, raw=found.raw
            )
            return None
        yield deal
        yield history
        yield from self._merged(found)
        for change in history.stage_changes:
            self._run.met(change.to_pipeline_id or deal.pipeline_id or "", change.to_stage_id)
        self._doubt(found, deal, history, is_last_try=is_last_try)
        return deal.updated_at

    def _doubt(self, found: wire.Read, deal: Deal, history: HistoryRead, *, is_last_try: bool) -> None:
        """A deal whose history ends elsewhere is read once more; what stays in doubt is counted."""
        if history.complete or found.archived:
            return
        if not is_last_try and not mapping.agrees(found, history.stage_changes):
            self._again[found.id] = deal.company_id
        else:
            self._doubtful += 1

    def _repaired(self) -> Iterator[Record]:
        again, self._again = self._again, {}
        for found in self._reader.again(again.items()):
            yield from self._deal(found, is_last_try=True)

    def _merged(self, found: wire.Read) -> Iterator[Record]:
        """HubSpot names the swallowed ids on the survivor; the loser itself is gone without a word."""
        for old in (found.properties.get("hs_merged_object_ids") or "").split(";"):
            if old.strip() and old.strip() != found.id:
                yield Tombstone(stream="deals", key=old.strip(), kind="merged", survivor=found.id)

    def _note_rate(self, found: wire.Read, deal: Deal) -> None:
        """The newest exchange rate of each currency, as HubSpot used it."""
        rate, home = mapping.decimal(found.properties.get("hs_exchange_rate")), self._run.account.currency
        if not rate or not deal.currency or not home or deal.currency == home or deal.updated_at is None:
            return
        known = self._rates.get(deal.currency)
        if known is None or known[0] < deal.updated_at:
            raw = {"hs_exchange_rate": str(rate)}
            entry = CurrencyRate(currency=deal.currency, base_currency=home, rate=rate, raw=raw)
            self._rates[deal.currency] = (deal.updated_at, entry)

    # --- archived ---------------------------------------------------------------------------------------------

    def _archived(self) -> Iterator[Record]:
        """The recycle bin with content and history. What says that it is live does not belong there, whoever lists it."""
        for found in self._reader.everything(archived=True):
            if isinstance(found, wire.Read) and found.archived is False:
                continue
            yield from self._deal(found)
            if isinstance(found, wire.Read):
                gone_at = mapping.instant(found.archived_at)
                yield Tombstone(stream="deals", key=found.id, kind="deleted", gone_at=gone_at)

    def _newly_archived(self, *, unheld: bool) -> Iterator[Record]:
        """What of the recycle bin is held as live: search no longer shows how such deals changed before they went, so they are read once more.

        `unheld`: also what is not held at all.
        """
        gone_at: dict[str, str | None] = {}
        for found in self._reader.again(self._noted(gone_at, unheld=unheld), archived=True):
            yield from self._deal(found)
        for key, text in gone_at.items():
            yield Tombstone(stream="deals", key=key, kind="deleted", gone_at=mapping.instant(text))

    def _noted(self, gone_at: dict[str, str | None], *, unheld: bool) -> Iterator[tuple[str, str | None]]:
        """Id and company of archived deals to read; when each went is noted down."""
        for chunk in chunks(self._reader.listed(archived=True), LIST_PAGE):
            held = self._sync.held.deals([row.key for row in chunk])
            for row in chunk:
                known = held.get(row.key)
                if row.archived is False:
                    continue
                if unheld if known is None else known.presence in ("present", "hidden", "purged", "absent"):
                    gone_at[row.key] = row.archivedAt
                    yield row.key, row.company
