"""The calls of HubSpot's API that the connector makes, each through the call policy, each answering raw bytes.

v3 goes through the generated calls of hubspot-api-client with undecoded bodies (its models cost 11 times the CPU of JSON, measured), dated versions
through its generic request. One API object of each kind is kept: every attribute access of the client would make a new connection pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import hubspot
import msgspec
import urllib3
from hubspot.utils.requests.http_request_builder import Request as GenericRequest

from connectors.hubspot.settings import HubSpotSettings
from connectors.sdk import (
    Answer,
    Bearer,
    CallPolicy,
    ConfigError,
    OAuth,
    VendorError,
    Verdict,
    judge_status,
    oauth_grant,
    sound_json,
)
from connectors.sdk.auth import Auth

#: The smallest allowance of all plans, until the first answer tells the real one.
_FIRST_LIMIT = 100
#: Share of the account's allowance that is used: others of the same app may call too, and arrivals bunch.
_SHARE = 0.94
_SEARCH_PER_SECOND = 4
#: HubSpot answers 414 somewhere between 8,000 and 16,000 characters (public threads, read 2026-11).
LONGEST_URL = 6_500


class Api(ABC):
    """All calls. `search` has a pool of its own; answers of the others tell the limit."""

    def __init__(self, calls: CallPolicy, settings: HubSpotSettings, auth: Auth) -> None:
        self.calls, self.settings, self.auth = calls, settings, auth
        calls.pool("default", _FIRST_LIMIT, 10.0)
        calls.pool("search", _SEARCH_PER_SECOND, 1.0)
        calls.observe(self._learn)

    def _learn(self, answer: Answer) -> None:
        limit, interval = (
            answer.headers.get("X-HubSpot-RateLimit-Max"),
            answer.headers.get("X-HubSpot-RateLimit-Interval-Milliseconds"),
        )
        if limit and limit.isdigit():
            seconds = int(interval) / 1000 if interval and interval.isdigit() else 10.0
            self.calls.pool("default").update(max(1, int(int(limit) * _SHARE)), seconds)
        daily, left = (
            answer.headers.get("X-HubSpot-RateLimit-Daily"),
            answer.headers.get("X-HubSpot-RateLimit-Daily-Remaining"),
        )
        if left and left.isdigit():
            self.calls.told_quota(int(left), int(daily) if daily and daily.isdigit() else None)

    @abstractmethod
    def list_deals(self, query: Mapping[str, Any]) -> bytes:
        """One page of deals; query: limit, after, properties, propertiesWithHistory, associations, archived."""

    @abstractmethod
    def search(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """One page of a search over deals or companies."""

    @abstractmethod
    def batch_read(self, kind: str, body: Mapping[str, Any], *, archived: bool = False) -> bytes:
        """Deals or companies by id, names of properties in the body."""

    @abstractmethod
    def list_companies(self, query: Mapping[str, Any]) -> bytes:
        """One page of companies."""

    @abstractmethod
    def pipelines(self) -> bytes:
        """All deal pipelines with their stages."""

    @abstractmethod
    def stage_audit(self, pipeline_id: str, stage_id: str) -> bytes:
        """What happened to a stage, also one that is gone."""

    @abstractmethod
    def properties(self) -> bytes:
        """All deal properties."""

    @abstractmethod
    def owners(self, query: Mapping[str, Any]) -> bytes:
        """One page of owners; `archived` true for deactivated ones."""

    @abstractmethod
    def companies_of(self, deal_ids: Sequence[str]) -> bytes:
        """Companies of up to 1,000 deals."""

    @abstractmethod
    def account(self) -> bytes:
        """The account's id, time zone and currency."""


def open_api(calls: CallPolicy, settings: HubSpotSettings) -> Api:
    """The API for the configured version and credentials. Makes no call."""
    auth: Auth
    if settings.access_token is not None:
        auth = Bearer(settings.access_token)
    else:
        assert settings.client_id is not None
        assert settings.client_secret is not None
        path = "/oauth/v1/token" if settings.api_version == "v3" else f"/oauth/{settings.api_version}/token"
        grant = oauth_grant(
            calls,
            calls.session(),
            settings.base_url.rstrip("/") + path,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
        )
        auth = OAuth(grant, clock=calls.clock, refresh_token=settings.refresh_token, tokens=calls.tokens)
    return GeneratedApi(calls, settings, auth) if settings.api_version == "v3" else DatedApi(calls, settings, auth)


