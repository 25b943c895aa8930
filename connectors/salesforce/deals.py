"""Deals and their histories: page by page in order of change, or as two Bulk jobs when everything is read and that is much.

A deal whose version is not what is held gets its whole history read anew, so a history is always complete as of its deal. History never falls
behind: the cursor moves over a deal only after the deal's history was yielded.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from connectors.salesforce import history, mapping, soql
from connectors.salesforce.bulk import Ahead, Chunk, JobEnd, chunks
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.rows import Row, raw_of, rows_of_csv, texts_of_csv
from connectors.salesforce.run import BULK_FROM, Run
from connectors.salesforce.scan import Scan, by_ids
from connectors.salesforce.shelf import Shelf
from connectors.salesforce.state import BulkRead
from connectors.sdk import (
    BAD_ROW,
    Checkpoint,
    DataError,
    Deal,
    HeldDeal,
    HistoryRead,
    QuotaError,
    Record,
    Reject,
    SweepEnd,
    Tombstone,
    VendorError,
    Warn,
    Window,
    latest,
    parse_instant,
)

#: Histories are asked for this many deals at a time, or after this many pages.
_FLUSH_DEALS = 2_000
_FLUSH_PAGES = 8
_SMALL_PAGE = 200
_MOST_RESTARTS = 2
#: Held deals without a history that one sync asks for again.
_MOST_REPAIRED = 20_000


class _Stub(NamedTuple):
    """What the reading of a history needs of its deal; lies on the shelf beside the history's rows, behind a mark."""

    deal_id: str
    pipeline_id: str
    stage_id: str | None
    created_at: datetime | None
    stage_entered_at: datetime | None
    is_deleted: bool


_STUB = b"!"
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Stub).decode


