"""The fake org: routes a call, checks session and quota, answers REST. Bulk 2.0 is in `bulk`, logging in is in `auth`."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import threading
import urllib.parse
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from connectors.sandbox.faults import Fault
from connectors.sandbox.salesforce import schema
from connectors.sandbox.salesforce.auth import Credentials, Sessions
from connectors.sandbox.salesforce.bulk import Bulk
from connectors.sandbox.salesforce.errors import RestError, error_response
from connectors.sandbox.salesforce.ids import make_id, to_18
from connectors.sandbox.salesforce.query import Answer, Engine
from connectors.sandbox.salesforce.render import json_records, to_json
from connectors.sandbox.salesforce.replication import changed_between, deleted_between
from connectors.sandbox.salesforce.soql import SoqlError, parse
from connectors.sandbox.salesforce.tables import TableOptions, Tables
from connectors.sandbox.server import Request, Response
from connectors.sandbox.world import DAY_MS, World

OLDEST, LATEST = 31, 66
MASTER_RECORD_TYPE = "012000000000000AAA"
_RELEASES = ("Spring", "Summer", "Winter")
_V = r"/services/data/v(?P<version>\d+\.\d)"
_ROUTES = [
    (method, re.compile(pattern + "/?"), endpoint)
    for method, pattern, endpoint in (
        ("POST", r"/services/oauth2/token", "token"),
        ("GET", r"/services/oauth2/userinfo", "userinfo"),
        ("POST", r"/services/Soap/u/(?P<version>[\d.]+)(?:/\w*)?", "soap_login"),
        ("GET", r"/services/data", "versions"),
        ("GET", _V, "resources"),
        ("GET", _V + r"/limits", "limits"),
        ("GET", _V + r"/sobjects", "sobjects"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)", "sobject"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/describe", "describe"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/deleted", "deleted"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/updated", "updated"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/(?P<id>\w{15,18})", "record"),
        ("GET", _V + r"/query", "query"),
        ("GET", _V + r"/queryAll", "queryAll"),
        ("GET", _V + r"/(?:query|queryAll)/(?P<locator>\w+-\d+)", "query_more"),
        ("POST", _V + r"/composite", "composite"),
        ("POST", _V + r"/composite/batch", "composite_batch"),
        (
            "GET",
            _V + r"/ui-api/object-info/(?P<name>\w+)/picklist-values/(?P<record_type>\w+)/(?P<field>\w+)",
            "picklist_values",
        ),
        ("POST", _V + r"/jobs/query", "job_create"),
        ("GET", _V + r"/jobs/query", "jobs"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)", "job_status"),
        ("PATCH", _V + r"/jobs/query/(?P<id>\w+)", "job_abort"),
        ("DELETE", _V + r"/jobs/query/(?P<id>\w+)", "job_delete"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)/results", "job_results"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)/resultPages", "job_pages"),
    )
]
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
            stages=self._stage_options,
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
        self.query_timeout_rows: int | None = take("query_timeout_rows", None)
        self.tick_per_call: float = take("tick_per_call", 0.0)
        self.api_disabled = False
        self.hidden_fields: set[tuple[str, str]] = set()
        self.subcalls: Counter[str] = Counter()  # what composite calls contained
        self._hidden_before: frozenset[tuple[str, str]] = frozenset()
        self._schema_ms = self.tables.set_up_changed_ms
        self._used: deque[tuple[int, int]] = deque()
        self._cursors: OrderedDict[str, _Cursor] = OrderedDict()
        self._cursor_number = 0
        self._lock = threading.Lock()
        if options:
            raise TypeError(f"salesforce sandbox: unknown options {sorted(options)}")

    # --- the server's side -----------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The world's clock."""
        return self.world.now_ms

    def endpoint(self, request: Request) -> str:
        """Name for counting: token, query, queryAll, query_more, composite, describe, job_create, …"""
        return self._route(request)[0]

    def _route(self, request: Request) -> tuple[str, dict[str, str]]:
        for method, pattern, endpoint in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None and method == request.method:
                return endpoint, match.groupdict()
        return "unknown", {}

    def handle(self, request: Request) -> Response:
        """The answer to one HTTP call."""
        endpoint, parts = self._route(request)
        if self.tick_per_call:
            self.world.tick(self.tick_per_call)
        try:
            if endpoint not in _FREE:
                self._admit(request)
            response = self.dispatch(endpoint, parts, request)
        except (RestError, SoqlError) as error:
            response = error_response(error, pretty=_pretty(request))
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
        self._count(1)

    def _count(self, calls: int) -> None:
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
            self._schema_ms = self.world.now_ms
        self._schema_ms = max(self._schema_ms, self.tables.set_up_changed_ms)

    def _object(self, name: str) -> schema.SObject:
        found = self.objects.get(name)
        if found is None or name in self.engine.hidden_objects:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        return found

    # --- dispatch --------------------------------------------------------------------------------------------------

    def dispatch(self, endpoint: str, parts: dict[str, str], request: Request) -> Response:
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
        answers: dict[str, Callable[[dict[str, str], Request], Response]] = {
            "versions": self._versions,
            "resources": self._resources,
            "userinfo": self._userinfo,
            "limits": self._limits,
            "sobjects": self._sobjects,
            "sobject": self._sobject,
            "describe": self._describe,
            "deleted": self._deleted,
            "updated": self._updated,
            "record": self._record,
            "query": self._query,
            "queryAll": self._query_all,
            "query_more": self._query_more,
            "composite": self._composite,
            "composite_batch": self._composite_batch,
            "picklist_values": self._picklist_values,
            **self.bulk.answers(),
        }
        if endpoint not in answers:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        return answers[endpoint](parts, request)

    def _versions(self, parts: dict[str, str], request: Request) -> Response:
        found = []
        for number in range(OLDEST, LATEST + 1):
            year, release = divmod(number - 66, 3)  # three releases a year; 66 is Spring '26
            label = f"{_RELEASES[release]} '{26 + year + (release == 2):02d}"
            found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
        return Response(200, to_json(found, pretty=_pretty(request)))

    def _resources(self, parts: dict[str, str], request: Request) -> Response:
        base = _base(parts)
        names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs")
        return Response(200, to_json({name: f"{base}/{name}" for name in names}, pretty=_pretty(request)))

    def _userinfo(self, parts: dict[str, str], request: Request) -> Response:
        found = {"user_id": self.sessions.user_id, "organization_id": self.sessions.org_id}
        found |= {"preferred_username": self.credentials.username, "zoneinfo": "America/New_York"}
        return Response(200, to_json(found, pretty=_pretty(request)))

    def _limits(self, parts: dict[str, str], request: Request) -> Response:
        jobs = self.bulk.job_limit
        found = {
            "DailyApiRequests": {"Max": self.daily_limit, "Remaining": max(0, self.daily_limit - self.api_usage)},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976562, "Remaining": 976562},
            "DailyBulkV2QueryJobs": {"Max": jobs, "Remaining": max(0, jobs - len(self.bulk.jobs))},
            "DataStorageMB": {"Max": 20480, "Remaining": 12000},
        }
        return Response(200, to_json(found, pretty=_pretty(request)))

    # --- describe ----------------------------------------------------------------------------------------------------

    def _sobjects(self, parts: dict[str, str], request: Request) -> Response:
        seen = [o.describe_global(_base(parts)) for n, o in self.objects.items() if n not in self.engine.hidden_objects]
        found = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": seen}
        return Response(200, to_json(found, pretty=_pretty(request)))

    def _sobject(self, parts: dict[str, str], request: Request) -> Response:
        found = {"objectDescribe": self._object(parts["name"]).describe_global(_base(parts)), "recentItems": []}
        return Response(200, to_json(found, pretty=_pretty(request)))

    def _describe(self, parts: dict[str, str], request: Request) -> Response:
        entity = self._object(parts["name"])
        with self.world.lock:
            self.refresh()
            since = request.headers.get("if-modified-since")
            if since and email.utils.parsedate_to_datetime(since).timestamp() * 1000 >= self._schema_ms // 1000 * 1000:
                return Response(304)
            found = entity.describe_global(_base(parts))
            found["fields"] = [f.describe() for f in entity.fields.values() if self.visible(entity.name, f.name)]
            found["recordTypeInfos"] = self._record_type_infos(entity.name, _base(parts))
            found["childRelationships"] = []
            modified = email.utils.formatdate(self._schema_ms // 1000, usegmt=True)
        return Response(200, to_json(found, pretty=_pretty(request)), headers={"Last-Modified": modified})

    def _record_type_infos(self, name: str, base: str) -> list[dict[str, Any]]:
        found = []
        types = self.tables.record_types() if name == "Opportunity" else []
        for cells in [*types, {"Id": MASTER_RECORD_TYPE, "Name": "Master", "DeveloperName": "Master"}]:
            master = cells["Id"] == MASTER_RECORD_TYPE
            url = f"{base}/sobjects/{name}/describe/layouts/{cells['Id']}"
            found.append(
                {
                    "active": master or cells["IsActive"] == "true",
                    "available": True,
                    "defaultRecordTypeMapping": master and not types,
                    "developerName": cells["DeveloperName"],
                    "master": master,
                    "name": cells["Name"],
                    "recordTypeId": cells["Id"],
                    "urls": {"layout": url},
                }
            )
        return found

    def _stage_options(self) -> list[dict[str, Any]]:
        return [schema.option(s.label, s.name, active=s.active) for s in self.tables.org_stages()]

    def _label(self, value: str) -> str:
        return next((s.label for s in self.tables.org_stages() if s.name == value), value)

    def _picklist_values(self, parts: dict[str, str], request: Request) -> Response:
        entity = self._object(parts["name"])
        wanted = to_18(parts["record_type"])
        with self.world.lock:
            self.refresh()
            types = {cells["Id"]: cells["_pipeline"] for cells in self.tables.record_types()}
            if (
                entity.name != "Opportunity"
                or parts["field"] != "StageName"
                or wanted not in {*types, MASTER_RECORD_TYPE}
            ):
                raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
            if wanted in types:
                stages = self.world.pipeline_stages(types[wanted])
            else:
                stages = self.tables.org_stages()
            values = [
                {
                    "attributes": {
                        "closed": stage.outcome != "open",
                        "defaultProbability": float(stage.probability),
                        "picklistAtributesValueType": "OpportunityStage",
                        "won": stage.outcome == "won",
                    },
                    "label": stage.label,
                    "validFor": [],
                    "value": stage.name,
                }
                for stage in stages
                if stage.active
            ]
        found = {"controllerValues": {}, "defaultValue": None, "url": request.target, "values": values}
        return Response(200, to_json(found, pretty=_pretty(request)))

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

    def _query(self, parts: dict[str, str], request: Request, kind: str = "query") -> Response:
        soql = request.first("q")
        if not soql:
            raise RestError(400, "MALFORMED_QUERY", "A query string has to be specified")
        found = self.answer(soql, everything=kind == "queryAll")
        if found.records is not None:
            body = {"totalSize": found.size, "done": True, "records": found.records}
            return Response(200, to_json(body, pretty=_pretty(request)))
        return self._page(_Cursor(found, kind, self.world.now_ms), None, 0, parts, request)

    def _query_all(self, parts: dict[str, str], request: Request) -> Response:
        return self._query(parts, request, "queryAll")

    def _query_more(self, parts: dict[str, str], request: Request) -> Response:
        key, _, start = parts["locator"].partition("-")
        with self._lock:
            cursor = self._cursors.get(key)
        old = cursor is not None and self.world.now_ms - cursor.opened_ms > self.locator_seconds * 1000
        if cursor is None or old or int(start) > cursor.answer.size:
            raise RestError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(cursor, key, int(start), parts, request)

    def _page(self, cursor: _Cursor, key: str | None, start: int, parts: dict[str, str], request: Request) -> Response:
        wish = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
        size = min(max(int(wish[1]), 200), 2000) if wish else 2000
        if self.page_cap is not None:
            size = min(size, self.page_cap)
        rows, total, base, pretty = cursor.answer.rows, cursor.answer.size, _base(parts), _pretty(request)
        end = start + size
        records = json_records(
            cursor.answer.entity, cursor.answer.columns, rows[start:end], base=base, pretty=pretty, labels=self._label
        )
        done = end >= total
        further = ""
        if not done:
            key = key or self._remember(cursor)
            path = f"{base}/{cursor.kind}/{key}-{end}"
            further = f'\n  "nextRecordsUrl" : "{path}",' if pretty else f'"nextRecordsUrl":"{path}",'
        elif key is not None:
            with self._lock:
                self._cursors.move_to_end(key, last=False)  # finished ones go first
        if pretty:
            head = f'{{\n  "totalSize" : {total},\n  "done" : {str(done).lower()},{further}\n  "records" : [ '
            text = head + ", ".join(records) + " ]\n}"
        else:
            head = f'{{"totalSize":{total},"done":{str(done).lower()},{further}"records":['
            text = head + ",".join(records) + "]}"
        return Response(200, text.encode())

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

    def _record(self, parts: dict[str, str], request: Request) -> Response:
        entity = self._object(parts["name"])
        names = (request.first("fields") or "").split(",") if request.first("fields") else None
        chosen = names or [n for n in entity.fields if self.visible(entity.name, n)]
        key = to_18(parts["id"]) or ""
        found = self.answer(f"SELECT {','.join(chosen)} FROM {entity.name} WHERE Id = '{key}'", everything=False)
        if not found.rows:
            raise RestError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        pretty = _pretty(request)
        texts = json_records(entity, found.columns, found.rows, base=_base(parts), pretty=pretty, labels=self._label)
        return Response(200, texts[0].encode())

    # --- replication ---------------------------------------------------------------------------------------------------

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
        if start < self.world.now - dt.timedelta(days=days):
            raise RestError(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        return start.strftime("%Y-%m-%dT%H:%M:%S"), end.strftime("%Y-%m-%dT%H:%M:%S")

    def _covered(self) -> str:
        return self.world.now.replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def _deleted(self, parts: dict[str, str], request: Request) -> Response:
        entity = self._object(parts["name"])
        start, end = self._window(request, 15)
        with self.world.lock:
            self.refresh()
            gone = deleted_between(self.tables, entity, start, end)
        records = [{"id": key, "deletedDate": when + ".000+0000"} for key, when in gone]
        found = {
            "deletedRecords": records,
            "earliestDateAvailable": self._earliest(),
            "latestDateCovered": self._covered(),
        }
        return Response(200, to_json(found, pretty=_pretty(request)))

    def _earliest(self) -> str:
        return (self.world.now - dt.timedelta(days=15)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def _updated(self, parts: dict[str, str], request: Request) -> Response:
        entity = self._object(parts["name"])
        start, end = self._window(request, 30)
        with self.world.lock:
            self.refresh()
            rows = self.engine.rows(entity, everything=False, hidden=self.tables.hidden_ids(self.user))
        found = {"ids": changed_between(entity, rows, start, end), "latestDateCovered": self._covered()}
        return Response(200, to_json(found, pretty=_pretty(request)))

    # --- several in one ------------------------------------------------------------------------------------------------

    def _composite(self, parts: dict[str, str], request: Request) -> Response:
        body = _json_body(request)
        asked = body.get("compositeRequest") or []
        queries = [a for a in asked if re.search(r"/query(All)?[/?]", str(a.get("url")))]
        if len(asked) > 25:
            raise RestError(400, "LIMIT_EXCEEDED", "The maximum number of subrequests in a composite request is 25")
        if len(queries) > 5:
            raise RestError(
                400, "LIMIT_EXCEEDED", "A composite request may hold 5 queries or sObject collections at most"
            )
        texts, failed = [], False
        for one in asked:
            headers = {k.lower(): v for k, v in (one.get("httpHeaders") or {}).items()}
            answer = self._part(one.get("method", "GET"), str(one.get("url")), headers, composite=True)
            failed |= answer.status >= 400
            reference = to_json(str(one.get("referenceId"))).decode()
            texts.append((answer, reference))
        if failed and body.get("allOrNone"):
            halted = b'[{"errorCode":"PROCESSING_HALTED","message":"The transaction was rolled back"}]'
            texts = [(a if a.status >= 400 else replace(a, status=400, body=halted), r) for a, r in texts]
        inner = ",".join(
            f'{{"body":{(a.body or b"null").decode()},"httpHeaders":{{}},"httpStatusCode":{a.status},"referenceId":{r}}}'
            for a, r in texts
        )
        return Response(200, f'{{"compositeResponse":[{inner}]}}'.encode())

    def _composite_batch(self, parts: dict[str, str], request: Request) -> Response:
        asked = _json_body(request).get("batchRequests") or []
        if len(asked) > 25:
            raise RestError(400, "LIMIT_EXCEEDED", "The maximum number of subrequests in a batch is 25")
        self._count(len(asked) - 1)  # each one counts
        found = [
            self._part(a.get("method", "GET"), f"/services/data/{a.get('url')}", {}, composite=False) for a in asked
        ]
        inner = ",".join(f'{{"statusCode":{a.status},"result":{(a.body or b"null").decode()}}}' for a in found)
        failed = str(any(a.status >= 400 for a in found)).lower()
        return Response(200, f'{{"hasErrors":{failed},"results":[{inner}]}}'.encode())

    def _part(self, method: str, url: str, headers: dict[str, str], *, composite: bool) -> Response:
        path, _, query = url.partition("?")
        parsed = urllib.parse.parse_qs(query, keep_blank_values=True)
        request = Request(method, url, urllib.parse.unquote(path), parsed, headers, b"")
        endpoint, parts = self._route(request)
        self.subcalls[endpoint] += 1
        try:
            if endpoint in ("composite", "composite_batch", "token", "soap_login"):
                raise RestError(400, "INVALID_INPUT", f"The {endpoint} resource cannot be part of a composite request")
            if composite and endpoint == "queryAll" and not self.composite_query_all:
                raise RestError(400, "INVALID_INPUT", "The queryAll resource cannot be part of a composite request")
            return self.dispatch(endpoint, parts, request)
        except (RestError, SoqlError) as error:
            return error_response(error)


def _base(parts: dict[str, str]) -> str:
    return f"/services/data/v{parts['version']}"


def _pretty(request: Request) -> bool:
    return request.headers.get("x-prettyprint", "") in ("1", "true")


def _json_body(request: Request) -> dict[str, Any]:
    import json  # noqa: PLC0415

    try:
        found = json.loads(request.body)
    except ValueError:
        raise RestError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required, and must be JSON") from None
    if not isinstance(found, dict):
        raise RestError(400, "JSON_PARSER_ERROR", "An object is expected")
    return found
