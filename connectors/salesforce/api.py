"""Salesforce's REST API through the call policy: queries, pages, many reads in one composite call, describes.

Source: vendor's REST API guide, read 2026-11: a composite holds 25 subrequests, 5 of them queries, and counts as one call.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests

from connectors.salesforce.errors import RefusedError, error_in, error_of, judge_of
from connectors.salesforce.login import open_auth
from connectors.salesforce.rows import Row, decoded
from connectors.salesforce.settings import SalesforceSettings
from connectors.sdk import Answer, CallPolicy, ConfigError, OAuth, QuotaError, Request, VendorError, sound_json

#: Calls at once. Only those that run 20 s or longer are limited by the vendor (25, in small orgs 5).
WORKERS = 4
#: URI and headers may have 16,384 bytes; the token and other headers take their part.
MOST_URL = 12_000
_MOST_QUERIES = 5
_MOST_PARTS = 25
_LIMIT_INFO = re.compile(r"api-usage=(\d+)/(\d+)")
#: Refusals of the query itself: asking again outside a composite would be refused alike.
_FINAL = frozenset(
    {
        "INVALID_TYPE",
        "INVALID_FIELD",
        "MALFORMED_QUERY",
        "QUERY_TIMEOUT",
        "INSUFFICIENT_ACCESS",
        "INVALID_QUERY_LOCATOR",
    }
)


class Page(msgspec.Struct):
    """One answer to a query. `records` are decoded with exact numbers."""

    total: int
    records: list[Row]
    further: str | None


class Ask(msgspec.Struct, frozen=True):
    """One read of a bundle: a query (`everything`: deleted rows too), or the path of a resource below the versioned base.

    `is_extra`: nothing depends on it, so a refusal is an answer.
    """

    soql: str = ""
    everything: bool = False
    path: str = ""
    is_extra: bool = False

    def target(self) -> str:
        """Path and query below the versioned base."""
        if self.path:
            return self.path
        return f"{'queryAll' if self.everything else 'query'}?{urlencode({'q': self.soql})}"


class _Part(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"null")
    httpStatusCode: int = 0  # noqa: N815 - the vendor's name
    referenceId: str = ""  # noqa: N815


class _Composite(msgspec.Struct):
    compositeResponse: list[_Part]  # noqa: N815


class Api:
    """One org, one sync. Safe to share between the workers of `calls.map`."""

    def __init__(self, calls: CallPolicy, settings: SalesforceSettings, *, page_size: int | None) -> None:
        self.calls = calls
        self._settings = settings
        self._auth, self._instance = open_auth(calls, settings)
        self._sessions: dict[str, requests.Session] = {}
        self._lock = threading.Lock()
        self._used: tuple[int, int] | None = None
        self._batch = None if page_size is None else min(max(page_size, 200), 2000)
        #: The server's own time of its first answer in this sync, None before.
        self.server_began: datetime | None = None
        self.server_now: datetime | None = None
        self.base = f"/services/data/v{settings.api_version}"
        #: Rows of the smallest page that was followed by another one, None while every answer was whole.
        self.page_rows: int | None = None
        #: False once a composite has refused queryAll or everything.
        self.composite_takes_all = True
        self.composite_works = True
        calls.observe(self._look)

    # --- the org ---------------------------------------------------------------------------------------------------------------------

    @property
    def instance_url(self) -> str:
        """Address of the org; signs in where that is needed to know it."""
        if isinstance(self._auth, OAuth):
            return self._auth.token().extra["instance_url"]
        return self._instance or ""

    def url_is_long(self, soql: str) -> bool:
        """True when a query does not fit into an address."""
        return len(quote(soql)) > MOST_URL

    # --- one call --------------------------------------------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, *, what: str, accept: Sequence[int] = (200,), **rest: Any
    ) -> requests.Response:
        """One call to a path (whole, or below the versioned base). Raises RefusedError for a status outside `accept`."""
        self._keep_reserve()
        instance = self.instance_url
        headers = {"Accept": "application/json", **rest.pop("headers", {})}
        url = instance + (path if path.startswith("/") else f"{self.base}/{path}")
        response = self._session(instance).request(method, url, headers=headers, **rest)
        if response.status_code not in accept:
            answer = Answer.of(response)
            raise RefusedError(what, answer.status, *error_of(answer))
        return response

    def get(self, path: str, *, what: str, headers: Mapping[str, str] | None = None) -> Any:
        """GET, decoded."""
        return decoded(self.send("GET", path, what=what, headers=dict(headers or {})).content)

    def _session(self, instance: str) -> requests.Session:
        with self._lock:
            session = self._sessions.get(instance)
            if session is None:
                # An org that moved has another address after a new login; credentials are tied to one address.
                session = self._sessions[instance] = self.calls.session(
                    judge=judge_of(self._settings.api_version),
                    auth=self._auth,
                    base_url=instance,
                    endpoint_override=self._settings.stand_in,
                    describe=_describe,
                )
            return session

    def _look(self, answer: Answer) -> None:
        told = _LIMIT_INFO.search(answer.headers.get("Sforce-Limit-Info", ""))
        if told:
            used, limit = int(told[1]), int(told[2])
            self._used = (used, limit)
            self.calls.told_quota(max(0, limit - used), limit)
        date = answer.headers.get("Date")
        if date:
            self._note_date(date)

    def _note_date(self, text: str) -> None:
        try:
            self.server_now = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return
        if self.server_began is None:
            self.server_began = self.server_now

    def _keep_reserve(self) -> None:
        if self._used is None:
            return
        used, limit = self._used
        if used >= limit * (1 - self._settings.quota_reserve):
            raise QuotaError(
                f"{self.calls.source_key}: {used:,} of the org's {limit:,} API calls of the last 24 hours are used; the rest is left to "
                "its other apps (quota_reserve). What was read is kept; the next sync goes on from here."
            )

    # --- queries ---------------------------------------------------------------------------------------------------------------------

    def query(self, soql: str, *, what: str, everything: bool = False) -> Page:
        """The first page of a query. Raises RefusedError."""
        return self._page(Ask(soql, everything).target(), what)

    def more(self, further: str, *, what: str) -> Page:
        """The page behind a `further`. Raises RefusedError (INVALID_QUERY_LOCATOR when it has expired)."""
        parts = urlsplit(further)
        return self._page(f"{parts.path}?{parts.query}" if parts.query else parts.path, what)

    def pages(self, page: Page, *, what: str) -> Iterator[Page]:
        """A page and all that follow it."""
        yield page
        while page.further:
            page = self.more(self.further_of(page), what=what)
            yield page

    def further_of(self, page: Page) -> str:
        """Where a page's next one is; notes how many rows a page of this org has."""
        rows = len(page.records)
        self.page_rows = rows if self.page_rows is None else min(self.page_rows, rows)
        return page.further or ""

    def _page(self, path: str, what: str) -> Page:
        headers = {} if self._batch is None else {"Sforce-Query-Options": f"batchSize={self._batch}"}
        return page_of(self.get(path, what=what, headers=headers), what)

    # --- many reads in few calls -----------------------------------------------------------------------------------------------------

    def gather(self, asks: Mapping[str, Ask]) -> dict[str, Any]:
        """Name -> decoded body, or the RefusedError of that read. Bundled into as few composite calls as there may be.

        What a composite as such refuses (queryAll, a resource) is asked for by itself.
        """
        alone = {name: ask for name, ask in asks.items() if not self._fits(ask)}
        bundles = _bundled({name: ask for name, ask in asks.items() if name not in alone})
        found: dict[str, Any] = {}
        for answers in self.calls.map(self._composite, bundles, workers=WORKERS):
            found |= answers
        for name, body in found.items():
            is_final = (isinstance(body, RefusedError) and body.code in _FINAL) or (
                asks[name].is_extra and self.composite_works
            )
            if isinstance(body, RefusedError) and not is_final:
                alone[name] = asks[name]
                if asks[name].everything:
                    self.composite_takes_all = False
        for name, body in self.calls.map(self._alone, alone.items(), workers=WORKERS):
            found[name] = body
        return found

    def _fits(self, ask: Ask) -> bool:
        return (
            self.composite_works and (self.composite_takes_all or not ask.everything) and len(ask.target()) <= MOST_URL
        )

    def _composite(self, bundle: Mapping[str, Ask]) -> dict[str, Any]:
        parts = []
        for name, ask in bundle.items():
            part: dict[str, Any] = {"method": "GET", "url": f"{self.base}/{ask.target()}", "referenceId": name}
            if ask.soql and self._batch is not None:
                part["httpHeaders"] = {"Sforce-Query-Options": f"batchSize={self._batch}"}
            parts.append(part)
        try:
            response = self.send(
                "POST", "composite", what="composite", json={"allOrNone": False, "compositeRequest": parts}
            )
            answer = msgspec.json.decode(sound_json(response.content), type=_Composite)
        except RefusedError as error:
            self.composite_works = False
            return dict.fromkeys(bundle, RefusedError("composite", error.status, "NO_COMPOSITE", error.said))
        except msgspec.MsgspecError:
            raise VendorError("composite: the answer is not what its documentation says.") from None
        found: dict[str, Any] = {name: RefusedError(f"composite.{name}", 0, "NO_ANSWER", "") for name in bundle}
        for told in answer.compositeResponse:
            body = decoded(told.body)
            if not 200 <= told.httpStatusCode < 300:
                code, said = error_in(body)
                body = RefusedError(f"composite.{told.referenceId}", told.httpStatusCode, code, said)
            found[told.referenceId] = body
        return found

    def _alone(self, entry: tuple[str, Ask]) -> tuple[str, Any]:
        name, ask = entry
        headers = {"Sforce-Query-Options": f"batchSize={self._batch}"} if ask.soql and self._batch is not None else None
        try:
            return name, self.get(ask.target(), what=name, headers=headers)
        except RefusedError as error:
            return name, error
        except ConfigError as error:
            if not ask.is_extra:
                raise
            return name, RefusedError(name, 0, "", str(error))