class Deals:
    """Reads deals and histories of one sync, and counts what that changes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._held = run.sync.held
        self._pending: dict[str, Deal] = {}
        self._pages = 0
        self._newest: datetime | None = None
        #: Ids yielded in this sync, kept only where a sweep of the same sync may come to them.
        self.seen: set[str] = set()
        #: How many live deals there are more (less) than were held, and how many held ones were found deleted.
        self.gained = 0
        self.deleted = 0
        self.live = 0
        self.rejected = 0
        self.history_count = 0
        self._history_end: JobEnd | None = None
        self._ahead: Ahead | None = None

    # --- the whole -------------------------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Everything since the cursor, then the cursor."""
        run = self.run
        if run.state.is_whole:
            run.state.begin_whole(server_began=run.api.server_began)
            if self.feeds_sweep:
                yield SweepEnd(stream="deals", complete=False)
        if run.read is not None:
            try:
                yield from self._in_bulk(run.read)
            finally:
                if self._ahead is not None:
                    self._ahead.close()
        else:
            yield from self._in_pages()
        if run.state.is_whole:
            # The end of the sweep and of the whole read must be stored together: a sync cut in between would go on with a part of the
            # window and end a new, nearly empty sweep, to which all other deals were missing.
            run.state.end_whole()
            if self.feeds_sweep:
                yield SweepEnd(stream="deals", complete=True, missing_as="purged")
            yield Checkpoint(stream="deals", cursor=run.state.cursor())

    @property
    def feeds_sweep(self) -> bool:
        """A whole read sees every live deal, unless `start_date` leaves old ones out."""
        return self.run.settings.start_date is None

    def _in_pages(self) -> Iterator[Record]:
        run = self.run
        scan, first = run.scans["deals"], run.survey.pages.pop("deals", None)
        total = first.get("totalSize", 0) if isinstance(first, dict) else 0
        if total >= BULK_FROM:
            text = soql.select(run.fields.read, "Opportunity", soql.inside(run.window))
            job = run.start(text, "deals")
            if job is not None:
                run.jobs.add("deals", job)
                yield from self._window_in_bulk()
                return
        done = 0
        for page in scan.pages(run.window, first):
            rows = self.completed(page)
            yield from self.take(rows)
            done += len(rows)
            run.sync.progress(done, total or None, "deals")
            self._pages += 1
            # Small pages mean many calls: a quota that ends among them must find the cursor close behind.
            has_small_pages = (run.api.page_rows or _SMALL_PAGE) < _SMALL_PAGE
            if has_small_pages or len(self._pending) >= _FLUSH_DEALS or self._pages >= _FLUSH_PAGES:
                yield from self._flushed(scan)
        yield from self._flushed(scan)

    def _flushed(self, scan: Scan) -> Iterator[Record]:
        run = self.run
        yield from self.flush()
        run.state.reached(self._newest, not_after=run.api.server_began if scan.is_long else None)
        yield Checkpoint(stream="deals", cursor=run.state.cursor())

    def completed(self, rows: list[Row]) -> list[Row]:
        """Deal rows with the columns that did not fit into the address."""
        run = self.run
        if not run.is_wide:
            return rows
        found = {row["Id"]: row for row in rows}
        for columns in run.groups[1:]:
            got = by_ids(
                run.api, columns, "Opportunity", "Id", list(found), types=run.fields.types, what="Opportunity.columns"
            )
            for _, more in got:
                for row in more:
                    found[row["Id"]] |= row
        order = run.fields.read
        # A row purged in between lacks columns: it is left out, and missed by the next count.
        whole = len({name for columns in run.groups for name in columns})
        return [{name: row.get(name) for name in order} for row in found.values() if len(row) >= whole]

    def backfill(self) -> Iterator[Record]:
        """Deals that hold a value in a field that is new to us: they are read again, because their stamps did not move for it."""
        run = self.run
        names = run.state.values.pop("backfill", None)
        condition, count = run.fields.has_value(names or ()), run.survey.counts.get("backfill")
        if not names:
            return
        unasked = [field.name for field in run.fields.all if field.name in names and not field.is_filterable]
        if unasked or (count or 0) >= BULK_FROM:
            told = f"{count:,} deals" if count else "deals"
            message = f"new fields: {', '.join(names)}. Their values in {told} that do not change are read with `sync --full`."
            yield Warn(code="new_fields", message=message)
        if not condition or not count or count >= BULK_FROM:
            return
        source = msgspec.structs.replace(run.deals(), everything=False, conditions=(condition,))
        try:
            for rows in Scan(run.api, source).pages(Window()):
                yield from self.take(self.completed([row for row in rows if row["Id"] not in self.seen]))
                yield from self.flush()
        except RefusedError as error:
            # The next sync reads what has changed all the same; only these values wait.
            yield Warn(
                code="new_fields", message=f"new fields: {', '.join(names)}. Their values cannot be read yet: {error}"
            )

    # --- rows to records -------------------------------------------------------------------------------------------------------------

    def take(self, rows: Sequence[Row], shelf: Shelf | None = None) -> Iterator[Record]:
        """Records of deal rows. Their histories are asked for by `flush`, or lie on the shelf."""
        run = self.run
        held = self._held.deals([row["Id"] for row in rows if isinstance(row.get("Id"), str)])
        for row in rows:
            try:
                deal = mapping.deal(row, run.context)
            except BAD_ROW as error:
                yield self._rejected(row, error)
                continue
            before = held.get(deal.deal_id)
            self._newest = latest(self._newest, deal.updated_at)
            self._count(deal, before)
            if deal.presence == "deleted":
                yield from self._gone(deal, before)
            else:
                yield deal
                self._note(deal)
            if shelf is not None:
                shelf.add(deal.deal_id, _stub_of(deal))
            elif self._wants_history(deal, before):
                self._pending[deal.deal_id] = deal

    def _gone(self, deal: Deal, before: HeldDeal | None) -> Iterator[Record]:
        """A deal in the bin: what is held of it stays, because Salesforce may show some of its fields empty now."""
        if before is None:
            yield deal
        yield Tombstone(stream="deals", key=deal.deal_id, kind="deleted", gone_at=deal.updated_at)

    def _count(self, deal: Deal, before: HeldDeal | None) -> None:
        if deal.deal_id in self.seen:
            return
        was_live = before is not None and before.presence == "present"
        is_live = deal.presence == "present"
        self.live += is_live
        self.gained += is_live - was_live
        self.deleted += was_live and not is_live
        if not (self.run.state.is_whole and self.feeds_sweep):
            self.seen.add(deal.deal_id)

    def _note(self, deal: Deal) -> None:
        run = self.run
        if deal.stage_id is not None:
            run.stages.use(deal.pipeline_id or mapping.DEFAULT_PIPELINE, deal.stage_id)
        if deal.owner_id is not None:
            run.named_owners.add(deal.owner_id)
        if deal.company_id is not None and not run.state.is_whole:
            run.named_companies.add(deal.company_id)

    def _wants_history(self, deal: Deal, before: HeldDeal | None) -> bool:
        if before is None or self.run.sync.full:
            return True
        if deal.presence == "deleted":
            return not before.has_history
        if not before.history_complete or before.stage_id != deal.stage_id or not before.version:
            return True
        fresh_from = self.run.state.fresh_from
        is_same = deal.updated_at is not None and parse_instant(before.version) == deal.updated_at
        return not is_same or fresh_from is None or deal.updated_at is None or deal.updated_at >= fresh_from

    def _rejected(self, row: Row, error: Exception) -> Reject:
        self.rejected += 1
        key = row.get("Id") if isinstance(row.get("Id"), str) else None
        why = str(error) if isinstance(error, DataError) else type(error).__name__
        detail = f"Opportunity: {why}. The deal is left out until Salesforce gives it in a readable form."
        return Reject(stream="deals", reason="bad_value", detail=detail, key=key, raw=raw_of(row))

    # --- histories by id -------------------------------------------------------------------------------------------------------------

    def flush(self) -> Iterator[Record]:
        """Histories of the deals taken since the last flush."""
        pending, self._pending, self._pages = self._pending, {}, 0
        if not pending:
            return
        left = dict(pending)
        for restart in range(_MOST_RESTARTS + 1):
            try:
                for ids, rows in self._history_rows(list(left)):
                    lines, bad = history.lines_of(bytes(raw_of(row)) for row in rows)
                    yield from self._readings({key: _stub(pending[key]) for key in ids}, lines, bad)
                    for key in ids:
                        del left[key]
                return
            except RefusedError as error:
                if error.code != "INVALID_FIELD" or restart == _MOST_RESTARTS:
                    raise
                self.run.refresh("OpportunityHistory", error)

    def _history_rows(self, ids: Sequence[str]) -> Iterator[tuple[Sequence[str], list[Row]]]:
        run = self.run
        types = run.survey.fields["OpportunityHistory"].types
        yield from by_ids(
            run.api,
            run.history_columns,
            "OpportunityHistory",
            "OpportunityId",
            ids,
            types=types,
            what="OpportunityHistory",
        )

    def without_history(self) -> Iterator[Record]:
        """Histories of live deals that are held without a complete one: what an interrupted or refused reading has left."""
        keys = list(self._held.live_deals_without_history(_MOST_REPAIRED))
        yield from self._by_stubs({key: _held_stub(key, held) for key, held in self._held.deals(keys).items()})

    def _by_stubs(self, stubs: dict[str, _Stub]) -> Iterator[Record]:
        for ids, rows in self._history_rows(list(stubs)):
            lines, bad = history.lines_of(bytes(raw_of(row)) for row in rows)
            yield from self._readings({key: stubs[key] for key in ids}, lines, bad)

    def _readings(
        self, stubs: dict[str, _Stub], lines: dict[str, list[Any]], bad: Iterable[Reject]
    ) -> Iterator[Record]:
        """One reading per deal. `stubs`: the deals; rows of other deals are left alone."""
        doubtful = set()
        for reject in bad:
            doubtful.add(reject.key)
            yield reject
        for deal_id, stub in stubs.items():
            rows = lines.get(deal_id)
            if rows is None:
                entry = None if stub.is_deleted else history.entry_only(_deal_of(stub))
                if entry is not None:
                    yield entry
                continue
            try:
                note = "rows of its history could not be read" if deal_id in doubtful else None
                reading = history.reading(deal_id, rows, self.run.context, note=note)
            except DataError as error:
                yield from history.bad_reading(deal_id, error)
                continue
            self.history_count += 1
            self._use(stub.pipeline_id, reading)
            yield reading

    def _use(self, pipeline_id: str, reading: HistoryRead) -> None:
        for change in reading.stage_changes:
            self.run.stages.use(pipeline_id, change.to_stage_id)
            if change.changed_by_id is not None:
                self.run.named_owners.add(change.changed_by_id)

    # --- bulk ------------------------------------------------------------------------------------------------------------------------

    def _window_in_bulk(self) -> Iterator[Record]:
        """A window with very many changes. Its job is not gone on with by a later sync: the window is simply read again."""
        run = self.run
        end = self._ended("deals")
        if not end.is_complete:
            run.warnings.append(_failed("deals", end))
            run.scans["deals"] = Scan(run.api, run.deals())
            for rows in run.scans["deals"].pages(run.window):
                yield from self.take(self.completed(rows))
                yield from self.flush()
        else:
            for _, rows in self._chunk_rows(end, "Opportunity", len(run.fields.read)):
                yield from self.take(rows)
                if len(self._pending) >= _FLUSH_DEALS:
                    yield from self.flush()
        yield from self.flush()
        run.state.reached(self._newest, not_after=run.api.server_began)
        yield Checkpoint(stream="deals", cursor=run.state.cursor())

    def _in_bulk(self, read: BulkRead) -> Iterator[Record]:
        """Everything, as two jobs. Each chunk of deals is a checkpoint; the histories are one, because their rows come in no order."""
        run = self.run
        yield Checkpoint(stream="deals", cursor=run.state.cursor(read))
        shelf = Shelf(6 * max(run.survey.counts.get("deals", 0), self._held.live_count("deals")))
        self._newest = read.newest
        if read.deals is not None:
            end = self._ended("deals")
            if not end.is_complete:
                yield from self._instead(end)
                return
            for chunk, rows in self._chunk_rows(end, "Opportunity", len(run.fields.read)):
                self._fetch_histories_ahead()
                yield from self.take(rows, shelf if read.history is not None else None)
                if chunk is not None or len(self._pending) >= _FLUSH_DEALS:
                    yield from self.flush()
                if chunk is None:
                    continue
                job = None if chunk.after is None else msgspec.structs.replace(end.job, locator=chunk.after)
                read.deals, read.newest = job, self._newest
                yield Checkpoint(stream="deals", cursor=run.state.cursor(read))
        if read.history is not None:
            yield from self._histories_in_bulk(shelf)
        run.state.reached(self._newest, not_after=read.began)
        yield Checkpoint(stream="deals", cursor=run.state.cursor())

    def _instead(self, end: JobEnd) -> Iterator[Record]:
        """The job of deals failed: its fields are looked at anew where they were the reason, and all is read by REST."""
        run = self.run
        if "INVALID_FIELD" in end.said or soql.missing_column(end.said):
            run.refresh("Opportunity", RefusedError("bulk.deals", 400, "INVALID_FIELD", end.said))
        if not end.is_lost:
            run.warnings.append(_failed("deals", end))
        run.read = None
        run.scans["deals"] = Scan(run.api, run.deals())
        yield from self._in_pages()

    def _fetch_histories_ahead(self) -> None:
        """The first histories come while deals are worked through (not before the deals themselves), where their job has ended already."""
        if not self.run.jobs.has_ended("history"):
            return
        end = self._history_end = self._ended("history")
        if end.is_complete:
            self._ahead = Ahead(self._chunks(end, "history", len(self.run.history_columns)))

    def _histories_in_bulk(self, shelf: Shelf) -> Iterator[Record]:
        run = self.run
        end = self._history_end or self._ended("history")
        if not end.is_complete:
            run.warnings.append(_failed("histories", end))
            for heap in shelf.heaps():
                stubs, _ = _sorted_out(heap)
                yield from self._by_stubs(stubs)
            yield from self.without_history()
            return
        done = 0
        types, width = run.survey.fields["OpportunityHistory"].types, len(run.history_columns)
        for chunk in self._ahead or self._chunks(end, "history", width):
            for deal_id, raw in texts_of_csv(chunk.data, types, "OpportunityId", count=chunk.count):
                shelf.add(deal_id or "", raw)
                done += 1
            run.sync.progress(done, end.rows or None, "history rows")
        self._check_total("history", end, done)
        for heap in shelf.heaps():
            stubs, raws = _sorted_out(heap)
            lines, bad = history.lines_of(raws)
            # Deals that an earlier, broken-off part of this read has stored have no stub now, but are held.
            lost = [key for key in lines if key not in stubs]
            stubs |= {key: _held_stub(key, held) for key, held in self._held.deals(lost).items()} if lost else {}
            yield from self._readings(stubs, lines, bad)

    def _chunk_rows(self, end: JobEnd, entity: str, width: int) -> Iterator[tuple[Chunk | None, list[Row]]]:
        """Rows of a finished job in batches; the last batch of a chunk comes with the chunk. All announced rows must come."""
        types = self.run.survey.fields[entity].types
        total = 0
        for chunk in self._chunks(end, entity, width):
            rows = rows_of_csv(chunk.data, types, count=chunk.count)
            while batch := list(islice(rows, _FLUSH_DEALS)):
                total += len(batch)
                yield None, batch
            yield chunk, []
        self._check_total(entity, end, total)

    def _chunks(self, end: JobEnd, what: str, width: int) -> Generator[Chunk]:
        size = self.run.sync.page_size
        most = None if size is None else max(size, 200)
        return chunks(self.run.api, end.job, rows=end.rows, width=width, what=f"bulk.{what}", most=most)

    def _check_total(self, what: str, end: JobEnd, total: int) -> None:
        if end.job.locator is None and end.rows and total != end.rows:
            raise VendorError(f"bulk.{what}: {total:,} rows came where the job found {end.rows:,}. Run the sync again.")

    def _ended(self, name: str) -> JobEnd:
        end = self.run.jobs.end_of(name)
        if end.state in ("InProgress", "UploadComplete", "Queued"):
            raise QuotaError(
                f"{self.run.sync.source_key}: Salesforce has not finished the Bulk job of {name} yet; the next sync goes on with it."
            )
        return end


