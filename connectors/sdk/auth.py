"""Credentials as objects: they know what to put into a request, and how to become new.

    auth = Bearer(settings.access_token.reveal())
    auth = HeaderKey("x-api-token", settings.api_token.reveal())
    auth = OAuth(oauth_grant(calls, calls.session(), token_url, client_id=..., client_secret=...), clock=sync.clock,
                 refresh_token=settings.refresh_token.reveal(), tokens=calls.tokens)

Hand one to `calls.session(auth=...)`, or build requests with `auth.headers()` and pass it as `renew` to `calls.call`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from connectors.sdk.clock import Clock
from connectors.sdk.errors import ConfigError, TransientError, VendorError
from connectors.sdk.redaction import Redactor, redactor
from connectors.sdk.settings import Secret
from connectors.sdk.tokens import MemoryTokens, Token, TokenStore, fingerprint
from connectors.sdk.verdict import Answer, Verdict, judge_status

if TYPE_CHECKING:
    from connectors.sdk.client import CallPolicy

#: Credentials of whichever kind the token endpoint does not take; texts of RFC 6749 section 5.2 and of the vendors.
_REFUSED = frozenset({400, 401, 403})


class SingleFlight:
    """Renew once, however many threads were refused with the same credentials.

    `version` counts renewals. A thread remembers the version it sent with; if that has passed meanwhile, another thread has already renewed.
    Threads that waited for a renewal that failed get its error; a refusal (ConfigError) is final for its version.
    """

    def __init__(self, renew: Callable[[], Any]) -> None:
        self._renew = renew
        self._lock = threading.Lock()
        self._runner: int | None = None
        self._attempts = 0
        self._failed: Exception | None = None
        self.version = 0

    def renew(self, seen: int) -> None:
        """Renew unless somebody did since `seen`. Raises what the renewal raises."""
        if self._runner == threading.get_ident():
            raise RuntimeError("a renewal needs itself: give the token endpoint a session without auth")
        attempts = self._attempts
        with self._lock:
            if self.version != seen:
                return
            if self._failed is not None and (self._attempts != attempts or isinstance(self._failed, ConfigError)):
                raise self._failed
            self._attempts += 1
            self._failed, self._runner = None, threading.get_ident()
            try:
                self._renew()
            except Exception as error:
                self._failed = error
                raise
            finally:
                self._runner = None
            self.version += 1


class Auth(ABC):
    """Credentials of one source. Safe to share between threads."""

    def __init__(self) -> None:
        self.flight = SingleFlight(self._renew)

    def ready(self) -> None:  # noqa: B027 - fixed credentials are always at hand
        """Have credentials at hand before a request is built: a token that is first loaded *while* sending would pass for a renewal made
        by another thread, and its refusal for the second one of the request.
        """

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """Headers for the next request; renews ahead of expiry where it can."""

    @abstractmethod
    def _renew(self) -> None:
        """Become new after a refusal, or raise ConfigError."""


class HeaderKey(Auth):
    """A fixed key in a header of its own."""

    def __init__(self, header: str, key: str, *, redactor: Redactor = redactor) -> None:
        super().__init__()
        plain = key.reveal() if isinstance(key, Secret) else key
        redactor.add(plain)
        self._headers = {header: plain}

    def headers(self) -> Mapping[str, str]:
        """The header with the key."""
        return self._headers

    def _renew(self) -> None:
        raise ConfigError("the credentials were refused (401), and a fixed key cannot be renewed. Set a valid one.")


class Bearer(HeaderKey):
    """A fixed token as `Authorization: Bearer ...`."""

    def __init__(self, token: str, *, redactor: Redactor = redactor) -> None:
        plain = token.reveal() if isinstance(token, Secret) else token
        redactor.add(plain)
        super().__init__("Authorization", f"Bearer {plain}", redactor=redactor)


class OAuth(Auth):
    """An access token that is fetched when needed, renewed ahead of expiry and after a refusal.

    `fetch(refresh_token)` calls the token endpoint (`oauth_grant` makes one). `refresh_token` is the configured one, None for client
    credentials; a newer one in `tokens` that descends from it wins, and a newly configured one starts afresh.
    """

    def __init__(
        self,
        fetch: Callable[[str | None], Token],
        *,
        clock: Clock,
        refresh_token: str | None = None,
        tokens: TokenStore | MemoryTokens | None = None,
        ahead_s: float = 120.0,
        redactor: Redactor = redactor,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._clock = clock
        self._seed = refresh_token.reveal() if isinstance(refresh_token, Secret) else refresh_token
        # Another client or another configured token is another account: a token stored for the old one must not be used.
        self._mark = fingerprint(f"{getattr(fetch, 'identity', '')} {self._seed or ''}")
        self._tokens = tokens if tokens is not None else MemoryTokens(redactor=redactor)
        self._ahead = timedelta(seconds=ahead_s)
        self._redactor = redactor
        self._token: Token | None = None
        self._renew_at: datetime | None = None
        redactor.add(self._seed)

    def ready(self) -> None:
        """Load, fetch or renew the token where that is due."""
        self.token()

    def headers(self) -> Mapping[str, str]:
        """`Authorization: Bearer` with a token that is still good for a while."""
        return {"Authorization": f"Bearer {self.token().access_token}"}

    def token(self) -> Token:
        """The token now, with its `extra` fields. Fetches or renews where needed. Raises ConfigError when it is refused."""
        version = self.flight.version
        token = self._token
        if token is None or (self._renew_at is not None and self._clock.now() >= self._renew_at):
            try:
                self.flight.renew(version)
            except TransientError:
                # Early renewal failed, but the token is still good: the sync goes on with it.
                if token is None or token.expires_at is None or token.expires_at <= self._clock.now():
                    raise
            token = self._token
        assert token is not None
        return token

    def _renew(self) -> None:
        """Take over what another process has renewed, else fetch; all under the lock of the store."""
        refused = self._token.access_token if self._token else None
        with self._tokens.locked() as slot:
            held = slot.read()
            if held is not None and held.grown_from != self._mark:
                held = None
            if held is not None and held.access_token != refused and not self._is_old(held):
                self._take(held)
                return
            before = (held.refresh_token if held else None) or self._seed
            fetched = self._fetch(before)
            token = msgspec.structs.replace(
                fetched, refresh_token=fetched.refresh_token or before, grown_from=self._mark
            )
            slot.write(token)
        self._take(token)

    def _take(self, token: Token) -> None:
        self._redactor.add(token.access_token, token.refresh_token)
        self._renew_at = self._ahead_of(token)
        self._token = token

    def _ahead_of(self, token: Token) -> datetime | None:
        if token.expires_at is None:
            return None
        # A token that lives shortly is renewed at half its life, not before it is born.
        left = token.expires_at - self._clock.now()
        return token.expires_at - min(self._ahead, left / 2)

    def _is_old(self, token: Token) -> bool:
        return token.expires_at is not None and token.expires_at - self._ahead <= self._clock.now()


class Grant:
    """A fetch for `OAuth`: asks a token endpoint as RFC 6749 says. Made by `oauth_grant`."""

    def __init__(
        self,
        calls: CallPolicy,
        session: requests.Session,
        url: str,
        *,
        form: Mapping[str, str],
        basic: tuple[str, str] | None,
        identity: str,
    ) -> None:
        self._calls, self._session, self._url = calls, session, url
        self._form, self._basic = form, basic
        self.identity = identity

    def __call__(self, refresh_token: str | None) -> Token:
        """A new token. Raises ConfigError when the endpoint refuses, VendorError when its answer is no token."""
        fields = {"grant_type": "client_credentials"}
        if refresh_token is not None:
            fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        fields |= self._form
        asked_at = self._calls.clock.now()
        answer = self._calls.call(
            "oauth.token",
            lambda: self._session.post(
                self._url, data=fields, auth=self._basic, headers={"Accept": "application/json"}
            ),
            judge_token,
            0,
            pool="oauth",
        )
        return token_from(Answer.of(answer).json(), asked_at=asked_at)


def oauth_grant(
    calls: CallPolicy,
    session: requests.Session,
    url: str,
    *,
    client_id: str,
    client_secret: str,
    in_header: bool = False,
    form: Mapping[str, str] | None = None,
) -> Grant:
    """A fetch for `OAuth`: the form of RFC 6749 (refresh_token, or client_credentials when there is none) through the call policy.

    `in_header`: client id and secret as HTTP Basic instead of form fields; `form`: further or other fields (a JWT grant: `grant_type` and
    `assertion`). `session` must have no auth of its own. The call costs nothing of the budget.
    """
    secret = client_secret.reveal() if isinstance(client_secret, Secret) else client_secret
    calls.redactor.add(secret)
    fields = {} if in_header else {"client_id": client_id, "client_secret": secret}
    return Grant(
        calls,
        session,
        url,
        form=fields | dict(form or {}),
        basic=(client_id, secret) if in_header else None,
        identity=f"{url} {client_id}",
    )


def judge_token(outcome: Any) -> Verdict:
    """A judge for token endpoints: 400, 401 and 403 mean that the user must authorise again; never repeated, never renewed."""
    answer = Answer.of(outcome)
    if answer is not None and answer.status in _REFUSED:
        said = answer.says()
        return Verdict.fatal(
            ConfigError(
                f"the token endpoint refused the credentials ({answer.status}{': ' + said if said else ''}). "
                "Check client id and secret; if they are right, authorise again and set the new refresh token."
            )
        )
    return judge_status(outcome)


def token_from(body: Any, *, asked_at: datetime) -> Token:
    """A token answer (RFC 6749 section 5.1) as Token. `expires_in` counts from `asked_at`. Raises VendorError when it holds no access token."""
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str) or not body["access_token"]:
        raise VendorError("the token endpoint answered without an access_token. Check that its address is right.")
    try:
        lives = timedelta(seconds=float(body["expires_in"])) if body.get("expires_in") is not None else None
    except (TypeError, ValueError, OverflowError):
        lives = None
    known = {"access_token", "refresh_token", "expires_in"}
    return Token(
        access_token=body["access_token"],
        refresh_token=body.get("refresh_token") or None,
        expires_at=None if lives is None else asked_at + lives,
        extra={name: value for name, value in body.items() if name not in known and isinstance(value, str)},
    )
