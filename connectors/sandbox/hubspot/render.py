"""The made-up company in HubSpot's words: every value text or null, history newest first, closed stages among the others."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sandbox.world import LOST, OPEN, WON, Deal, Event, Stage, World

FIRST_DEAL = 15_000_000_000
FIRST_COMPANY = 7_000_000_000
FIRST_OWNER = 70_000
FIRST_USER = 40_000
_WORDS = ("appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "decisionmakerboughtin", "contractsent")
#: A deal closes in the evening of its day in the account's zone: cut as UTC it would shift to the next day.
_CLOSING_TIME = dt.time(18, 30)
#: Properties whose history the portal keeps, by the world's own field name.
HISTORY = {
    "stage": "dealstage",
    "pipeline": "pipeline",
    "amount": "amount",
    "currency": "deal_currency_code",
    "close_date": "closedate",
    "owner": "hubspot_owner_id",
    "name": "dealname",
    "lost_reason": "closed_lost_reason",
}


def iso(at_ms: int) -> str:
    """An instant as HubSpot writes it: milliseconds, but no fraction when it is zero."""
    seconds, rest = divmod(at_ms, 1000)
    text = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


@dataclass(slots=True)
class Row:
    """One deal as the portal holds it. `history`: property -> entries, newest first."""

    id: int
    world_id: int
    properties: dict[str, str | None]
    history: dict[str, list[dict[str, Any]]]
    created_ms: int
    modified_ms: int
    company_id: int | None
    archived: bool = False
    archived_ms: int | None = None


@dataclass(slots=True)
class Names:
    """Ids of the portal for things of the world."""

    world: World
    zone: ZoneInfo
    deal_ids: dict[int, int] = field(default_factory=dict)
    merged: dict[int, list[int]] = field(default_factory=dict)  # world id of a survivor -> portal ids it swallowed
    next_deal: int = 0

    def deal(self, world_id: int) -> int:
        """The portal's id of a deal: given once, in the order in which deals are first seen."""
        if world_id not in self.deal_ids:
            self.deal_ids[world_id] = self.new_deal_id()
        return self.deal_ids[world_id]

    def new_deal_id(self) -> int:
        """A deal id that nobody had before, greater than all others."""
        self.next_deal += 7
        return FIRST_DEAL + self.next_deal

    def pipeline(self, pipeline_id: int) -> str:
        """`default` for the built-in pipeline, a number for the others."""
        return "default" if pipeline_id == 1 else str(881_000 + pipeline_id)

    def stage(self, stage_id: int) -> str:
        """Word ids in the built-in pipeline, numbers elsewhere; an old GUID-like one now and then."""
        stage = self.world.stages[stage_id]
        if stage.pipeline_id != 1:
            return str(9_100_000 + stage_id)
        if stage.outcome != OPEN:
            return "closedwon" if stage.outcome == WON else "closedlost"
        opened = [s for s in self.world.pipeline_stages(1, gone=True) if s.outcome == OPEN]
        position = sorted(s.id for s in opened).index(stage_id)
        return _WORDS[position] if position < len(_WORDS) else f"54bf5b9c-2198-4ba9-9292-{stage_id:012d}"

    def close_date(self, day: dt.date) -> str:
        """A closing day as the instant that HubSpot stores."""
        local = dt.datetime.combine(day, _CLOSING_TIME, tzinfo=self.zone)
        return iso(round(local.timestamp() * 1000))


