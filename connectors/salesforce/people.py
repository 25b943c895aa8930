"""Owners and companies: what changed since the cursor, and those that deals name and nobody has yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from connectors.salesforce import mapping, soql
from connectors.salesforce.bulk import Job, chunks
from connectors.salesforce.mapping import stamp_of
from connectors.salesforce.rows import Row, raw_of, rows_of_csv
from connectors.salesforce.run import BULK_FROM, Run
from connectors.salesforce.scan import Scan, by_ids
from connectors.salesforce.survey import ACCOUNT_COLUMNS, USER_COLUMNS
from connectors.sdk import (
    BAD_ROW,
    Checkpoint,
    Company,
    DataError,
    QuotaError,
    Record,
    Reject,
    SweepEnd,
    Tombstone,
    Window,
    instant_text,
    latest,
    next_cursor,
    parse_instant,
)
from connectors.sdk.cursor import AT

_BATCH = 1_000


class Owners:
    """Users: all internal ones, and others as soon as a deal names them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: set[str] = set()

    def changed(self) -> Iterator[Record]:
        """Users changed since the cursor."""
        run = self._run
        scan = run.scans["users"]
        first = run.survey.pages.pop("users", None)
        if first is None:
            return
        newest: datetime | None = None
        for rows in scan.pages(run.windows["users"], first):
            yield from self._records(rows)
            newest = latest(newest, *map(stamp_of, rows))
        cursor = run.sync.cursor("owners")
        capped = run.api.server_began if scan.is_long else None
        yield Checkpoint(stream="owners", cursor=next_cursor(cursor, newest, not_after=capped))

    def named(self) -> Iterator[Record]:
        """Users that deals or histories name and that are not held: guests, portal users, users of packages."""
        run = self._run
        wanted = sorted(run.named_owners - self._told)
        held = run.sync.held.versions("owners", wanted)
        unknown = [key for key in wanted if key not in held]
        if not unknown or not run.survey.fields["User"].all:
            return
        columns = run.columns("User", USER_COLUMNS)
        for _, rows in by_ids(
            run.api, columns, "User", "Id", unknown, types=run.survey.fields["User"].types, what="User"
        ):
            yield from self._records(rows)

    def _records(self, rows: list[Row]) -> Iterator[Record]:
        for row in rows:
            try:
                found = mapping.owner(row)
            except BAD_ROW as error:
                yield _reject("owners", row, error)
                continue
            self._told.add(found.owner_id)
            yield found