class DatedApi(Api):
    """Dated paths, built by the vendor client's generic request, sent by the policy's own session (it has timeouts and keeps connections)."""

    def __init__(self, calls: CallPolicy, settings: HubSpotSettings, auth: Auth) -> None:
        super().__init__(calls, settings, auth)
        self._base = settings.base_url.rstrip("/")
        self._session = calls.session(auth=auth, base_url=self._base)
        self._version = settings.api_version

    def _send(
        self,
        endpoint: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        pool: str = "default",
    ) -> bytes:
        options: dict[str, Any] = {"method": "GET" if body is None else "POST", "path": path, "qs": dict(query or {})}
        if body is not None:
            options["body"] = msgspec.json.encode(body)
        built = GenericRequest({"base_url": self._base}, options)
        send = built.get_options_for_sending()
        answer = self.calls.call(
            endpoint,
            lambda: self._session.request(built.get_method(), built.get_url(), **send),
            judge,
            pool=pool,
            renew=self.auth,
        )
        return sound_json(answer.content)

    def list_deals(self, query: Mapping[str, Any]) -> bytes:
        """One page of deals."""
        return self._send("deals.list", f"/crm/objects/{self._version}/deals", query=query)

    def search(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """One page of a search."""
        return self._send(f"{kind}.search", f"/crm/objects/{self._version}/{kind}/search", body=body, pool="search")

    def batch_read(self, kind: str, body: Mapping[str, Any], *, archived: bool = False) -> bytes:
        """Records by id."""
        query = {"archived": "true"} if archived else None
        return self._send(
            f"{kind}.batch_read", f"/crm/objects/{self._version}/{kind}/batch/read", query=query, body=body
        )

    def list_companies(self, query: Mapping[str, Any]) -> bytes:
        """One page of companies."""
        return self._send("companies.list", f"/crm/objects/{self._version}/companies", query=query)

    def pipelines(self) -> bytes:
        """All deal pipelines."""
        return self._send("pipelines", f"/crm/pipelines/{self._version}/deals")

    def stage_audit(self, pipeline_id: str, stage_id: str) -> bytes:
        """A stage's past."""
        return self._send(
            "pipelines.audit", f"/crm/pipelines/{self._version}/deals/{pipeline_id}/stages/{stage_id}/audit"
        )

    def properties(self) -> bytes:
        """All deal properties."""
        return self._send("properties", f"/crm/properties/{self._version}/deals")

    def owners(self, query: Mapping[str, Any]) -> bytes:
        """One page of owners."""
        return self._send("owners", f"/crm/owners/{self._version}", query=query)

    def companies_of(self, deal_ids: Sequence[str]) -> bytes:
        """Companies of deals."""
        body = {"inputs": [{"id": key} for key in deal_ids]}
        return self._send("associations", f"/crm/associations/{self._version}/deals/companies/batch/read", body=body)

    def account(self) -> bytes:
        """Account details."""
        return self._send("account", f"/account-info/{self._version}/details")


class GeneratedApi(DatedApi):
    """v3 through the generated calls; what they do not cover (account info) goes through the generic request."""

    def __init__(self, calls: CallPolicy, settings: HubSpotSettings, auth: Auth) -> None:
        super().__init__(calls, settings, auth)
        client = hubspot.Client.create(host=self._base, retry=urllib3.Retry(0, redirect=0), connection_pool_maxsize=32)
        self._deals, self._batch, self._search_api = (
            client.crm.deals.basic_api,
            client.crm.deals.batch_api,
            client.crm.deals.search_api,
        )
        self._companies, self._company_batch = client.crm.companies.basic_api, client.crm.companies.batch_api
        self._company_search = client.crm.companies.search_api
        self._pipelines, self._audits = (
            client.crm.pipelines.pipelines_api,
            client.crm.pipelines.pipeline_stage_audits_api,
        )
        self._properties, self._owners = client.crm.properties.core_api, client.crm.owners.owners_api
        self._associations = client.crm.associations.v4.batch_api

    def _generated(
        self, endpoint: str, api: Any, method: str, *given: Any, pool: str = "default", **named: Any
    ) -> bytes:
        def send() -> Any:
            # The generated client reads its token from its configuration at each call.
            bearer = self.auth.headers()["Authorization"].removeprefix("Bearer ")
            api.api_client.configuration.access_token = bearer
            named["_preload_content"], named["_request_timeout"] = False, self.calls.timeout
            return getattr(api, method)(*given, **named)

        return sound_json(self.calls.call(endpoint, send, judge, pool=pool, renew=self.auth).data)

    def list_deals(self, query: Mapping[str, Any]) -> bytes:
        """One page of deals."""
        return self._generated("deals.list", self._deals, "get_page", **_generated_query(query))

    def search(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """One page of a search."""
        api = self._search_api if kind == "deals" else self._company_search
        return self._generated(f"{kind}.search", api, "do_search", dict(body), pool="search")

    def batch_read(self, kind: str, body: Mapping[str, Any], *, archived: bool = False) -> bytes:
        """Records by id."""
        api = self._batch if kind == "deals" else self._company_batch
        # As text: the generated client would write a flag as `True`.
        return self._generated(f"{kind}.batch_read", api, "read", dict(body), archived="true" if archived else "false")

    def list_companies(self, query: Mapping[str, Any]) -> bytes:
        """One page of companies."""
        return self._generated("companies.list", self._companies, "get_page", **_generated_query(query))

    def pipelines(self) -> bytes:
        """All deal pipelines."""
        return self._generated("pipelines", self._pipelines, "get_all", "deals")

    def stage_audit(self, pipeline_id: str, stage_id: str) -> bytes:
        """A stage's past."""
        return self._send("pipelines.audit", f"/crm/v3/pipelines/deals/{pipeline_id}/stages/{stage_id}/audit")

    def properties(self) -> bytes:
        """All deal properties."""
        return self._generated("properties", self._properties, "get_all", "deals")

    def owners(self, query: Mapping[str, Any]) -> bytes:
        """One page of owners."""
        return self._generated("owners", self._owners, "get_page", **_generated_query(query))

    def companies_of(self, deal_ids: Sequence[str]) -> bytes:
        """Companies of deals."""
        body = {"inputs": [{"id": key} for key in deal_ids]}
        return self._generated("associations", self._associations, "get_page", "deals", "companies", body)

    def account(self) -> bytes:
        """Account details."""
        return self._send("account", "/account-info/v3/details")


def _generated_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Query parameters under the generated calls' own names and types."""
    names = {"propertiesWithHistory": "properties_with_history"}
    found: dict[str, Any] = {}
    for name, value in query.items():
        if name in ("properties", "propertiesWithHistory", "associations"):
            found[names.get(name, name)] = str(value).split(",")
        else:
            found[name] = value
    return found


def judge(outcome: Any) -> Verdict:
    """HubSpot's codes (vendor docs and public threads, read 2026-11). A 429 has no category; its policyName tells which limit it was."""
    answer = Answer.of(outcome)
    if answer is None:
        return judge_status(outcome)
    if answer.status < 400:
        is_json = not answer.is_read or answer.body[:64].lstrip()[:1] == b"{"
        return judge_status(outcome) if is_json else Verdict.retry("an answer that is no JSON object")
    body = answer.json()
    said = body if isinstance(body, dict) else {}
    if answer.status == 429:
        policy = str(said.get("policyName", ""))
        if policy == "DAILY":
            return Verdict.daily("the account's daily limit of HubSpot calls is used up")
        interval = answer.headers.get("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")
        after = 1.0 if policy == "SECONDLY" else int(interval) / 1000 if interval.isdigit() else 10.0
        return Verdict.burst(f"HubSpot's {policy or 'rate'} limit", None if "Retry-After" in answer.headers else after)
    if answer.status in (409, 423, 477):
        return Verdict.retry(f"status {answer.status}")
    if answer.status == 530:
        return Verdict.fatal(ConfigError("HubSpot does not know the token (530). Check access_token."))
    if answer.status == 403 and said.get("category") == "MISSING_SCOPES":
        return Verdict.fatal(MissingScopesError(_scopes(said)))
    if answer.status == 404:
        told = answer.says()
        return Verdict.fatal(NotFoundError(f"HubSpot knows no such thing (404{': ' + told if told else ''})."))
    return judge_status(outcome)


class NotFoundError(VendorError):
    """A 404: the account's plan or version has no such thing."""


class MissingScopesError(ConfigError):
    """The token lacks scopes; the user must grant them."""

    def __init__(self, scopes: Sequence[str]) -> None:
        self.scopes = tuple(scopes)
        named = ", ".join(scopes) or "(HubSpot does not say which)"
        super().__init__(
            f"the token lacks the scope {named} (403). Add it to the service key, private app or OAuth app."
        )

    def is_about(self, what: str) -> bool:
        """Whether a missing scope names `what`; also when HubSpot names none."""
        return not self.scopes or any(what in scope for scope in self.scopes)


#: What must not end a sync where the thing asked for is optional.
OPTIONAL = (MissingScopesError, NotFoundError)


def _scopes(body: Mapping[str, Any]) -> list[str]:
    """The scopes that an error names, in `errors` or beside them."""
    found: list[str] = []
    for place in (body, *(body.get("errors") or [])):
        context = place.get("context") if isinstance(place, dict) else None
        if isinstance(context, dict):
            found += [str(scope) for key in _SCOPE_KEYS for scope in context.get(key) or []]
    return list(dict.fromkeys(found))


_SCOPE_KEYS = ("requiredGranularScopes", "requiredScopes")
