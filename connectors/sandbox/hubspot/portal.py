"""A fake HubSpot portal as an HTTP app: routes of v3 and of dated versions, tokens, limits, lists, batch reads.

Written from vendor docs, the published OpenAPI documents and public threads (read 2026-11), never from a client.
"""

from __future__ import annotations

import bisect
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot import account, catalogue, companies, errors
from connectors.sandbox.hubspot.asking import as_json, bearer, body_of, flag, names, number
from connectors.sandbox.hubspot.limits import Limits
from connectors.sandbox.hubspot.render import FIRST_COMPANY, Names, Row, iso, row
from connectors.sandbox.hubspot.search import search
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import ARCHIVED, DELETED, MERGED, PURGED, World

VERSIONS = ("v3", "2026-03", "2026-09")
_ALWAYS = ("createdate", "hs_lastmodifieddate", "hs_object_id")
_DEFAULT = ("amount", "closedate", "dealname", "dealstage", "pipeline")
_HISTORY_LIMIT = 50
_LIMIT = 100
_RATE_INTERVAL_MS = 10_000


@dataclass(slots=True)
class Credentials:
    """Ways in: a static token (private app or service key), or an OAuth app with a refresh token."""

    access_token: str = "pat-na1-11111111-2222-3333-4444-555555555555"  # noqa: S105  (a made-up portal)
    client_id: str = "00000000-aaaa-bbbb-cccc-000000000001"
    client_secret: str = "11111111-aaaa-bbbb-cccc-000000000002"  # noqa: S105
    refresh_token: str = "na1-2222-aaaa-bbbb-cccc-000000000003"  # noqa: S105