class Companies:
    """Accounts, merged and deleted ones as tombstones.

    An import gives thousands of accounts one and the same stamp. As long as nothing newer comes, a closed window would bring all of them in each
    sync; so a large group at the cursor's instant is counted instead, and read only when the count is not what it was.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: set[str] = set()
        self._newest: datetime | None = None
        self._ties = 0

    def start(self) -> Iterator[Record]:
        """Start or go on with a Bulk job where there are very many."""
        run = self._run
        cursor = run.sync.cursor("companies")
        saved = _job_of(cursor.get("job"))
        if saved is not None:
            run.jobs.add("companies", saved)
            return
        first = run.survey.pages.get("accounts")
        if not isinstance(first, dict) or first.get("totalSize", 0) < BULK_FROM:
            return
        columns = run.columns("Account", ACCOUNT_COLUMNS)
        job = run.start(soql.select(columns, "Account", soql.inside(run.windows["accounts"])), "companies")
        if job is not None:
            run.jobs.add("companies", job)
            began = run.api.server_began or run.sync.clock.now()
            yield self._mark({**cursor, "began": instant_text(began)}, job)

    def changed(self) -> Iterator[Record]:
        """Accounts changed since the cursor."""
        run = self._run
        first = run.survey.pages.pop("accounts", None)
        if "companies" in run.jobs:
            yield from self._in_bulk()
        elif first is not None:
            yield from self._in_pages(run.scans["accounts"], first, dict(run.sync.cursor("companies")))

    def _in_pages(self, scan: Scan, first: Any, cursor: dict[str, Any]) -> Iterator[Record]:
        run = self._run
        window = run.windows["accounts"]
        for rows in scan.pages(window, first):
            yield from self._records(rows)
        if run.tied_at is not None and run.survey.counts.get("ties") != cursor.get("ties"):
            for rows in run.account_scan().pages(Window(run.tied_at, run.tied_at)):
                yield from self._records(rows)
        yield from self._end(window)
        yield self._reached(cursor, run.api.server_began if scan.is_long else None)

    def _reached(self, cursor: dict[str, Any], not_after: datetime | None) -> Checkpoint:
        found = next_cursor(cursor, self._newest, not_after=not_after)
        is_exact = self._newest is not None and instant_text(self._newest) == found.get(AT)
        if is_exact:
            found["ties"] = self._ties
        elif found.get(AT) != cursor.get(AT):
            found.pop("ties", None)
        return Checkpoint(stream="companies", cursor=found)

    def _place(self, found: Company, row: Row) -> None:
        """Note the newest stamp, and how many live accounts have it."""
        stamp = found.updated_at
        if stamp is None or (self._newest is not None and stamp < self._newest):
            return
        if stamp != self._newest:
            self._newest, self._ties = stamp, 0
        self._ties += not row.get("IsDeleted")

    def _in_bulk(self) -> Iterator[Record]:
        run = self._run
        cursor = dict(run.sync.cursors.get("companies", {}))
        cursor.pop("job", None)
        began = cursor.pop("began", None)
        end = run.jobs.end_of("companies")
        if not end.is_complete:
            if end.state not in ("Failed", "Aborted"):
                raise QuotaError(f"{run.sync.source_key}: Salesforce has not finished the Bulk job of companies yet.")
            yield from self._in_pages(run.account_scan(), None, cursor)
            return
        types = run.survey.fields["Account"].types
        for chunk in chunks(run.api, end.job, rows=end.rows, width=len(ACCOUNT_COLUMNS), what="bulk.companies"):
            rows = rows_of_csv(chunk.data, types, count=chunk.count)
            while batch := list(islice(rows, _BATCH)):
                yield from self._records(batch)
            if chunk.after is not None:
                yield self._mark({**cursor, "began": began}, msgspec.structs.replace(end.job, locator=chunk.after))
        if end.job.locator is None:
            yield from self._end(run.windows["accounts"])
        not_after = run.api.server_began if began is None else parse_instant(began)
        yield self._reached(cursor, not_after)

    def _mark(self, cursor: dict[str, Any], job: Job) -> Checkpoint:
        return Checkpoint(stream="companies", cursor={**cursor, "job": msgspec.to_builtins(job)})

    def named(self) -> Iterator[Record]:
        """Accounts that deals name and that are not held: out of sight until now."""
        run = self._run
        wanted = sorted(run.named_companies - self._told)
        held = run.sync.held.versions("companies", wanted)
        unknown = [key for key in wanted if key not in held]
        known = run.survey.fields["Account"]
        if not unknown or not known.all:
            return
        columns = run.columns("Account", ACCOUNT_COLUMNS)
        for _, rows in by_ids(run.api, columns, "Account", "Id", unknown, types=known.types, what="Account"):
            yield from self._records(rows)

    def _records(self, rows: list[Row]) -> Iterator[Record]:
        run = self._run
        gone = [row["Id"] for row in rows if row.get("IsDeleted")]
        held = run.sync.held.versions("companies", gone) if gone else {}
        for row in rows:
            try:
                found = mapping.company(row)
            except BAD_ROW as error:
                yield _reject("companies", row, error)
                continue
            self._place(found, row)
            if not run.state.is_whole:
                self._told.add(found.company_id)
            if not row.get("IsDeleted"):
                yield found
                continue
            if found.company_id not in held:
                yield found
            winner = row.get("MasterRecordId")
            kind: Any = "merged" if winner else "deleted"
            yield Tombstone(
                stream="companies", key=found.company_id, kind=kind, gone_at=found.updated_at, survivor=winner
            )

    def _end(self, window: Window) -> Iterator[Record]:
        if window.start is None:
            yield SweepEnd(stream="companies", complete=True, missing_as="purged")


def _job_of(stored: Any) -> Job | None:
    try:
        return msgspec.convert(stored, Job) if stored else None
    except msgspec.ValidationError:
        return None


def _reject(stream: str, row: Row, error: Exception) -> Reject:
    key = row.get("Id") if isinstance(row.get("Id"), str) else None
    return Reject(
        stream=stream,
        reason="bad_value",
        detail=str(error) if isinstance(error, DataError) else type(error).__name__,
        key=key,
        raw=raw_of(row),
    )
