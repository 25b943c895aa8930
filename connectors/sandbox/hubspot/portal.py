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
from connectors.sandbox.hubspot import catalogue, errors
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
            self._tokens.pop(_bearer(request), None)
            if _bearer(request) == self.credentials.access_token:
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
            token = _bearer(request)
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
        limit = _number(request.first("limit"), 10)
        wanted, history = _names(request, "properties"), _names(request, "propertiesWithHistory")
        most = _HISTORY_LIMIT if history else _LIMIT
        if limit is None or not 1 <= limit <= most:
            return errors.validation(f"limit must be between 1 and {most}", request.number)
        order = self.archived_order if _flag(request, "archived") else self.order
        start = self._cursor_of(request.first("after"))
        if start is None:
            return errors.validation("Invalid after parameter", request.number)
        size = min(limit, self.page_cap or limit)
        first = bisect.bisect_left(order, start)
        page = [self.by_id[portal_id] for portal_id in order[first : first + size]]
        linked = "companies" in _names(request, "associations")
        body: dict[str, Any] = {"results": [self._object(found, wanted, history, linked) for found in page]}
        if first + size < len(order):
            after = self._cursor(page[-1].id + 1)
            body["paging"] = {"next": {"after": after, "link": f"https://api.hubapi.com{request.path}?after={after}"}}
        return _json(body)

    def _cursor(self, start: int) -> str:
        return f"MTU{start * 7:x}" if self.opaque_cursors else str(start)

    def _cursor_of(self, after: str | None) -> int | None:
        if not after:
            return 0
        try:
            return int(after.removeprefix("MTU"), 16) // 7 if self.opaque_cursors else int(after)
        except ValueError:
            return None

    def _get(self, request: Request) -> Response:
        portal_id = int(request.path.rsplit("/", 1)[1])
        found = self._find(portal_id)
        if found is None or found.archived != (_flag(request, "archived")):
            return errors.not_found(request.number)
        history = _names(request, "propertiesWithHistory")
        return _json(
            self._object(found, _names(request, "properties"), history, "companies" in _names(request, "associations"))
        )

    def _find(self, portal_id: int) -> Row | None:
        if portal_id in self.survivors:
            return self.rows.get(self.survivors[portal_id])
        return self.by_id.get(portal_id)

    def _batch_read(self, request: Request) -> Response:
        wish = _body(request)
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
        archived = _flag(request, "archived")
        results, missing = [], []
        for text_id in dict.fromkeys(inputs):
            found = self._find(int(text_id)) if text_id.isdigit() else None
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

    # --- everything else ------------------------------------------------------------------------------------

    def _companies(self, request: Request) -> Response:
        limit, start = _number(request.first("limit"), 10), self._cursor_of(request.first("after"))
        if limit is None or not 1 <= limit <= _LIMIT or start is None:
            return errors.validation(f"limit must be between 1 and {_LIMIT}", request.number)
        wanted = _names(request, "properties")
        ids = sorted(
            c.id for c in self.world.companies.values() if (c.presence == "present") != (_flag(request, "archived"))
        )
        ids = [key for key in ids if self.world.companies[key].merged_into is None and FIRST_COMPANY + key >= start]
        size = min(limit, self.page_cap or limit)
        body: dict[str, Any] = {"results": [catalogue.company(self, key, wanted) for key in ids[:size]]}
        if size < len(ids):
            after = self._cursor(FIRST_COMPANY + ids[size - 1] + 1)
            body["paging"] = {"next": {"after": after, "link": "https://api.hubapi.com"}}
        return _json(body)

    def _companies_batch(self, request: Request) -> Response:
        wish = _body(request)
        inputs = [str(item.get("id")) for item in wish.get("inputs", [])]
        if len(inputs) > _LIMIT:
            return errors.validation(
                f"The maximum number of inputs supported in a batch request is {_LIMIT}.", request.number
            )
        found, missing = [], []
        for text_id in dict.fromkeys(inputs):
            key = int(text_id) - FIRST_COMPANY
            company = self.world.companies.get(key)
            if company is not None and company.merged_into is not None:
                key, company = company.merged_into, self.world.companies[company.merged_into]
            if company is None or company.presence != "present":
                missing.append(text_id)
            else:
                found.append(catalogue.company(self, key, list(wish.get("properties") or [])))
        body: dict[str, Any] = {"status": "COMPLETE", "results": found}
        if missing:
            body |= {
                "numErrors": 1,
                "errors": [{"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}],
            }
        return Response(207 if missing else 200, json.dumps(body).encode())

    def _companies_search(self, request: Request) -> Response:
        rows = [
            catalogue.company_row(self, key)
            for key, c in self.world.companies.items()
            if c.presence == "present" and c.merged_into is None
        ]
        known = {item["name"] for item in catalogue.company_properties()} | {
            "createdate",
            "hs_lastmodifieddate",
            "hs_object_id",
        }
        return search(
            rows, known, request.body, request.number, lambda row, wanted: catalogue.company(self, row.world_id, wanted)
        )

    def _associations(self, request: Request) -> Response:
        inputs = [str(item.get("id")) for item in _body(request).get("inputs", [])]
        if len(inputs) > 1_000:
            return errors.validation(
                "The maximum number of inputs supported in a batch request is 1000.", request.number
            )
        results, missing = [], []
        for text_id in dict.fromkeys(inputs):
            found = self._find(int(text_id))
            if found is None or found.company_id is None:
                missing.append(text_id)
                continue
            kinds = [
                {"category": "HUBSPOT_DEFINED", "typeId": 5, "label": "Primary"},
                {"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None},
            ]
            company = str(FIRST_COMPANY + found.company_id)
            results.append({"from": {"id": text_id}, "to": [{"toObjectId": company, "associationTypes": kinds}]})
        body: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if missing:
            context = {"fromObjectId": missing}
            body |= {
                "numErrors": len(missing),
                "errors": [{"status": "error", "category": "OBJECT_NOT_FOUND", "context": context}],
            }
        return Response(207 if missing else 200, json.dumps(body).encode())

    def _pipelines(self, request: Request) -> Response:
        return _json({"results": catalogue.pipelines(self)})

    def _audit(self, request: Request) -> Response:
        return _json({"results": catalogue.audit(self, request.path)})

    def _properties(self, request: Request) -> Response:
        if _flag(request, "archived"):
            return _json({"results": []})
        kind = request.path.rsplit("/", 1)[1]
        return _json(
            {
                "results": catalogue.properties(self)
                if kind in ("deals", "deal", "0-3")
                else catalogue.company_properties()
            }
        )

    def _owners(self, request: Request) -> Response:
        limit = _number(request.first("limit"), 100)
        if limit is None or not 1 <= limit <= 500:
            return errors.validation("limit must be between 1 and 500", request.number)
        start = self._cursor_of(request.first("after")) or 0
        owners = [o for o in catalogue.owners(self, archived=_flag(request, "archived")) if int(o["id"]) >= start]
        size = min(limit, self.page_cap or limit)
        body: dict[str, Any] = {"results": owners[:size]}
        if size < len(owners):
            body["paging"] = {
                "next": {"after": self._cursor(int(owners[size - 1]["id"]) + 1), "link": "https://api.hubapi.com"}
            }
        return _json(body)

    def _account(self, request: Request) -> Response:
        others = sorted(set(self.world.rates) - {self.world.home_currency})
        body = {
            "portalId": self.portal_id,
            "accountType": "STANDARD",
            "timeZone": self.zone,
            "companyCurrency": self.world.home_currency,
            "additionalCurrencies": others if self.world.multi_currency else [],
            "utcOffset": "-07:00",
            "utcOffsetMilliseconds": -25_200_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
        return _json(body)

    def _usage(self, request: Request) -> Response:
        daily = self.limits.daily or 625_000
        usage = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": daily,
            "currentUsage": self.limits.used_today,
            "collectedAt": iso(self.world.now_ms),
            "fetchStatus": "CACHED",
            "resetsAt": iso((self.world.now_ms // 86_400_000 + 1) * 86_400_000),
        }
        return _json({"results": [usage]})


def _bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def _json(body: Any) -> Response:
    return Response(200, json.dumps(body, separators=(",", ":")).encode())


def _body(request: Request) -> dict[str, Any]:
    found = json.loads(request.body or b"{}")
    return found if isinstance(found, dict) else {}


def _number(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if text.lstrip("-").isdigit() else None


def _flag(request: Request, parameter: str) -> bool:
    """A flag, however its letters are written."""
    return (request.first(parameter) or "").lower() == "true"


def _names(request: Request, parameter: str) -> list[str]:
    """A parameter that may be repeated or joined with commas."""
    return [part for value in request.query.get(parameter, []) for part in value.split(",") if part]


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
        ("GET", _both("objects", "/(?:companies|company|0-2)"), "companies.list", Portal._companies),
        (
            "POST",
            _both("objects", "/(?:companies|company|0-2)/batch/read"),
            "companies.batch_read",
            Portal._companies_batch,
        ),
        ("POST", _both("objects", "/(?:companies|company|0-2)/search"), "companies.search", Portal._companies_search),
        ("GET", _both("pipelines", "/{deals}"), "pipelines", Portal._pipelines),
        ("GET", _both("pipelines", r"/{deals}/[^/]+(?:/stages/[^/]+)?/audit"), "pipelines.audit", Portal._audit),
        ("GET", _both("properties", "/(?:deals|deal|0-3|companies|company|0-2)"), "properties", Portal._properties),
        ("GET", _both("owners", ""), "owners", Portal._owners),
        (
            "POST",
            [
                _path("/crm/v4/associations/{deals}/(?:companies|company|0-2)/batch/read"),
                _path("/crm/associations/(?:2026-03|2026-09)/{deals}/(?:companies|company|0-2)/batch/read"),
            ],
            "associations",
            Portal._associations,
        ),
        ("GET", [_path("/account-info/(?:v3|2026-03|2026-09)/details")], "account", Portal._account),
        ("GET", [_path("/account-info/(?:v3|2026-03|2026-09)/api-usage/daily/private-apps")], "usage", Portal._usage),
    ]
    return [(method, pattern, name, answer) for method, patterns, name, answer in table for pattern in patterns]


_ROUTES = _routes()
