"""What a sync must know before it reads deals, in two composite calls: fields, org, record types, stages, currencies, counts, first pages.

An object or a column that the API user does not see is left out and told of; only what deals need is an error.
Source: vendor's object reference and REST API guide, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connectors.salesforce import fields as describes
from connectors.salesforce import soql
from connectors.salesforce.api import Api, Ask, Page, page_of
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.fields import Fields
from connectors.salesforce.rows import Row, rows_of_json
from connectors.sdk import ConfigError, Warn

#: Small tables that are read whole: object, columns, condition.
_TABLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "organization": (
        "Organization",
        ("Id", "Name", "OrganizationType", "IsSandbox", "InstanceName", "TimeZoneSidKey", "FiscalYearStartMonth"),
        "",
    ),
    "record_types": (
        "RecordType",
        ("Id", "Name", "DeveloperName", "IsActive", "BusinessProcessId", "SystemModstamp"),
        "SobjectType = 'Opportunity'",
    ),
    "processes": (
        "BusinessProcess",
        ("Id", "Name", "IsActive", "Description", "SystemModstamp"),
        "TableEnumOrId = 'Opportunity'",
    ),
    "stages": (
        "OpportunityStage",
        (
            "Id",
            "ApiName",
            "MasterLabel",
            "IsActive",
            "SortOrder",
            "IsClosed",
            "IsWon",
            "DefaultProbability",
            "ForecastCategory",
            "ForecastCategoryName",
            "Description",
            "CreatedDate",
            "SystemModstamp",
        ),
        "",
    ),
    "currencies": ("CurrencyType", ("Id", "IsoCode", "ConversionRate", "DecimalPlaces", "IsActive", "IsCorporate"), ""),
    "dated_rates": (
        "DatedConversionRate",
        ("Id", "IsoCode", "StartDate", "NextStartDate", "ConversionRate"),
        "",
    ),
}
#: Objects whose fields are asked for.
DESCRIBED = ("Opportunity", "OpportunityHistory", "Account", "User")

ACCOUNT_COLUMNS = (
    "Id",
    "IsDeleted",
    "MasterRecordId",
    "Name",
    "Type",
    "Website",
    "BillingCountry",
    "Industry",
    "OwnerId",
    "SystemModstamp",
)
USER_COLUMNS = ("Id", "Username", "Name", "Email", "IsActive", "UserType", "ManagerId", "SystemModstamp")
#: What a deal is made of. Without the needed ones there is no deal.
DEAL_NEEDED = ("Id", "StageName", "CreatedDate", "SystemModstamp")
DEAL_COLUMNS = (
    *DEAL_NEEDED,
    "IsDeleted",
    "Name",
    "Amount",
    "CloseDate",
    "Probability",
    "IsClosed",
    "IsWon",
    "OwnerId",
    "AccountId",
    "LeadSource",
    "Type",
    "LastStageChangeDate",
    "LastActivityDate",
)


class Survey:
    """Answers by name, the fields of each object, and what could not be read. Use `describe`, then `read` as often as needed."""

    def __init__(self, api: Api, dropped: Mapping[str, Sequence[str]]) -> None:
        self._api = api
        self.fields: dict[str, Fields] = {}
        #: The describe answers of this sync, for FieldDefs.
        self.described: dict[str, Any] = {}
        self.tables: dict[str, list[Row]] = {}
        #: Small tables that this org does not have, or does not show.
        self.unread: set[str] = set()
        self.pages: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.warnings: list[Warn] = []
        #: Columns of the small tables that this org refused; remembered so that each is refused only once.
        self.dropped: dict[str, list[str]] = {name: list(columns) for name, columns in dropped.items()}

    def ask(self, tables: Iterable[str] = (), counts: Mapping[str, str] | None = None, **pages: Ask) -> None:
        """Read small tables, counts (name -> COUNT() query) and first pages, with describes that are due, in as few calls as may be."""
        asks: dict[str, Ask] = {f"describe_{name}": Ask(path=f"sobjects/{name}/describe") for name in self._due}
        asks |= {name: Ask(self._table_soql(name)) for name in tables}
        asks |= pages
        asks |= {f"count_{name}": Ask(text) for name, text in (counts or {}).items()}
        for name, body in self._api.gather(asks).items():
            self._take(name, body)
        self._due = ()

    _due: tuple[str, ...] = ()

    def describe(self, *objects: str) -> None:
        """The next `ask` also describes these objects."""
        self._due = objects

    def org_currency(self) -> str | None:
        """The currency of an org that has only one, by its settings (Connect REST API, features of the organization)."""
        body = self.pages.get("org_settings")
        features = body.get("features") if isinstance(body, dict) else None
        code = features.get("defaultCurrencyIsoCode") if isinstance(features, dict) else None
        return code if isinstance(code, str) and len(code) == 3 else None

    def rows(self, name: str) -> list[Row]:
        """Rows of a small table that have an Id; none where it cannot be read."""
        return [row for row in self.tables.get(name, ()) if isinstance(row.get("Id"), str)]

    def _table_soql(self, name: str) -> str:
        entity, columns, condition = _TABLES[name]
        kept = [column for column in columns if column not in self.dropped.get(name, ())]
        return soql.select(kept, entity, condition)

    def _take(self, name: str, body: Any) -> None:
        kind, _, rest = name.partition("_")
        if kind == "describe":
            self._take_fields(rest, body)
        elif kind == "count":
            if not isinstance(body, RefusedError):
                self.counts[rest] = page_of(body, name).total
        elif name in _TABLES:
            self.tables[name] = list(self._table_rows(name, body))
        else:
            self.pages[name] = body

    def _table_rows(self, name: str, body: Any) -> Iterator[Row]:
        while isinstance(body, RefusedError):
            column = soql.missing_column(body.said)
            if body.code != "INVALID_FIELD" or column is None or column in self.dropped.get(name, ()):
                self._say_unread(name, body)
                return
            self.dropped.setdefault(name, []).append(column)
            try:
                page: Page = self._api.query(self._table_soql(name), what=name)
                body = {"records": page.records, "totalSize": page.total}
                yield from rows_of_json(page.records, {})
                while page.further:
                    page = self._api.more(page.further, what=name)
                    yield from rows_of_json(page.records, {})
                return
            except RefusedError as error:
                body = error
        for page in self._api.pages(page_of(body, name), what=name):
            yield from rows_of_json(page.records, {})

    def _say_unread(self, name: str, error: RefusedError) -> None:
        entity = _TABLES[name][0]
        self.unread.add(name)
        if name == "organization" and error.code not in ("INVALID_TYPE", "NOT_FOUND"):
            raise ConfigError(f"{error} The API user must be able to read Organization.")
        if name in ("currencies", "dated_rates", "processes") and error.code in ("INVALID_TYPE", "NOT_FOUND"):
            return  # such an org has none
        self.warnings.append(
            Warn(
                code="not_readable",
                message=f"{entity} cannot be read ({error.code or error.status}); give the API user read permission on it. "
                + _CONSEQUENCES.get(name, ""),
                makes="partial" if name == "stages" else "note",
            )
        )

    def _take_fields(self, entity: str, body: Any) -> None:
        if isinstance(body, RefusedError):
            if entity in ("Opportunity", "OpportunityHistory"):
                raise ConfigError(
                    f"{body} The API user needs read permission on {entity.removesuffix('History')} (and its history)."
                )
            self.fields[entity] = Fields(())
            return
        self.described[entity] = body
        self.fields[entity] = describes.described(body, entity)


_CONSEQUENCES = {
    "stages": "Outcome and order of the stages are not known.",
    "record_types": "All deals are in one pipeline.",
    "processes": "Pipelines have the names of their record types.",
    "currencies": "Amounts cannot be converted.",
}
