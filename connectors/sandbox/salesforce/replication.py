"""What getDeleted and getUpdated know: ids with times, from a log that forgets purges."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from connectors.sandbox.salesforce.errors import RestError
from connectors.sandbox.salesforce.render import to_json
from connectors.sandbox.salesforce.routes import Answers, Parts, pretty
from connectors.sandbox.salesforce.schema import SObject
from connectors.sandbox.salesforce.tables import Row, Tables, stamp
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import DELETED, MERGED, PURGED, Deal

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.org import Org


class Replication:
    """GET sobjects/X/deleted and sobjects/X/updated."""

    def __init__(self, org: Org) -> None:
        self.org = org

    def answers(self) -> Answers:
        """Endpoint name to its function."""
        return {"deleted": self._deleted, "updated": self._updated}

    def _window(self, request: Request, days: int) -> tuple[str, str]:
        edges = []
        for name in ("start", "end"):
            try:
                edge = dt.datetime.fromisoformat((request.first(name) or "").replace(" ", "+"))
            except ValueError:
                raise RestError(400, "MALFORMED_QUERY", f"bad {name} date") from None
            edges.append(edge.astimezone(dt.UTC).replace(second=0, microsecond=0))
        start, end = edges
        if end - start < dt.timedelta(minutes=1):
            raise RestError(400, "INVALID_REPLICATION_DATE", "endDate before or equal to startDate")
        if start < self.org.world.now - dt.timedelta(days=days):
            raise RestError(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        return start.strftime("%Y-%m-%dT%H:%M:%S"), end.strftime("%Y-%m-%dT%H:%M:%S")

    def _covered(self) -> str:
        return self.org.world.now.replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def _deleted(self, parts: Parts, request: Request) -> Response:
        entity = self.org.object(parts["name"])
        start, end = self._window(request, 15)
        with self.org.world.lock:
            self.org.refresh()
            gone = deleted_between(self.org.tables, entity, start, end)
        records = [{"id": key, "deletedDate": when + ".000+0000"} for key, when in gone]
        found = {
            "deletedRecords": records,
            "earliestDateAvailable": self._earliest(),
            "latestDateCovered": self._covered(),
        }
        return Response(200, to_json(found, pretty=pretty(request)))

    def _earliest(self) -> str:
        return (self.org.world.now - dt.timedelta(days=15)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def _updated(self, parts: Parts, request: Request) -> Response:
        entity = self.org.object(parts["name"])
        start, end = self._window(request, 30)
        with self.org.world.lock:
            self.org.refresh()
            rows = self.org.engine.rows(entity, everything=False, hidden=self.org.tables.hidden_ids(self.org.user))
        found = {"ids": changed_between(entity, rows, start, end), "latestDateCovered": self._covered()}
        return Response(200, to_json(found, pretty=pretty(request)))


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
