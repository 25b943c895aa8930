"""A fake Salesforce org on loopback, for the unmodified `simple-salesforce` behind an adapter that swaps scheme and host.

    with serve(World(seed=1, deals=500), latency=0.05) as org:
        org.url, org.credentials            # where, and how to get in
        org.calls["query"], org.api_usage   # HTTP calls per endpoint; what Salesforce would have counted
        org.faults.add("unauthorized", match="query_more", times=1)

It imports nothing of the product, on purpose: a fake that shares code with its client agrees with its bugs.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.salesforce.auth import Credentials
from connectors.sandbox.salesforce.org import Org
from connectors.sandbox.server import Server
from connectors.sandbox.world import World, to_datetime

__all__ = ["Credentials", "Org", "SalesforceServer", "serve"]


class SalesforceServer(Server):
    """The running sandbox; a context manager. What a test turns is here or on `org`."""

    org: Org

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
        self.org = Org(world, credentials, options)
        super().__init__(self.org, latency=latency, faults=faults, gzip=gzip, max_target=max_target, port=port)

    def __enter__(self) -> SalesforceServer:
        self.start()
        return self

    @property
    def api_usage(self) -> int:
        """API calls as Salesforce counts them, in the last 24 hours of the world's time (18 were others')."""
        return self.org.api_usage

    def record_id(self, kind: str, number: int) -> str:
        """The 18-character id of a record: kind Opportunity, Account, User, … and the world's own number (users: plus 1)."""
        return self.org.tables.id(kind, number)

    def stage_path(self, deal_id: int) -> list[tuple[dt.datetime, str]]:
        """The truth as Salesforce can tell it: (UTC instant in whole seconds, StageName) of each change of the name.

        Two changes within a second stay two. A move into another sales process under the same stage name leaves no trace.
        """
        path: list[tuple[dt.datetime, str]] = []
        for visit in self.world.stage_path(deal_id):
            name = self.world.stages[visit.stage_id].name
            if not path or path[-1][1] != name:
                path.append((to_datetime(visit.at_ms // 1000 * 1000), name))
        return path

    def expire_sessions(self) -> None:
        """Every access token is dead from now on."""
        self.org.sessions.expire()

    def expire_locators(self) -> None:
        """Every open query locator is dead from now on."""
        self.org.expire_locators()

    def hide_field(self, name: str, field: str) -> None:
        """Take a field permission from the API user, in Salesforce's names: `hide_field("Opportunity", "Amount")`."""
        self.org.hidden_fields.add((name, field))

    def show_field(self, name: str, field: str) -> None:
        """Give it back."""
        self.org.hidden_fields.discard((name, field))

    def hide_object(self, name: str) -> None:
        """Take the permission on a whole object."""
        self.org.engine.hidden_objects.add(name)

    def fail_jobs(self, entity: str = "", message: str = "InternalServerError: job failed", times: int = 1) -> None:
        """The next Bulk jobs on an object end as Failed."""
        self.org.bulk.fail(entity, message, times)


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
) -> SalesforceServer:
    """A sandbox over a world; start it with `with` (or `.start()` / `.stop()`).

    Options (defaults): `record_types` 2 (0: none, 3: a third shares the first sales process), `multi_currency` as the world,
    `dated_rates` False, `field_history` False (the object OpportunityFieldHistory), `extra_fields` 0 (long field lists),
    `history_stamp` "supersede" (SystemModstamp of a history row moves when the next one comes; or "created"),
    `history_stamp_on_delete` False, `nulls_on_delete` () (fields that queryAll shows empty on deleted deals),
    `pod` "5g" and `org_number` 1 (ids), `shuffle` None (seed: rows without ORDER BY come in no order), `page_cap` None (rows
    per page at most, even 1), `max_locators` 10, `locator_seconds` two days, `session_seconds` None, `daily_limit` 100000,
    `used_elsewhere` 18, `composite_query_all` True, `connect_enabled` True, `query_timeout_rows` None, `tick_per_call` 0 (seconds that the world's
    clock moves per call), `bulk_enabled` True, `bulk_polls` 1, `bulk_chunk` 50000, `bulk_refuses` () (objects),
    `bulk_late_errors` False (bad SOQL fails the job instead of the call), `bulk_job_limit` 10000.
    """
    known = credentials or Credentials()
    return SalesforceServer(
        world,
        known,
        latency=latency,
        faults=faults,
        gzip=gzip,
        port=port,
        max_target=max_target,
        options=options,
    )
