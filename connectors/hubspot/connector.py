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

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from connectors.hubspot import access, mapping, wire
from connectors.hubspot.api import open_api
from connectors.hubspot.deals import Deals
from connectors.hubspot.mapping import Account
from connectors.hubspot.run import Run
from connectors.hubspot.settings import HubSpotSettings
from connectors.sdk import (
    Capabilities,
    Company,
    Connector,
    CurrencyRate,
    Deal,
    FieldDef,
    Finding,
    HistoryRead,
    Owner,
    Pipeline,
    PlanLine,
    Record,
    ReplayContext,
    SourceInfo,
    Stage,
    Sync,
    Tombstone,
    stream,
)


class HubSpot(Connector):
    """Deals, pipelines, stages, complete stage history, owners and companies of a HubSpot account."""

    name = "hubspot"
    title = "HubSpot"
    Settings = HubSpotSettings
    settings: HubSpotSettings
    capabilities = Capabilities(
        notes={"finds_purges": "a weekly sweep of all ids finds deals that vanished without a trace"},
    )
    setup_guide = access.SETUP_GUIDE

    _run: Run

    @stream(SourceInfo, Pipeline, Stage, FieldDef)
    def pipelines(self, sync: Sync) -> Iterator[Record]:
        """Deal pipelines and stages, and the definitions of all deal properties."""
        self._run = Run(self.settings, sync)
        yield from self._run.reference()

    @stream(Owner)
    def owners(self, sync: Sync) -> Iterator[Record]:
        """Owners, deactivated ones too."""
        yield from self._run.owners()

    @stream(Deal, HistoryRead, Company, CurrencyRate, Tombstone, cursor="hs_lastmodifieddate")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Deals with all changes of stage, pipeline, amount, currency, close date and owner; their companies; archived and merged ones."""
        yield from Deals(self._run).read()

    def check(self, sync: Sync) -> Iterable[Finding]:
        """One small call per kind of data."""
        return access.findings(open_api(sync.calls, self.settings))

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """From one search that counts."""
        return access.plan(open_api(sync.calls, self.settings), self.settings, sync)

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
