"""The deal lists: what changed or everything, archived and deleted deals too, then the histories that are wanted."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from typing import Any

from connectors.pipedrive import mapping
from connectors.pipedrive.api import PAGE, NotFoundError
from connectors.pipedrive.backfill import Backfill
from connectors.pipedrive.history import snapshot, without_call
from connectors.pipedrive.run import Run, seconds
from connectors.sdk import (
    BAD_ROW,
    Checkpoint,
    HeldDeal,
    Record,
    Stage,
    SweepEnd,
    Tombstone,
    Warn,
    next_cursor,
    open_window,
    rejected,
    stage_key,
)

_SWEEP_DAYS = 7.0
_MOST_STAGE_LOOKUPS = 50
_BY_ID = {"sort_by": "id"}
_DELETED = {"status": "deleted", **_BY_ID}


class Deals:
    """One sync's deals."""

    def __init__(self, run: Run) -> None:
        self._run, self._sync, self._settings = run, run.sync, run.settings
        self.backfill = Backfill(run)
        #: Rows of the list that was read last; how many deleted and archived deals the lists that were read whole had.
        self._rows = 0
        self._newest = run.newest()
        self._counts: dict[str, int] = {}

    def window_query(self) -> dict[str, Any]:
        """What to ask the deal lists for: everything by id, or what changed since, by time."""
        since = open_window(
            self._sync.cursor("deals"),
            overlap_minutes=self._settings.overlap_minutes,
            start_date=self._settings.start_date,
        ).start
        if since is None:
            return _BY_ID
        return {"updated_since": seconds(since), "sort_by": "update_time"}

    def read(self) -> Iterator[Record]:
        """The lists, a sweep where it is due, then histories."""
        cursor, began = self._sync.cursor("deals"), self._run.began.at
        query = self.window_query()
        is_whole = "updated_since" not in query
        if not is_whole and not self._settings.start_date and self._sync.sweep_is_due("deals", _SWEEP_DAYS):
            # A walk by id shows everything, also what changed: one walk serves both.
            query, is_whole = _BY_ID, True
        yield from self._list(query, archived=False)
        if not is_whole and self._are_few("deleted"):
            yield from self._list(_DELETED, archived=False)
        try:
            by_id = is_whole or self._are_few("archived")
            yield from self._list(_BY_ID if by_id else query, archived=True)
        except NotFoundError as error:
            is_whole = False
            yield Warn(code="archived_not_read", message=f"archived deals are not read: {error}")
        if is_whole and not self._settings.start_date:
            yield SweepEnd(stream="deals", complete=True, missing_as="purged")
        # What waits must be remembered before the deals that landing would no longer know to be waiting.
        yield self.backfill.checkpoint()
        reached = next_cursor(cursor, self._newest.mark(began), not_after=began)
        yield Checkpoint(stream="deals", cursor=reached | self._counts)
        yield from self._gone_stages()
        yield from self.backfill.backlog()
        yield from self.backfill.histories()
        yield from self._gone_stages()

    def _are_few(self, kind: str) -> bool:
        """Whether a list of deleted or archived deals is short enough to be read whole each time: one call, and it is not certain that
        deleting or archiving moves the update time (unconfirmed). Long ones wait for the sweep where it does not.
        """
        return not self._settings.start_date and self._sync.cursor("deals").get(kind, PAGE + 1) <= PAGE

    def _list(self, query: Mapping[str, Any], *, archived: bool) -> Iterator[Record]:
        self._rows = deleted = 0
        for page in self._run.api.deals(query, archived=archived, page_size=self._sync.page_size):
            held = self._sync.held.deals([str(row["id"]) for row in page if isinstance(row, dict) and "id" in row])
            for row in page:
                if archived and isinstance(row, dict):
                    row.setdefault("is_archived", True)
                self._newest.see((yield from self._deal(row, held)))
            self._rows += len(page)
            deleted += sum(1 for row in page if isinstance(row, dict) and mapping.presence_of(row) == "deleted")
        if "updated_since" not in query:
            self._counts["archived" if archived else "deleted"] = self._rows if archived else deleted

    def _deal(self, row: dict[str, Any], held: Mapping[str, HeldDeal]) -> Generator[Record, None, datetime | None]:
        try:
            deal, short = mapping.deal(row, self._run.known), snapshot(row)
        except BAD_ROW as error:
            yield rejected("deals", row, error)
            return None
        yield deal
        known = held.get(deal.deal_id)
        if deal.presence == "deleted" and (known is None or known.presence != "deleted"):
            yield Tombstone(stream="deals", key=deal.deal_id, kind="deleted", gone_at=deal.updated_at)
        # A deal that was never seen alive stands in no figure: its past is not worth a call.
        was_alive = known is not None and (known.has_history or known.presence != "deleted")
        is_stillborn = deal.presence == "deleted" and not was_alive and without_call(short) is None
        if not is_stillborn and self.backfill.needs(short, known):
            yield from self.backfill.take(short, known)
        return deal.updated_at

    def _gone_stages(self) -> Iterator[Record]:
        """Stages that only history names: perhaps Pipedrive still knows a name (1 token each), else the id is the name."""
        missing = list(self.backfill.unnamed)
        held = self._sync.held.versions("stages", [stage_key(*key) for key in missing])
        looked_up = 0
        for pipeline_id, stage_id in missing:
            if stage_key(pipeline_id, stage_id) not in held and looked_up < _MOST_STAGE_LOOKUPS:
                looked_up += 1
                row = self._run.api.stage(stage_id) or {}
                name = str(row.get("name") or f"Stage {stage_id}")
                yield Stage(
                    pipeline_id=pipeline_id, stage_id=stage_id, name=name, outcome="open", is_archived=True, raw=row
                )
                # What the sweep of stages would find at the next sync: so that a sync without news lands nothing.
                yield Tombstone(stream="stages", key=stage_key(pipeline_id, stage_id), kind="deleted")
            elif stage_key(pipeline_id, stage_id) not in held:
                continue
            del self.backfill.unnamed[pipeline_id, stage_id]
        if missing:
            yield self.backfill.checkpoint()
