"""Pipedrive: pipelines, stages, deals with their whole history, users, organizations.

API      v2 lists with opaque cursors, 500 a page, strict parameters; v1 for history, users and currencies; times are UTC with whole seconds
Auth     personal API token in a header, or OAuth with a refresh token that changes at each use
Limits   a burst window of two seconds a token, and a daily budget of tokens that the whole company shares; each call has its price
Clock    update_time, values repeat -> window from the last sync's start, less an overlap
Deletes  listed for 30 days, then gone -> sweep; a merge looks like a deletion; archived deals are a list of their own
History  one changelog call a deal (20 tokens): none for deals that never moved, again only when stage, status or their times changed
Source   official OpenAPI documents, vendor docs and public threads, read 2026-11
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connectors.pipedrive import access, mapping
from connectors.pipedrive.deals import Deals
from connectors.pipedrive.mapping import Known
from connectors.pipedrive.run import Run
from connectors.pipedrive.settings import PipedriveSettings
from connectors.sdk import (
    Capabilities,
    Company,
    Connector,
    Deal,
    FieldDef,
    Finding,
    HistoryRead,
    Owner,
    Pipeline,
    PlanLine,
    Record,
    ReplayContext,
    SourceInfo,
    Stage,
    Sync,
    Tombstone,
    stream,
)


class Pipedrive(Connector):
    """Deals, pipelines, stages, complete stage and status history, users and organizations of a Pipedrive company."""

    name = "pipedrive"
    title = "Pipedrive"
    Settings = PipedriveSettings
    settings: PipedriveSettings
    capabilities = Capabilities(
        reports_merges=False,
        notes={"reports_merges": "Pipedrive names no survivor: a merged-away deal looks deleted, and is marked so"},
    )
    setup_guide = access.SETUP_GUIDE

    _run: Run

    @stream(SourceInfo, Pipeline, Stage, FieldDef)
    def pipelines(self, sync: Sync) -> Iterator[Record]:
        """Pipelines, stages (won and lost added as synthetic ones) and the definitions of deal fields."""
        self._run = Run(self.settings, sync)
        yield from self._run.reference()

    @stream(Owner)
    def owners(self, sync: Sync) -> Iterator[Record]:
        """Users, former ones too."""
        yield from self._run.owners()

    @stream(Company, cursor="update_time")
    def companies(self, sync: Sync) -> Iterator[Record]:
        """Organizations."""
        yield from self._run.companies()

    @stream(Deal, HistoryRead, Tombstone, cursor="update_time")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Deals, archived and deleted ones too; then the history of those whose stage or status moved, open and recent ones first."""
        yield from Deals(self._run).read()

    def check(self, sync: Sync) -> Iterable[Finding]:
        """One cheap call per kind of data."""
        return access.findings(Run(self.settings, sync))

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """Walks the deal lists (10 tokens a 500 deals) and prices the histories that it would read."""
        return access.plan(Run(self.settings, sync))

    def remap(self, stream_name: str, raw: Mapping[str, Any], context: ReplayContext) -> Record | None:
        """Deals from their stored JSON."""
        if stream_name != "deals":
            return None
        definitions = [
            dict(d.raw) for d in context.field_defs if d.object_type == "deal" and isinstance(d.raw, Mapping)
        ]
        return mapping.deal(raw, Known(fields=mapping.fields(definitions), zero_amount=self.settings.zero_amount))
