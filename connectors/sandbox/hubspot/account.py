"""Small things of a portal: pipelines, properties, owners, the account and its use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.sandbox.hubspot import catalogue, errors
from connectors.sandbox.hubspot.asking import as_json, flag, number
from connectors.sandbox.hubspot.render import iso
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.hubspot.portal import Portal


def pipelines(portal: Portal, request: Request) -> Response:
    """Deal pipelines with their stages."""
    return as_json({"results": catalogue.pipelines(portal)})


def audit(portal: Portal, request: Request) -> Response:
    """What happened to a pipeline or stage."""
    return as_json({"results": catalogue.audit(portal, request.path)})


def properties(portal: Portal, request: Request) -> Response:
    """Properties of deals or companies."""
    if flag(request, "archived"):
        return as_json({"results": []})
    kind = request.path.rsplit("/", 1)[1]
    return as_json(
        {
            "results": catalogue.properties(portal)
            if kind in ("deals", "deal", "0-3")
            else catalogue.company_properties()
        }
    )


def owners(portal: Portal, request: Request) -> Response:
    """A page of owners; deactivated ones only when asked for."""
    limit = number(request.first("limit"), 100)
    if limit is None or not 1 <= limit <= 500:
        return errors.validation("limit must be between 1 and 500", request.number)
    start = portal.cursor_of(request.first("after")) or 0
    owners = [o for o in catalogue.owners(portal, archived=flag(request, "archived")) if int(o["id"]) >= start]
    size = min(limit, portal.page_cap or limit)
    body: dict[str, Any] = {"results": owners[:size]}
    if size < len(owners):
        body["paging"] = {
            "next": {"after": portal.cursor(int(owners[size - 1]["id"]) + 1), "link": "https://api.hubapi.com"}
        }
    return as_json(body)


def details(portal: Portal, request: Request) -> Response:
    """Account details."""
    others = sorted(set(portal.world.rates) - {portal.world.home_currency})
    body = {
        "portalId": portal.portal_id,
        "accountType": "STANDARD",
        "timeZone": portal.zone,
        "companyCurrency": portal.world.home_currency,
        "additionalCurrencies": others if portal.world.multi_currency else [],
        "utcOffset": "-07:00",
        "utcOffsetMilliseconds": -25_200_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }
    return as_json(body)


def usage(portal: Portal, request: Request) -> Response:
    """Calls used today."""
    daily = portal.limits.daily or 625_000
    usage = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": daily,
        "currentUsage": portal.limits.used_today,
        "collectedAt": iso(portal.world.now_ms),
        "fetchStatus": "CACHED",
        "resetsAt": iso((portal.world.now_ms // 86_400_000 + 1) * 86_400_000),
    }
    return as_json({"results": [usage]})
