"""Pipedrive: pipelines, stages, deals with their whole history, users, organizations.

API      v2 lists with opaque cursors, 500 a page, strict parameters; v1 for history, users and currencies; times are UTC with whole seconds
Auth     personal API token in a header, or OAuth with a refresh token that changes at each use
Limits   a burst window of two seconds a token, and a daily budget of tokens that the whole company shares; each call has its price
Clock    update_time, values repeat -> window from the last sync's start, less an overlap
Deletes  listed for 30 days, then gone -> sweep; a merge looks like a deletion; archived deals are a list of their own
History  one changelog call a deal (20 tokens): none for deals that never moved, again only when stage, status or their times changed
Source   official OpenAPI documents, vendor docs and public threads, read 2026-11
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, ClassVar

import msgspec

from connectors.pipedrive import mapping
from connectors.pipedrive.api import Api
from connectors.pipedrive.history import Snapshot, replay, snapshot, without_call
from connectors.pipedrive.mapping import Known
from connectors.pipedrive.settings import PipedriveSettings
from connectors.sdk import (
    Answer,
    Capabilities,
    Checkpoint,
    Company,
    Connector,
    DataError,
    Deal,
    FieldDef,
    Finding,
    HistoryRead,
    MuaraError,
    Owner,
    Pipeline,
    PlanLine,
    Record,
    Reject,
    ReplayContext,
    SourceInfo,
    Stage,
    SweepEnd,
    Sync,
    Tombstone,
    Warn,
    latest,
    next_cursor,
    open_window,
    parse_instant,
    stage_key,
    stream,
)

_WORKERS = 6
_IDS = 100
_SWEEP_DAYS = 7.0
_CHANGELOG_PRICE = 20
#: After so many readings the connector offers a point from which a broken-off backfill goes on.
_CHECKPOINT_EVERY = 50
#: Deals whose changelog cannot be completed are remembered, so that they are not paid for again until they change.
_MOST_REMEMBERED = 20_000
_MOST_STAGE_LOOKUPS = 50
_LATEST_COMMIT = timedelta(hours=6)


class Pipedrive(Connector):
    """Deals, pipelines, stages, complete stage and status history, users and organizations of a Pipedrive company."""

    name = "pipedrive"
    title = "Pipedrive"
    Settings = PipedriveSettings
    settings: PipedriveSettings
    capabilities = Capabilities(
        reports_merges=False,
        notes={"reports_merges": "Pipedrive names no survivor: a merged-away deal looks deleted, and is marked so"},
    )
    setup_guide: ClassVar[str] = """\
1. In Pipedrive, as an admin: Personal preferences > API > copy the personal API token. (A token of somebody who is no admin shows only
   what that person may see, without a word; Muara warns.) Or use an OAuth app with the scopes `base`, `deals:read`, `recents:read`, `users:read`.
2. Put the token into an environment variable where the sync runs: `api_token: {env: PIPEDRIVE_TOKEN}`, with `company_domain: acme`.
3. `muara plan` tells the price of the first sync in tokens. Set `daily_call_budget` (in tokens) to leave the rest to others: the backfill then goes
   on over several days, open and recently moved deals first.
