"""The `requests` side of the call policy: an adapter, so that a vendor client that was never written for it obeys all the same."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter

from connectors.sdk.auth import Auth
from connectors.sdk.errors import ConfigError
from connectors.sdk.verdict import Judge

if TYPE_CHECKING:
    from connectors.sdk.client import CallPolicy

#: More connections than any pool has workers; an idle slot costs nothing.
_CONNECTIONS = 32

#: Path segments that name something: words, `v1.2`, dated versions. Everything else is an id.
_WORD = re.compile(r"([A-Za-z][A-Za-z_.~-]{0,39}\d?|v\d+(\.\d+)?|\d{4}-\d{2}(-\d{2})?|)")


class Request(msgspec.Struct, frozen=True):
    """How a request is counted: by which endpoint name, at what cost, in which pool."""

    endpoint: str
    cost: int = 1
    pool: str = "default"


def describe_request(request: requests.PreparedRequest) -> Request:
    """Method and path with ids left out: `GET /v1/deals/{id}/changelog`, cost 1, default pool."""
    path = urlsplit(request.url or "").path
    named = "/".join(part if _WORD.fullmatch(part) else "{id}" for part in path.split("/"))
    return Request(f"{request.method} {named}")


class PolicyAdapter(HTTPAdapter):
    """Sends each request of a session through the policy's loop. Made by `CallPolicy.session`."""

    def __init__(
        self,
        policy: CallPolicy,
        *,
        judge: Judge,
        auth: Auth | None = None,
        auth_url: str | None = None,
        override: str | None = None,
        describe: Callable[[requests.PreparedRequest], Request] = describe_request,
    ) -> None:
        super().__init__(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS, max_retries=0)
        self._policy = policy
        self._judge = judge
        self._auth = auth
        self._auth_origin = _origin(auth_url) if auth_url else None
        self._override = urlsplit(override) if override else None
        self._describe = describe

    def new_session(self) -> requests.Session:
        """A session with this adapter on all its addresses."""
        session = requests.Session()
        session.mount("https://", self)
        session.mount("http://", self)
        # Cookies would tie workers together; credentials from .netrc would be somebody else's.
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.auth = _no_netrc
        # Plain http goes to this machine only, and never through a proxy: no need to look for one before each request.
        stands_in = self._override.scheme if self._override else (self._auth_origin or ("",))[0]
        session.trust_env = stands_in != "http"
        return session

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send with the policy around it; inside `calls.call` only send, because the loop is already there."""

        def once() -> requests.Response:
            return self._send_once(
                request,
                stream=stream,
                timeout=timeout or self._policy.timeout,
                verify=verify,
                cert=cert,
                proxies=proxies,
            )

        if self._policy.is_sending:
            return once()
        named = self._describe(request)
        return self._policy.call(named.endpoint, once, self._judge, named.cost, pool=named.pool, renew=self._auth)

    def _send_once(
        self, request: requests.PreparedRequest, *, stream: bool, proxies: Mapping[str, str] | None, **rest: Any
    ) -> requests.Response:
        # A copy, so that credentials are neither in what a redirect copies nor in what an error shows.
        sent = request.copy()
        origin = _origin(request.url or "")
        # What stands in for the source may redirect to itself, by its own address.
        is_moved = self._override is not None and origin == _origin(self._override.geturl())
        if self._auth is not None and (origin == self._auth_origin or is_moved):
            sent.headers.update(self._auth.headers())
        if self._override is not None and not is_moved:
            sent.url = _moved(sent.url or "", self._override)
        target = urlsplit(sent.url or "")
        if is_loopback(target.hostname):
            proxies = {}
        elif target.scheme == "http":
            raise ConfigError("plain http (perhaps after a redirect) would send everything in the open. Use https.")
        response = super().send(sent, stream=stream, proxies=proxies, **rest)
        if not stream or response.status_code >= 400:
            _ = response.content
        response.request = request
        return response


def checked_url(url: str, *, where: str, loopback_only: bool = False) -> str:
    """`url` without a trailing slash. Raises ConfigError unless it is https, or plain http to this very machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{where}: not an address. Write it as https://host[:port][/path].")
    if parts.username or parts.password:
        raise ConfigError(f"{where}: credentials do not belong into an address. Use the settings for them.")
    if loopback_only and not is_loopback(parts.hostname):
        raise ConfigError(f"{where}: only this machine (localhost, 127.0.0.1) may stand in for the source.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(f"{where}: plain http would send credentials in the open. Use https.")
    return url.rstrip("/")


def is_loopback(host: str | None) -> bool:
    """True for this very machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _moved(url: str, to: SplitResult) -> str:
    parts = urlsplit(url)
    return urlunsplit((to.scheme, to.netloc, to.path.rstrip("/") + parts.path, parts.query, parts.fragment))


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
