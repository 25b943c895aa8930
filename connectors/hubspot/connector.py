"""HubSpot: pipelines, stages, deals with their stage and field history, owners, companies.

API      dated versions (`/crm/objects/2026-09/deals`), v3 selectable until September 2027; ids and values are text; pages of 100, 50 with history
Auth     service key or private app token; or an OAuth app's refresh token
Clock    hs_lastmodifieddate, UTC, milliseconds, values repeat by the thousand -> fixed window, keyset by id
Limits   100 to 190 calls in 10 s (told by a header), search 5 in 1 s, a day for the account; 429 names its policy
Deletes  archived=true lists the recycle bin for 90 days, then they vanish -> sweep; a merge makes a new id, hs_merged_object_ids names the old ones
History  property history of each deal, at most about 20 versions, merged by event id with what is held
Search   lags by seconds to minutes and stops at 10,000 results -> overlap, and never past a page of a keyset
Source   vendor documents, published OpenAPI files and public threads, read 2026-11
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import msgspec

from connectors.hubspot import mapping, wire
from connectors.hubspot.api import Api, MissingScopesError, open_api
from connectors.hubspot.mapping import Account
from connectors.hubspot.reading import HISTORY_PAGE, LIST_PAGE, SEARCH_PAGE, Bad, DealReader, Walk
from connectors.hubspot.settings import HubSpotSettings
from connectors.sdk import (
    Answer,
    Capabilities,
    Checkpoint,
    Company,
    Connector,
    CurrencyRate,
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
    Seen,
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

#: When more than this share of the deals changed, reading all of them is cheaper than by id.
_CHANGED_SHARE = 3
_SWEEP_DAYS = 7.0
#: The search index lags by seconds or minutes (public threads); more than this is not believed.
_LONGEST_LAG = timedelta(hours=6)
#: Stages that only history names: at most so many are looked up in one sync.
_MOST_AUDITS = 50


class HubSpot(Connector):
    """Deals, pipelines, stages, complete stage history, owners and companies of a HubSpot account."""

    name = "hubspot"
    title = "HubSpot"
    Settings = HubSpotSettings
    settings: HubSpotSettings
    capabilities = Capabilities(
        notes={"finds_purges": "a weekly sweep of all ids finds deals that vanished without a trace"},
    )
    setup_guide: ClassVar[str] = """\
1. In HubSpot: Settings > Integrations > Service Keys > Create (accounts without service keys: a private app; an OAuth app works too).
2. Grant these scopes: `crm.objects.deals.read`, `crm.schemas.deals.read`, `crm.objects.owners.read`, `crm.objects.companies.read`
   (and `oauth` for an OAuth app).
