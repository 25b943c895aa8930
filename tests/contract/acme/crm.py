"""The fake Acme CRM: the sandbox's made-up company in Acme's own words. Served over loopback, or handed over in memory without a socket."""

import datetime as dt
import itertools
import threading
import time
import urllib.parse
from collections import namedtuple

import msgspec
import requests

from connectors.sandbox.server import Request, Response, Server
from connectors.sandbox.world import to_datetime, to_ms

#: What the connector asks for, few so that small accounts have several pages; and what Acme serves at most.
MAX_PAGE = 4
MOST_ROWS = 20
#: Acme lets an app make so many calls a day.
DAILY = 100_000
Reply = namedtuple("Reply", "status headers body")

CLIENT = {"client_id": "acme-app", "client_secret": "acme-secret-4711"}


class AcmeCrm:
    """The app: names endpoints, answers calls."""

    def __init__(self, world):
        self.world = world
        self.issued = []
        self.live = set()
        self._lock = threading.Lock()

    def endpoint(self, request):
        return request.path.strip("/").split("/")[0]

    def now_ms(self):
        return self.world.now_ms

    def fault(self, fault, request):
        if fault.kind == "unauthorized":
            self.live.clear()
            return _json({"error": "token_expired"}, 401)
        if fault.kind == "daily_limit":
            return _json({"error": "daily_quota"}, 429)
        return _json({"error": "too_fast"}, 429) if fault.kind == "rate_limited" else None

    def handle(self, request):
        name = self.endpoint(request)
        if name == "token":
            return self._token(request)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.live:
            return _json({"error": "token_expired"}, 401)
        answer = getattr(self, f"_{name}", None)
        if answer is None:
            return _json({"error": "not_found"}, 404)
        with self.world.lock:
            return _json(answer(request))

    def _token(self, request):
        if not CLIENT.items() <= request.form.items():
            return _json({"error": "invalid_client"}, 401)
        with self._lock:
            token = f"acme-token-{len(self.issued):04d}-{self.world.seed}"
            self.issued.append(token)
            self.live.add(token)
        return _json({"access_token": token, "expires_in": 3600})

    # --- reference data ------------------------------------------------------------------------------------------

    def _account(self, request):
        return {"id": "acme-1", "name": "Acme's customer", "currency": self.world.home_currency, "zone": "UTC"}

    def _pipelines(self, request):
        return [
            {
                "id": pipeline.id,
                "name": pipeline.name,
                "stages": [
                    {"id": s.id, "name": s.label, "order": s.order, "kind": s.outcome, "active": s.active}
                    for s in self.world.pipeline_stages(pipeline.id)
                ],
            }
            for pipeline in self.world.pipelines.values()
        ]

    def _users(self, request):
        rows = [o for o in self.world.owners.values() if not o.deleted]
        return _page(request, [{"id": o.id, "name": o.name, "email": o.email, "active": o.active} for o in rows])

    def _companies(self, request):
        rows = [c for c in self.world.companies.values() if c.presence == "present"]
        return _page(request, [{"id": c.id, "name": c.name, "country": c.country} for c in rows])

    def _fields(self, request):
        hidden = self.world.hidden_fields
        own = [f for f in self.world.custom_fields.values() if ("deal", f"custom:{f.key}") not in hidden]
        fixed = [{"code": "amount", "label": "Amount", "type": "money", "custom": False}]
        return [*fixed, *({"code": f.key, "label": f.label, "type": f.kind, "custom": True} for f in own)]

    # --- deals -----------------------------------------------------------------------------------------------------

    def _visible(self):
        return sorted(self.world.live("api"), key=lambda deal: (deal.stamp_ms, deal.id))

    def _deals(self, request):
        """Changed since `from`, in order of the change; `after` is the place where the page before ended."""
        since, limit = _from(request), _limit(request)
        after = tuple(map(int, (request.first("after") or "0-0").split("-")))
        rows = [d for d in self._visible() if d.stamp_ms >= since and (d.stamp_ms, d.id) > after]
        page = rows[:limit]
        following = f"{page[-1].stamp_ms}-{page[-1].id}" if len(rows) > limit else None
        return {"results": [self._deal(deal) for deal in page], "next": following}

    def _count(self, request):
        return {"count": sum(deal.stamp_ms >= _from(request) for deal in self._visible())}

    def _ids(self, request):
        return _page(request, [deal.id for deal in self._visible()])

    def _gone(self, request):
        """Deleted and merged deals; a purge leaves no trace here."""
        since = _from(request)
        rows = [d for d in self.world.deals.values() if d.presence in ("deleted", "merged") and d.stamp_ms >= since]
        rows = [d for d in rows if d.id not in self.world.hidden.get("api", ())]
        rows.sort(key=lambda deal: (deal.stamp_ms, deal.id))
        return [{"id": d.id, "at": _iso(d.stamp_ms), "how": d.presence, "into": d.merged_into} for d in rows]

    def _history(self, request):
        wanted = map(int, request.first("deals").split(","))
        visible = {deal.id for deal in self.world.live("api")}
        return {str(number): self._events(self.world.deals[number]) for number in wanted if number in visible}

    def _events(self, deal):
        return [
            {
                "id": event.id,
                "at": _iso(event.at_ms),
                "by": event.actor_id,
                "changes": [[c.field, _plain(c.old), _plain(c.new)] for c in event.changes],
            }
            for event in deal.events
        ]

    def _deal(self, deal):
        hidden = self.world.hidden_fields
        stage = self.world.stages[deal.stage_id]
        closed = self.world.closed_ms(deal)
        return {
            "id": deal.id,
            "name": deal.name,
            "pipeline": deal.pipeline_id,
            "stage": deal.stage_id,
            "state": stage.outcome,
            "amount": None if deal.amount is None else float(deal.amount),
            "currency": deal.currency,
            "created": _iso(deal.created_ms),
            "updated": _iso(deal.stamp_ms),
            "closed": _iso(closed) if closed is not None else None,
            "close_date": deal.close_date and deal.close_date.isoformat(),
            "owner": deal.owner_id,
            "company": deal.company_id,
            "lost_reason": deal.lost_reason,
            "archived": deal.presence == "archived",
            "custom": {k: _plain(v) for k, v in deal.custom.items() if ("deal", f"custom:{k}") not in hidden},
        }


