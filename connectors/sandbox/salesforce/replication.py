"""What getDeleted and getUpdated know: ids with times, from a log that forgets purges."""

from __future__ import annotations

from connectors.sandbox.salesforce.schema import SObject
from connectors.sandbox.salesforce.tables import Row, Tables, stamp
from connectors.sandbox.world import DELETED, MERGED, PURGED, Deal


def deleted_between(tables: Tables, entity: SObject, start: str, end: str) -> list[tuple[str, str]]:
    """(id, deletion time) of rows deleted in [start, end). A deleted deal stays in the log when it is purged afterwards;
    one purged without ever having been in the bin was never logged.
    """
    found: list[tuple[str, str]] = []
    if entity.name == "Account":
        for company in tables.world.companies.values():
            if company.presence == MERGED:
                found.append((tables.id("Account", company.id), stamp(company.stamp_ms)))
    if entity.name in ("Opportunity", "OpportunityHistory"):
        for deal in tables.world.deals.values():
            at_ms = _deleted_ms(deal)
            if at_ms is None:
                continue
            opportunity_id = tables.id("Opportunity", deal.id)
            if entity.name == "Opportunity":
                found.append((opportunity_id, stamp(at_ms)))
            else:
                place = entity.place["OpportunityId"]
                rows = tables.rows[entity.name].values()
                found += [(row[0] or "", stamp(at_ms)) for row in rows if row[place] == opportunity_id]
    return sorted((key, when) for key, when in found if start <= when < end)


def _deleted_ms(deal: Deal) -> int | None:
    if deal.presence not in (DELETED, MERGED, PURGED):
        return None
    for event in reversed(deal.events):
        if any(c.field == "presence" and c.new in (DELETED, MERGED) for c in event.changes):
            return event.at_ms
    return None


def changed_between(entity: SObject, rows: list[Row], start: str, end: str) -> list[str]:
    """Ids of live rows whose SystemModstamp (or CreatedDate) lies in [start, end)."""
    place = entity.place.get("SystemModstamp", entity.place["CreatedDate"])
    return [row[0] or "" for row in rows if start <= (row[place] or "") < end]
