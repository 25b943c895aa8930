"""The made-up company in Pipedrive's words: won and lost are a status, a deal keeps its last open stage, times have whole seconds."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sandbox.world import ARCHIVED, DELETED, MERGED, OPEN, Change, CustomField, Deal, Event, World

FIRST_USER = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a deal's history: what changed, typed values, at whole seconds."""

    id: int
    key: str
    old: Any
    new: Any
    at: int
    actor: int
    bulk: bool


@dataclass(slots=True)
class Life:
    """A deal's life as Pipedrive knows it: stage among the open ones, status beside it, and every change."""

    stage: int
    status: str
    stage_change: int | None
    won: int | None
    lost: int | None
    first_won: int | None
    history: list[Entry]  # oldest first


def utc(at: int | None) -> str | None:
    """Seconds as v2 writes them."""
    return None if at is None else dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(at: int) -> str:
    """Seconds as v1 writes them: UTC without saying so."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def local_date(at: int | None, zone: ZoneInfo) -> str | None:
    """The day in the company's zone."""
    return None if at is None else dt.datetime.fromtimestamp(at, tz=zone).date().isoformat()


def field_hash(field: CustomField) -> str:
    """The 40-character key of a custom field."""
    return hashlib.sha1(f"field:{field.key}".encode(), usedforsecurity=False).hexdigest()


def option_id(field: CustomField, option: str) -> int:
    """The id of an option of a choice field."""
    return 100 * (1 + int(field_hash(field)[:3], 16)) + field.options.index(option)


