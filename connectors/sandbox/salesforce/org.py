"""The fake org: admits calls (session, quota, version), answers queries; its other answers live next door."""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.faults import Fault
from connectors.sandbox.salesforce import schema
from connectors.sandbox.salesforce.auth import Credentials, Sessions
from connectors.sandbox.salesforce.bulk import Bulk
from connectors.sandbox.salesforce.composite import Composite
from connectors.sandbox.salesforce.errors import RestError, error_response
from connectors.sandbox.salesforce.ids import make_id, to_18
from connectors.sandbox.salesforce.metadata import Metadata
from connectors.sandbox.salesforce.query import Answer, Engine
from connectors.sandbox.salesforce.render import json_page, json_records, to_json
from connectors.sandbox.salesforce.replication import Replication
from connectors.sandbox.salesforce.routes import LATEST, OLDEST, Answers, Parts, base, pretty, route
from connectors.sandbox.salesforce.soql import SoqlError, parse
from connectors.sandbox.salesforce.tables import TableOptions, Tables
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import DAY_MS, World

_FREE = {"token", "soap_login", "versions", "unknown", "too_long"}  # neither need a session nor count against the quota
_NEUTRAL = {
    "amount": "Amount",
    "close_date": "CloseDate",
    "owner": "OwnerId",
    "company": "AccountId",
    "name": "Name",
    "stage": "StageName",
    "pipeline": "RecordTypeId",
    "currency": "CurrencyIsoCode",
    "lost_reason": "Loss_Reason__c",
}
_OBJECTS = {"deal": "Opportunity", "company": "Account", "owner": "User"}


@dataclass(slots=True)
class _Cursor:
    answer: Answer
    kind: str
    opened_ms: int