class Portal:
    """The app behind the server. Options are documented at `serve`."""

    def __init__(self, world: World, credentials: Credentials, options: dict[str, Any]) -> None:
        self.world, self.credentials = world, credentials
        self.user = "api"
        self.zone = str(options.pop("time_zone", "America/Phoenix"))
        self.portal_id = int(options.pop("portal_id", 48_291_337))
        self.extra_properties = int(options.pop("extra_properties", 0))
        self.search_lag_seconds = float(options.pop("search_lag_seconds", 0.0))
        self.history_cap: int | None = options.pop("history_cap", None)
        self.page_cap: int | None = options.pop("page_cap", None)
        self.missing_scopes: set[str] = set(options.pop("missing_scopes", ()))
        self.token_seconds: float | None = options.pop("token_seconds", None)
        self.salesforce_ids: Callable[[int], str | None] = options.pop("salesforce_ids", lambda deal_id: None)
        self.opaque_cursors = bool(options.pop("opaque_cursors", False))
        seconds: Callable[[], float] = options.pop("seconds", time.monotonic)
        self.seconds = seconds
        self.limits = Limits(
            per_ten_seconds=options.pop("per_ten_seconds", 190),
            search_per_second=options.pop("search_per_second", 5),
            daily=options.pop("daily_limit", None),
            seconds=seconds,
        )
        if options:
            raise TypeError(f"hubspot sandbox: unknown options {sorted(options)}")
        self.names = Names(world, ZoneInfo(self.zone))
        self.rows: dict[int, Row] = {}  # by the world's id
        self.order: list[int] = []  # portal ids of live deals, ascending
        self.by_id: dict[int, Row] = {}
        self.survivors: dict[int, int] = {}  # portal id that was merged away -> world id of the survivor
        self.index: dict[int, Row] = {}  # what search sees
        self._to_index: deque[tuple[int, int]] = deque()
        self._tokens: dict[str, float | None] = {credentials.access_token: None}
        self._issued = 0
        self._known: set[str] = set()
        self._known_at = -1
        self._journal = 0
        with world.lock:
            for deal_id in world.deals:
                self._update(deal_id)
            self._journal = len(world.journal)
            self._renumber()
            self.index = {key: found for key, found in self.rows.items() if not found.archived}

    # --- keeping up with the world --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Render what changed in the world since the last call; let the search index catch up as far as it lags."""
        world = self.world
        changed = {key for kind, key in world.journal[self._journal :] if kind in ("deal", "visibility")}
        self._journal = len(world.journal)
        due = world.now_ms + int(self.search_lag_seconds * 1000)
        for deal_id in sorted(changed):
            self._update(deal_id)
            self._to_index.append((due, deal_id))
        if changed:
            self._renumber()
        while self._to_index and self._to_index[0][0] <= world.now_ms:
            _, deal_id = self._to_index.popleft()
            found = self.rows.get(deal_id)
            if found is None or found.archived:
                self.index.pop(deal_id, None)
            else:
                self.index[deal_id] = found

    def _update(self, deal_id: int) -> None:
        deal = self.world.deals[deal_id]
        if deal.presence == MERGED and deal.merged_into is not None:
            self._merge(deal_id, deal.merged_into)
            return
        if deal.presence == PURGED or deal_id in self.world.hidden.get(self.user, set()):
            self.rows.pop(deal_id, None)
            return
        events = sorted(
            [event for other in self._with_merged(deal_id) for event in self.world.deals[other].events],
            key=lambda event: (event.at_ms, event.id),
        )
        found = row(self.names, deal, events, self.salesforce_ids(deal_id))
        if deal.presence in (DELETED, ARCHIVED):
            found.archived = True
            gone = [e.at_ms for e in deal.events for c in e.changes if c.field == "presence"]
            found.archived_ms = gone[-1] if gone else deal.stamp_ms
        self.rows[deal_id] = found

    def _with_merged(self, deal_id: int) -> list[int]:
        losers = (
            [d.id for d in self.world.deals.values() if d.merged_into == deal_id]
            if deal_id in self.names.merged
            else []
        )
        return [deal_id, *losers]

    def _merge(self, loser: int, survivor: int) -> None:
        """A merge makes a new deal: a new id with the combined history; both old ids are gone and lead to it."""
        swallowed = self.names.merged.setdefault(survivor, [])
        old = [self.names.deal(loser), self.names.deal(survivor)]
        if old[0] in self.survivors:
            return
        swallowed.extend(old)
        for portal_id in old:
            self.survivors[portal_id] = survivor
        self.names.deal_ids[survivor] = self.names.new_deal_id()
        self.rows.pop(loser, None)
        self._update(survivor)
        self._to_index.append((self.world.now_ms + int(self.search_lag_seconds * 1000), loser))
        self._to_index.append((self.world.now_ms + int(self.search_lag_seconds * 1000), survivor))

    def _renumber(self) -> None:
        self.by_id = {found.id: found for found in self.rows.values()}
        self.order = sorted(found.id for found in self.rows.values() if not found.archived)
        self.archived_order = sorted(found.id for found in self.rows.values() if found.archived)

    def truth(self) -> dict[str, Any]:
        """What the world knows, in the portal's words: path ([millisecond, pipeline, stage]) by deal id, archived ids, merged ones with survivor.

        `world` leads from a deal id to the world's id. A survivor's path is its own, without that of the deals it swallowed.
        """
        world, names = self.world, self.names
        with world.lock:
            self.refresh()
            there = {
                names.deal(deal.id): deal for deal in world.deals.values() if deal.presence not in (MERGED, PURGED)
            }
            return {
                "paths": {
                    key: [
                        (visit.at_ms, names.pipeline(visit.pipeline_id), names.stage(visit.stage_id))
                        for visit in world.stage_path(deal.id)
                    ]
                    for key, deal in there.items()
                },
                "world": {key: deal.id for key, deal in there.items()},
                "archived": [key for key, deal in there.items() if deal.presence in (DELETED, ARCHIVED)],
                "merged": {old: names.deal(new) for old, new in self.survivors.items()},
            }

    # --- the app --------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The world's clock."""
        return self.world.now_ms

    def endpoint(self, request: Request) -> str:
        """A short name of the route."""
        return self._route(request)[0]

    def fault(self, fault: Fault, request: Request) -> Response | None:
        """HubSpot's words for the faults that have some."""
        if fault.kind == "rate_limited":
            searching = self.endpoint(request) == "deals.search"
            return errors.rate_limited("SECONDLY" if searching else "TEN_SECONDLY_ROLLING", request.number)
        if fault.kind == "daily_limit":
            return errors.rate_limited("DAILY", request.number)
        if fault.kind == "concurrent_limit":
            return errors.error(423, "LOCKED", "The resource is locked, try again later.", request.number)
        if fault.kind == "unauthorized":
            self._tokens.pop(bearer(request), None)
            if bearer(request) == self.credentials.access_token:
                self._tokens[self.credentials.access_token] = None  # a static token lives on
            return errors.unauthorized(request.number, expired=True)
        return None

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        name, answer = self._route(request)
        if name == "unknown":
            return errors.not_found(request.number)
        if name == "token":
            return answer(request)
        with self.world.lock:
            self.refresh()
            token = bearer(request)
            until = self._tokens.get(token, 0.0)
            if token not in self._tokens or (until is not None and self.seconds() >= until):
                return errors.unauthorized(request.number, expired=token in self._tokens)
            policy, left = self.limits.take(search=name.endswith(".search"))
            if policy is not None:
                return errors.rate_limited(policy, request.number)
            needed = catalogue.SCOPES.get(name.split(".")[0], ())
            if needed and set(needed) <= self.missing_scopes:
                return errors.missing_scopes(list(needed), request.number)
            response = answer(request)
        if not name.endswith(".search"):
            response.headers.update(self._rate_headers(left))
        response.headers["X-HubSpot-Correlation-Id"] = errors.correlation_id(request.number)
        return response

    def _rate_headers(self, left: int) -> dict[str, str]:
        most = self.limits.per_ten_seconds or 190
        headers = {
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(_RATE_INTERVAL_MS),
        }
        if self.limits.daily is not None:
            headers["X-HubSpot-RateLimit-Daily"] = str(self.limits.daily)
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self.limits.daily - self.limits.used_today))
        return headers

    def _route(self, request: Request) -> tuple[str, Callable[[Request], Response]]:
        for method, pattern, name, answer in _ROUTES:
            if method == request.method and pattern.fullmatch(request.path.rstrip("/")):
                return name, lambda req, found=answer: found(self, req)
        return "unknown", lambda req: errors.not_found(req.number)

    # --- tokens ---------------------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        form, known = request.form, self.credentials
        if request.query and "/v1/" not in request.path:
            return errors.validation("Parameters belong into the body.", request.number)
        if form.get("grant_type") != "refresh_token":
            return self._token_error("BAD_GRANT_TYPE", "missing or unknown grant type")
        if form.get("client_id") != known.client_id or form.get("client_secret") != known.client_secret:
            return self._token_error("BAD_CLIENT_ID", "missing or unknown client id")
        if form.get("refresh_token") != known.refresh_token:
            return self._token_error("BAD_REFRESH_TOKEN", "missing or unknown refresh token")
        self._issued += 1
        token = f"CL-{self._issued:04d}-" + "x" * 310
        lifetime = self.token_seconds if self.token_seconds is not None else 1800
        self._tokens[token] = self.seconds() + lifetime
        body = {
            "token_type": "bearer",
            "refresh_token": known.refresh_token,
            "access_token": token,
            "hub_id": self.portal_id,
            "scopes": [
                "oauth",
                *sorted({s for group in catalogue.SCOPES.values() for s in group} - self.missing_scopes),
            ],
            "expires_in": int(lifetime),
        }
        return Response(200, json.dumps(body).encode())

    @staticmethod
    def _token_error(code: str, message: str) -> Response:
        return Response(
            400, json.dumps({"status": code, "message": message, "correlationId": errors.correlation_id(0)}).encode()
        )

    def expire_tokens(self) -> None:
        """Every OAuth access token is dead from now on; static ones live."""
        for token in list(self._tokens):
            if token != self.credentials.access_token:
                self._tokens[token] = 0.0

    # --- deals ----------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Response:
        limit = number(request.first("limit"), 10)
        wanted, history = names(request, "properties"), names(request, "propertiesWithHistory")
        most = _HISTORY_LIMIT if history else _LIMIT
        if limit is None or not 1 <= limit <= most:
            return errors.validation(f"limit must be between 1 and {most}", request.number)
        order = self.archived_order if flag(request, "archived") else self.order
        start = self.cursor_of(request.first("after"))
        if start is None:
            return errors.validation("Invalid after parameter", request.number)
        size = min(limit, self.page_cap or limit)
        first = bisect.bisect_left(order, start)
        page = [self.by_id[portal_id] for portal_id in order[first : first + size]]
        linked = "companies" in names(request, "associations")
        body: dict[str, Any] = {"results": [self._object(found, wanted, history, linked) for found in page]}
        if first + size < len(order):
            after = self.cursor(page[-1].id + 1)
            body["paging"] = {"next": {"after": after, "link": f"https://api.hubapi.com{request.path}?after={after}"}}
        return as_json(body)

    def cursor(self, start: int) -> str:
        """The cursor of a page that begins at an id."""
        return f"MTU{start * 7:x}" if self.opaque_cursors else str(start)

    def cursor_of(self, after: str | None) -> int | None:
        """The id at which a page begins; None for a cursor that is none."""
        if not after:
            return 0
        try:
            return int(after.removeprefix("MTU"), 16) // 7 if self.opaque_cursors else int(after)
        except ValueError:
            return None

    def _get(self, request: Request) -> Response:
        portal_id = int(request.path.rsplit("/", 1)[1])
        found = self.find(portal_id)
        if found is None or found.archived != (flag(request, "archived")):
            return errors.not_found(request.number)
        history = names(request, "propertiesWithHistory")
        return as_json(
            self._object(found, names(request, "properties"), history, "companies" in names(request, "associations"))
        )

    def find(self, portal_id: int) -> Row | None:
        """A deal by its id, or by one that was merged into it."""
        if portal_id in self.survivors:
            return self.rows.get(self.survivors[portal_id])
        return self.by_id.get(portal_id)

    def _batch_read(self, request: Request) -> Response:
        wish = body_of(request)
        history = list(wish.get("propertiesWithHistory") or [])
        inputs = [str(item.get("id")) for item in wish.get("inputs", [])]
        if history and len(inputs) > _HISTORY_LIMIT:
            text = (
                f"The maximum number of inputs supported in a batch request for property histories is {_HISTORY_LIMIT}."
            )
            return errors.validation(text, request.number)
        if len(inputs) > _LIMIT:
            return errors.validation(
                f"The maximum number of inputs supported in a batch request is {_LIMIT}.", request.number
            )
        archived = flag(request, "archived")
        results, missing = [], []
        for text_id in dict.fromkeys(inputs):
            found = self.find(int(text_id)) if text_id.isdigit() else None
            if found is None or found.archived != archived:
                missing.append(text_id)
            else:
                results.append(self._object(found, list(wish.get("properties") or []), history, linked=False))
        results.sort(key=lambda item: item["id"], reverse=True)  # not the order of the inputs
        body: dict[str, Any] = {"status": "COMPLETE", "results": results}
        body["startedAt"] = body["completedAt"] = iso(self.world.now_ms)
        if missing:
            body["numErrors"] = 1
            body["errors"] = [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "message": "Could not get some DEAL objects, they may be deleted or not exist. Check that ids are valid.",
                    "context": {"ids": missing},
                }
            ]
        return Response(207 if missing else 200, json.dumps(body, separators=(",", ":")).encode())

    def _search(self, request: Request) -> Response:
        known = {item["name"] for item in catalogue.properties(self)}
        return search(
            self.index.values(),
            known,
            request.body,
            request.number,
            lambda found, wanted: self._object(found, wanted, [], linked=False),
        )

    def _object(self, found: Row, wanted: list[str], history: list[str], linked: bool) -> dict[str, Any]:
        hidden = {name for kind, name in self.world.hidden_fields if kind == "deal"}
        names = [*_ALWAYS, *(wanted or (() if history else _DEFAULT))]
        properties = found.properties
        known = self._known_names()
        shown = {name: properties.get(name) for name in names if name in known and name not in hidden}
        body: dict[str, Any] = {"id": str(found.id), "properties": shown}
        if history:
            kept = {name: found.history.get(name, []) for name in history if name in known and name not in hidden}
            if self.history_cap is not None:
                kept = {name: entries[: self.history_cap] for name, entries in kept.items()}
            body["propertiesWithHistory"] = kept
            shown.update({name: properties.get(name) for name in kept})
        body["createdAt"], body["updatedAt"] = iso(found.created_ms), iso(found.modified_ms)
        body["archived"] = found.archived
        if found.archived and found.archived_ms is not None:
            body["archivedAt"] = iso(found.archived_ms)
        if linked and found.company_id is not None:
            company = str(FIRST_COMPANY + found.company_id)
            pair = [{"id": company, "type": "deal_to_company"}, {"id": company, "type": "deal_to_company_unlabeled"}]
            body["associations"] = {"companies": {"results": pair}}
        return body

    def _known_names(self) -> set[str]:
        if self._known_at != len(self.world.custom_fields):
            self._known = {item["name"] for item in catalogue.properties(self)}
            self._known_at = len(self.world.custom_fields)
        return self._known


