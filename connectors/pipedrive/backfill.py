"""Whose history must be read, in which order, and what a broken-off backfill leaves for the next sync."""

from __future__ import annotations

import itertools
import tempfile
from array import array
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime

import msgspec

from connectors.pipedrive import mapping
from connectors.pipedrive.api import RefusedError
from connectors.pipedrive.history import Snapshot, replay, snapshot, without_call
from connectors.pipedrive.run import Run
from connectors.sdk import (
    BAD_ROW,
    Checkpoint,
    HeldDeal,
    Record,
    TransientError,
    VendorError,
    Warn,
    parse_instant,
    rejected,
)

#: One changelog takes about a tenth of a second and the largest plan allows 60 a second. Each worker may be refused once before all wait.
_WORKERS = 8
#: How many deals one list call may name.
_IDS = 100
#: After so many readings the connector offers a point from which a broken-off backfill goes on.
_CHECKPOINT_EVERY = 50
#: Deals whose changelog cannot be completed are remembered, so that they are not paid for again until they change.
_MOST_REMEMBERED = 20_000
#: So many changelogs failing in a row are no accident of single deals.
_MOST_FAILURES = 3

Outcome = list[dict[str, object]] | VendorError | TransientError | None


class Queue:
    """Deals that wait for their changelog: on disk, in memory two numbers each. Open ones first, then the newest move."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the queue)
        self._ranks, self._places = array("q"), array("q")
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Snapshot)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, deal: Snapshot) -> None:
        """Put a deal into the queue."""
        at = deal.moved_at or deal.closed_at or deal.added_at
        recent = int(at.timestamp()) if at else 0
        self._ranks.append((0 if deal.status == "open" else 1 << 40) - recent)
        self._places.append(self._file.tell())
        self._file.write(self._encoder.encode(deal))

    def __iter__(self) -> Iterator[Snapshot]:
        ends = [*self._places[1:], self._file.tell()]
        for number in sorted(range(len(self._places)), key=self._ranks.__getitem__):
            self._file.seek(self._places[number])
            yield self._decoder.decode(self._file.read(ends[number] - self._places[number]))


class Backfill:
    """Histories of one sync: those that need no call at once, the others after all lists."""

    def __init__(self, run: Run) -> None:
        self._run, self._sync, self._api = run, run.sync, run.api
        self._queue = Queue()
        #: Deals that this sync has come to already; a first sync has no backlog that could name them again.
        self._queued: set[str] = set()
        self._has_past = run.sync.held.live_count("deals") > 0
        cursor = run.sync.cursor("stage_changes")
        self._given_up: dict[str, str] = dict(cursor.get("given_up") or {})
        #: Deals that moved and came back to the stage and status that landing holds: it cannot know that they wait.
        self._waiting: dict[str, None] = dict.fromkeys(cursor.get("waiting") or ())
        #: (pipeline, stage) that only histories name, until somebody gave them a name; kept over a sync that a budget ends.
        self.unnamed: dict[tuple[str, str], None] = {(key[0], key[1]): None for key in cursor.get("unnamed") or ()}

    def needs(self, deal: Snapshot, held: HeldDeal | None) -> bool:
        """Whether stage, status or their times differ from what the last complete reading was made for."""
        if held is None or not held.has_history:
            return True
        if _has_moved(deal, held) or deal.deal_id in self._waiting or not held.history_complete:
            return self._given_up.get(deal.deal_id) != deal.mark
        return False

    def take(self, deal: Snapshot, held: HeldDeal | None) -> Iterator[Record]:
        """The deal's history where no call is needed; else the deal is put into the queue."""
        if deal.deal_id in self._queued:
            return
        if self._has_past:
            self._queued.add(deal.deal_id)
        known = without_call(deal)
        # Only a first reading may do without: a later one would forget what an earlier changelog told of closings and reopenings.
        if known is not None and (held is None or not held.has_history):
            yield known
            return
        self._queue.add(deal)
        if held is not None and held.history_complete and _looks_the_same(deal, held):
            self._waiting[deal.deal_id] = None

    def backlog(self) -> Iterator[Record]:
        """Deals whose history an earlier sync did not come to: their rows are asked for again, 100 a call."""
        known = itertools.chain([*self._waiting], self._sync.held.live_deals_without_history())
        waiting = (key for key in known if key not in self._queued and key not in self._given_up)
        while keys := list(itertools.islice(waiting, _IDS)):
            held = self._sync.held.deals(keys)
            for archived in (False, True):
                for page in self._api.deals({"ids": ",".join(keys)}, archived=archived, page_size=None):
                    yield from self._take_page(page, held)
                if all(key in self._queued for key in keys):
                    break
            self._waiting = {key: None for key in self._waiting if key in self._queued or key not in keys}

    def _take_page(self, page: Iterable[dict[str, object]], held: dict[str, HeldDeal]) -> Iterator[Record]:
        for row in page:
            try:
                deal = snapshot(row)
            except BAD_ROW:
                continue  # the list has shown it already
            yield from self.take(deal, held.get(deal.deal_id))

    def histories(self) -> Iterator[Record]:
        """Changelogs, several at once behind the burst limit; what was paid for is kept even when the budget ends in between."""
        total, doubtful, failures, missing = len(self._queue), 0, 0, 0
        try:
            for done, (deal, found) in enumerate(self._changelogs(), start=1):
                self._sync.progress(done, total, "histories")
                if isinstance(found, VendorError | TransientError):
                    failures += 1
                    if failures >= _MOST_FAILURES:
                        raise found
                    yield rejected("stage_changes", {}, found, key=deal.deal_id)
                    continue
                failures = 0
                missing += found is None
                if found is not None:
                    doubtful += yield from self._history(deal, found)
                self._waiting.pop(deal.deal_id, None)
                if done % _CHECKPOINT_EVERY == 0:
                    yield self.checkpoint()
        except RefusedError as error:
            yield Warn(code="history_not_read", message=f"the history of {total:,} deal(s) is not read: {error}")
        yield self.checkpoint()
        if missing == total and total > _MOST_FAILURES:
            # Single deals are purged while a sync runs; all of them are not.
            message = f"no changelog is there (404) for any of {total:,} deal(s). Check company_domain or base_url."
            yield Warn(code="history_not_read", message=message, makes="partial")
        if doubtful:
            yield Warn(
                code="history_incomplete",
                message=f"{doubtful} deal(s) whose changelog does not end where the deal is; see ops.checks.",
            )

    def _changelogs(self) -> Iterator[tuple[Snapshot, Outcome]]:
        found: Iterator[tuple[Snapshot, Outcome]] = self._sync.calls.map(
            self._changelog, self._queue, workers=_WORKERS, ordered=False
        )
        return found

    def _changelog(self, deal: Snapshot) -> tuple[Snapshot, Outcome]:
        """One deal that Pipedrive cannot answer for is put aside; it must not cost the others their sync."""
        try:
            return deal, self._api.changelog(deal.deal_id, self._sync.page_size)
        except (VendorError, TransientError) as error:
            return deal, error

    def _history(self, deal: Snapshot, changelog: list[dict[str, object]]) -> Generator[Record, None, int]:
        try:
            reading = replay(deal, changelog, self._run.known.pipeline_of)
        except BAD_ROW as error:
            yield rejected("stage_changes", {}, error, key=deal.deal_id)
            return 0
        yield reading
        unnamed = len(self.unnamed)
        for change in reading.stage_changes:
            if change.to_stage_id not in self._run.known.pipeline_of and change.to_stage_id not in mapping.CLOSED:
                self.unnamed[(change.to_pipeline_id or deal.pipeline_id or "", change.to_stage_id)] = None
        if len(self.unnamed) > unnamed:
            yield self.checkpoint()
        if reading.complete:
            self._given_up.pop(deal.deal_id, None)
            return 0
        self._given_up[deal.deal_id] = deal.mark
        return 1

    def checkpoint(self) -> Checkpoint:
        """What the next sync must know: deals given up until they change, those that still wait, stages without a name."""
        cursor: dict[str, object] = {"given_up": _last(self._given_up)}
        if self._waiting:
            cursor["waiting"] = list(_last(self._waiting))
        if self.unnamed:
            cursor["unnamed"] = [list(key) for key in self.unnamed]
        return Checkpoint(stream="stage_changes", cursor=cursor)


def _has_moved(deal: Snapshot, held: HeldDeal) -> bool:
    """Stage, status or their times are others; or it was closed, or won for the first time, after the version that is held."""
    entered = _instant(held.stage_entered_at)
    if (held.stage_id, held.status, entered) != (deal.stage_id, deal.status, deal.moved_at or deal.added_at):
        return True
    version = _instant(held.version)
    return version is not None and any(at is not None and at > version for at in (deal.closed_at, deal.first_won_at))


def _looks_the_same(deal: Snapshot, held: HeldDeal) -> bool:
    """By what landing compares."""
    return (held.pipeline_id, held.stage_id, held.status) == (deal.pipeline_id, deal.stage_id, deal.status)


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None


def _last(entries: dict[str, str] | dict[str, None]) -> dict[str, str | None]:
    return dict(list(entries.items())[-_MOST_REMEMBERED:])