class Org:
    """One Salesforce account over a world. Every attribute documented in `serve` may be turned while it runs."""

    def __init__(self, world: World, credentials: Credentials, options: dict[str, Any]) -> None:
        self.world, self.credentials, self.user = world, credentials, "api"
        self.metadata = Metadata(self)
        take = options.pop
        multi = take("multi_currency", None)
        self.table_options = TableOptions(
            record_types=take("record_types", 2),
            history_stamp=take("history_stamp", "supersede"),
            history_stamp_on_delete=take("history_stamp_on_delete", False),
            nulls_on_delete=tuple(take("nulls_on_delete", ())),
            dated_rates=take("dated_rates", False),
            pod=take("pod", "5g"),
            org_number=take("org_number", 1),
        )
        self.objects = schema.build(
            world,
            multi_currency=world.multi_currency if multi is None else multi,
            dated_rates=self.table_options.dated_rates,
            field_history=take("field_history", False),
            extra_fields=take("extra_fields", 0),
            stages=self.metadata.stage_options,
        )
        self.tables = Tables(world, self.objects, self.table_options)
        self.engine = Engine(self.tables, self.visible, shuffle=take("shuffle", None))
        user_id = self.tables.id("User", 1)
        org_id = self.tables.id("Organization", self.table_options.org_number)
        self.sessions = Sessions(org_id, user_id, credentials, seconds=take("session_seconds", None))
        self.bulk = Bulk(self, options)
        self.daily_limit: int = take("daily_limit", 100_000)
        self.used_elsewhere: int = take("used_elsewhere", 18)
        self.max_locators: int = take("max_locators", 10)
        self.locator_seconds: float = take("locator_seconds", 2 * 86_400)
        self.page_cap: int | None = take("page_cap", None)
        self.composite_query_all: bool = take("composite_query_all", True)
        self.connect_enabled: bool = take("connect_enabled", True)
        self.query_timeout_rows: int | None = take("query_timeout_rows", None)
        self.tick_per_call: float = take("tick_per_call", 0.0)
        self.api_disabled = False
        self.hidden_fields: set[tuple[str, str]] = set()
        self.subcalls: Counter[str] = Counter()  # what composite calls contained
        self._hidden_before: frozenset[tuple[str, str]] = frozenset()
        self.schema_ms = self.tables.set_up_changed_ms
        self._used: deque[tuple[int, int]] = deque()
        self._cursors: OrderedDict[str, _Cursor] = OrderedDict()
        self._cursor_number = 0
        self._lock = threading.Lock()
        self._answers: Answers = {
            "query": self._query,
            "queryAll": self._query_all,
            "query_more": self._query_more,
            "record": self._record,
            **self.metadata.answers(),
            **Replication(self).answers(),
            **Composite(self).answers(),
            **self.bulk.answers(),
        }
        if options:
            raise TypeError(f"salesforce sandbox: unknown options {sorted(options)}")

    # --- the server's side -----------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The world's clock."""
        return self.world.now_ms

    def endpoint(self, request: Request) -> str:
        """Name for counting: token, query, queryAll, query_more, composite, describe, job_create, …"""
        return route(request)[0]

    def handle(self, request: Request) -> Response:
        """The answer to one HTTP call."""
        endpoint, parts = route(request)
        if self.tick_per_call:
            self.world.tick(self.tick_per_call)
        try:
            if endpoint not in _FREE:
                self._admit(request)
            response = self.dispatch(endpoint, parts, request)
        except (RestError, SoqlError) as error:
            response = error_response(error, pretty=pretty(request))
        if endpoint not in _FREE and response.status not in (401,):
            response.headers.setdefault("Sforce-Limit-Info", f"api-usage={self.api_usage}/{self.daily_limit}")
        return response

    def fault(self, fault: Fault, request: Request) -> Response | None:
        """Salesforce's words for trouble that the server's fault rules ask for."""
        if fault.kind == "unauthorized":
            self.sessions.expire()
            return error_response(RestError(401, "INVALID_SESSION_ID", "Session expired or invalid"))
        if fault.kind == "daily_limit":
            return error_response(RestError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
        if fault.kind == "concurrent_limit":
            text = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            return error_response(RestError(403, "REQUEST_LIMIT_EXCEEDED", text))
        if fault.kind == "rate_limited":
            return error_response(RestError(429, "TOO_MANY_REQUESTS", "Too many requests"))
        return None

    def _admit(self, request: Request) -> None:
        if not self.sessions.alive(request, self.world.now_ms):
            raise RestError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if self.api_disabled:
            raise RestError(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")
        if self.api_usage >= self.daily_limit:
            raise RestError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.count(1)

    def count(self, calls: int) -> None:
        """Book API calls at the world's time."""
        with self._lock:
            self._used.append((self.world.now_ms, calls))

    @property
    def api_usage(self) -> int:
        """Calls in the last 24 hours of the world's time, as Sforce-Limit-Info tells them."""
        with self._lock:
            while self._used and self._used[0][0] <= self.world.now_ms - DAY_MS:
                self._used.popleft()
            return self.used_elsewhere + sum(calls for _, calls in self._used)

    # --- permissions -----------------------------------------------------------------------------------------------

    def visible(self, name: str, field: str) -> bool:
        """Field permission of the API user."""
        return (name, field) not in self._hidden_before

    def refresh(self) -> None:
        """Take in news of the world and of permissions. Hold the world's lock."""
        self.tables.refresh()
        hidden = set(self.hidden_fields)
        for kind, field in self.world.hidden_fields:
            name = _NEUTRAL.get(field) or schema.custom_name(field.removeprefix("custom:"))
            hidden.add((_OBJECTS.get(kind, kind), name))
        if hidden != self._hidden_before:
            self._hidden_before = frozenset(hidden)
            self.schema_ms = self.world.now_ms
        self.schema_ms = max(self.schema_ms, self.tables.set_up_changed_ms)

    def object(self, name: str) -> schema.SObject:
        """An object by its exact name, if the user may see it."""
        found = self.objects.get(name)
        if found is None or name in self.engine.hidden_objects:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        return found

    # --- dispatch --------------------------------------------------------------------------------------------------

    def dispatch(self, endpoint: str, parts: Parts, request: Request) -> Response:
        """An admitted call to its answer (also for parts of composite calls)."""
        if endpoint == "token":
            return self.sessions.token(request, self.world.now_ms)
        if endpoint == "soap_login":
            return self.sessions.soap_login(request, parts["version"], self.world.now_ms)
        version = parts.get("version")
        if version is not None:
            if float(version) < OLDEST:
                raise RestError(410, "UNSUPPORTED_API_VERSION", "The requested API version is no longer supported")
            if float(version) > LATEST or not version.endswith(".0"):
                raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        if endpoint not in self._answers:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        return self._answers[endpoint](parts, request)

    # --- queries -----------------------------------------------------------------------------------------------------

    def answer(self, soql: str, *, everything: bool) -> Answer:
        """Run SOQL as the API user sees the org now."""
        select = parse(soql)
        with self.world.lock:
            self.refresh()
            found = self.engine.run(select, everything=everything, hidden=self.tables.hidden_ids(self.user))
        if self.query_timeout_rows is not None and found.size > self.query_timeout_rows and not select.is_aggregate:
            raise RestError(400, "QUERY_TIMEOUT", "Your query request was running for too long.")
        return found

    def _query(self, parts: Parts, request: Request, kind: str = "query") -> Response:
        soql = request.first("q")
        if not soql:
            raise RestError(400, "MALFORMED_QUERY", "A query string has to be specified")
        found = self.answer(soql, everything=kind == "queryAll")
        if found.records is not None:
            body = {"totalSize": found.size, "done": True, "records": found.records}
            return Response(200, to_json(body, pretty=pretty(request)))
        return self._page(_Cursor(found, kind, self.world.now_ms), None, 0, parts, request)

    def _query_all(self, parts: Parts, request: Request) -> Response:
        return self._query(parts, request, "queryAll")

    def _query_more(self, parts: Parts, request: Request) -> Response:
        key, _, start = parts["locator"].partition("-")
        with self._lock:
            cursor = self._cursors.get(key)
        old = cursor is not None and self.world.now_ms - cursor.opened_ms > self.locator_seconds * 1000
        if cursor is None or old or int(start) > cursor.answer.size:
            raise RestError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(cursor, key, int(start), parts, request)

    def _page(self, cursor: _Cursor, key: str | None, start: int, parts: Parts, request: Request) -> Response:
        wish = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
        size = min(max(int(wish[1]), 200), 2000) if wish else 2000
        if self.page_cap is not None:
            size = min(size, self.page_cap)
        found, end = cursor.answer, start + size
        records = json_records(
            found.entity,
            found.columns,
            found.rows[start:end],
            path=base(parts),
            pretty=pretty(request),
            labels=self.metadata.label,
        )
        further = None
        if end < found.size:
            further = f"{base(parts)}/{cursor.kind}/{key or self._remember(cursor)}-{end}"
        elif key is not None:
            with self._lock:
                if key in self._cursors:
                    self._cursors.move_to_end(key, last=False)  # finished ones make room first
        return Response(200, json_page(records, found.size, further, pretty=pretty(request)))

    def _remember(self, cursor: _Cursor) -> str:
        with self._lock:
            self._cursor_number += 1
            key = make_id("QueryLocator", self._cursor_number, self.table_options.pod)
            self._cursors[key] = cursor
            while len(self._cursors) > self.max_locators:
                self._cursors.popitem(last=False)
        return key

    def expire_locators(self) -> None:
        """All open query locators are invalid from now on."""
        with self._lock:
            self._cursors.clear()

    def _record(self, parts: Parts, request: Request) -> Response:
        entity = self.object(parts["name"])
        names = (request.first("fields") or "").split(",") if request.first("fields") else None
        chosen = names or [n for n in entity.fields if self.visible(entity.name, n)]
        key = to_18(parts["id"]) or ""
        found = self.answer(f"SELECT {','.join(chosen)} FROM {entity.name} WHERE Id = '{key}'", everything=False)
        if not found.rows:
            raise RestError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        texts = json_records(
            entity,
            found.columns,
            found.rows,
            path=base(parts),
            pretty=pretty(request),
            labels=self.metadata.label,
        )
        return Response(200, texts[0].encode())
