"""A fake Pipedrive company on loopback, for any HTTP client.

    with serve(World(seed=1, deals=500), latency=0.05) as company:
        company.url, company.credentials      # where, and how to get in
        company.calls["changelog"]            # HTTP calls by endpoint
        company.tokens                        # tokens spent, as Pipedrive counts them

It imports nothing of the product, on purpose: a fake that shares code with its client agrees with its bugs.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.pipedrive.company import Company, Credentials
from connectors.sandbox.pipedrive.render import life
from connectors.sandbox.server import Server
from connectors.sandbox.world import World

__all__ = ["Company", "Credentials", "PipedriveServer", "serve"]


class PipedriveServer(Server):
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
        options: dict[str, Any],
    ) -> None:
        self.world, self.credentials = world, credentials
        self.company = Company(world, credentials, options)
        super().__init__(self.company, latency=latency, faults=faults, gzip=gzip, port=port)

    def __enter__(self) -> PipedriveServer:
        self.start()
        return self

    @property
    def tokens(self) -> int:
        """Tokens spent since the start."""
        return self.company.limits.total

    def life(self, deal_id: int) -> list[tuple[dt.datetime, str, int | str]]:
        """The truth in Pipedrive's terms, oldest first: (UTC instant, "stage" or "status", value), the entry included."""
        deal = self.world.deals[deal_id]
        known = life(self.world, deal)
        stage_lines = [entry for entry in known.history if entry.key == "stage_id"]
        status_lines = [entry for entry in known.history if entry.key == "status"]
        first_stage = stage_lines[0].old if stage_lines else known.stage
        first_status = status_lines[0].old if status_lines else known.status
        created = dt.datetime.fromtimestamp(deal.created_ms // 1000, tz=dt.UTC)
        told: list[tuple[dt.datetime, str, int | str]] = [
            (created, "stage", first_stage),
            (created, "status", first_status),
        ]
        for entry in known.history:
            if entry.key in ("stage_id", "status"):
                at = dt.datetime.fromtimestamp(entry.at, tz=dt.UTC)
                told.append((at, "stage" if entry.key == "stage_id" else "status", entry.new))
        return told

    def expire_tokens(self) -> None:
        """Every OAuth access token is dead from now on."""
        self.company.expire_tokens()


def serve(
    world: World,
    *,
    credentials: Credentials | None = None,
    latency: float = 0.0,
    faults: Faults | None = None,
    gzip: bool = False,
    port: int = 0,
    **options: Any,
) -> PipedriveServer:
    """A sandbox over a world; start it with `with` (or `.start()` / `.stop()`).

    Options (defaults): `burst` 20 (requests in two seconds; None: no limit), `daily_tokens` None (no limit), `seconds` (the clock of the
    burst window and of tokens; time.monotonic: give a test's fake one; the day turns with the world's clock), `block_after` 30 (refusals in
    a row before an HTML 403), `token_seconds` 3600, `rotates` True (a new
    refresh token at each use), `admin` True, `scopes` all, `creation_in_changelog` False, `history_cap` None (newest
    entries kept), `page_cap` None (rows a page at most, even 1), `forgets_gone_stages` True, `time_zone` "Asia/Jakarta", `domain`, `company_id`.
    """
    known = credentials or Credentials()
    return PipedriveServer(world, known, latency=latency, faults=faults, gzip=gzip, port=port, options=options)
