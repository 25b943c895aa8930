"""What a Salesforce source may say in its `config:`.

config:
  domain: acme.my                      # https://acme.my.salesforce.com; `login` or `test` where there is no My Domain
  consumer_key: {env: SF_KEY}
  consumer_secret: {env: SF_SECRET}
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from connectors.sdk import ConnectorSettings, Secret

Auth = Literal["client_credentials", "jwt", "password", "session"]

#: What each way in needs. The password way takes either an OAuth app or a security token (SOAP).
_NEEDS: dict[Auth, tuple[str, ...]] = {
    "client_credentials": ("domain", "consumer_key", "consumer_secret"),
    "jwt": ("username", "consumer_key", "private_key"),
    "password": ("username", "password"),
    "session": ("session_id", "instance_url"),
}
_VERSION = re.compile(r"\d{2,3}\.0")
#: Bulk result pages came with version 58.
_OLDEST = 58.0


class SalesforceSettings(ConnectorSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a Salesforce source. Checked as a whole: the message names what the chosen `auth` still needs."""

    auth: Annotated[
        Auth,
        msgspec.Meta(
            description="Way in: an app of its own (client_credentials), a signed JWT, username and password, or a session id."
        ),
    ] = "client_credentials"
    domain: Annotated[
        str | None,
        msgspec.Meta(description="My Domain such as `acme.my`; `login` (default) or `test` for jwt and password."),
    ] = None
    consumer_key: Annotated[
        Secret | None, msgspec.Meta(description="Consumer key (client id) of the connected or external client app.")
    ] = None
    consumer_secret: Annotated[Secret | None, msgspec.Meta(description="Consumer secret of that app.")] = None
    username: Annotated[str | None, msgspec.Meta(description="User to sign in as (jwt, password).")] = None
    private_key: Annotated[
        Secret | None, msgspec.Meta(description="Private key (PEM text) whose certificate the app knows (jwt).")
    ] = None
    password: Annotated[Secret | None, msgspec.Meta(description="That user's password (password).")] = None
    security_token: Annotated[
        Secret | None, msgspec.Meta(description="That user's security token (password, from untrusted networks).")
    ] = None
    session_id: Annotated[
        Secret | None, msgspec.Meta(description="A session id or access token; cannot be renewed (session).")
    ] = None
    instance_url: Annotated[
        str | None, msgspec.Meta(description="Address of the org, such as https://acme.my.salesforce.com (session).")
    ] = None
    api_version: Annotated[str, msgspec.Meta(description="API version, 58.0 or later.")] = "62.0"
    lost_reason_field: Annotated[
        str | None,
        msgspec.Meta(description="API name of the field that says why a deal was lost, e.g. Loss_Reason__c."),
    ] = None
    default_currency: Annotated[
        str | None,
        msgspec.Meta(description="Currency of an org that has only one (ISO code), where Salesforce does not tell it."),
    ] = None
    endpoint_override: Annotated[
        str | None, msgspec.Meta(description="Stand-in for Salesforce on this machine (tests, sandbox); loopback only.")
    ] = None

    def __post_init__(self) -> None:
        missing = [name for name in _NEEDS[self.auth] if not getattr(self, name)]
        if missing:
            raise ValueError(f"auth {self.auth} also needs: {', '.join(missing)}.")
        if self.auth == "password" and not (self.security_token or (self.consumer_key and self.consumer_secret)):
            raise ValueError("auth password also needs consumer_key and consumer_secret (OAuth), or security_token.")
        if self.auth == "client_credentials" and self.login_domain in ("login", "test"):
            raise ValueError("auth client_credentials works with a My Domain only, such as acme.my; set domain.")
        if not _VERSION.fullmatch(self.api_version) or float(self.api_version) < _OLDEST:
            raise ValueError(f"api_version must look like 62.0 and be at least {_OLDEST}.")
        if self.lost_reason_field is not None and not re.fullmatch(r"\w+", self.lost_reason_field):
            raise ValueError("lost_reason_field must be an API name, such as Loss_Reason__c.")

        if self.default_currency is not None and not re.fullmatch(r"[A-Z]{3}", self.default_currency):
            raise ValueError("default_currency must be an ISO code, such as EUR.")

    @property
    def stand_in(self) -> str | None:
        """What stands in for Salesforce on this machine: `endpoint_override`, or an `instance_url` with plain http that can be nothing else."""
        parts = urlsplit(self.instance_url or "")
        is_local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
        return self.endpoint_override or (f"http://{parts.netloc}" if is_local else None)

    @property
    def login_domain(self) -> str:
        """The domain as the vendor's client wants it: without scheme and `.salesforce.com`."""
        domain = re.sub(r"^https?://", "", self.domain or "login").split("/")[0]
        return domain.removesuffix(".salesforce.com")