def text(value: Any) -> str | None:
    """A plain value as a property value: everything is text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ";".join(str(part) for part in value)
    return str(value)


def probability(stage: Stage) -> str:
    """A probability as the exact expansion of its binary number."""
    return str(Decimal(stage.probability / 100))


def row(names: Names, deal: Deal, events: list[Event], salesforce_id: str | None) -> Row:
    """Render one deal; `events` are its own, with those of deals merged into it, oldest first."""
    world = names.world
    history = _history(names, events)
    stage = world.stages[deal.stage_id]
    properties: dict[str, str | None] = {
        "hs_object_id": str(names.deal(deal.id)),
        "createdate": iso(deal.created_ms),
        "hs_createdate": iso(deal.created_ms),
        "hs_lastmodifieddate": iso(deal.stamp_ms),
        "dealname": deal.name,
        "pipeline": names.pipeline(deal.pipeline_id),
        "dealstage": names.stage(deal.stage_id),
        "amount": text(deal.amount),
        "deal_currency_code": deal.currency if world.multi_currency else None,
        "closedate": names.close_date(deal.close_date) if deal.close_date else None,
        "hubspot_owner_id": str(FIRST_OWNER + deal.owner_id),
        "closed_lost_reason": deal.lost_reason,
        "dealtype": "newbusiness" if deal.id % 3 else "existingbusiness",
        "hs_is_closed": text(stage.outcome != OPEN),
        "hs_is_closed_won": text(stage.outcome == WON),
        "hs_is_closed_lost": text(stage.outcome == LOST),
        "hs_deal_stage_probability": probability(stage),
        "hs_closed_amount": text(deal.amount or Decimal(0)) if stage.outcome == WON else "0",
        "notes_last_updated": iso(deal.modified_ms),
        "notes_last_contacted": None,
        "hs_object_source": "CRM_UI",
        "hs_analytics_source": ("ORGANIC_SEARCH", "DIRECT_TRAFFIC", "OFFLINE")[deal.id % 3],
        "hs_merged_object_ids": ";".join(map(str, names.merged[deal.id])) if deal.id in names.merged else None,
        "hs_salesforceopportunityid": salesforce_id,
    }
    if world.multi_currency:
        rate = Decimal(1) / world.rates[deal.currency]
        properties["hs_exchange_rate"] = text(round(rate, 10))
        properties["amount_in_home_currency"] = None if deal.amount is None else text(round(deal.amount * rate, 2))
    else:
        properties["amount_in_home_currency"] = text(deal.amount)
    for key in world.custom_fields:
        properties[key] = text(deal.custom.get(key))
    _stage_times(names, deal, properties)
    return Row(
        id=names.deal(deal.id),
        world_id=deal.id,
        properties=properties,
        history=history,
        created_ms=deal.created_ms,
        modified_ms=deal.stamp_ms,
        company_id=deal.company_id,
    )


def _history(names: Names, events: list[Event]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in HISTORY.values()}
    for event in events:
        for change in event.changes:
            name = HISTORY.get(change.field)
            if name is None or (change.old is None and change.new is None):
                continue
            found[name].append(_entry(event, _value(names, change.field, change.new)))
    return {name: list(reversed(entries)) for name, entries in found.items()}


def _entry(event: Event, value: str | None) -> dict[str, Any]:
    source = ("CRM_UI", "INTEGRATION", "AUTOMATION_PLATFORM")[event.id % 3]
    user = FIRST_USER + event.actor_id
    entry: dict[str, Any] = {"value": value or "", "timestamp": iso(event.at_ms), "sourceType": source}
    entry["sourceId"] = f"userId:{user}" if source == "CRM_UI" else str(220_000 + event.id % 5)
    if source == "CRM_UI":
        entry["updatedByUserId"] = user
    return entry


def _value(names: Names, field_name: str, value: Any) -> str | None:
    if value is None:
        return None
    if field_name == "stage":
        return names.stage(value)
    if field_name == "pipeline":
        return names.pipeline(value)
    if field_name == "owner":
        return str(FIRST_OWNER + value)
    if field_name == "close_date":
        return names.close_date(value)
    return text(value)


def _stage_times(names: Names, deal: Deal, properties: dict[str, str | None]) -> None:
    """Professional and Enterprise portals: when the latest visit of each stage began and ended."""
    path = names.world.stage_path(deal.id)
    for position, visit in enumerate(path):
        key = names.stage(visit.stage_id).replace("-", "_")
        properties[f"hs_v2_date_entered_{key}"] = iso(visit.at_ms)
        left = iso(path[position + 1].at_ms) if position + 1 < len(path) else None
        properties[f"hs_v2_date_exited_{key}"] = left
    if path:
        properties["hs_v2_date_entered_current_stage"] = iso(path[-1].at_ms)
