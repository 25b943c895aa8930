"""The Acme connector: small, and it keeps every promise. The broken ones of this folder are this one with one thing changed.

Reads     /account, /pipelines, /users, /companies, /fields whole; /deals by change time; /history for deals that changed; /gone; /ids for sweeps
Cursor    deals: the newest `updated` received; gone: the newest `at` received
History   complete, from the creation on; asked for up to a page of deals in one call
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec

from connectors.sdk import (
    Answer,
    Capabilities,
    Checkpoint,
    Company,
    Connector,
    ConnectorSettings,
    DataError,
    Deal,
    FieldChange,
    FieldDef,
    Finding,
    HistoryRead,
    MuaraError,
    OAuth,
    OffsetPages,
    Owner,
    Pipeline,
    PlanLine,
    Reject,
    Secret,
    Seen,
    SourceInfo,
    Stage,
    StageChange,
    SweepEnd,
    TokenPages,
    Tombstone,
    Verdict,
    judge_status,
    judge_token,
    latest,
    next_cursor,
    open_window,
    parse_date,
    parse_instant,
    stream,
    token_from,
    walk,
)
from connectors.sdk.instants import instant_text
from tests.contract.acme.crm import MAX_PAGE, send

TRACKED = {"amount": "amount", "currency": "currency", "close_date": "expected_close_date", "owner": "owner"}


class AcmeSettings(ConnectorSettings, frozen=True, kw_only=True):
    base_url: Annotated[str, msgspec.Meta(description="Where Acme is.")]
    client_id: str
    client_secret: Secret


def judge(outcome: Any) -> Verdict:
    """Acme tells a used-up day from too many calls at once."""
    answer = Answer.of(outcome)
    if answer is not None and answer.status == 429 and (answer.json() or {}).get("error") == "daily_quota":
        return Verdict.daily("Acme's daily quota is used up")
    return judge_status(outcome)


class Api:
    """Acme's calls. Every one goes through the call policy."""

    judge = staticmethod(judge)

    def __init__(self, sync: Any) -> None:
        self.calls, self.settings = sync.calls, sync.settings
        self.auth = OAuth(self._fetch, clock=sync.clock, tokens=sync.calls.tokens)

    def _fetch(self, refresh_token: str | None) -> Any:
        known = self.settings
        form = f"client_id={known.client_id}&client_secret={known.client_secret.reveal()}".encode()
        asked_at = self.calls.clock.now()
        reply = self.calls.call(
            "oauth.token", lambda: send(known.base_url, "POST", "/token", {}, form), judge_token, 0, pool="oauth"
        )
        return token_from(json.loads(reply.body), asked_at=asked_at)

    def get(self, name: str, **query: Any) -> Any:
        """The decoded answer; numbers with a fraction are Decimal."""
        texts = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
        target = f"/{name}?{texts.replace('+', '%2B')}"
        reply = self.calls.call(
            name,
            lambda: send(self.settings.base_url, "GET", target, dict(self.auth.headers())),
            self.judge,
            renew=self.auth,
        )
        return json.loads(reply.body, parse_float=Decimal)

    def rows(self, name: str, limit: int) -> Iterator[Any]:
        """All rows of a list that is paged by offset."""
        pages = OffsetPages(limit=limit, offset_param="start", total=("total",))
        for answer in walk(pages, lambda page: self.get(name, **page.params), lambda answer: answer["results"]):
            yield from answer["results"]


