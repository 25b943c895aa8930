"""Ways in: each gives a session token and the address of the org. The vendor's own client speaks the login protocols.

A token's life is an org setting (2 hours without a call by default) and no answer tells it, so a refused token (401) is what renews it.
Until it is an hour old it may serve the next sync too, which saves that sync a login.
Source: vendor's OAuth guide and the installed simple-salesforce, read 2026-11.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from jwt import PyJWTError
from simple_salesforce import login as vendor
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from connectors.salesforce.settings import SalesforceSettings
from connectors.sdk import Auth, Bearer, CallPolicy, ConfigError, OAuth, Request, Token

#: SOAP login() is not part of API version 65 and later ones; it ends for all versions with Summer '27.
_LAST_SOAP_VERSION = 64.0
_LIFE = timedelta(hours=1)
_ADVICE = {
    "invalid_client_id": "Check consumer_key and domain.",
    "invalid_client": "Check consumer_secret, and that the app allows this flow.",
    "unsupported_grant_type": "This flow is switched off in the org or the app. Enable it, or choose another `auth`.",
    "invalid_grant": "Check the user, that the app is approved for it, and that its network is allowed.",
    "INVALID_LOGIN": "Check username, password and security_token.",
    "UNSUPPORTED_API_VERSION": "SOAP login is gone in this org. Use auth client_credentials or jwt.",
}


def open_auth(calls: CallPolicy, settings: SalesforceSettings) -> tuple[Auth, str | None]:
    """Credentials for API calls, and the org's address where it is known without a login."""
    if settings.auth == "session":
        parts = urlsplit(settings.instance_url or "")
        host = parts.netloc or parts.path.split("/")[0]
        return Bearer(settings.session_id or "", redactor=calls.redactor), f"https://{host}"
    return OAuth(Login(calls, settings), clock=calls.clock, tokens=calls.tokens, redactor=calls.redactor), None


class LoginRefusedError(ConfigError):
    """The login was refused; `code` is the vendor's. The user must change credentials, the app or the org's settings."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Login:
    """A fetch for `OAuth`: signs in and gives a Token whose `extra` holds `instance_url`. Raises ConfigError when refused."""

    def __init__(self, calls: CallPolicy, settings: SalesforceSettings) -> None:
        self._calls = calls
        self._settings = settings
        self._session = calls.session(endpoint_override=settings.stand_in, describe=_describe)
        key = settings.consumer_key.reveal() if settings.consumer_key else ""
        #: Tells a stored token of these credentials from one of others.
        self.identity = f"{settings.auth} {settings.login_domain} {key} {settings.username or ''}"

    def __call__(self, refresh_token: str | None) -> Token:
        """A new token."""
        asked_at = self._calls.clock.now()
        session_id, host = self._sign_in()
        if not session_id or not host:
            raise ConfigError("the login gave no session. Check `domain` and `auth`.")
        address = {"instance_url": f"https://{host.split('/')[0]}"}
        return Token(access_token=session_id, expires_at=asked_at + _LIFE, extra=address)

    def _sign_in(self) -> tuple[str, str]:
        s = self._settings
        common: dict[str, Any] = {"session": self._session, "domain": s.login_domain}
        if s.auth == "client_credentials":
            return self._try(**common, consumer_key=_plain(s.consumer_key), consumer_secret=_plain(s.consumer_secret))
        if s.auth == "jwt":
            return self._try(
                **common,
                username=s.username,
                consumer_key=_plain(s.consumer_key),
                privatekey=_plain(s.private_key),
            )
        if s.consumer_key and s.consumer_secret:
            try:
                # The token is appended to the password here as it is in SOAP; without one the network must be trusted.
                return self._try(
                    **common,
                    username=s.username,
                    password=(_plain(s.password) or "") + (_plain(s.security_token) or ""),
                    consumer_key=_plain(s.consumer_key),
                    consumer_secret=_plain(s.consumer_secret),
                )
            except LoginRefusedError as error:
                # Newer orgs switch this flow off; only then is SOAP tried, because each wrong login counts towards a lock-out.
                if error.code != "unsupported_grant_type" or not s.security_token:
                    raise
        version = min(float(s.api_version), _LAST_SOAP_VERSION)
        return self._try(
            **common,
            username=s.username,
            password=_plain(s.password),
            security_token=_plain(s.security_token),
            sf_version=f"{version:.1f}",
        )

    def _try(self, **arguments: Any) -> tuple[str, str]:
        try:
            return vendor.SalesforceLogin(**arguments)
        except SalesforceAuthenticationFailed as error:
            code, said = str(error.code), self._calls.redactor.redact(str(error.message))[:300]
            advice = _ADVICE.get(code, "Check the credentials and `domain`.")
            raise LoginRefusedError(f"login refused ({code}: {said}). {advice}", code) from None
        except (ValueError, TypeError, PyJWTError) as error:
            # The JWT library for a key that is none; the client for an answer without the expected fields.
            raise ConfigError(
                f"login failed ({type(error).__name__}). Check private_key (PEM text) and `domain`."
            ) from None


def _plain(secret: str | None) -> str | None:
    return None if secret is None else str.__str__(secret)


def _describe(request: requests.PreparedRequest) -> Request:
    path = urlsplit(request.url or "").path
    # Logins do not count against the org's quota, so they cost nothing of the budget either.
    return Request("token" if "oauth2" in path else "soap_login", cost=0, pool="login")
