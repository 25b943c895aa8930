"""Finding what vanished without a trace: a count in every sync, all live ids when the count is off or a week has passed.

A purged deal leaves nothing behind, and neither does one that sharing hides from the API user: both are only missing. So every live id is said to
be seen, the sweep is closed, and landing judges what is missing (more than a plausible share is not believed). On the way the sweep repairs: deals
that are not held, are held as gone, or are held in an older version are read by their id.

The sweep takes all ids, not those of months whose counts differ: by Bulk 50,000 ids come in one call (20,000 deals: about five calls in all), so
counting by month first would save calls only where all that vanished was created in the same few months, and it would need an index of months.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.salesforce import soql
from connectors.salesforce.bulk import chunks
from connectors.salesforce.deals import Deals
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.mapping import stamp_of
from connectors.salesforce.rows import Row, rows_of_csv, rows_of_json
from connectors.salesforce.run import BULK_FROM, Run
from connectors.salesforce.scan import TOO_MUCH, by_ids
from connectors.sdk import HeldDeal, Record, Seen, SweepEnd, Warn, parse_instant

#: Days between two sweeps that no count has asked for.
EVERY_DAYS = 7.0
_BATCH = 2_000
#: As landing judges it: fewer missing deals are believed.
_BELIEVED_DEALS = 20
_BELIEVED_SHARE = 0.05
_COLUMNS = ("Id", "SystemModstamp")


class Sweep:
    """The sweep of one sync, after its deals were read."""

    def __init__(self, run: Run, deals: Deals) -> None:
        self._run = run
        self._deals = deals
        self._repaired = 0
        self._still_there = 0
        self._before = run.sync.held.live_count("deals")

    def is_due(self) -> bool:
        """True when Salesforce counts other live deals than are held now, or the last sweep was a week ago."""
        run = self._run
        if run.state.is_whole and self._deals.feeds_sweep:
            return False
        counted = run.survey.counts.get("deals")
        if counted is not None:
            expected = self._before + self._deals.gained
            if expected - counted != run.state.values.get("gap", 0):
                return True
        return run.sync.sweep_is_due("deals", EVERY_DAYS)

    def records(self) -> Iterator[Record]:
        """Seen ids, repairs, the end of the sweep."""
        run = self._run
        total = 0
        for rows in self._batches():
            total += len(rows)
            ids = [row["Id"] for row in rows]
            held = run.sync.held.deals(ids)
            for row in rows:
                yield Seen(stream="deals", key=row["Id"])
            self._still_there += sum(1 for found in held.values() if found.presence == "present")
            stale = [row["Id"] for row in rows if self._is_stale(row, held.get(row["Id"]))]
            yield from self._read_again(stale)
            run.sync.progress(total, run.survey.counts.get("deals"), "ids")
        yield from self._deals.flush()
        yield from self._notes()
        yield SweepEnd(stream="deals", complete=True, missing_as="purged")

    def _is_stale(self, row: Row, held: HeldDeal | None) -> bool:
        stamp = stamp_of(row)
        if row["Id"] in self._deals.seen or stamp is None:
            return False
        if self._is_before_start(stamp):
            return False
        if held is None or held.presence != "present" or not held.version:
            return True
        return parse_instant(held.version) < stamp

    def _is_before_start(self, stamp: datetime) -> bool:
        start = self._run.settings.start_date
        return start is not None and stamp.date().isoformat() < start

    def _read_again(self, ids: Sequence[str]) -> Iterator[Record]:
        run = self._run
        if not ids:
            return
        self._repaired += len(ids)
        columns = run.groups[0]
        for _, rows in by_ids(run.api, columns, "Opportunity", "Id", ids, types=run.fields.types, what="sweep"):
            yield from self._deals.take(self._deals.completed(rows))
            yield from self._deals.flush()

    def _notes(self) -> Iterator[Record]:
        run = self._run
        missing = self._before - self._deals.deleted - self._still_there
        if self._repaired:
            yield Warn(
                code="sweep_repaired",
                message=f"{self._repaired:,} deals that had been missed, hidden or come back were read by their ids.",
            )
        if missing > max(_BELIEVED_DEALS, _BELIEVED_SHARE * self._before):
            yield Warn(
                code="no_longer_visible",
                message=f"{missing:,} of {self._before:,} live deals are no longer visible to the API user. Purged deals and deals hidden "
                "by a change of sharing or permissions look alike: check its permission set (View All on opportunities) before "
                "believing that they are gone.",
            )
        elif run.survey.counts.get("deals") is not None:
            # A deal that cannot be read is counted by Salesforce and never held: no reason to sweep again each time.
            now_held = self._still_there + self._deals.gained + self._deals.deleted
            run.state.values["gap"] = now_held - run.survey.counts["deals"]

    # --- live ids --------------------------------------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[list[Row]]:
        run = self._run
        about = run.survey.counts.get("deals", self._before)
        job = None
        if about >= BULK_FROM:
            job = run.start(soql.select(_COLUMNS, "Opportunity"), "sweep", everything=False)
        if job is not None:
            run.jobs.add("sweep", job)
            end = run.jobs.end_of("sweep")
            if end.is_complete:
                for chunk in chunks(run.api, end.job, rows=end.rows, width=len(_COLUMNS), what="bulk.sweep"):
                    yield from _in_batches(list(rows_of_csv(chunk.data, run.fields.types, count=chunk.count)))
                return
        yield from self._pages()

    def _pages(self) -> Iterator[list[Row]]:
        """Ids by REST. After an expired locator, or a query that ran too long, it goes on behind the last id; the latter in small bites."""
        api = self._run.api
        last, bite, page = "", 0, None
        while True:
            behind = f"Id > {soql.text(last)}" if last else ""
            limit = f" LIMIT {bite}" if bite else ""
            try:
                if page is None:
                    asked = soql.select(_COLUMNS, "Opportunity", behind, order="Id") + limit
                    page = api.query(asked, what="sweep")
                rows = rows_of_json(page.records, self._run.fields.types)
                if rows:
                    last = rows[-1]["Id"]
                    yield rows
                if page.further is not None:
                    page = api.more(page.further, what="sweep")
                elif bite and rows:
                    page = None
                else:
                    return
            except RefusedError as error:
                if error.code in TOO_MUCH and bite != 1:
                    bite = _BATCH if not bite else max(1, bite // 4)
                elif error.code != "INVALID_QUERY_LOCATOR":
                    raise
                page = None


def _in_batches(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]
