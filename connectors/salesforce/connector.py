"""Salesforce: pipelines (sales processes), stages, deals (opportunities), their history, owners, companies, currency rates.

API      REST (composite, query, queryAll, describe, ui-api) and Bulk 2.0 by size, version 58.0 or later
Auth     OAuth client credentials, JWT bearer, password (OAuth or SOAP), or a given session; renewed in mid-sync
Clock    SystemModstamp, UTC, whole seconds, values repeat -> closed window with an overlap; once a day 24 hours more
Deletes  queryAll shows the bin for about 15 days; what vanished without a trace is found by counting, then by a sweep of ids
History  OpportunityHistory: always on, complete since creation, read whole for every changed deal; it does not tell former owners or record types
Limits   calls of 24 hours shared by the whole org (Sforce-Limit-Info); a tenth is left to its other apps
Source   vendor's REST, Bulk 2.0 and object reference guides, read 2026-11
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from connectors.salesforce import access, mapping
from connectors.salesforce.deals import Deals
from connectors.salesforce.people import Companies, Owners
from connectors.salesforce.replay import context_of
from connectors.salesforce.run import Run
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.sweep import Sweep
from connectors.sdk import (
    Capabilities,
    Checkpoint,
    Company,
    Connector,
    CurrencyRate,
    Deal,
    FieldDef,
    Finding,
    HistoryRead,
    Owner,
    Pipeline,
    PlanLine,
    Record,
    Reject,
    ReplayContext,
    Seen,
    SourceInfo,
    Stage,
    SweepEnd,
    Sync,
    Tombstone,
    Warn,
    stream,
)

#: More live deals counted than read, beyond what may be created while reading.
_MISSED_SHARE = 0.01
_MISSED_DEALS = 20


class Salesforce(Connector):
    """One Salesforce org as a source. See the module's first lines."""

    name = "salesforce"
    title = "Salesforce"
    Settings: ClassVar[type[SalesforceSettings]] = SalesforceSettings
    capabilities = Capabilities(
        reports_archives=False,
        reports_merges=False,
        notes={
            "reports_archives": "Salesforce does not archive opportunities",
            "reports_merges": "Salesforce cannot merge opportunities; merged accounts are reported with their survivor",
        },
    )
    setup_guide = access.SETUP_GUIDE

    settings: SalesforceSettings
    _run: Run

    @stream(SourceInfo, FieldDef, Pipeline, Stage, Owner, CurrencyRate)
    def reference(self, sync: Sync) -> Iterator[Record]:
        """The org, its fields, sales processes, stages, users and rates; small tables whole, users changed since the last sync."""
        run = self._run = Run(self.settings, sync)
        self._companies = Companies(run)
        self._owners = Owners(run)
        run.open()
        yield run.source_info()
        yield from run.job_marks()
        yield from self._companies.start()
        yield from run.field_definitions()
        yield from access.hidden_fields(run)
        yield from run.told()
        yield from run.learn_stages()
        yield from run.pipelines()
        yield from run.stages.stages(sync.held)
        yield from mapping.rates(run.survey.rows("currencies"), run.survey.rows("dated_rates"))
        yield from self._owners.changed()

    @stream(Company, Tombstone, cursor="SystemModstamp")
    def companies(self, sync: Sync) -> Iterator[Record]:
        """Accounts changed since the last sync, deleted and merged ones included."""
        yield from self._companies.changed()

    @stream(Deal, HistoryRead, Tombstone, Seen, SweepEnd, Reject, cursor="SystemModstamp")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Opportunities changed since the last sync, each with its whole history; deleted ones; what a count or sweep shows missing."""
        run = self._run
        self._deals = Deals(run)
        yield from self._deals.records()
        yield from self._deals.backfill()
        sweep = Sweep(run, self._deals)
        if sweep.is_due():
            yield from sweep.records()
        if run.state.wide_is_due:
            yield from self._deals.without_history()

    @stream(Pipeline, Stage, Owner, Company)
    def rest(self, sync: Sync) -> Iterator[Record]:
        """What deals have shown in use: stages, owners and companies that nothing else names. Then the cursors."""
        run = self._run
        yield from self._owners.named()
        yield from self._companies.named()
        yield from run.pipelines()
        yield SweepEnd(stream="pipelines", complete=True, missing_as="absent")
        yield from run.stages.stages(sync.held)
        yield from run.stages.end()
        yield from self._doubts()
        yield from run.told()
        run.finish()
        yield Checkpoint(stream="deals", cursor=run.state.cursor())

    def _doubts(self) -> Iterator[Record]:
        """A whole read is compared with what Salesforce counts, and with what it says of histories."""
        run, deals = self._run, self._deals
        counted = run.survey.counts.get("deals")
        if not run.state.is_whole or run.state.is_continued:
            return
        if counted is not None:
            missed = counted - deals.live - deals.rejected
            if missed > max(_MISSED_DEALS, _MISSED_SHARE * counted):
                message = f"Salesforce counts {counted:,} live deals, {deals.live:,} were read. Run the sync again."
                yield Warn(code="deals_missed", message=message, makes="partial")
            run.state.values["gap"] = -deals.rejected
        if deals.live > _MISSED_DEALS and not deals.history_count:
            message = "no deal has a row in OpportunityHistory: give the API user read permission on it and its fields."
            yield Warn(code="no_history", message=message, makes="partial")

    def check(self, sync: Sync) -> Iterable[Finding]:
        """Credentials, API, objects, fields; in three calls."""
        return access.check(self.settings, sync)

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """Rows by COUNT() and calls by size; in three calls."""
        return access.plan(self.settings, sync)

    def remap(self, stream_name: str, raw: Mapping[str, Any], context: ReplayContext) -> Record | None:
        """Deals, pipelines, owners and companies from their raw. Stages and histories need what is not in one row: `sync --full`."""
        row = dict(raw)
        if stream_name == "deals":
            return mapping.deal(row, context_of(context))
        if stream_name == "owners":
            return mapping.owner(row)
        if stream_name == "companies":
            return mapping.company(row)
        if stream_name == "pipelines" and "RecordTypes" in row:
            return mapping.pipeline(row, row.pop("RecordTypes"))
        return None