"""

    _session: _Session | None = None

    def _open(self, sync: Sync) -> _Session:
        if self._session is None or self._session.sync is not sync:
            self._session = _Session(self, sync)
        return self._session

    @stream(SourceInfo, Pipeline, Stage, FieldDef)
    def pipelines(self, sync: Sync) -> Iterator[Record]:
        """Pipelines, stages (won and lost added as synthetic ones) and the definitions of deal fields."""
        yield from self._open(sync).reference()

    @stream(Owner)
    def owners(self, sync: Sync) -> Iterator[Record]:
        """Users, former ones too."""
        yield from (mapping.owner(row) for row in self._open(sync).api.users())

    @stream(Company, cursor="update_time")
    def companies(self, sync: Sync) -> Iterator[Record]:
        """Organizations."""
        yield from self._open(sync).companies()

    @stream(Deal, HistoryRead, Tombstone, cursor="update_time")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Deals, archived and deleted ones too; then the history of those whose stage or status moved, open and recent ones first."""
        yield from self._open(sync).deals()

    def check(self, sync: Sync) -> Iterable[Finding]:
        """One cheap call per kind of data."""
        api = Api(sync.calls, self.settings)
        tries: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("users/me", api.me),
            ("pipelines", api.pipelines),
            ("stages", api.stages),
            ("deals", lambda: next(iter(api.deals({}, archived=False, page_size=1)), None)),
        )
        me: dict[str, Any] = {}
        deal: list[dict[str, Any]] | None = None
        for what, attempt in tries:
            try:
                found = attempt()
            except MuaraError as error:
                yield Finding(level="error", what=what, message=str(error))
                continue
            me = found if what == "users/me" else me
            deal = found if what == "deals" else deal
            yield Finding(level="ok", what=what, message=f"{what} can be read")
        if me and not _is_admin(me):
            yield Finding(
                level="warning", what="visibility", message="the token's user is no admin: deals of others may be missing without a word",
                what_to_do="Use the token of an admin.",
            )  # fmt: skip
        if deal:
            try:
                api.changelog(str(deal[0]["id"]))
                yield Finding(level="ok", what="history", message="the changelog of deals can be read")
            except MuaraError as error:
                yield Finding(
                    level="error",
                    what="history",
                    message=str(error),
                    what_to_do="Give the OAuth app the scope recents:read.",
                )

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """Walks the deal list (10 tokens a 500 deals) and prices the histories that it would read."""
        session = self._open(sync)
        rows, moved = 0, 0
        for page in session.api.deals(session.window_query(), archived=False, page_size=None):
            rows += len(page)
            for row in page:
                deal = snapshot(row)
                moved += session.needs_history(deal) and without_call(deal) is None
        pages = -(-rows // 500) + 1
        yield PlanLine(stream="deals", rows=rows, calls=pages, note=f"{pages * 10} tokens")
        yield PlanLine(
            stream="stage_changes",
            rows=None,
            calls=moved,
            note=f"{moved * _CHANGELOG_PRICE} tokens: one changelog a moved deal",
        )

    def remap(self, stream_name: str, raw: Mapping[str, Any], context: ReplayContext) -> Record | None:
        """Deals from their stored JSON."""
        if stream_name != "deals":
            return None
        definitions = [
            dict(d.raw) for d in context.field_defs if d.object_type == "deal" and isinstance(d.raw, Mapping)
        ]
        return mapping.deal(raw, Known(fields=mapping.fields(definitions), zero_amount=self.settings.zero_amount))


def _is_admin(me: Mapping[str, Any]) -> bool:
    return any(entry.get("admin") for entry in me.get("access") or [])


class _Queue:
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
        self._file.write(self._encoder.encode(deal) + b"\n")

    def __iter__(self) -> Iterator[Snapshot]:
        for number in sorted(range(len(self._places)), key=self._ranks.__getitem__):
            start = self._places[number]
            end = self._places[number + 1] if number + 1 < len(self._places) else None
            self._file.seek(start)
            yield self._decoder.decode((self._file.read(end - start) if end is not None else self._file.read())[:-1])


class _Session:
    """One sync: the API, what is known of the company, and the queue of histories."""

    def __init__(self, connector: Pipedrive, sync: Sync) -> None:
        self.connector, self.sync, self.settings = connector, sync, connector.settings
        self._date: datetime | None = None
        sync.calls.observe(self._look_at_date)
        self.api = Api(sync.calls, connector.settings)
        self.known = Known(zero_amount=connector.settings.zero_amount)
        self.queue = _Queue()
        #: Deals that this sync has come to already; a first sync has no backlog that could name them again.
        self.queued: set[str] = set()
        self.has_past = sync.held.live_count("deals") > 0
        self.given_up: dict[str, str] = dict(sync.cursor("stage_changes").get("given_up") or {})
        self.unknown_stages: dict[tuple[str, str], None] = {}

    def _look_at_date(self, answer: Answer) -> None:
        """Pipedrive's clock at the first answer: the next window starts there, whatever this machine's clock says."""
        if self._date is None and "Date" in answer.headers:
            try:
                self._date = parsedate_to_datetime(answer.headers["Date"])
            except ValueError:
                return

    @property
    def started(self) -> datetime:
        """When this sync began, by Pipedrive's clock."""
        return self._date or self.sync.clock.now()

    # --- reference data -------------------------------------------------------------------------------------

    def reference(self) -> Iterator[Record]:
        """Company, pipelines, stages, fields."""
        me = self.api.me()
        domain = me.get("company_domain") or self.settings.company_domain
        yield SourceInfo(
            account_id=str(me.get("company_id") or domain),
            name=str(me.get("company_name") or domain),
            deep_link=f"https://{domain}.pipedrive.com/deal/{{id}}",
            time_zone=me.get("timezone_name"),
            home_currency=me.get("default_currency"),
            raw={
                key: value
                for key, value in me.items()
                if key.startswith("company") or key in ("timezone_name", "default_currency")
            },
        )
        if not _is_admin(me):
            yield Warn(
                code="not_admin",
                message="the token's user is no admin of Pipedrive: deals that it may not see are missing without a word. Use an admin's token.",
            )
        pipeline_of: dict[str, str] = {}
        probability_of: dict[str, float] = {}
        for row in self.api.pipelines():
            pipeline = mapping.pipeline(row)
            yield pipeline
            yield from mapping.closing_stages(pipeline.pipeline_id)
        for row in self.api.stages():
            stage = mapping.stage(row)
            pipeline_of[stage.stage_id] = stage.pipeline_id
            if stage.probability is not None:
                probability_of[stage.stage_id] = stage.probability
            yield stage
        yield SweepEnd(stream="pipelines", complete=True, missing_as="deleted")
        yield SweepEnd(stream="stages", complete=True, missing_as="deleted")
        definitions = self.api.deal_fields()
        yield from (mapping.field_def(item) for item in definitions if item.get("field_code"))
        self.known = Known(
            fields=mapping.fields(definitions),
            pipeline_of=pipeline_of,
            probability_of=probability_of,
            zero_amount=self.settings.zero_amount,
        )

    def companies(self) -> Iterator[Record]:
        """All organizations at first, later those that changed."""
        cursor = self.sync.cursor("companies")
        query: dict[str, Any] = {}
        since = open_window(cursor, overlap_minutes=self.settings.overlap_minutes).start
        if since is not None:
            query = {"updated_since": _seconds(since), "sort_by": "update_time"}
        started = self.started
        for page in self.api.organizations(query, self.sync.page_size):
            yield from (mapping.company(row) for row in page)
        yield Checkpoint(stream="companies", cursor=next_cursor(cursor, started))

    # --- deals ----------------------------------------------------------------------------------------------

    def window_query(self) -> dict[str, Any]:
        """What to ask the deal lists for: everything by id, or what changed since, by time."""
        cursor = self.sync.cursor("deals")
        since = open_window(
            cursor, overlap_minutes=self.settings.overlap_minutes, start_date=self.settings.start_date
        ).start
        if since is None:
            return {"sort_by": "id"}
        return {"updated_since": _seconds(since), "sort_by": "update_time"}

    def deals(self) -> Iterator[Record]:
        """The lists, a sweep where it is due, then histories."""
        cursor, started = self.sync.cursor("deals"), self.started
        query = self.window_query()
        is_whole = "updated_since" not in query
        if not is_whole and not self.settings.start_date and self.sync.sweep_is_due("deals", _SWEEP_DAYS):
            # A walk by id shows everything, also what changed: one walk serves both.
            query, is_whole = {"sort_by": "id"}, True
        newest: datetime | None = None
        for archived in (False, True):
            for page in self.api.deals(query, archived=archived, page_size=self.sync.page_size):
                newest = latest(newest, (yield from self._page(page)))
        if is_whole and not self.settings.start_date:
            yield SweepEnd(stream="deals", complete=True, missing_as="purged")
        # The newest time received, so that a late commit stays inside; but no commit is later than hours, and a quiet company is not listed again.
        mark = latest(newest, started - _LATEST_COMMIT)
        yield Checkpoint(stream="deals", cursor=next_cursor(cursor, mark, not_after=started))
        yield from self._backlog()
        yield from self._histories()
        yield from self._gone_stages()

    def _page(self, rows: list[dict[str, Any]]) -> Generator[Record, None, datetime | None]:
        newest: datetime | None = None
        held = self.sync.held.deals([str(row.get("id")) for row in rows])
        for row in rows:
            try:
                deal, short = mapping.deal(row, self.known), snapshot(row)
            except (DataError, KeyError, TypeError, ValueError) as error:
                key = mapping.text(row.get("id"))
                yield Reject(stream="deals", reason="undecodable", detail=f"deal {key}: {error}", key=key, raw=row)
                continue
            newest = latest(newest, deal.updated_at)
            yield deal
            if deal.presence == "deleted":
                yield Tombstone(stream="deals", key=deal.deal_id, kind="deleted", gone_at=deal.updated_at)
            # A deal that was never seen alive stands in no figure: its past is not worth a call.
            is_stillborn = deal.presence == "deleted" and deal.deal_id not in held and without_call(short) is None
            if not is_stillborn and self.needs_history(short, held.get(deal.deal_id)):
                yield from self._history_or_queue(short)
        return newest

    def needs_history(self, deal: Snapshot, held: Any = None) -> bool:
        """Whether stage, status or their times differ from what the last complete reading was made for."""
        if held is None:
            held = self.sync.held.deals([deal.deal_id]).get(deal.deal_id)
        if held is None or not held.has_history:
            return True
        entered = parse_instant(held.stage_entered_at) if held.stage_entered_at else None
        moved = (held.stage_id, held.status, entered) != (deal.stage_id, deal.status, deal.moved_at or deal.added_at)
        if moved or not held.history_complete:
            return self.given_up.get(deal.deal_id) != deal.mark
        return False

    def _history_or_queue(self, deal: Snapshot) -> Iterator[Record]:
        if deal.deal_id in self.queued:
            return
        if self.has_past:
            self.queued.add(deal.deal_id)
        known = without_call(deal)
        if known is not None:
            yield known
        else:
            self.queue.add(deal)

    def _backlog(self) -> Iterator[Record]:
        """Deals whose history an earlier sync did not come to: their rows are asked for again, 100 a call."""
        waiting = (
            key
            for key in self.sync.held.live_deals_without_history()
            if key not in self.queued and key not in self.given_up
        )
        while keys := list(islice(waiting, _IDS)):
            for archived in (False, True):
                for page in self.api.deals({"ids": ",".join(keys)}, archived=archived, page_size=None):
                    for row in page:
                        yield from self._history_or_queue(snapshot(row))
                if all(key in self.queued for key in keys):
                    break

    def _histories(self) -> Iterator[Record]:
        """Changelogs, several at once behind the burst limit; what was paid for is kept even when the budget ends in between."""
        total = len(self.queue)
        doubtful = 0
        for done, (deal, found) in enumerate(self._changelogs(), start=1):
            self.sync.progress(done, total, "histories")
            if found is not None:
                doubtful += yield from self._history(deal, found)
            if done % _CHECKPOINT_EVERY == 0:
                yield self._checkpoint()
        yield self._checkpoint()
        if doubtful:
            yield Warn(
                code="history_incomplete",
                message=f"{doubtful} deal(s) whose changelog does not end where the deal is; see ops.checks.",
            )

    def _changelogs(self) -> Iterator[tuple[Snapshot, list[dict[str, Any]] | None]]:
        return self.sync.calls.map(  # type: ignore[no-any-return]
            lambda deal: (deal, self.api.changelog(deal.deal_id, self.sync.page_size)),
            self.queue,
            workers=_WORKERS,
            ordered=False,
        )

    def _history(self, deal: Snapshot, changelog: list[dict[str, Any]]) -> Generator[Record, None, int]:
        try:
            reading = replay(deal, changelog, self.known.pipeline_of)
        except DataError as error:
            yield Reject(
                stream="stage_changes", reason="undecodable", detail=f"deal {deal.deal_id}: {error}", key=deal.deal_id
            )
            return 0
        yield reading
        for change in reading.stage_changes:
            if change.to_stage_id not in self.known.pipeline_of and change.to_stage_id not in mapping.CLOSED:
                self.unknown_stages[(change.to_pipeline_id or deal.pipeline_id or "", change.to_stage_id)] = None
        if reading.complete:
            self.given_up.pop(deal.deal_id, None)
            return 0
        self.given_up[deal.deal_id] = deal.mark
        return 1

    def _checkpoint(self) -> Checkpoint:
        kept = dict(list(self.given_up.items())[-_MOST_REMEMBERED:])
        return Checkpoint(stream="stage_changes", cursor={"given_up": kept})

    def _gone_stages(self) -> Iterator[Record]:
        """Stages that only history names: perhaps Pipedrive still knows a name (1 token each), else the id is the name."""
        missing = list(self.unknown_stages)
        held = self.sync.held.versions("stages", [stage_key(*key) for key in missing])
        for pipeline_id, stage_id in missing[:_MOST_STAGE_LOOKUPS]:
            if stage_key(pipeline_id, stage_id) in held:
                continue
            row = self.api.stage(stage_id)
            name = str(row["name"]) if row and row.get("name") else f"Stage {stage_id}"
            yield Stage(
                pipeline_id=pipeline_id, stage_id=stage_id, name=name, outcome="open", is_archived=True, raw=row or {}
            )


def _seconds(at: datetime) -> str:
    """An instant as v2 takes it: whole seconds, rounded down, with Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
