"""A fake Pipedrive company as an HTTP app: v2 lists with keyset cursors and strict parameters, v1 history, users, currencies.

Written from the official OpenAPI documents and vendor docs (read 2026-11), never from a client.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sandbox.faults import Fault
from connectors.sandbox.pipedrive import history, people
from connectors.sandbox.pipedrive.answers import (
    HTML_403,
    INCLUDE,
    as_json,
    bearer,
    failure,
    ok,
    seconds_of,
    strict,
    unauthorized,
)
from connectors.sandbox.pipedrive.limits import COSTS, Limits
from connectors.sandbox.pipedrive.render import (
    FIELD_TYPES,
    FIRST_USER,
    deal_row,
    field_hash,
    option_id,
    utc,
)
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import ARCHIVED, PURGED, World

_DAY = 86_400
_PAGE = {"limit", "cursor", "sort_by", "sort_direction"}
_DEALS = _PAGE | {
    "filter_id", "ids", "owner_id", "person_id", "org_id", "pipeline_id", "stage_id", "status", "updated_since", "updated_until",
    "include_fields", "custom_fields", "include_labels", "include_option_labels",
}  # fmt: skip


@dataclass(slots=True)
class Credentials:
    """Ways in: a personal API token, or an OAuth app with a refresh token that changes at each use."""

    api_token: str = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105  (a made-up company)
    client_id: str = "a1b2c3d4e5f60718"
    client_secret: str = "s3cr3t-of-the-made-up-app-000000000001"  # noqa: S105
    refresh_token: str = "1234567:7654321:refresh-0000"  # noqa: S105


class Company:
    """The app behind the server. Options are documented at `serve`."""

    def __init__(self, world: World, credentials: Credentials, options: dict[str, Any]) -> None:
        self.world, self.credentials = world, credentials
        self.zone = ZoneInfo(str(options.pop("time_zone", "Asia/Jakarta")))
        self.domain = str(options.pop("domain", "muara-demo"))
        self.company_id = int(options.pop("company_id", 7_654_321))
        self.admin = bool(options.pop("admin", True))
        self.creation_in_changelog = bool(options.pop("creation_in_changelog", False))
        self.page_cap: int | None = options.pop("page_cap", None)
        self.history_cap: int | None = options.pop("history_cap", None)
        self.rotates = bool(options.pop("rotates", True))
        self.token_seconds = float(options.pop("token_seconds", 3600))
        self.forgets_gone_stages = bool(options.pop("forgets_gone_stages", True))
        self.scopes: set[str] = set(options.pop("scopes", ("base", "deals:read", "recents:read", "users:read")))
        seconds: Callable[[], float] = options.pop("seconds", time.monotonic)
        self.seconds = seconds
        self.limits = Limits(
            burst=options.pop("burst", 20),
            daily=options.pop("daily_tokens", None),
            seconds=seconds,
            day=lambda: self.world.now_ms // 1000 // _DAY,
            block_after=options.pop("block_after", 30),
        )
        if options:
            raise TypeError(f"pipedrive sandbox: unknown options {sorted(options)}")
        self.rows: dict[int, dict[str, Any]] = {}
        self._journal = 0
        self._tokens: dict[str, float] = {}
        self._refresh = credentials.refresh_token
        self._issued = 0
        with world.lock:
            for deal_id in world.deals:
                self._update(deal_id)
            self._journal = len(world.journal)

    # --- keeping up with the world --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Render what changed in the world since the last call."""
        world = self.world
        changed = {key for kind, key in world.journal[self._journal :] if kind in ("deal", "visibility")}
        self._journal = len(world.journal)
        for deal_id in changed:
            self._update(deal_id)

    def _update(self, deal_id: int) -> None:
        deal = self.world.deals[deal_id]
        if deal.presence == PURGED or deal_id in self.world.hidden.get("api", set()):
            self.rows.pop(deal_id, None)
        else:
            self.rows[deal_id] = deal_row(self.world, deal, self.zone, self.domain)

    def is_there(self, row: dict[str, Any]) -> bool:
        """Deleted deals can be read for 30 days."""
        gone = row["_deleted_at"]
        return gone is None or self.world.now_ms // 1000 - gone < 30 * _DAY

    def truth(self) -> dict[str, Any]:
        """What the world knows, in Pipedrive's words: path ([second, stage id, won or lost]) by deal that is there, and how others went."""
        world = self.world
        with world.lock:
            return {
                "paths": {deal.id: self._path(deal.id) for deal in world.live()},
                "archived": [deal.id for deal in world.live() if deal.presence == ARCHIVED],
                "gone": world.tombstones(),
            }

    def _path(self, deal_id: int) -> list[tuple[int, str]]:
        world = self.world
        path: list[tuple[int, str]] = []
        for visit in world.stage_path(deal_id):
            stage = world.stages[visit.stage_id]
            if not path and stage.outcome != "open":  # born closed: it sits in the first stage all the same
                path.append((visit.at_ms // 1000, str(world.pipeline_stages(visit.pipeline_id)[0].id)))
            path.append((visit.at_ms // 1000, str(stage.id) if stage.outcome == "open" else stage.outcome))
        return path

    # --- the app --------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The world's clock."""
        return self.world.now_ms

    def endpoint(self, request: Request) -> str:
        """A short name of the route."""
        return self._route(request)[0]

    def fault(self, fault: Fault, request: Request) -> Response | None:
        """Pipedrive's words for the faults that have some."""
        if fault.kind in ("rate_limited", "concurrent_limit"):
            return failure(429, "request over limit", headers={"x-ratelimit-reset": "1", "x-ratelimit-remaining": "0"})
        if fault.kind == "daily_limit":
            return failure(429, "request over limit", headers={"x-daily-ratelimit-token-remaining": "0"})
        if fault.kind == "unauthorized":
            self._tokens.pop(bearer(request), None)
            return unauthorized()
        return None

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        name, answer = self._route(request)
        if name == "oauth":
            return answer(request)
        if name == "gone":
            return failure(410, "This endpoint is no longer available. Please use API v2 instead.")
        if name == "unknown":
            return failure(404, "unknown endpoint")
        with self.world.lock:
            self.refresh()
            if not self._is_known(request):
                return unauthorized()
            refusal, headers = self.limits.take(COSTS[name])
            if refusal == "blocked":
                return Response(403, HTML_403, "text/html")
            if refusal is not None:
                return failure(429, "request over limit", headers=headers)
            if name in ("changelog", "flow", "recents") and "recents:read" not in self.scopes:
                return failure(403, "Scope and URL mismatch", headers=headers)
            response = answer(request)
        response.headers.update(headers)
        return response

    def _is_known(self, request: Request) -> bool:
        token = request.headers.get("x-api-token") or request.first("api_token")
        if token is not None:
            return token == self.credentials.api_token
        return self._tokens.get(bearer(request), 0.0) > self.seconds()

    def _route(self, request: Request) -> tuple[str, Callable[[Request], Response]]:
        path = request.path
        for pattern, name, answer in _ROUTES:
            if pattern.fullmatch(path) and (request.method == "POST") == (name == "oauth"):
                return name, lambda req, found=answer: found(self, req)
        return "unknown", lambda req: failure(404, "unknown endpoint")

    # --- v2 -------------------------------------------------------------------------------------------------

    def _deals(self, request: Request) -> Response:
        wrong = strict(request, _DEALS)
        if wrong:
            return wrong
        archived = request.path.endswith("/archived")
        statuses = set((request.first("status") or "open,won,lost").split(","))
        since, until = request.first("updated_since"), request.first("updated_until")
        ids = {int(part) for part in (request.first("ids") or "").split(",") if part}
        if len(ids) > 100:
            return failure(400, "ids: at most 100")
        found = []
        for row in self.rows.values():
            if row["is_archived"] != archived or not self.is_there(row):
                continue
            if ("deleted" if row["is_deleted"] else row["status"]) not in statuses or (ids and row["id"] not in ids):
                continue
            if (since and row["_update"] < seconds_of(since)) or (until and row["_update"] >= seconds_of(until)):
                continue
            if any(
                request.first(key) and row[key] != int(request.first(key) or 0)
                for key in ("owner_id", "org_id", "pipeline_id", "stage_id")
            ):
                continue
            found.append(row)
        return self._page(request, found, lambda row: self._deal(row, request))

    def _deal(self, row: dict[str, Any], request: Request) -> dict[str, Any]:
        shown = {key: value for key, value in row.items() if not key.startswith("_")}
        hidden = {name for kind, name in self.world.hidden_fields if kind == "deal"}
        shown["custom_fields"] = {
            field_hash(f): row["custom_fields"][field_hash(f)]
            for f in self.world.custom_fields.values()
            if f.key not in hidden
        }
        wanted = request.first("custom_fields")
        if wanted:
            shown["custom_fields"] = {key: shown["custom_fields"].get(key) for key in wanted.split(",")}
        for name in (request.first("include_fields") or "").split(","):
            if name in INCLUDE:
                shown[name] = row["_extra"].get(name)
        return shown

    def _one_deal(self, request: Request) -> Response:
        wrong = strict(request, {"include_fields", "custom_fields", "include_labels", "include_option_labels"})
        if wrong:
            return wrong
        row = self.rows.get(int(request.path.rsplit("/", 1)[1]))
        if row is None or not self.is_there(row):
            return failure(404, "Deal not found")
        return ok(self._deal(row, request))

    def _pipelines(self, request: Request) -> Response:
        wrong = strict(request, _PAGE)
        if wrong:
            return wrong
        rows = [
            {
                "id": pipeline.id,
                "name": pipeline.name,
                "order_nr": pipeline.order,
                "is_deleted": not pipeline.active,
                "is_deal_probability_enabled": True,
                "is_selected": pipeline.id == 1,
                "add_time": utc(pipeline.stamp_ms // 1000),
                "update_time": utc(pipeline.stamp_ms // 1000),
                "_update": pipeline.stamp_ms // 1000,
            }
            for pipeline in self.world.pipelines.values()
        ]
        return self._page(request, rows, _public)

    def _stages(self, request: Request) -> Response:
        wrong = strict(request, _PAGE | {"pipeline_id"})
        if wrong:
            return wrong
        rows = [
            self._stage(stage) for stage in self.world.stages.values() if stage.outcome == "open" and not stage.gone
        ]
        pipeline = request.first("pipeline_id")
        return self._page(
            request, [row for row in rows if pipeline is None or row["pipeline_id"] == int(pipeline)], _public
        )

    def _one_stage(self, request: Request) -> Response:
        stage = self.world.stages.get(int(request.path.rsplit("/", 1)[1]))
        if stage is None or stage.outcome != "open" or (stage.gone and self.forgets_gone_stages):
            return failure(404, "Stage not found")
        return ok(_public(self._stage(stage)))

    @staticmethod
    def _stage(stage: Any) -> dict[str, Any]:
        return {
            "id": stage.id,
            "order_nr": stage.order,
            "name": stage.label or stage.name,
            "is_deleted": stage.gone,
            "deal_probability": stage.probability,
            "pipeline_id": stage.pipeline_id,
            "is_deal_rot_enabled": False,
            "days_to_rotten": None,
            "add_time": utc(stage.stamp_ms // 1000),
            "update_time": utc(stage.stamp_ms // 1000),
            "_update": stage.stamp_ms // 1000,
        }

    def _organizations(self, request: Request) -> Response:
        wrong = strict(
            request,
            _PAGE
            | {"ids", "owner_id", "filter_id", "updated_since", "updated_until", "include_fields", "custom_fields"},
        )
        if wrong:
            return wrong
        since = request.first("updated_since")
        ids = {int(part) for part in (request.first("ids") or "").split(",") if part}
        rows: list[dict[str, Any]] = [
            {
                "id": company.id,
                "name": company.name,
                "owner_id": FIRST_USER + company.owner_id,
                "add_time": utc(company.created_ms // 1000),
                "update_time": utc(company.stamp_ms // 1000),
                "is_deleted": False,
                "visible_to": 3,
                "label_ids": [],
                "custom_fields": {},
                "_update": company.stamp_ms // 1000,
            }
            for company in self.world.companies.values()
            if company.presence == "present"
            and (not since or company.stamp_ms // 1000 >= seconds_of(since))
            and (not ids or company.id in ids)
        ]
        return self._page(request, rows, _public)

    def _deal_fields(self, request: Request) -> Response:
        wrong = strict(request, {"limit", "cursor", "include_fields"})
        if wrong:
            return wrong
        plain_fields = [
            ("title", "Title", "varchar"),
            ("value", "Value", "monetary"),
            ("stage_id", "Stage", "stage"),
            ("lost_reason", "Lost reason", "varchar_options"),
        ]
        rows: list[dict[str, Any]] = [
            _field(number, *rest, custom=False) for number, rest in enumerate(plain_fields, start=1)
        ]
        hidden = {name for kind, name in self.world.hidden_fields if kind == "deal"}
        for number, field in enumerate(self.world.custom_fields.values(), start=100):
            if field.key not in hidden:
                options = [
                    {"id": option_id(field, text), "label": text, "color": None} for text in field.options
                ] or None
                rows.append(
                    _field(
                        number, field_hash(field), field.label, FIELD_TYPES[field.kind], custom=True, options=options
                    )
                )
        return self._page(request, rows, _public)

    def _page(
        self, request: Request, rows: list[dict[str, Any]], show: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Response:
        by = request.first("sort_by") or "id"
        if by not in ("id", "update_time", "add_time", "order_nr"):
            return failure(400, f"sort_by: {by} is not allowed")
        down = request.first("sort_direction") == "desc"
        limit = request.first("limit") or "100"
        if not limit.isdigit() or int(limit) < 1:
            return failure(400, "limit: must be a positive integer")
        size = min(int(limit), 500, self.page_cap or 500)
        key = (lambda row: (row["id"],)) if by == "id" else (lambda row: (row[by], row["id"]))
        ordered = sorted(rows, key=key, reverse=down)
        cursor = request.first("cursor")
        if cursor:
            try:
                start = json.loads(base64.b64decode(cursor))
                mark = (start["id"],) if by == "id" else (start["fieldValue"], start["id"])
            except (ValueError, KeyError):
                return failure(400, "cursor: invalid")
            ordered = [row for row in ordered if (key(row) <= mark if down else key(row) >= mark)]
        page, rest = ordered[:size], ordered[size:]
        following = None
        if rest:
            wish = {
                "field": by,
                "fieldValue": rest[0][by],
                "sortDirection": "desc" if down else "asc",
                "id": rest[0]["id"],
            }
            following = base64.b64encode(json.dumps(wish).encode()).decode()
        return as_json(
            {"success": True, "data": [show(row) for row in page], "additional_data": {"next_cursor": following}}
        )

    # --- v1 -------------------------------------------------------------------------------------------------

    # --- OAuth ----------------------------------------------------------------------------------------------

    def _oauth(self, request: Request) -> Response:
        known, form = self.credentials, request.form
        basic = base64.b64encode(f"{known.client_id}:{known.client_secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return as_json({"success": False, "message": "invalid client credentials", "error": "invalid_client"}, 401)
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self._refresh:
            return as_json({"success": False, "message": "refresh token is invalid", "error": "invalid_grant"}, 400)
        self._issued += 1
        token = f"1234567:7654321:access-{self._issued:04d}"
        if self.rotates:
            self._refresh = f"1234567:7654321:refresh-{self._issued:04d}"
        self._tokens[token] = self.seconds() + self.token_seconds
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "refresh_token": self._refresh,
            "scope": ",".join(sorted(self.scopes)),
            "expires_in": int(self.token_seconds),
            "api_domain": f"http://{request.headers.get('host', '')}",
        }
        return as_json(body)

    def expire_tokens(self) -> None:
        """Every access token is dead from now on."""
        self._tokens.clear()


def _field(
    number: int, code: str, name: str, kind: str, *, custom: bool, options: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "id": number,
        "_update": 0,
        "field_name": name,
        "field_code": code,
        "field_type": kind,
        "options": options,
        "subfields": None,
        "is_custom_field": custom,
        "is_optional_response_field": False,
        "description": None,
    }


def _public(row: dict[str, Any]) -> dict[str, Any]:
    dropped = ("id",) if "field_code" in row else ()
    return {key: value for key, value in row.items() if not key.startswith("_") and key not in dropped}


_Answer = Callable[[Company, Request], Response]


def _nothing(company: Company, request: Request) -> Response:
    return failure(404, "unknown endpoint")


def _routes() -> list[tuple[re.Pattern[str], str, _Answer]]:
    v1 = "(?:/api)?/v1"
    table: list[tuple[str, str, _Answer]] = [
        ("/oauth/token", "oauth", Company._oauth),
        ("/api/v2/deals", "deals", Company._deals),
        ("/api/v2/deals/archived", "deals.archived", Company._deals),
        (r"/api/v2/deals/\d+", "deals.get", Company._one_deal),
        ("/api/v2/pipelines", "pipelines", Company._pipelines),
        ("/api/v2/stages", "stages", Company._stages),
        (r"/api/v2/stages/\d+", "stages.get", Company._one_stage),
        ("/api/v2/organizations", "organizations", Company._organizations),
        ("/api/v2/dealFields", "deal_fields", Company._deal_fields),
        (v1 + r"/deals/\d+/changelog", "changelog", history.changelog),
        (v1 + r"/deals/\d+/flow", "flow", history.flow),
        (v1 + "/users/me", "users.me", people.me),
        (v1 + "/users", "users", people.users),
        (v1 + "/currencies", "currencies", people.currencies),
        (
            v1 + r"/(?:deals|pipelines|stages|organizations|persons|activities|products)(?:/\d+|/collection|/search)?",
            "gone",
            _nothing,
        ),
    ]
    return [(re.compile(path), name, answer) for path, name, answer in table]


_ROUTES = _routes()