def _json(body, status=200):
    return Response(status, msgspec.json.encode(body), headers={"X-Quota-Left": str(DAILY)})


def _page(request, rows):
    start, limit = int(request.first("start") or 0), _limit(request)
    return {"results": rows[start : start + limit], "total": len(rows)}


def _limit(request):
    return min(int(request.first("limit") or MAX_PAGE), MOST_ROWS)


def _from(request):
    text = request.first("from")
    return 0 if not text else to_ms(dt.datetime.fromisoformat(text))


def _iso(at_ms):
    return to_datetime(at_ms).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _plain(value):
    return value if value is None or isinstance(value, str | int | bool | list) else str(value)


# --- without a socket ------------------------------------------------------------------------------------------------

_numbers = itertools.count(1)
_running = {}


class MemoryServer(Server):
    """The sandbox's server without a socket: counts and faults are its own, requests come as function calls."""

    def start(self):
        self._name = f"memory:{next(_numbers)}"
        _running[self._name] = self
        return self

    def stop(self):
        _running.pop(self._name, None)

    @property
    def url(self):
        return self._name

    def exchange(self, method, target, headers, body=b""):
        path, _, query = target.partition("?")
        folded = {name.lower(): value for name, value in headers.items()}
        request = Request(method, target, path, urllib.parse.parse_qs(query), folded, body)
        endpoint = self.app.endpoint(request)
        request.number = self.begin(endpoint)
        if self.latency:
            time.sleep(self.latency)
        with self._lock:
            self.in_flight -= 1
        fault = self.faults.pick(endpoint)
        response = self.answer(request, fault)
        if fault is not None and fault.kind == "cut_body":
            raise requests.exceptions.ChunkedEncodingError(
                "the connection broke", response.body[: len(response.body) // 2]
            )
        return Reply(response.status, response.headers, response.body)


def send(base_url, method, target, headers, body=b""):
    """One request to whoever runs at `base_url`."""
    if base_url in _running:
        return _running[base_url].exchange(method, target, headers, body)
    answer = requests.request(method, base_url + target, headers=headers, data=body, timeout=5)
    return Reply(answer.status_code, answer.headers, answer.content)
