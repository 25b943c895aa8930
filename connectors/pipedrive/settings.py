"""Settings of a Pipedrive source."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from connectors.sdk import ConfigError, ConnectorSettings, Secret, checked_url


class PipedriveSettings(ConnectorSettings, frozen=True, kw_only=True):
    """A personal API token of an admin, or an OAuth app with a refresh token."""

    api_token: Annotated[Secret | None, msgspec.Meta(description="Personal API token, best of an admin.")] = None
    client_id: Annotated[str | None, msgspec.Meta(description="OAuth app: client id.")] = None
    client_secret: Annotated[Secret | None, msgspec.Meta(description="OAuth app: client secret.")] = None
    refresh_token: Annotated[
        Secret | None, msgspec.Meta(description="OAuth app: refresh token; newer ones are kept by Muara.")
    ] = None
    company_domain: Annotated[
        str | None, msgspec.Meta(description="The company's part of its address: acme for acme.pipedrive.com.")
    ] = None
    base_url: Annotated[
        str | None, msgspec.Meta(description="Address instead of company_domain (plain http: loopback only).")
    ] = None
    oauth_url: Annotated[str | None, msgspec.Meta(description="Token endpoint, only for tests.")] = None
    zero_amount: Annotated[
        Literal["zero", "unknown", "unknown_if_lost"],
        msgspec.Meta(
            description="What a value of 0 means: Pipedrive writes 0 where nobody entered one, so unknown by default."
        ),
    ] = "unknown"

    def __post_init__(self) -> None:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.api_token is None and not all(oauth):
            raise ConfigError("give api_token, or all of client_id, client_secret and refresh_token.")
        if self.api_token is not None and any(oauth):
            raise ConfigError("give either api_token or the OAuth app's settings, not both.")
        if (self.company_domain is None) == (self.base_url is None):
            raise ConfigError("give either company_domain or base_url.")
        checked_url(self.address, where="base_url")

    @property
    def address(self) -> str:
        """Base of all addresses, without a slash at the end."""
        return (self.base_url or f"https://{self.company_domain}.pipedrive.com").rstrip("/")