def _failed(what: str, end: JobEnd) -> Warn:
    said = " ".join(end.said.split())[:200]
    return Warn(
        code="bulk_failed", message=f"{what}: the Bulk job ended as {end.state} ({said}); read by REST instead."
    )


def _stub(deal: Deal) -> _Stub:
    return _Stub(
        deal.deal_id,
        deal.pipeline_id or mapping.DEFAULT_PIPELINE,
        deal.stage_id,
        deal.created_at,
        deal.stage_entered_at,
        deal.presence == "deleted",
    )


def _stub_of(deal: Deal) -> bytes:
    return _STUB + _pack(_stub(deal))


def _held_stub(deal_id: str, held: HeldDeal) -> _Stub:
    pipeline = held.pipeline_id or mapping.DEFAULT_PIPELINE
    return _Stub(deal_id, pipeline, held.stage_id, None, None, held.presence != "present")


def _deal_of(stub: _Stub) -> Deal:
    return Deal(
        deal_id=stub.deal_id,
        stage_id=stub.stage_id,
        created_at=stub.created_at,
        stage_entered_at=stub.stage_entered_at,
    )


def _sorted_out(heap: Iterable[bytes]) -> tuple[dict[str, _Stub], list[bytes]]:
    stubs, raws = {}, []
    for item in heap:
        if item[:1] == _STUB:
            stub = _unpack(item[1:])
            stubs[stub.deal_id] = stub
        else:
            raws.append(item)
    return stubs, raws