class Acme(Connector):
    name = "acme"
    title = "Acme CRM"
    Settings = AcmeSettings
    capabilities = Capabilities()
    Api = Api
    settings: AcmeSettings

    def read(self, sync: Any) -> Iterator[Any]:
        """All streams, with one client."""
        self.api = self.Api(sync)
        self.limit = sync.page_size or MAX_PAGE
        yield from super().read(sync)

    @stream(SourceInfo)
    def account(self, sync: Any) -> Iterator[Any]:
        """Who this is."""
        row = self.api.get("account")
        yield SourceInfo(
            account_id=row["id"],
            name=row["name"],
            deep_link="https://acme.example/deals/{id}",
            time_zone=row["zone"],
            home_currency=row["currency"],
            raw=row,
        )

    @stream(Pipeline, Stage, SweepEnd)
    def pipelines(self, sync: Any) -> Iterator[Any]:
        """Pipelines and their stages, retired ones too."""
        for row in self.api.get("pipelines"):
            yield Pipeline(pipeline_id=str(row["id"]), name=row["name"], raw=row)
            yield from (self.stage(str(row["id"]), stage) for stage in row["stages"])
        yield SweepEnd(stream="pipelines", complete=True)
        yield SweepEnd(stream="stages", complete=True)

    def stage(self, pipeline_id: str, row: Any) -> Stage:
        return Stage(
            pipeline_id=pipeline_id,
            stage_id=str(row["id"]),
            name=row["name"],
            display_order=row["order"],
            outcome=row["kind"],
            is_archived=not row["active"],
            raw=row,
        )

    @stream(Owner, SweepEnd)
    def owners(self, sync: Any) -> Iterator[Any]:
        """People, deactivated ones too."""
        for row in self.api.rows("users", self.limit):
            yield Owner(owner_id=str(row["id"]), name=row["name"], email=row["email"], is_active=row["active"], raw=row)
        yield SweepEnd(stream="owners", complete=True)

    @stream(Company, SweepEnd)
    def companies(self, sync: Any) -> Iterator[Any]:
        """Customers."""
        for row in self.api.rows("companies", self.limit):
            yield Company(company_id=str(row["id"]), name=row["name"], country=row["country"], raw=row)
        yield SweepEnd(stream="companies", complete=True)

    @stream(FieldDef, SweepEnd)
    def fields(self, sync: Any) -> Iterator[Any]:
        """What fields a deal has."""
        rows = self.api.get("fields")
        labels = [row["label"] for row in rows]
        self.labels = {
            row["code"]: row["label"] if labels.count(row["label"]) == 1 else f"{row['label']} ({row['code']})"
            for row in rows
        }
        for row in rows:
            yield FieldDef(
                object_type="deal",
                code=row["code"],
                label=row["label"],
                field_type=row["type"],
                is_custom=row["custom"],
                raw=row,
            )
        yield SweepEnd(stream="field_defs", complete=True)

    # --- deals -----------------------------------------------------------------------------------------------------

    @stream(Deal, HistoryRead, Reject, Checkpoint, cursor="updated")
    def deals(self, sync: Any) -> Iterator[Any]:
        """Deals that changed, each page with the history of those that were not held so."""
        window = self.window(sync)
        since = instant_text(window.start) if window.start else None
        newest = None
        for rows in self.pages(since):
            newest = latest(newest, *(parse_instant(row["updated"]) for row in rows))
            yield from self.page(sync, rows, newest)

    def window(self, sync: Any) -> Any:
        known = self.settings
        return open_window(sync.cursor("deals"), overlap_minutes=known.overlap_minutes, start_date=known.start_date)

    def pages(self, since: str | None) -> Iterator[list[Any]]:
        ask = lambda page: self.api.get("deals", **{"from": since, "limit": self.limit}, **page.params)  # noqa: E731
        for answer in walk(TokenPages("after", at=("next",)), ask):
            yield answer["results"]

    def page(self, sync: Any, rows: list[Any], newest: Any) -> Iterator[Any]:
        stale = self.stale(sync, rows)
        for row in rows:
            yield from self.deal_or_reject(sync, row)
        yield from self.histories(stale)
        yield Checkpoint(stream="deals", cursor=self.cursor(sync, newest))

    def cursor(self, sync: Any, newest: Any) -> Any:
        return next_cursor(sync.cursor("deals"), newest)

    def stale(self, sync: Any, rows: list[Any]) -> list[str]:
        """Deals of a page whose history must be read: not held in this version, or never read completely."""
        held = sync.held.deals([str(row["id"]) for row in rows])
        return [
            str(row["id"])
            for row in rows
            if (found := held.get(str(row["id"]))) is None
            or found.version != parse_instant(row["updated"]).isoformat()
            or not found.history_complete
        ]

    def deal_or_reject(self, sync: Any, row: Any) -> Iterator[Any]:
        try:
            yield self.deal(row)
        except DataError as error:
            yield Reject(stream="deals", key=str(row["id"]), reason="bad_value", detail=str(error), raw=row)

    def deal(self, row: Any) -> Deal:
        return Deal(
            deal_id=str(row["id"]),
            name=row["name"],
            pipeline_id=str(row["pipeline"]),
            stage_id=str(row["stage"]),
            status=row["state"],
            amount=self.money(row["amount"]),
            currency=row["currency"] if row["amount"] is not None else None,
            created_at=parse_instant(row["created"]),
            closed_at=parse_instant(row["closed"]) if row["closed"] else None,
            expected_close_date=parse_date(row["close_date"]) if row["close_date"] else None,
            owner_id=str(row["owner"]),
            company_id=None if row["company"] is None else str(row["company"]),
            lost_reason=row["lost_reason"],
            presence="archived" if row["archived"] else "present",
            custom_fields={self.labels.get(code, code): value for code, value in row["custom"].items()},
            updated_at=parse_instant(row["updated"]),
            raw=row,
        )

    def money(self, value: Any) -> Decimal | None:
        try:
            return None if value is None else Decimal(value)
        except InvalidOperation:
            raise DataError("amount: not a number. Correct it in Acme.") from None

    # --- history ---------------------------------------------------------------------------------------------------

    def histories(self, deal_ids: list[str]) -> Iterator[Any]:
        if deal_ids:
            answer = self.api.get("history", deals=",".join(deal_ids))
            for deal_id in deal_ids:
                if deal_id in answer:
                    yield self.history(deal_id, answer[deal_id])

    def history(self, deal_id: str, events: list[Any]) -> HistoryRead:
        stages, fields = [], []
        for number, event in enumerate(events):
            changes = {name: (old, new) for name, old, new in event["changes"]}
            if "stage" in changes or "pipeline" in changes:
                stages.append(self.stage_change(deal_id, event, changes, first=number == 0))
            fields += [self.field_change(deal_id, event, name, *changes[name]) for name in TRACKED if name in changes]
        return HistoryRead(deal_id=deal_id, complete=True, stage_changes=tuple(stages), field_changes=tuple(fields))

    def stage_change(self, deal_id: str, event: Any, changes: Any, *, first: bool) -> StageChange:
        old, new = changes.get("stage", (None, None))
        return StageChange(
            event_id=str(event["id"]),
            deal_id=deal_id,
            changed_at=parse_instant(event["at"]),
            to_stage_id=str(new),
            from_stage_id=None if old is None else str(old),
            changed_by_id=str(event["by"]),
            sequence=event["id"],
            evidence="exact",
            raw=event,
        )

    def field_change(self, deal_id: str, event: Any, name: str, old: Any, new: Any) -> FieldChange:
        return FieldChange(
            event_id=f"{event['id']}:{name}",
            deal_id=deal_id,
            field=TRACKED[name],
            changed_at=parse_instant(event["at"]),
            old_value=None if old is None else str(old),
            new_value=None if new is None else str(new),
            sequence=event["id"],
        )

    # --- what is gone ----------------------------------------------------------------------------------------------

    @stream(Tombstone, Checkpoint, cursor="at")
    def gone(self, sync: Any) -> Iterator[Any]:
        """Deleted deals, and merged ones with the deal that they became."""
        window = open_window(sync.cursor("gone"), overlap_minutes=self.settings.overlap_minutes)
        rows = self.api.get("gone", **{"from": instant_text(window.start) if window.start else None})
        yield from map(self.tombstone, rows)
        newest = latest(*(parse_instant(row["at"]) for row in rows))
        yield Checkpoint(stream="gone", cursor=next_cursor(sync.cursor("gone"), newest))

    def tombstone(self, row: Any) -> Tombstone:
        return Tombstone(
            stream="deals",
            key=str(row["id"]),
            kind=row["how"],
            gone_at=parse_instant(row["at"]),
            survivor=None if row["into"] is None else str(row["into"]),
        )

    @stream(Seen, SweepEnd)
    def sweep(self, sync: Any) -> Iterator[Any]:
        """Once a week: which ids are there at all? A purged deal is in no other list."""
        if sync.sweep_is_due("deals", 7):
            yield from (Seen(stream="deals", key=str(number)) for number in self.api.rows("ids", self.limit))
            yield SweepEnd(stream="deals", complete=True, missing_as="purged")

    def check(self, sync: Any) -> list[Finding]:
        """One call tells whether the credentials are good."""
        try:
            self.Api(sync).get("account")
        except MuaraError as error:
            return [
                Finding(level="error", what="credentials", message=str(error), what_to_do="Set client id and secret.")
            ]
        return [Finding(level="ok", what="credentials", message="are accepted")]

    def plan(self, sync: Any) -> list[PlanLine]:
        """How many deals changed, by one call."""
        window = open_window(sync.cursor("deals"), overlap_minutes=self.settings.overlap_minutes)
        since = instant_text(window.start) if window.start else None
        count = self.Api(sync).get("count", **{"from": since})["count"]
        return [PlanLine(stream="deals", rows=count, calls=1 + 2 * -(-count // MAX_PAGE))]