3. Put the key into an environment variable where the sync runs, and name it in the source's YAML: `access_token: {env: HUBSPOT_TOKEN}`.
4. `muara check` tells which scope is missing, `muara plan` how many calls the first sync takes.
"""

    _session: _Session | None = None

    def _open(self, sync: Sync) -> _Session:
        """One session a sync: the streams share the account, the API and what was learnt on the way."""
        if self._session is None or self._session.sync is not sync:
            self._session = _Session(self, sync)
        return self._session

    @stream(SourceInfo, Pipeline, Stage, FieldDef)
    def pipelines(self, sync: Sync) -> Iterator[Record]:
        """Deal pipelines and stages, and the definitions of all deal properties."""
        yield from self._open(sync).reference()

    @stream(Owner)
    def owners(self, sync: Sync) -> Iterator[Record]:
        """Owners, deactivated ones too."""
        yield from self._open(sync).owners()

    @stream(Deal, HistoryRead, Company, CurrencyRate, Tombstone, cursor="hs_lastmodifieddate")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Deals with all changes of stage, pipeline, amount, currency, close date and owner; their companies; archived and merged ones."""
        yield from self._open(sync).deals()

    def check(self, sync: Sync) -> Iterable[Finding]:
        """One small call per kind of data."""
        api = open_api(sync.calls, self.settings)
        tries: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
            ("account", "account-info", api.account),
            (
                "deals",
                "deals and their history",
                lambda: api.list_deals({"limit": 1, "propertiesWithHistory": "dealstage"}),
            ),
            ("pipelines", "pipelines and stages", api.pipelines),
            ("properties", "names of deal properties", api.properties),
            ("owners", "owners", lambda: api.owners({"limit": 1})),
            ("companies", "companies", lambda: api.list_companies({"limit": 1})),
        )
        needed = {"deals", "pipelines"}
        for name, what, attempt in tries:
            try:
                attempt()
                yield Finding(level="ok", what=name, message=f"{what} can be read")
            except MissingScopesError as error:
                level = "error" if name in needed else "warning"
                yield Finding(
                    level="error" if level == "error" else "warning",
                    what=name,
                    message=f"{what} cannot be read: scope {', '.join(error.scopes)} is missing",
                    what_to_do="Add the scope to the service key, private app or OAuth app.",
                )
            except MuaraError as error:
                yield Finding(level="error", what=name, message=str(error))

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """From one search that counts."""
        api = open_api(sync.calls, self.settings)
        since = open_window(
            sync.cursor("deals"), overlap_minutes=self.settings.overlap_minutes, start_date=self.settings.start_date
        ).start
        body: dict[str, Any] = {"limit": 1, "properties": ["hs_object_id"]}
        if since is not None:
            millis = str(int(since.timestamp() * 1000))
            body["filterGroups"] = [
                {"filters": [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": millis}]}
            ]
        rows = wire.page(api.search("deals", body)).total
        calls = None
        if rows is not None:
            calls = -(-rows // HISTORY_PAGE) + (0 if since is None else -(-rows // SEARCH_PAGE) + -(-rows // 1000))
        yield PlanLine(stream="deals", rows=rows, calls=calls, note="history comes with the deals")
        yield PlanLine(stream="pipelines", rows=None, calls=3, note="account, pipelines, properties")
        yield PlanLine(stream="owners", rows=None, calls=2, note="active and deactivated")

    def remap(self, stream_name: str, raw: Mapping[str, Any], context: ReplayContext) -> Record | None:
        """Deals from their stored JSON."""
        if stream_name != "deals":
            return None
        definitions = [
            {"name": d.code, "label": d.label, "type": d.field_type}
            for d in context.field_defs
            if d.object_type == "deal"
        ]
        account = Account(
            zone=(context.info.time_zone if context.info else None) or "UTC",
            currency=context.info.home_currency if context.info else None,
            labels=mapping.labels(definitions),
            kinds={d["name"]: d["type"] for d in definitions},
            lost_reason=self.settings.lost_reason_property,
            zero_amount=self.settings.zero_amount,
        )
        body = {key: raw[key] for key in ("id", "createdAt", "updatedAt", "archived", "properties") if key in raw}
        return mapping.deal(wire.deal(msgspec.json.encode(body)), account)


class _Session:
    """One sync: the API, the account, and what was learnt on the way."""

    def __init__(self, connector: HubSpot, sync: Sync) -> None:
        self.connector, self.sync, self.settings = connector, sync, connector.settings
        self._date: datetime | None = None
        sync.calls.observe(self._look_at_date)
        self.api: Api = open_api(sync.calls, connector.settings)
        self.account = Account()
        self.reader = DealReader(self.api, sync, ())
        self.known_stages: set[str] = set()
        self.rates: dict[str, tuple[datetime, CurrencyRate]] = {}
        self.unknown_stages: dict[tuple[str, str], None] = {}
        self.company_walk: Walk | None = None
        self.doubtful = 0

    def _look_at_date(self, answer: Answer) -> None:
        """The server's clock at the first answer: windows end there, never by the clock of this machine."""
        if self._date is None and "Date" in answer.headers:
            try:
                self._date = parsedate_to_datetime(answer.headers["Date"])
            except ValueError:
                return

    # --- reference data -------------------------------------------------------------------------------------

    def reference(self) -> Iterator[Record]:
        """Account, pipelines, stages, properties."""
        details = msgspec.json.decode(self.api.account())
        portal = str(details["portalId"])
        yield SourceInfo(
            account_id=portal,
            name=f"HubSpot {portal}",
            deep_link=f"https://{details.get('uiDomain') or 'app.hubspot.com'}/contacts/{portal}/record/0-3/{{id}}",
            time_zone=details.get("timeZone"),
            home_currency=details.get("companyCurrency"),
            raw=details,
        )
        pipeline_of: dict[str, str] = {}
        for item in msgspec.json.decode(self.api.pipelines())["results"]:
            pipeline = mapping.pipeline(item)
            yield pipeline
            for entry in item.get("stages") or []:
                stage = mapping.stage(pipeline.pipeline_id, entry)
                pipeline_of[stage.stage_id] = pipeline.pipeline_id
                yield stage
        yield SweepEnd(stream="pipelines", complete=True, missing_as="deleted")
        yield SweepEnd(stream="stages", complete=True, missing_as="deleted")
        definitions = msgspec.json.decode(self.api.properties())["results"]
        wanted = self._wanted(definitions)
        for item in definitions:
            yield mapping.field_def(item, is_read=item["name"] in wanted)
        self.account = Account(
            zone=details.get("timeZone") or "UTC",
            currency=details.get("companyCurrency"),
            labels=mapping.labels(definitions),
            kinds={item["name"]: str(item.get("type")) for item in definitions},
            pipeline_of=pipeline_of,
            lost_reason=self.settings.lost_reason_property,
            zero_amount=self.settings.zero_amount,
        )
        self.known_stages = set(pipeline_of)
        self.reader = DealReader(self.api, self.sync, wanted)
        known = {item["name"] for item in definitions}
        if self.settings.lost_reason_property not in known:
            yield Warn(
                code="lost_reason_missing",
                message=f"lost_reason_property {self.settings.lost_reason_property!r} is no deal property of this account. Correct the setting.",
            )

    def _wanted(self, definitions: list[dict[str, Any]]) -> list[str]:
        """Properties with a place in the record, and every property that the account added itself."""
        known = {item["name"] for item in definitions}
        plain = [name for name in (*mapping.PLAIN, self.settings.lost_reason_property) if name in known]
        own = [item["name"] for item in definitions if not item.get("hubspotDefined") and not item.get("calculated")]
        return list(dict.fromkeys([*plain, *own, *self.settings.sensitive_properties]))

    def owners(self) -> Iterator[Record]:
        """Active and deactivated owners; without the scope a warning, and deals keep their owner ids."""
        if self.sync.cursor("owners") and not self.sync.cursor("companies"):
            return  # a first sync that a budget broke off goes on where it was, instead of reading the owners each day
        try:
            for archived in ("false", "true"):
                after: str | None = None
                while True:
                    query = {"limit": self.sync.page_size or 500, "archived": archived} | (
                        {"after": after} if after else {}
                    )
                    page = wire.page(self.api.owners(query))
                    for item in page.results:
                        yield mapping.owner(msgspec.json.decode(item))
                    after = page.after
                    if after is None:
                        break
        except MissingScopesError as error:
            yield Warn(code="owners_not_read", message=f"owners are not read: {error}")
        yield Checkpoint(stream="owners", cursor={"read": True})

    # --- deals ----------------------------------------------------------------------------------------------

    def deals(self) -> Iterator[Record]:
        """Everything, or what changed since the cursor; then companies, archived deals, merged ones and stages that only history knows."""
        cursor = self.sync.cursor("deals")
        started = self._date or self.sync.clock.now()
        if not self.sync.cursor("companies"):
            self.company_walk = self.reader.beside(self._company_page)
        window = open_window(cursor, overlap_minutes=self.settings.overlap_minutes, start_date=self.settings.start_date)
        is_first = not cursor
        newest: datetime | None
        if is_first and self.settings.start_date is None:
            newest = yield from self._whole(started)
        else:
            since = window.start or started - timedelta(days=36_500)
            newest = yield from self._changed(since, started)
        yield from self._archived(whole=is_first and self.settings.start_date is None)
        yield from (rate for _, rate in self.rates.values())
        yield Checkpoint(stream="deals", cursor=next_cursor(cursor, self._mark(newest, started), not_after=started))
        yield from self._gone_stages()
        yield from self._companies()
        if self.doubtful:
            yield Warn(
                code="history_incomplete",
                message=f"{self.doubtful} deal(s) whose stage history may lack entries; ops.checks lists them.",
            )

    @staticmethod
    def _mark(newest: datetime | None, started: datetime) -> datetime:
        """The newest instant received, so that the lag of the search index loses nothing; but no index lags for hours, and a portal whose
        deals all share one old instant must not be listed again and again.
        """
        return latest(newest, started - _LONGEST_LAG) or started

    def _whole(self, started: datetime) -> Generator[Record, None, datetime]:
        newest: datetime | None = None
        total = self.sync.held.live_count("deals") or None
        for count, found in enumerate(self.reader.everything(), start=1):
            if count % HISTORY_PAGE == 0:
                self.sync.progress(count, total, "deals")
            deal = yield from self._deal(found)
            newest = latest(newest, deal.updated_at if deal else None)
        yield SweepEnd(stream="deals", complete=True, missing_as="purged")
        return newest or started

    def _changed(self, since: datetime, until: datetime) -> Generator[Record, None, datetime | None]:
        """Deals modified in the window that are not held as they are; the overlap costs one search page and no more."""
        newest: datetime | None = None
        fresh: list[str] = []
        chunk: dict[str, str | None] = {}
        for key, modified in self.reader.changed(since, until):
            newest = latest(newest, mapping.instant(modified))
            chunk[key] = modified
            if len(chunk) == SEARCH_PAGE:
                fresh += self._not_held(chunk)
                chunk = {}
        fresh += self._not_held(chunk)
        if self.sync.sweep_is_due("deals", _SWEEP_DAYS):
            fresh = yield from self._sweep(set(fresh))
        may_read_all = self.settings.start_date is None
        if may_read_all and len(fresh) > max(HISTORY_PAGE, self.sync.held.live_count("deals") // _CHANGED_SHARE):
            newest = latest(newest, (yield from self._whole(until)))
            return newest
        for found in self.reader.by_id(fresh):
            yield from self._deal(found)
        return newest

    def _not_held(self, modified: Mapping[str, str | None]) -> list[str]:
        held = self.sync.held.deals(list(modified))
        return [
            key
            for key, text in modified.items()
            if key not in held or _differs(held[key].version, text) or held[key].presence != "present"
        ]

    def _unnoticed(self, modified: Mapping[str, str | None]) -> list[str]:
        """Like `_not_held`; with a start_date, deals from before it are none of ours."""
        if self.settings.start_date is not None:
            held = self.sync.held.versions("deals", list(modified))
            modified = {key: text for key, text in modified.items() if key in held}
        return self._not_held(modified)

    def _sweep(self, fresh: set[str]) -> Generator[Record, None, list[str]]:
        """All live ids: what vanished without a trace is marked, what changed unnoticed is read."""
        chunk: dict[str, str | None] = {}
        for row in self.reader.listed():
            yield Seen(stream="deals", key=row.id)
            chunk[row.id] = row.modified
            if len(chunk) == SEARCH_PAGE:
                fresh.update(self._unnoticed(chunk))
                chunk = {}
        fresh.update(self._unnoticed(chunk))
        yield SweepEnd(stream="deals", complete=True, missing_as="purged")
        return sorted(fresh, key=int)

    def _deal(self, found: wire.Read | Bad) -> Generator[Record, None, Deal | None]:
        """A deal with its history; a deal whose history ends elsewhere is read once more by itself."""
        if isinstance(found, Bad):
            yield _reject(found)
            return None
        try:
            deal, history = mapping.deal(found, self.account), mapping.history(found, self.account)
            if not history.complete and not found.archived:
                again = next(iter(self.reader.by_id([found.id])), None)
                if isinstance(again, wire.Read):
                    deal, history = mapping.deal(again, self.account), mapping.history(again, self.account)
                    found = again
                self.doubtful += not history.complete
        except (DataError, ValueError, ArithmeticError) as error:
            yield Reject(
                stream="deals", reason="undecodable", detail=f"deal {found.id}: {error}", key=found.id, raw=found.raw
            )
            return None
        yield deal
        yield history
        yield from self._merged(found)
        self._remember(found, deal, history)
        return deal

    def _merged(self, found: wire.Read) -> Iterator[Record]:
        """HubSpot names the swallowed ids on the survivor; the loser itself is gone without a word."""
        for old in (found.properties.get("hs_merged_object_ids") or "").split(";"):
            if old.strip() and old.strip() != found.id:
                yield Tombstone(stream="deals", key=old.strip(), kind="merged", survivor=found.id)

    def _remember(self, found: wire.Read, deal: Deal, history: HistoryRead) -> None:
        for change in history.stage_changes:
            if change.to_stage_id not in self.known_stages:
                self.unknown_stages[(change.to_pipeline_id or deal.pipeline_id or "", change.to_stage_id)] = None
        rate, home = found.properties.get("hs_exchange_rate"), self.account.currency
        if rate and deal.currency and home and deal.currency != home and deal.updated_at is not None:
            known = self.rates.get(deal.currency)
            if known is None or known[0] < deal.updated_at:
                entry = CurrencyRate(
                    currency=deal.currency, base_currency=home, rate=Decimal(rate), raw={"hs_exchange_rate": rate}
                )
                self.rates[deal.currency] = (deal.updated_at, entry)

    def _archived(self, *, whole: bool) -> Iterator[Record]:
        """The recycle bin: in a first or full sync with content and history, later only the keys that are held as live."""
        if whole:
            for found in self.reader.everything(archived=True):
                yield from self._deal(found)
                if isinstance(found, wire.Read):
                    yield Tombstone(
                        stream="deals", key=found.id, kind="deleted", gone_at=mapping.instant(found.archived_at)
                    )
            return
        chunk: dict[str, str | None] = {}
        for row in self.reader.listed(archived=True):
            chunk[row.id] = row.archivedAt
            if len(chunk) == LIST_PAGE:
                yield from self._gone(chunk)
                chunk = {}
        yield from self._gone(chunk)

    def _gone(self, archived: Mapping[str, str | None]) -> Iterator[Record]:
        for key, held in self.sync.held.deals(list(archived)).items():
            if held.presence in ("present", "hidden", "purged", "absent"):
                yield Tombstone(stream="deals", key=key, kind="deleted", gone_at=mapping.instant(archived[key]))

    # --- companies and stages that are gone -------------------------------------------------------------------

    def _companies(self) -> Iterator[Record]:
        """All companies at first, later those that changed. Without the scope a warning, and deals keep their company ids."""
        cursor = self.sync.cursor("companies")
        started = self._date or self.sync.clock.now()
        newest: datetime | None = None
        try:
            if not cursor:
                pages = self._all_companies()
            else:
                since = open_window(cursor, overlap_minutes=self.settings.overlap_minutes).start or started
                pages = self._changed_companies(since, started)
            for item in pages:
                company = _company(item)
                newest = latest(newest, company.updated_at)
                yield company
        except MissingScopesError as error:
            yield Warn(code="companies_not_read", message=f"companies are not read: {error}")
            return
        yield Checkpoint(stream="companies", cursor=next_cursor(cursor, self._mark(newest, started), not_after=started))

    def _all_companies(self) -> Iterator[dict[str, Any]]:
        """What was read beside the deals, and the rest."""
        aside, self.reader.aside = self.reader.aside, []
        yield from (msgspec.json.decode(item) for item in aside)
        if self.company_walk is not None:
            yield from (msgspec.json.decode(item) for item in self.company_walk.rest())

    def _company_page(self, after: str | None) -> wire.Page:
        query = {"limit": min(self.sync.page_size or LIST_PAGE, LIST_PAGE), "properties": ",".join(_COMPANY)}
        return wire.page(self.api.list_companies(query | ({"after": after} if after else {})))

    def _changed_companies(self, since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
        found = dict(self.reader.changed(since, until, "companies"))
        held = self.sync.held.versions("companies", list(found))
        keys = [key for key, modified in found.items() if _differs(held.get(key, ""), modified)]
        for start in range(0, len(keys), LIST_PAGE):
            body = {"inputs": [{"id": key} for key in keys[start : start + LIST_PAGE]], "properties": list(_COMPANY)}
            page = wire.page(self.api.batch_read("companies", body))
            yield from (msgspec.json.decode(item) for item in page.results)

    def _gone_stages(self) -> Iterator[Record]:
        """Stages that pipelines no longer name: their last label stands in their audit. Kept archived, and asked for once."""
        missing = list(self.unknown_stages)
        held = self.sync.held.versions("stages", [stage_key(*key) for key in missing])
        for pipeline_id, stage_id in missing[:_MOST_AUDITS]:
            if stage_key(pipeline_id, stage_id) in held:
                continue
            yield Stage(
                pipeline_id=pipeline_id,
                stage_id=stage_id,
                name=self._last_label(pipeline_id, stage_id),
                is_archived=True,
            )

    def _last_label(self, pipeline_id: str, stage_id: str) -> str:
        try:
            lines = msgspec.json.decode(self.api.stage_audit(pipeline_id, stage_id)).get("results") or []
        except MuaraError:
            return stage_id
        labels = [line["rawObject"].get("label") for line in lines if isinstance(line.get("rawObject"), dict)]
        return next((str(label) for label in reversed(labels) if label), stage_id)


_COMPANY = ("name", "domain", "country", "industry", "hs_lastmodifieddate")


def _company(item: Mapping[str, Any]) -> Company:
    found = item.get("properties") or {}
    return Company(
        company_id=str(item["id"]),
        name=found.get("name"),
        domain=found.get("domain"),
        country=found.get("country"),
        industry=found.get("industry"),
        updated_at=mapping.instant(found.get("hs_lastmodifieddate") or item.get("updatedAt")),
        raw=dict(item),
    )


def _differs(version: str, modified: str | None) -> bool:
    """Whether a held version is another one than HubSpot shows; compared as instants, since HubSpot drops zero fractions."""
    if not version or not modified:
        return True
    return parse_instant(version) != mapping.instant(modified)


def _reject(bad: Bad) -> Reject:
    return Reject(
        stream="deals", reason="undecodable", detail=f"a deal that is not of HubSpot's shape: {bad.why}", raw=bad.body
    )
