"""Settings of a HubSpot source."""

from __future__ import annotations

from typing import Annotated

import msgspec

from connectors.sdk import ConfigError, ConnectorSettings, Secret, checked_url

#: The version in paths that is current in 2026-09; each is supported for 18 months (vendor docs, read 2026-11).
DEFAULT_VERSION = "2026-09"
PUBLIC_API = "https://api.hubapi.com"


class HubSpotSettings(ConnectorSettings, frozen=True, kw_only=True):
    """A token (service key or private app), or an OAuth app with a refresh token."""

    access_token: Annotated[Secret | None, msgspec.Meta(description="Service key or private app token.")] = None
    client_id: Annotated[str | None, msgspec.Meta(description="OAuth app: client id.")] = None
    client_secret: Annotated[Secret | None, msgspec.Meta(description="OAuth app: client secret.")] = None
    refresh_token: Annotated[Secret | None, msgspec.Meta(description="OAuth app: refresh token.")] = None
    api_version: Annotated[
        str, msgspec.Meta(description="Version in paths: a dated one such as 2026-09, or v3 (ends September 2027).")
    ] = DEFAULT_VERSION
    base_url: Annotated[
        str, msgspec.Meta(description="Address of the API; another one for tests (plain http: loopback only).")
    ] = PUBLIC_API
    lost_reason_property: Annotated[str, msgspec.Meta(description="Deal property that holds the reason of a loss.")] = (
        "closed_lost_reason"
    )
    sensitive_properties: Annotated[
        tuple[str, ...], msgspec.Meta(description="Sensitive deal properties to read; none by default.")
    ] = ()
    overlap_minutes: Annotated[
        int, msgspec.Meta(description="How far each increment reaches back: HubSpot's search index lags.")
    ] = 30

    def __post_init__(self) -> None:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.access_token is None and not all(oauth):
            raise ConfigError("give access_token, or all of client_id, client_secret and refresh_token.")
        if self.access_token is not None and any(oauth):
            raise ConfigError("give either access_token or the OAuth app's settings, not both.")
        checked_url(self.base_url, where="base_url")
        if self.overlap_minutes < 0:
            raise ConfigError("overlap_minutes: 0 or more.")
