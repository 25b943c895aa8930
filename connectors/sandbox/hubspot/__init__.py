"""A fake HubSpot portal on loopback, for the unmodified `hubspot-api-client` (`host=` and `base_url=`) or any HTTP client.

    with serve(World(seed=1, deals=500), latency=0.05) as portal:
        portal.url, portal.credentials           # where, and how to get in
        portal.calls["deals.list"]               # HTTP calls by endpoint
        portal.faults.add("rate_limited", match="deals.*", times=2)

It imports nothing of the product, on purpose: a fake that shares code with its client agrees with its bugs.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot.portal import Credentials, Portal
from connectors.sandbox.server import Server
from connectors.sandbox.world import World, to_datetime

__all__ = ["Credentials", "HubSpotServer", "Portal", "serve"]


class HubSpotServer(Server):
    """The running sandbox; a context manager."""

    def __init__(
        self,
        world: World,
        credentials: Credentials,
        *,
        latency: float,
        faults: Faults | None,
        gzip: bool,
        port: int,
        max_target: int,
        options: dict[str, Any],
    ) -> None:
        self.world, self.credentials = world, credentials
        self.portal = Portal(world, credentials, options)
        super().__init__(self.portal, latency=latency, faults=faults, gzip=gzip, max_target=max_target, port=port)

    def __enter__(self) -> HubSpotServer:
        self.start()
        return self

    def deal_id(self, world_id: int) -> str:
        """The portal's id of one of the world's deals (a survivor of a merge has a new one)."""
        with self.world.lock:
            self.portal.refresh()
            return str(self.portal.names.deal(world_id))

    def merged_ids(self) -> dict[str, str]:
        """Ids that were merged away -> id of the survivor, as the truth for tests."""
        with self.world.lock:
            self.portal.refresh()
            return {str(old): str(self.portal.names.deal(new)) for old, new in self.portal.survivors.items()}

    def stage_path(self, world_id: int) -> list[tuple[dt.datetime, str, str]]:
        """The truth in the portal's words: (UTC instant, pipeline id, stage id) of each entry, oldest first."""
        names = self.portal.names
        return [
            (to_datetime(visit.at_ms), names.pipeline(visit.pipeline_id), names.stage(visit.stage_id))
            for visit in self.world.stage_path(world_id)
        ]

    def expire_tokens(self) -> None:
        """Every OAuth access token is dead from now on."""
        self.portal.expire_tokens()


def serve(
    world: World,
    *,
    credentials: Credentials | None = None,
    latency: float = 0.0,
    faults: Faults | None = None,
    gzip: bool = False,
    port: int = 0,
    max_target: int = 16_000,
    **options: Any,
) -> HubSpotServer:
    """A sandbox over a world; start it with `with` (or `.start()` / `.stop()`).

    Options (defaults): `per_ten_seconds` 190, `search_per_second` 5, `daily_limit` None (None switches a limit off), `seconds` (the clock of
    limits and tokens; time.monotonic: give a test's fake one), `token_seconds` 1800, `search_lag_seconds` 0 (how far the search index lags
    behind, in the world's time), `history_cap` None (most entries of a property's history), `page_cap` None (rows a page at most,
    even 1), `missing_scopes` (), `extra_properties` 0 (900 for a big portal), `opaque_cursors` False (`after` is no id), `time_zone`
    "America/Phoenix", `portal_id`, `salesforce_ids` (world's deal id -> Salesforce id or None).
    """
    known = credentials or Credentials()
    return HubSpotServer(
        world, known, latency=latency, faults=faults, gzip=gzip, port=port, max_target=max_target, options=options
    )