def _path(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("{v}", "(?:" + "|".join(VERSIONS) + ")").replace("{deals}", "(?:deals|deal|0-3)"))


_Answer = Callable[[Portal, Request], Response]


def _both(kind: str, rest: str) -> list[re.Pattern[str]]:
    """The same resource under v3 (`/crm/v3/<kind>`) and under a dated version (`/crm/<kind>/<date>`)."""
    return [_path(f"/crm/v3/{kind}{rest}"), _path(f"/crm/{kind}/(?:2026-03|2026-09){rest}")]


def _routes() -> list[tuple[str, re.Pattern[str], str, _Answer]]:
    table: list[tuple[str, list[re.Pattern[str]], str, _Answer]] = [
        ("POST", [_path(r"/oauth/(?:v1|v3|2026-03|2026-09)/token")], "token", Portal._token),
        ("GET", _both("objects", "/{deals}"), "deals.list", Portal._list),
        ("POST", _both("objects", "/{deals}/search"), "deals.search", Portal._search),
        ("POST", _both("objects", "/{deals}/batch/read"), "deals.batch_read", Portal._batch_read),
        ("GET", _both("objects", r"/{deals}/\d+"), "deals.get", Portal._get),
        ("GET", _both("objects", "/(?:companies|company|0-2)"), "companies.list", companies.listed),
        (
            "POST",
            _both("objects", "/(?:companies|company|0-2)/batch/read"),
            "companies.batch_read",
            companies.batch_read,
        ),
        ("POST", _both("objects", "/(?:companies|company|0-2)/search"), "companies.search", companies.searched),
        ("GET", _both("pipelines", "/{deals}"), "pipelines", account.pipelines),
        ("GET", _both("pipelines", r"/{deals}/[^/]+(?:/stages/[^/]+)?/audit"), "pipelines.audit", account.audit),
        ("GET", _both("properties", "/(?:deals|deal|0-3|companies|company|0-2)"), "properties", account.properties),
        ("GET", _both("owners", ""), "owners", account.owners),
        (
            "POST",
            [
                _path("/crm/v4/associations/{deals}/(?:companies|company|0-2)/batch/read"),
                _path("/crm/associations/(?:2026-03|2026-09)/{deals}/(?:companies|company|0-2)/batch/read"),
            ],
            "associations",
            companies.associations,
        ),
        ("GET", [_path("/account-info/(?:v3|2026-03|2026-09)/details")], "account", account.details),
        ("GET", [_path("/account-info/(?:v3|2026-03|2026-09)/api-usage/daily/private-apps")], "usage", account.usage),
    ]
    return [(method, pattern, name, answer) for method, patterns, name, answer in table for pattern in patterns]


_ROUTES = _routes()
