"""Pipedrive's calls: priced in tokens, paced by the burst limit, understood in its own error words.

Source: official OpenAPI documents and vendor docs, read 2026-11.
Lists of deals, pipelines, stages and fields are v2; history, users and currencies v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from connectors.pipedrive.settings import PipedriveSettings
from connectors.sdk import (
    Answer,
    CallPolicy,
    ConfigError,
    HeaderKey,
    OAuth,
    VendorError,
    Verdict,
    judge_status,
    oauth_grant,
    sound_json,
)
from connectors.sdk.auth import Auth

PAGE = 500
#: Requests in two seconds that the smallest plan allows, until an answer tells the real number.
_FIRST_BURST = 20
_OAUTH_URL = "https://oauth.pipedrive.com/oauth/token"
_STATUSES = "open,won,lost,deleted"
SCOPES = "base, deals:read, recents:read, users:read, contacts:read"


class NotFoundError(VendorError):
    """A 404 of a list."""


class RefusedError(ConfigError):
    """A JSON 403: the token lacks a permission or scope, or the plan a feature. What is optional is done without."""


class Api:
    """All calls of one source."""

    def __init__(self, calls: CallPolicy, settings: PipedriveSettings) -> None:
        self.calls, self._base = calls, settings.address
        self._v1 = "/api/v1"
        calls.pool("default", _FIRST_BURST, 2.0)
        calls.observe(self._learn)
        self._auth: Auth
        if settings.api_token is not None:
            self._auth = HeaderKey("x-api-token", settings.api_token)
        else:
            assert settings.client_id is not None
            assert settings.client_secret is not None
            grant = oauth_grant(
                calls,
                calls.session(),
                settings.oauth_url or _OAUTH_URL,
                client_id=settings.client_id,
                client_secret=settings.client_secret,
                in_header=True,
            )
            self._auth = OAuth(grant, clock=calls.clock, refresh_token=settings.refresh_token, tokens=calls.tokens)
        self._session = calls.session(auth=self._auth, base_url=self._base)

    def _learn(self, answer: Answer) -> None:
        limit = answer.headers.get("x-ratelimit-limit")
        if limit and limit.isdigit():
            self.calls.pool("default").update(int(limit), 2.0)
        left, whole = (
            answer.headers.get("x-daily-ratelimit-token-remaining"),
            answer.headers.get("x-daily-ratelimit-token-limit"),
        )
        if left and left.isdigit():
            self.calls.told_quota(int(left), int(whole) if whole and whole.isdigit() else None)

    def get(self, endpoint: str, path: str, cost: int, query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """One answer as JSON; None for 404. Raises QuotaError, ConfigError, TransientError, VendorError."""
        answer = self.calls.call(
            endpoint,
            lambda: self._session.get(self._base + path, params=dict(query or {})),
            partial(judge, cost=cost),
            cost,
            renew=self._auth,
        )
        if answer.status_code == 404:
            return None
        body = msgspec.json.decode(sound_json(answer.content))
        return body if isinstance(body, dict) else None

    def pages(
        self, endpoint: str, path: str, cost: int, query: Mapping[str, Any], page_size: int | None
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of a list with a cursor. The end is a missing cursor, never a short page. Raises NotFoundError for a 404."""
        seen: set[str] = set()
        wish = {**query, "limit": min(page_size or PAGE, PAGE)}
        while True:
            body = self.get(endpoint, path, cost, wish)
            if body is None:
                raise NotFoundError(
                    f"{endpoint}: Pipedrive knows no {path} (404). Check company_domain or base_url; it must not end with a path."
                )
            yield body.get("data") or []
            cursor = (body.get("additional_data") or {}).get("next_cursor")
            if not cursor:
                return
            if cursor in seen:
                raise VendorError(f"{endpoint}: Pipedrive repeats a page cursor; stopped to avoid reading for ever.")
            seen.add(cursor)
            wish = {**wish, "cursor": cursor}

    def me(self) -> dict[str, Any]:
        """The token's user and company. Also finds out where v1 lives: `api.pipedrive.com` has it under `/v1`."""
        body = self.get("users.me", self._v1 + "/users/me", 2)
        if body is None:
            self._v1 = "/v1"
            body = self.get("users.me", self._v1 + "/users/me", 2)
        if body is None:
            self._v1 = "/api/v1"
            raise NotFoundError("users.me: Pipedrive knows no /users/me (404). Check company_domain or base_url.")
        return body.get("data") or {}

    def pipelines(self) -> list[dict[str, Any]]:
        """All pipelines; not incremental (v2 refuses updated_since here)."""
        return [row for page in self.pages("pipelines", "/api/v2/pipelines", 5, {}, None) for row in page]

    def stages(self) -> list[dict[str, Any]]:
        """All stages that the company still has."""
        return [row for page in self.pages("stages", "/api/v2/stages", 5, {}, None) for row in page]

    def stage(self, stage_id: str) -> dict[str, Any] | None:
        """One stage, perhaps a deleted one."""
        return (self.get("stages.get", f"/api/v2/stages/{stage_id}", 1) or {}).get("data")

    def deal_fields(self) -> list[dict[str, Any]]:
        """Definitions of all deal fields."""
        return [row for page in self.pages("deal_fields", "/api/v2/dealFields", 10, {}, None) for row in page]

    def users(self) -> list[dict[str, Any]]:
        """All users, inactive ones too; `data` is null when there are none."""
        return (self.get("users", self._v1 + "/users", 20) or {}).get("data") or []

    def deals(
        self, query: Mapping[str, Any], *, archived: bool, page_size: int | None
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of deals, deleted ones of the last 30 days included; archived deals are a list of their own."""
        wish = {"status": _STATUSES, "include_fields": "first_won_time", **query}
        if archived:
            return self.pages("deals.archived", "/api/v2/deals/archived", 20, wish, page_size)
        return self.pages("deals", "/api/v2/deals", 10, wish, page_size)

    def organizations(self, query: Mapping[str, Any], page_size: int | None) -> Iterator[list[dict[str, Any]]]:
        """Pages of organizations."""
        return self.pages("organizations", "/api/v2/organizations", 10, query, page_size)

    def changelog(self, deal_id: str, page_size: int | None = None) -> list[dict[str, Any]] | None:
        """All changes of one deal as the answer orders them (newest first), None when the deal is gone."""
        path = f"{self._v1}/deals/{deal_id}/changelog"
        try:
            return [line for page in self.pages("changelog", path, 20, {}, page_size) for line in page]
        except NotFoundError:
            return None


def judge(outcome: Any, cost: int = 1) -> Verdict:
    """Pipedrive's codes (vendor docs and public threads, read 2026-11). A 200 may carry `success: false` or no body at all."""
    answer = Answer.of(outcome)
    if answer is None:
        return judge_status(outcome)
    if answer.status == 404:
        return Verdict.ok()
    if answer.status == 429:
        return _judge_429(answer, cost)
    if answer.status == 403 and answer.body.lstrip()[:1] == b"<":
        return Verdict.daily(
            "Pipedrive's gateway blocks this token for now (an HTML 403 after too many requests); stop and come back later"
        )
    if answer.status == 402:
        return Verdict.fatal(
            ConfigError("the Pipedrive company is not open (402): its trial or subscription has ended.")
        )
    if answer.status == 403:
        return Verdict.fatal(
            RefusedError(f"Pipedrive refused ({answer.says() or '403'}). An OAuth app needs the scopes {SCOPES}.")
        )
    if answer.status < 400:
        body = answer.json()
        if not isinstance(body, dict) or body.get("success") is False:
            return Verdict.retry("an answer without content")
        return Verdict.ok()
    return judge_status(outcome)


def _judge_429(answer: Answer, cost: int) -> Verdict:
    """A burst passes in two seconds; a daily budget is used up until midnight of the data centre. Where no header tells which, two waits do."""
    used_up = Verdict.daily("the company's daily token budget of Pipedrive is used up")
    left = answer.headers.get("x-daily-ratelimit-token-remaining", "")
    if left.isdigit() and int(left) < cost:
        return used_up
    reset = answer.headers.get("x-ratelimit-reset", "2")
    after = None if "Retry-After" in answer.headers else max(2.0, float(reset) if reset.isdigit() else 2.0)
    if left.isdigit():
        return Verdict.burst("Pipedrive's burst limit", after)
    return Verdict.burst("Pipedrive's burst limit", after, tries=2, then=used_up)
