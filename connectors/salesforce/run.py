"""One sync of one org: signs in, surveys, and holds what its streams share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from connectors.salesforce import bulk, fields, mapping, soql
from connectors.salesforce.api import WORKERS, Api, Ask
from connectors.salesforce.bulk import Job, Jobs
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.fields import Fields
from connectors.salesforce.history import COLUMNS as HISTORY_COLUMNS
from connectors.salesforce.history import NEEDED as HISTORY_NEEDED
from connectors.salesforce.mapping import DEFAULT_PIPELINE, MapContext
from connectors.salesforce.rows import Row, raw_of
from connectors.salesforce.scan import Scan, Source, columns_in_groups
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.stagebook import StageBook
from connectors.salesforce.state import BulkRead, State
from connectors.salesforce.survey import (
    ACCOUNT_COLUMNS,
    DEAL_COLUMNS,
    DEAL_NEEDED,
    DESCRIBED,
    USER_COLUMNS,
    Survey,
)
from connectors.sdk import Checkpoint, ConfigError, Record, SourceInfo, Sync, Warn, Window, cursor_at, open_window

#: From this many rows on Bulk takes fewer calls than pages of 2,000: a job takes about five.
BULK_FROM = 10_000
#: From this many rows of one instant on they are counted instead of read again: a page of 200 costs nothing.
MANY_TIES = 200
#: Characters of an address that a list of columns may take; the rest is for conditions.
_COLUMN_ROOM = 6_000


class Run:
    """The shared side of a sync: api, state, fields, context, first pages and jobs. `open` first."""

    def __init__(self, settings: SalesforceSettings, sync: Sync) -> None:
        self.settings = settings
        self.sync = sync
        self.api = Api(sync.calls, settings, page_size=sync.page_size)
        self.jobs = Jobs(self.api)
        self.state = State(sync.cursors.get("deals", {}), now=sync.clock.now(), full=sync.full)
        self.window = self.state.window(overlap_minutes=settings.overlap_minutes, start_date=settings.start_date)
        self.read: BulkRead | None = self.state.resumed
        self.survey = Survey(self.api, self.state.values.get("dropped") or {})
        self.warnings: list[Warn] = []
        self.stages = StageBook({}, ())
        self.context = MapContext()
        self.scans: dict[str, Scan] = {}
        self.windows: dict[str, Window] = {"deals": self.window}
        self._groups: list[list[str]] | None = None
        #: The instant at which very many accounts stand (see `people.Companies`), None where there is no such group.
        self.tied_at: datetime | None = None
        companies = sync.cursor("companies")
        if companies.get("ties", 0) >= MANY_TIES:
            self.tied_at = cursor_at(companies)
        #: Owners and companies that deals name, to be asked for where they are not held.
        self.named_owners: set[str] = set()
        self.named_companies: set[str] = set()

    # --- opening ---------------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Sign in and read everything that deals need; start Bulk jobs where there is much to read. Few calls, see `survey`."""
        state = self.state
        self.survey.fields = state.fields()
        is_multi = "CurrencyIsoCode" in self.fields or not self.fields.all
        tables = ["organization", "record_types", "processes", *(["currencies"] if is_multi else [])]
        if state.describe_is_due:
            known = dict(self.survey.fields)
            self.survey.describe(*DESCRIBED)
            counts = {"deals": self.count_query()} if state.is_whole else {}
            self.survey.ask([*tables, *([] if state.is_whole else ["stages"])], counts)
            self._say_gone(known)
            self._note_new(known.get("Opportunity"))
            state.keep_fields(self.survey.fields)
            tables = ["stages"] if state.is_whole else []
        else:
            tables.append("stages")
        if (state.is_whole and "CurrencyIsoCode" in self.fields) or state.values.get("dated"):
            tables.append("dated_rates")
        self.check_fields()
        self._ask_rows(tables)
        state.values["dropped"] = self.survey.dropped
        self._make_context()

    def _ask_rows(self, tables: Sequence[str]) -> None:
        """Small tables and first pages; beside them, the jobs of a large read are started."""
        state = self.state
        beside = () if self.tied_at is None else (f"SystemModstamp != {soql.moment(self.tied_at)}",)
        for name, source in (("users", self._users()), ("accounts", self._accounts(beside)), ("deals", self.deals())):
            self.scans[name] = Scan(self.api, source)
        self.windows["users"] = self.stream_window("owners")
        self.windows["accounts"] = self.stream_window("companies")
        if "job" in self.sync.cursor("companies"):
            self.scans.pop("accounts")
        is_bulk = self.read is not None or (state.is_whole and self.survey.counts.get("deals", 0) >= BULK_FROM)
        pages = {name: scan.ask(self.windows[name]) for name, scan in self.scans.items() if self._is_readable(name)}
        if is_bulk or self.is_wide:
            pages.pop("deals")
        counts = {} if state.is_whole else {"deals": self.count_query()}
        if self.backfill:
            counts["backfill"] = soql.count("Opportunity", self.backfill)
        if "CurrencyIsoCode" not in self.fields and (state.is_whole or "currency" not in state.values):
            # Organization does not hold it; remembered, because it hardly ever changes.
            pages["org_settings"] = Ask(path="connect/organization", is_extra=True)
        if self.tied_at is not None and "accounts" in pages:
            counts["ties"] = self.count_query(Window(self.tied_at, self.tied_at), "Account")
        tasks: list[Callable[[], Any]] = [lambda: self.survey.ask(tables, counts, **pages)]
        if is_bulk and self.read is None:
            tasks += [self._start_deals, self._start_history]
        done = list(self.api.calls.map(lambda task: task(), tasks, workers=WORKERS))
        if is_bulk and self.read is None and isinstance(done[1], Job):
            history = done[2] if isinstance(done[2], Job) else None
            began = self.api.server_began or self.sync.clock.now()
            self.read = BulkRead(deals=done[1], history=history, began=began, full=self.sync.full)
        if self.read is not None:
            for name, job in (("deals", self.read.deals), ("history", self.read.history)):
                if job is not None:
                    self.jobs.add(name, job)

    def _start_deals(self) -> Job | None:
        text = soql.select(self.fields.read, "Opportunity", soql.inside(self.window))
        return self.start(text, "deals")

    def _start_history(self) -> Job | None:
        return self.start(soql.select(self.history_columns, "OpportunityHistory"), "history")

    def start(self, text: str, what: str, *, everything: bool = True) -> Job | None:
        """A new job; None where REST must do, which is told. Raises RefusedError for other refusals."""
        try:
            return bulk.start(self.api, text, everything=everything, what=f"bulk.{what}")
        except RefusedError as error:
            if not bulk.means_rest(error) and error.code != "QUERY_TIMEOUT":
                raise
            self.warnings.append(
                Warn(
                    code="no_bulk",
                    message=f"{what}: Bulk is not available ({error.code or error.status}), read by REST.",
                )
            )
            return None

    def count_query(self, window: Window | None = None, entity: str = "Opportunity") -> str:
        """A COUNT() of live rows in a window; by default of all that a whole read would give."""
        return soql.count(entity, soql.inside(window or open_window({}, start_date=self.settings.start_date)))

    def stream_window(self, stream: str) -> Window:
        """What to read of owners or companies now."""
        cursor = self.sync.cursor(stream)
        overlap = self.settings.overlap_minutes + (24 * 60 if self.state.wide_is_due else 0)
        return open_window(cursor, overlap_minutes=overlap)

    # --- fields ----------------------------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> Fields:
        """Fields of Opportunity."""
        return self.survey.fields.get("Opportunity") or Fields(())

    @property
    def history_columns(self) -> list[str]:
        """Columns of OpportunityHistory that are read."""
        return self.survey.fields["OpportunityHistory"].only(HISTORY_COLUMNS)

    def columns(self, entity: str, wanted: Sequence[str]) -> list[str]:
        """Those of the wanted columns that the API user sees."""
        return self.survey.fields[entity].only(wanted)

    @property
    def groups(self) -> list[list[str]]:
        """Deal columns in groups that fit into an address; one group nearly always."""
        if self._groups is None:
            self._groups = columns_in_groups(self.fields, DEAL_COLUMNS, room=_COLUMN_ROOM)
            if len(self._groups) == 1:
                self._groups = [list(self.fields.read)]
        return self._groups

    @property
    def is_wide(self) -> bool:
        """True when deals have more columns than an address can name."""
        return len(self.groups) > 1

    def _is_readable(self, name: str) -> bool:
        entity = {"users": "User", "accounts": "Account", "deals": "Opportunity"}[name]
        if self.survey.fields[entity].all:
            return True
        message = f"{entity} cannot be read; give the API user read permission on it. Its names stay unknown."
        self.warnings.append(Warn(code="not_readable", message=message))
        return False

    def deals(self) -> Source:
        """Opportunities as a scan reads them."""
        return self._source("Opportunity", lambda: self.groups[0])

    def _accounts(self, conditions: tuple[str, ...] = ()) -> Source:
        return self._source("Account", lambda: self.columns("Account", ACCOUNT_COLUMNS), conditions)

    def account_scan(self) -> Scan:
        """A scan of accounts that was not asked for in a bundle."""
        return Scan(self.api, self._accounts())

    def _users(self) -> Source:
        standard = ("UserType = 'Standard'",) if "UserType" in self.survey.fields["User"] else ()
        return self._source("User", lambda: self.columns("User", USER_COLUMNS), standard)

    def _source(self, entity: str, columns: Callable[[], Sequence[str]], conditions: tuple[str, ...] = ()) -> Source:
        return Source(
            entity=entity,
            fields=columns,
            types=lambda: self.survey.fields[entity].types,
            refresh=lambda error: self.refresh(entity, error),
            everything=entity != "User",
            conditions=conditions,
        )

    def refresh(self, entity: str, error: RefusedError) -> None:
        """A field has gone since the list was made: ask for the list anew, tell of it, go on without the field."""
        known = dict(self.survey.fields)
        self.survey.describe(entity)
        self.survey.ask()
        column = soql.missing_column(error.said)
        if column is not None and column in self.survey.fields[entity]:
            self.survey.fields[entity] = self.survey.fields[entity].without([column])
        self._say_gone(known)
        self._groups = None
        self.state.keep_fields(self.survey.fields)
        self.check_fields()
        if self.stages.rows:
            self._make_context()

    def _say_gone(self, known: dict[str, Fields]) -> None:
        for entity, before in known.items():
            gone = [name for name in before.read if name not in self.survey.fields[entity]]
            if gone:
                self.warnings.append(
                    Warn(
                        code="field_gone",
                        message=f"{entity}: {', '.join(gone)} can no longer be read: deleted, or hidden from the API user. "
                        "Values read before stay.",
                    )
                )

    def _note_new(self, before: Fields | None) -> None:
        """Fields that were not seen before: the stamps of deals that hold values in them did not move for that."""
        values = self.state.values
        if self.state.is_whole or before is None:
            values.pop("backfill", None)
            return
        new = {name for name in self.fields.read if name not in before} | set(values.get("backfill") or ())
        if new:
            values["backfill"] = sorted(new)

    @property
    def backfill(self) -> str:
        """The condition of deals that hold values in fields that are new to us; "" where there is none."""
        return self.fields.has_value(self.state.values.get("backfill") or ())

    def check_fields(self) -> None:
        """Raise ConfigError when a field is hidden without which there is no deal or no history."""
        for entity, needed in (("Opportunity", DEAL_NEEDED), ("OpportunityHistory", HISTORY_NEEDED)):
            missing = self.survey.fields[entity].missing(needed)
            if missing:
                raise ConfigError(
                    f"{entity}: the API user does not see {', '.join(missing)}. Give it read permission on these fields."
                )

    # --- context ---------------------------------------------------------------------------------------------------------------------

    def _make_context(self) -> None:
        survey = self.survey
        if not self.stages.rows:
            self.stages = StageBook(self.sync.cursors.get("stages", {}), survey.rows("stages"))
        self._keep_currency()
        self.context = MapContext(
            pipelines=pipelines_of(survey.rows("record_types")),
            labels=self.fields.labels,
            types=self.fields.types,
            outcomes=self.stages.outcomes(),
            lost_reason_field=self.settings.lost_reason_field,
            zero_amount=self.settings.zero_amount,
            home_currency=mapping.corporate_currency(survey.rows("currencies"))
            or self.settings.default_currency
            or self.state.values.get("currency")
            or None,
        )

    def _keep_currency(self) -> None:
        """Remember the currency of an org that has only one."""
        if "org_settings" not in self.survey.pages:
            return
        found = self.survey.org_currency()
        self.survey.pages.pop("org_settings")
        self.state.values["currency"] = found or ""
        if not found and not self.settings.default_currency:
            message = "the org has one currency, and Salesforce does not tell which: amounts are without one. Set default_currency."
            self.warnings.append(Warn(code="no_currency", message=message))

    def source_info(self) -> SourceInfo:
        """Who this org is."""
        rows = self.survey.rows("organization")
        if not rows and "organization" not in self.survey.unread:
            raise ConfigError("Organization has no row for the API user; it must be able to read its own org.")
        # A stand-in that has no such object is told apart from others by its address.
        org = rows[0] if rows else {"Id": urlsplit(self.api.instance_url).netloc}
        return SourceInfo(
            account_id=org["Id"],
            name=org.get("Name") or org["Id"],
            deep_link=f"{self.api.instance_url}/lightning/r/Opportunity/{{id}}/view",
            time_zone=org.get("TimeZoneSidKey"),
            home_currency=self.context.home_currency,
            raw=raw_of(org),
        )

    def field_definitions(self) -> Iterator[Record]:
        """FieldDefs, when the list was asked for in this sync; they also carry what a replay of deals leans on."""
        body = self.survey.described.get("Opportunity")
        if body is None:
            return
        more = {
            "RecordTypeId": {"pipelines": dict(self.context.pipelines)},
            "StageName": {"outcomes": dict(self.context.outcomes)},
        }
        yield from fields.definitions(body, "deal", more=more)

    def job_marks(self) -> Iterator[Record]:
        """Remember jobs at once: a sync that is killed from here on is gone on with."""
        if self.read is not None:
            yield Checkpoint(stream="deals", cursor=self.state.cursor(self.read))

    def learn_stages(self) -> Iterator[Record]:
        """Which stages each process offers."""
        record_types = self.survey.rows("record_types")
        yield from self.stages.learn_offers(
            self.api, record_types, self.context.pipelines, anew=self.state.is_whole and not self.state.is_continued
        )

    def told(self) -> Iterator[Record]:
        """Warnings so far; each once."""
        while self.warnings or self.survey.warnings:
            yield (self.survey.warnings or self.warnings).pop(0)

    def finish(self) -> None:
        """Everything is read."""
        self.state.done(server_began=self.api.server_began)
        self.state.values["dated"] = bool(self.survey.rows("dated_rates"))

    def pipelines(self) -> Iterator[Record]:
        """Sales processes that record types use; the default one where there are none."""
        by_process: dict[str, list[Row]] = {}
        for row in self.survey.rows("record_types"):
            by_process.setdefault(self.context.pipeline_of(row["Id"]), []).append(row)
        processes = {row["Id"]: row for row in self.survey.rows("processes")}
        for pipeline_id, record_types in sorted(by_process.items()):
            if pipeline_id == DEFAULT_PIPELINE:
                continue
            named = {"Id": pipeline_id, "Name": " / ".join(str(row.get("Name")) for row in record_types)}
            yield mapping.pipeline(processes.get(pipeline_id, named), record_types)
        if not by_process or self.stages.uses(DEFAULT_PIPELINE):
            yield mapping.default_pipeline()


def pipelines_of(record_types: Sequence[Row]) -> dict[str, str]:
    """Record type -> its sales process."""
    return {
        row["Id"]: row["BusinessProcessId"] for row in record_types if isinstance(row.get("BusinessProcessId"), str)
    }