def page_of(body: Any, what: str) -> Page:
    """A decoded query answer. Raises the RefusedError that `gather` put in its place, VendorError for another shape."""
    if isinstance(body, RefusedError):
        raise body
    if not isinstance(body, dict) or not isinstance(body.get("records"), list):
        raise VendorError(f"{what}: the answer holds no records.")
    further = None if body.get("done", True) else body.get("nextRecordsUrl")
    if not body.get("done", True) and not further:
        raise VendorError(f"{what}: the answer is not complete, but names no next page.")
    return Page(int(body.get("totalSize") or 0), body["records"], further)


def _bundled(asks: Mapping[str, Ask]) -> list[dict[str, Ask]]:
    bundles: list[dict[str, Ask]] = []
    for name, ask in asks.items():
        last = bundles[-1] if bundles else None
        queries = sum(1 for other in last.values() if other.soql) if last else 0
        if last is None or len(last) >= _MOST_PARTS or (ask.soql and queries >= _MOST_QUERIES):
            bundles.append({})
        bundles[-1][name] = ask
    return bundles


_NAMED = (
    (re.compile(r"/jobs/query/\w+/results$"), "bulk.results"),
    (re.compile(r"/jobs/query/\w+/resultPages$"), "bulk.pages"),
    (re.compile(r"/jobs/query/\w+$"), "bulk.status"),
    (re.compile(r"/jobs/query/?$"), "bulk.create"),
    (re.compile(r"/(?:query|queryAll)/[^/]+$"), "query.more"),
    (re.compile(r"/queryAll/?$"), "queryAll"),
    (re.compile(r"/query/?$"), "query"),
    (re.compile(r"/composite/?$"), "composite"),
    (re.compile(r"/describe/?$"), "describe"),
    (re.compile(r"/picklist-values/"), "picklist"),
)


def _describe(request: requests.PreparedRequest) -> Request:
    path = urlsplit(request.url or "").path
    for pattern, name in _NAMED:
        if pattern.search(path):
            return Request(name)
    return Request("other")
