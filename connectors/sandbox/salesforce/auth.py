"""Ways in: the OAuth token endpoint (client credentials, password, JWT bearer) and SOAP login; and which sessions still live."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

from connectors.sandbox.salesforce.render import to_json
from connectors.sandbox.server import Request, Response

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SOAP_LOGIN_ENDS_AT = 65.0  # login() is not part of this API version and later ones


@dataclass(frozen=True, slots=True)
class Credentials:
    """What this org lets in. `public_key` (PEM) makes it check the signature of JWT assertions."""

    consumer_key: str = "3MVG9sandbox.consumer.key"
    consumer_secret: str = "sandbox-consumer-secret"  # noqa: S105  (a fake org's)
    username: str = "integration@acme.example"
    password: str = "sandbox-password"  # noqa: S105
    security_token: str = "SandboxToken"  # noqa: S105
    domain: str = "acme.my"
    public_key: str | None = None

    @property
    def instance_url(self) -> str:
        """The address the org claims to have; an adapter leads it to the loopback server."""
        return f"https://{self.domain}.salesforce.com"


class Sessions:
    """Access tokens. They die by `expire`, or after `seconds` of the world's time without a call."""

    def __init__(self, org_id: str, user_id: str, credentials: Credentials, *, seconds: float | None = None) -> None:
        self.org_id, self.user_id, self.credentials, self.seconds = org_id, user_id, credentials, seconds
        self.grants = {"client_credentials", "password", JWT_GRANT}
        self.soap = True
        self.issued = 0
        self._live: dict[str, int] = {}
        self._lock = threading.Lock()

    def issue(self, now_ms: int) -> str:
        """A new token; every one is different."""
        with self._lock:
            self.issued += 1
            digest = hashlib.sha256(f"{self.org_id}/{self.issued}".encode()).digest()
            token = f"{self.org_id[:15]}!AQE{base64.urlsafe_b64encode(digest * 2).decode().rstrip('=')}"
            self._live[token] = now_ms
            return token

    def alive(self, request: Request, now_ms: int) -> bool:
        """Whether the request carries a living token; using it keeps it alive."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            used_ms = self._live.get(token) if scheme in ("Bearer", "OAuth") else None
            if used_ms is None or (self.seconds is not None and now_ms - used_ms > self.seconds * 1000):
                self._live.pop(token, None)
                return False
            self._live[token] = now_ms
            return True

    def expire(self) -> None:
        """All tokens are dead from now on."""
        with self._lock:
            self._live.clear()

    # --- OAuth ---------------------------------------------------------------------------------------------------

    def token(self, request: Request, now_ms: int) -> Response:
        """POST /services/oauth2/token."""
        form = request.form
        grant = form.get("grant_type", "")
        if request.method != "POST" or grant not in self.grants:
            return _refused("unsupported_grant_type", "grant type not supported")
        if grant == JWT_GRANT:
            problem = self._assertion_problem(form.get("assertion", ""))
        else:
            problem = self._client_problem(request, form)
            if problem is None and grant == "password":
                problem = self._password_problem(form)
        if problem is not None:
            return _refused(*problem)
        identity = f"https://login.salesforce.com/id/{self.org_id}/{self.user_id}"
        answer: dict[str, Any] = {
            "access_token": self.issue(now_ms),
            "instance_url": self.credentials.instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": str(now_ms),
            "signature": base64.b64encode(hashlib.sha256(identity.encode()).digest()).decode(),
        }
        if grant != "password":
            answer["scope"] = "api id"
        return Response(200, to_json(answer))

    def _client_problem(self, request: Request, form: dict[str, str]) -> tuple[str, str] | None:
        key, secret = form.get("client_id"), form.get("client_secret")
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return "invalid_client", "invalid client credentials"
        if key != self.credentials.consumer_key:
            return "invalid_client_id", "client identifier invalid"
        if secret != self.credentials.consumer_secret:
            return "invalid_client", "invalid client credentials"
        return None

    def _password_problem(self, form: dict[str, str]) -> tuple[str, str] | None:
        known = self.credentials
        if form.get("username") == known.username and form.get("password") in (
            known.password,
            known.password + known.security_token,
        ):
            return None
        return "invalid_grant", "authentication failure"

    def _assertion_problem(self, assertion: str) -> tuple[str, str] | None:
        known = self.credentials
        try:
            header, claims = (_unpacked(part) for part in assertion.split(".")[:2])
        except (ValueError, binascii.Error):
            return "invalid_grant", "invalid assertion"
        if header.get("alg") != "RS256" or not str(claims.get("exp", "")).isdigit():
            return "invalid_grant", "invalid assertion"
        if known.public_key is not None and not _signature_is_right(assertion, known.public_key):
            return "invalid_grant", "invalid assertion"
        if claims.get("iss") != known.consumer_key:
            return "invalid_client_id", "client identifier invalid"
        if claims.get("aud") not in (
            "https://login.salesforce.com",
            "https://test.salesforce.com",
            known.instance_url,
        ):
            return "invalid_grant", "audience is invalid"
        if claims.get("sub") != known.username:
            return "invalid_grant", "user hasn't approved this consumer"
        return None

    # --- SOAP ----------------------------------------------------------------------------------------------------

    def soap_login(self, request: Request, version: str, now_ms: int) -> Response:
        """POST /services/Soap/u/{version}."""
        text = request.body.decode()
        known = self.credentials
        if not self.soap or float(version) >= SOAP_LOGIN_ENDS_AT:
            return _soap_fault("UNSUPPORTED_API_VERSION", "SOAP API login() is not available in this API version.")
        username, password = _element(text, "username"), _element(text, "password")
        if username != known.username or password != known.password + known.security_token:
            return _soap_fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
        server_url = f"{known.instance_url}/services/Soap/u/{version}/{self.org_id[:15]}"
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
            'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><loginResponse><result>'
            "<metadataServerUrl></metadataServerUrl><passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
            f"<serverUrl>{escape(server_url)}</serverUrl><sessionId>{self.issue(now_ms)}</sessionId>"
            f"<userId>{self.user_id}</userId><userInfo><organizationId>{self.org_id}</organizationId>"
            f"<userName>{escape(known.username)}</userName></userInfo>"
            "</result></loginResponse></soapenv:Body></soapenv:Envelope>"
        )
        return Response(200, body.encode(), "text/xml;charset=UTF-8")


def _refused(code: str, description: str) -> Response:
    return Response(400, to_json({"error": code, "error_description": description}))


def _unpacked(part: str) -> dict[str, Any]:
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _signature_is_right(assertion: str, public_key: str) -> bool:
    import jwt  # noqa: PLC0415  (only orgs with a key need it; it comes with simple-salesforce)

    try:
        # The client signs by the machine's clock, the world has its own.
        jwt.decode(assertion, public_key, algorithms=["RS256"], options={"verify_aud": False, "verify_exp": False})
    except jwt.InvalidTokenError:
        return False
    return True


def _element(text: str, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}>(.*?)</(?:\w+:)?{name}>", text, re.DOTALL)
    return unescape(found[1]) if found else ""


def _soap_fault(code: str, message: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>sf:{code}</faultcode><faultstring>{code}: {escape(message)}</faultstring><detail>"
        f'<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
        "</soapenv:Body></soapenv:Envelope>"
    )
    return Response(500, body.encode(), "text/xml;charset=UTF-8")