def life(world: World, deal: Deal) -> Life:
    """Walk a deal's true events and keep what Pipedrive would have kept."""
    stages = world.stages
    entry = next(c.new for c in deal.events[0].changes if c.field == "stage")
    pipeline = next(c.new for c in deal.events[0].changes if c.field == "pipeline")
    first_open = world.pipeline_stages(pipeline)[0].id
    found = Life(
        entry if stages[entry].outcome == OPEN else first_open, stages[entry].outcome, None, None, None, None, []
    )
    created = deal.events[0].at_ms // 1000
    if found.status == "won":
        found.won = found.first_won = created
    elif found.status == "lost":
        found.lost = created
    for event in deal.events[1:]:
        for key, old, new in _lines(world, event, found):
            bulk = event.actor_id != deal.owner_id and event.id % 11 == 0
            found.history.append(
                Entry(event.id * 10 + len(found.history) % 10, key, old, new, event.at_ms // 1000, event.actor_id, bulk)
            )
    return found


def _lines(world: World, event: Event, found: Life) -> list[tuple[str, Any, Any]]:
    lines: list[tuple[str, Any, Any]] = []
    at = event.at_ms // 1000
    for change in sorted(event.changes, key=lambda c: c.field != "pipeline"):
        if change.field == "stage":
            lines += _stage_lines(world, change, found, at)
        else:
            lines += _plain_lines(change)
    return lines


def _stage_lines(world: World, change: Change, found: Life, at: int) -> list[tuple[str, Any, Any]]:
    target = world.stages[change.new]
    lines: list[tuple[str, Any, Any]] = []
    if target.outcome != OPEN:
        if target.outcome == found.status:
            return []
        lines.append(("status", found.status, target.outcome))
        lines.append((f"{target.outcome}_time", None, plain(at)))
        lines.append(("close_time", None, plain(at)))
        found.won, found.lost = (at, None) if target.outcome == "won" else (None, at)
        if target.outcome == "won" and found.first_won is None:
            found.first_won = at
        found.status = target.outcome
        return lines
    if found.status != "open":
        lines.append(("status", found.status, "open"))
        found.status, found.won, found.lost = "open", None, None
    if target.id != found.stage:
        lines.append(("stage_id", found.stage, target.id))
        found.stage, found.stage_change = target.id, at
    return lines


def _plain_lines(change: Change) -> list[tuple[str, Any, Any]]:
    keys = {
        "pipeline": "pipeline_id",
        "amount": "value",
        "currency": "currency",
        "close_date": "expected_close_date",
        "owner": "user_id",
        "company": "org_id",
        "name": "title",
        "lost_reason": "lost_reason",
    }
    key = keys.get(change.field)
    if key is None:
        return []
    old, new = change.old, change.new
    if key == "value":
        return [(key, number(old), number(new))]
    if key == "user_id":
        return [(key, FIRST_USER + old, FIRST_USER + new)]
    if key == "expected_close_date":
        return [(key, old.isoformat() if old else None, new.isoformat() if new else None)]
    return [(key, old, new)]


def number(amount: Decimal | None) -> int | float:
    """A value as a JSON number; not entered is 0."""
    if amount is None:
        return 0
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def deal_row(world: World, deal: Deal, zone: ZoneInfo, domain: str) -> dict[str, Any]:
    """The v2 object of one deal, with the answers of `include_fields` under `_extra`."""
    known = life(world, deal)
    closed = known.won if known.status == "won" else known.lost
    deleted = deal.presence in (DELETED, MERGED)
    gone = [e.at_ms // 1000 for e in deal.events for c in e.changes if c.field == "presence"]
    return {
        "id": deal.id,
        "title": deal.name,
        "creator_user_id": FIRST_USER + deal.events[0].actor_id,
        "owner_id": FIRST_USER + deal.owner_id,
        "value": number(deal.amount),
        "person_id": None,
        "org_id": deal.company_id,
        "stage_id": known.stage,
        "pipeline_id": deal.pipeline_id,
        "currency": deal.currency,
        "archive_time": utc(gone[-1]) if deal.presence == ARCHIVED else None,
        "add_time": utc(deal.created_ms // 1000),
        "update_time": utc(max([deal.stamp_ms // 1000, *gone])),
        "stage_change_time": utc(known.stage_change),
        "status": known.status,
        "is_archived": deal.presence == ARCHIVED,
        "is_deleted": deleted,
        "probability": None if deal.id % 4 else 40,
        "lost_reason": deal.lost_reason if known.status == "lost" else None,
        "visible_to": 3,
        "close_time": utc(closed),
        "won_time": utc(known.won),
        "lost_time": utc(known.lost),
        "local_won_date": local_date(known.won, zone),
        "local_lost_date": local_date(known.lost, zone),
        "local_close_date": local_date(closed, zone),
        "expected_close_date": deal.close_date.isoformat() if deal.close_date else None,
        "label_ids": [],
        "origin": "ManuallyCreated",
        "origin_id": None,
        "channel": None,
        "channel_id": None,
        "acv": None,
        "arr": None,
        "mrr": None,
        "custom_fields": {field_hash(f): custom_value(f, deal.custom.get(f.key)) for f in world.custom_fields.values()},
        "_extra": {
            "first_won_time": utc(known.first_won),
            "last_activity_id": None,
            "next_activity_id": None,
            "source_lead_id": None,
        },
        "_life": known,
        "_deleted_at": gone[-1] if deleted and gone else None,
        "_update": max([deal.stamp_ms // 1000, *gone]),
        "_domain": domain,
    }


def custom_value(field: CustomField, value: Any) -> Any:
    """A custom value as v2 gives it: option ids for choices, numbers for numbers."""
    if value is None:
        return None
    if field.kind == "choice":
        return option_id(field, value) if value in field.options else None
    if field.kind == "multichoice":
        return [option_id(field, part) for part in value if part in field.options]
    if field.kind == "number":
        return number(Decimal(str(value)))
    if field.kind == "bool":
        return 1 if value else 0
    if field.kind == "date":
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    return str(value)


FIELD_TYPES = {
    "text": "varchar",
    "longtext": "text",
    "number": "double",
    "date": "date",
    "bool": "boolean",
    "choice": "enum",
    "multichoice": "set",
}
