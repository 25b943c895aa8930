"""The world as Salesforce rows: one tuple of text cells per record, in the order of the object's fields.

A cell is None or the text both wire formats share: numbers as digits, booleans as true/false, dates as YYYY-MM-DD, datetimes as
YYYY-MM-DDTHH:MM:SS (UTC, whole seconds; JSON and CSV add their own endings). Text sorts like time, and rendering is joining.
"""

from __future__ import annotations

import datetime as dt
import functools
import gc
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.sandbox.salesforce.ids import make_id
from connectors.sandbox.salesforce.schema import SObject, custom_name
from connectors.sandbox.world import (
    ARCHIVED,
    LOST,
    OPEN,
    PRESENT,
    PURGED,
    WON,
    Company,
    Deal,
    Event,
    Owner,
    Stage,
    World,
)

Row = tuple[str | None, ...]
_HISTORY_FIELDS = frozenset({"stage", "amount", "close_date"})
_ADDRESS = '{"city":null,"country":"%s","geocodeAccuracy":null,"latitude":null,"longitude":null,"postalCode":null}'
_FORECAST_NAMES = {
    "Omitted": "Omitted",
    "Pipeline": "Pipeline",
    "BestCase": "Best Case",
    "Forecast": "Commit",
    "Closed": "Closed",
}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How this org keeps its books."""

    record_types: int = 2  # 0: none; 2: one per sales process; 3: a third one shares the first process
    history_stamp: str = "supersede"  # SystemModstamp of history: moves when the next row comes, or stays ("created")
    history_stamp_on_delete: bool = False
    nulls_on_delete: tuple[str, ...] = ()  # fields of a deleted deal that queryAll shows empty
    dated_rates: bool = False
    pod: str = "5g"
    org_number: int = 1


def stamp(at_ms: int) -> str:
    """The datetime cell of an instant; parts of a second are cut."""
    day, second = divmod(at_ms // 1000, 86_400)
    return f"{_day(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


@functools.lru_cache(maxsize=20_000)
def _day(day: int) -> str:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


@functools.lru_cache(maxsize=200_000)
def number(value: Decimal | int | None) -> str | None:
    """The cell of a number as a double on the wire: always with a decimal point."""
    if value is None:
        return None
    text = f"{value:f}"
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def truth(value: object) -> str:
    """The cell of a boolean."""
    return "true" if value else "false"


def forecast(outcome: str, probability: int) -> str:
    """ForecastCategory by API name."""
    if outcome == WON:
        return "Closed"
    if outcome == LOST:
        return "Omitted"
    return "Pipeline" if probability < 50 else "BestCase" if probability < 80 else "Forecast"


class Tables:
    """All rows of the org, kept up to date from the world's journal. Hold `world.lock` while calling `refresh`."""

    def __init__(self, world: World, objects: dict[str, SObject], options: TableOptions) -> None:
        self.world, self.objects, self.options = world, objects, options
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in objects}
        self.set_up_changed_ms = min((s.stamp_ms for s in world.stages.values()), default=world.now_ms)
        self._history_of: dict[int, list[str]] = {}
        self._field_history_of: dict[int, list[str]] = {}
        self._stage_cells: dict[int, tuple[str, int, str]] = {}
        self._journal = 0
        self._ids: dict[tuple[str, int], str] = {}
        collecting = gc.isenabled()
        gc.disable()  # everything made here stays
        try:
            self._set_up()
            for deal in world.deals.values():
                self._deal(deal)
            for company in world.companies.values():
                self._company(company)
        finally:
            if collecting:
                gc.enable()
        self._journal = len(world.journal)

    def id(self, kind: str, number_: int) -> str:
        """The 18-character id of a record of this org (one string object per id)."""
        key = (kind, number_)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = make_id(kind, number_, self.options.pod)
        return found

    def refresh(self) -> None:
        """Take in what the journal says is new."""
        news = self.world.journal[self._journal :]
        if not news:
            return
        self._journal += len(news)
        kinds = {kind for kind, _ in news}
        if kinds & {"stage", "pipeline", "owner"}:
            self._set_up()
        if kinds & {"stage", "pipeline"}:
            self.set_up_changed_ms = self.world.now_ms
        for deal_id in dict.fromkeys(i for kind, i in news if kind == "deal"):
            self._deal(self.world.deals[deal_id])
        for company_id in dict.fromkeys(i for kind, i in news if kind == "company"):
            self._company(self.world.companies[company_id])

    def hidden_ids(self, user: str) -> set[str]:
        """Opportunity ids that sharing keeps from a user."""
        return {self.id("Opportunity", i) for i in self.world.hidden.get(user, ())}

    # --- set-up: small tables, made anew as a whole --------------------------------------------------------------

    def _put(self, name: str, cells: dict[str, Any]) -> None:
        if name in self.objects:
            self.rows[name][cells["Id"]] = tuple(map(cells.get, self.objects[name].fields))

    def _audit(self, created_ms: int, modified_ms: int | None = None, by: int = 0) -> dict[str, str]:
        user, modified = self.id("User", by + 1), stamp(modified_ms or created_ms)
        return {
            "CreatedDate": stamp(created_ms),
            "CreatedById": user,
            "LastModifiedDate": modified,
            "LastModifiedById": user,
            "SystemModstamp": modified,
        }

    def _set_up(self) -> None:
        for name in ("OpportunityStage", "RecordType", "BusinessProcess", "User", "Organization", "CurrencyType"):
            if name in self.rows:
                self.rows[name] = {}
        for order, stage in enumerate(self.org_stages(), start=1):
            self._stage(order, stage)
        for record_type in self.record_types():
            self._put("RecordType", record_type)
        if self.options.record_types:
            for pipeline in self.world.pipelines.values():
                cells = {"Id": self.id("BusinessProcess", pipeline.id), "Name": pipeline.name}
                cells |= {"TableEnumOrId": "Opportunity", "IsActive": truth(pipeline.active)}
                self._put("BusinessProcess", cells | self._audit(pipeline.stamp_ms))
        self._users()
        self._currencies()
        self._put(
            "Organization",
            {
                "Id": self.id("Organization", self.options.org_number),
                "Name": "Muara Sandbox Inc.",
                "OrganizationType": "Enterprise Edition",
                "IsSandbox": "false",
                "InstanceName": "SBX1",
                "TimeZoneSidKey": "America/New_York",
                "DefaultLocaleSidKey": "en_US",
                "LanguageLocaleKey": "en_US",
                "FiscalYearStartMonth": "1",
            }
            | self._audit(self.set_up_changed_ms),
        )

    def org_stages(self) -> list[Stage]:
        """The one list of the whole org: a stage name counts once, whatever pipelines use it; closed ones last."""
        found: dict[str, Stage] = {}
        for pipeline in sorted(self.world.pipelines.values(), key=lambda p: p.order):
            for stage in self.world.pipeline_stages(pipeline.id):
                known = found.setdefault(stage.name, stage)
                if stage.active and not known.active:
                    found[stage.name] = stage
        return sorted(found.values(), key=lambda s: s.outcome != OPEN)

    def _stage(self, order: int, stage: Stage) -> None:
        category = forecast(stage.outcome, stage.probability)
        cells = {
            "Id": self.id("OpportunityStage", stage.id),
            "MasterLabel": stage.label,
            "ApiName": stage.name,
            "IsActive": truth(stage.active),
            "SortOrder": str(order * 10),
            "IsClosed": truth(stage.outcome != OPEN),
            "IsWon": truth(stage.outcome == WON),
            "ForecastCategory": category,
            "ForecastCategoryName": _FORECAST_NAMES[category],
            "DefaultProbability": number(stage.probability),
        }
        self._put("OpportunityStage", cells | self._audit(stage.stamp_ms))

    def record_types(self) -> list[dict[str, Any]]:
        """Record types of Opportunity as cells; `_pipeline` is the world's pipeline id."""
        count = self.options.record_types
        if not count:
            return []
        named = [(p.id, p.name, p.id) for p in self.world.pipelines.values()]
        if count > len(named):
            named.append((len(named) + 1, "Partner", 1))
        found = []
        for record_number, name, pipeline_id in named:
            pipeline = self.world.pipelines[pipeline_id]
            cells = {"Id": self.id("RecordType", record_number), "Name": name, "_pipeline": pipeline_id}
            cells |= {"DeveloperName": name.replace(" ", "_"), "SobjectType": "Opportunity"}
            cells |= {"BusinessProcessId": self.id("BusinessProcess", pipeline_id), "IsActive": truth(pipeline.active)}
            found.append(cells | self._audit(pipeline.stamp_ms))
        return found

    def _record_type_of(self, deal: Deal) -> str | None:
        if not self.options.record_types:
            return None
        shared = self.options.record_types > len(self.world.pipelines) and deal.pipeline_id == 1 and deal.id % 10 == 3
        return self.id("RecordType", len(self.world.pipelines) + 1 if shared else deal.pipeline_id)

    def _users(self) -> None:
        people = [Owner(0, "Integration User", "integration@example.com", created_ms=self.set_up_changed_ms)]
        for owner in [*people, *self.world.owners.values()]:
            cells = {
                "Id": self.id("User", owner.id + 1),
                "Username": owner.email,
                "Name": owner.name,
                "Email": owner.email,
                "IsActive": truth(owner.active and not owner.deleted),  # users are never deleted here
                "UserType": "Standard",
                "TimeZoneSidKey": "America/New_York",
                "CurrencyIsoCode": self.world.home_currency,
            }
            self._put("User", cells | self._audit(owner.created_ms, owner.stamp_ms))

    def _currencies(self) -> None:
        for place, (code, rate) in enumerate(self.world.rates.items(), start=1):
            home = code == self.world.home_currency
            cells = {
                "Id": self.id("CurrencyType", place),
                "IsoCode": code,
                "ConversionRate": number(rate),
                "DecimalPlaces": "0" if code in ("JPY", "IDR") else "2",
                "IsActive": "true",
                "IsCorporate": truth(home),
            }
            self._put("CurrencyType", cells | self._audit(self.set_up_changed_ms))
            if home or "DatedConversionRate" not in self.rows:
                continue
            starts = [dt.date(1900, 1, 1), dt.date(2026, 1, 1), dt.date(2026, 7, 1), dt.date(9999, 12, 31)]
            for step in range(3):
                dated = {
                    "Id": self.id("DatedConversionRate", place * 10 + step),
                    "IsoCode": code,
                    "StartDate": starts[step].isoformat(),
                    "NextStartDate": starts[step + 1].isoformat(),
                    "ConversionRate": number(rate * (100 - 2 * (2 - step)) / 100),
                }
                self._put("DatedConversionRate", dated | self._audit(self.set_up_changed_ms))

    # --- accounts ------------------------------------------------------------------------------------------------

    def _company(self, company: Company) -> None:
        cells = {
            "Id": self.id("Account", company.id),
            "IsDeleted": truth(company.presence != PRESENT),
            "MasterRecordId": self.id("Account", company.merged_into) if company.merged_into else None,
            "Name": company.name,
            "Type": "Customer",
            "BillingCountry": company.country,
            "BillingAddress": _ADDRESS % company.country,
            "Industry": company.industry,
            "OwnerId": self.id("User", company.owner_id + 1),
            "CurrencyIsoCode": self.world.home_currency,
        }
        self._put("Account", cells | self._audit(company.created_ms, company.stamp_ms, company.owner_id))

    # --- deals and their history ---------------------------------------------------------------------------------

    def _stage_facts(self, stage_id: int) -> tuple[str, int, str]:
        """StageName, probability and forecast category; the org-wide ones of that name."""
        found = self._stage_cells.get(stage_id)
        if found is None:
            stage = self.world.stages[stage_id]
            found = (stage.name, stage.probability, forecast(stage.outcome, stage.probability))
            self._stage_cells[stage_id] = found
        return found

    def _deal(self, deal: Deal) -> None:
        opportunity_id = self.id("Opportunity", deal.id)
        for history_id in self._history_of.pop(deal.id, ()):
            del self.rows["OpportunityHistory"][history_id]
        if deal.presence == PURGED:
            self.rows["Opportunity"].pop(opportunity_id, None)
            self._field_history(deal, opportunity_id)
            return
        moved_ms = self._history(deal, opportunity_id)
        self._field_history(deal, opportunity_id)
        self._opportunity(deal, opportunity_id, moved_ms)

    def _opportunity(self, deal: Deal, opportunity_id: str, moved_ms: int | None) -> None:
        name, probability, category = self._stage_facts(deal.stage_id)
        outcome = self.world.stages[deal.stage_id].outcome
        weighted = None if deal.amount is None else deal.amount * probability / 100
        day = deal.close_date
        gone = deal.presence not in (PRESENT, ARCHIVED)
        cells: dict[str, Any] = {
            "Id": opportunity_id,
            "IsDeleted": truth(gone),
            "AccountId": self.id("Account", deal.company_id) if deal.company_id else None,
            "IsPrivate": "false",
            "Name": deal.name,
            "StageName": name,
            "Amount": number(deal.amount),
            "Probability": number(probability),
            "ExpectedRevenue": number(weighted),
            "CloseDate": day.isoformat() if day else None,
            "IsClosed": truth(outcome != OPEN),
            "IsWon": truth(outcome == WON),
            "ForecastCategory": category,
            "ForecastCategoryName": _FORECAST_NAMES[category],
            "HasOpportunityLineItem": "false",
            "OwnerId": self.id("User", deal.owner_id + 1),
            "CreatedDate": stamp(deal.created_ms),
            "CreatedById": self.id("User", deal.events[0].actor_id + 1),
            "LastModifiedDate": stamp(deal.modified_ms),
            "LastModifiedById": self.id("User", deal.events[-1].actor_id + 1),
            "SystemModstamp": stamp(deal.stamp_ms),
            "LastStageChangeDate": stamp(moved_ms) if moved_ms else None,
            "RecordTypeId": self._record_type_of(deal),
            "CurrencyIsoCode": deal.currency,
            "Loss_Reason__c": deal.lost_reason,
            "Weighted__c": number(weighted),
            "Strategic__c": "false",
        }
        if day:
            quarter = (day.month + 2) // 3
            cells |= {"FiscalQuarter": str(quarter), "FiscalYear": str(day.year), "Fiscal": f"{day.year} {quarter}"}
        for key, value in deal.custom.items():
            cells[custom_name(key)] = custom_cell(value)
        if gone:
            cells |= dict.fromkeys(self.options.nulls_on_delete)
        self._put("Opportunity", cells)

    def _history(self, deal: Deal, opportunity_id: str) -> int | None:
        """One row per save that touched stage, amount or close date, with the values after it; when the stage last moved.

        A stage of the same name in another process is no change here: only the name is kept.
        """
        found: list[Row] = []
        name, probability, category = "", 0, ""
        amount, day, currency, moved_ms = None, None, deal.currency, None
        for event in deal.events:
            touched, before_amount, before_day = False, None, None
            for change, old, new in event.changes:
                if change == "stage":
                    before = name
                    name, probability, category = self._stage_facts(new)
                    if name != before:
                        touched = True
                        moved_ms = event.at_ms if before else None
                elif change == "amount":
                    touched, before_amount, amount = True, old, new
                elif change == "close_date":
                    touched, before_day, day = True, old, new
                elif change == "currency":
                    currency = new
            if touched:
                cells = (
                    make_id("OpportunityHistory", event.id, self.options.pod),
                    opportunity_id,
                    self.id("User", event.actor_id + 1),
                    stamp(event.at_ms),
                    name,
                    number(amount),
                    None if amount is None else number(amount * probability / 100),
                    day.isoformat() if day else None,
                    number(probability),
                    category,
                    number(before_amount),
                    before_day.isoformat() if before_day else None,
                    currency,
                )
                found.append(cells)
        self._put_history(deal, found)
        return moved_ms

    def _put_history(self, deal: Deal, found: list[Row]) -> None:
        """Complete the rows of one deal: stamp, deletion, currency where the org has several."""
        gone = deal.presence not in (PRESENT, ARCHIVED)
        created = [row[3] for row in found]
        stamps = [*created[1:], created[-1]] if self.options.history_stamp == "supersede" else created
        if gone and self.options.history_stamp_on_delete:
            stamps = [stamp(deal.stamp_ms)] * len(found)
        multi = "CurrencyIsoCode" in self.objects["OpportunityHistory"].fields
        table, deleted = self.rows["OpportunityHistory"], truth(gone)
        for row, last in zip(found, stamps, strict=True):
            *cells, currency = row
            table[row[0] or ""] = (*cells, last, deleted, currency) if multi else (*cells, last, deleted)
        self._history_of[deal.id] = [row[0] or "" for row in found]

    def _field_history(self, deal: Deal, opportunity_id: str) -> None:
        table = self.rows.get("OpportunityFieldHistory")
        if table is None:
            return
        for known in self._field_history_of.pop(deal.id, ()):
            del table[known]
        if deal.presence == PURGED:
            return
        gone, ids = truth(deal.presence not in (PRESENT, ARCHIVED)), self._field_history_of.setdefault(deal.id, [])
        for number_, event in enumerate(deal.events):
            for name, kind, old, new in self._tracked(event, first=number_ == 0):
                ids.append(make_id("OpportunityFieldHistory", deal.id * 10_000 + len(ids), self.options.pod))
                cells = {
                    "Id": ids[-1],
                    "IsDeleted": gone,
                    "OpportunityId": opportunity_id,
                    "CreatedById": self.id("User", event.actor_id + 1),
                    "CreatedDate": stamp(event.at_ms),
                    "DataType": kind,
                    "Field": name,
                    "OldValue": old,
                    "NewValue": new,
                }
                self._put("OpportunityFieldHistory", cells)

    def _tracked(self, event: Event, *, first: bool) -> list[tuple[str, str, str | None, str | None]]:
        if first:
            return [("created", "Text", None, None)]
        found: list[tuple[str, str, str | None, str | None]] = []
        for change in event.changes:
            if change.field == "stage":
                old, new = (self._stage_facts(i)[0] for i in (change.old, change.new))
                found.append(("StageName", "EnumOrId", old, new))
            elif change.field == "amount":
                found.append(("Amount", "Currency", number(change.old), number(change.new)))
            elif change.field == "close_date":
                early, late = (day.isoformat() if day else None for day in (change.old, change.new))
                found.append(("CloseDate", "DateOnly", early, late))
            elif change.field == "owner":  # a lookup leaves two rows: names, then ids
                owners = self.world.owners
                found.append(("Owner", "Text", owners[change.old].name, owners[change.new].name))
                found.append(("Owner", "EntityId", self.id("User", change.old + 1), self.id("User", change.new + 1)))
        return found


def custom_cell(value: Any) -> str | None:
    """The cell of a custom field's value."""
    if value is None:
        return None
    if isinstance(value, bool):
        return truth(value)
    if isinstance(value, int | Decimal):
        return number(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ";".join(value)
    return str(value)
