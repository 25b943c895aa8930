"""Salesforce rows to records. Pure: the same row and context give the same record, today and in a replay.

Source: vendor's object reference (Opportunity, OpportunityStage, Account, User, CurrencyType), read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from connectors.salesforce.rows import Row, raw_of
from connectors.sdk import (
    Company,
    CurrencyRate,
    DataError,
    Deal,
    Outcome,
    Owner,
    Pipeline,
    Stage,
    latest,
    parse_date,
    parse_instant,
)

#: The one pipeline of an org without record types, and of deals whose record type says nothing.
DEFAULT_PIPELINE = "default"

_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(?:www\.)?([^/:?#\s]+\.[^/:?#\s]+)", re.IGNORECASE)
_RATE_STEP = Decimal("1e-12")


class MapContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the mapping of a deal leans on besides its row.

    `pipelines`: record type -> pipeline. `labels`, `types`: of custom fields. `outcomes`: stage name -> outcome by the org's own list.
    """

    pipelines: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    types: Mapping[str, str] = {}
    outcomes: Mapping[str, Outcome] = {}
    lost_reason_field: str | None = None
    zero_amount: str = "zero"
    home_currency: str | None = None

    def pipeline_of(self, record_type_id: str | None) -> str:
        """The sales process of a record type."""
        return self.pipelines.get(record_type_id or "", DEFAULT_PIPELINE)

    def amount_of(self, amount: Decimal | None, outcome: Outcome | None) -> Decimal | None:
        """An amount; 0 is what the setting says it means."""
        if amount is not None and amount == 0 and self.zero_amount != "zero":
            return None if self.zero_amount == "unknown" or outcome == "lost" else amount
        return amount


def deal(row: Row, context: MapContext) -> Deal:
    """An Opportunity. `status` is given only where the stage list does not know the stage: elsewhere the stage says it.

    CloseDate is a calendar day and the *expected* one until the deal is closed; when it really closed, its history tells. LastActivityDate is a
    day too; it becomes its midnight in UTC. Raises DataError for a row that is none.
    """
    get = row.get
    stage_name = get("StageName")
    flags = outcome_of(get("IsClosed"), get("IsWon"))
    known = context.outcomes.get(stage_name) if stage_name else None
    reason = get(context.lost_reason_field) if context.lost_reason_field else None
    return Deal(
        deal_id=_needed(row, "Id"),
        name=get("Name"),
        pipeline_id=context.pipeline_of(get("RecordTypeId")),
        stage_id=stage_name,
        status=flags if known is None else None,
        amount=context.amount_of(_decimal(get("Amount")), known or flags),
        currency=get("CurrencyIsoCode") or context.home_currency,
        created_at=_instant(get("CreatedDate")),
        stage_entered_at=_instant(get("LastStageChangeDate")),
        expected_close_date=_day(get("CloseDate")),
        owner_id=_id(get("OwnerId")),
        company_id=_id(get("AccountId")),
        lead_source=get("LeadSource"),
        deal_type=get("Type"),
        lost_reason=None if reason is None else str(reason),
        probability=_share(get("Probability")),
        last_activity_at=_midnight(get("LastActivityDate")),
        presence="deleted" if get("IsDeleted") else "present",
        custom_fields=_custom(row, context),
        updated_at=_instant(get("SystemModstamp")),
        raw=raw_of(row),
    )


def outcome_of(is_closed: Any, is_won: Any) -> Outcome | None:
    """Outcome by the two flags; None where they are not to be seen."""
    if is_won:
        return "won"
    if is_closed is None:
        return None
    return "lost" if is_closed else "open"


def _custom(row: Row, context: MapContext) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, label in context.labels.items():
        value = row.get(name)
        if value is None:
            continue
        if value.__class__ is Decimal:
            value = int(value) if value == value.to_integral_value() else float(value)
        elif context.types.get(name) == "multipicklist":
            value = value.split(";")
        found[label] = value
    return found


def pipeline(process: Row, record_types: Sequence[Row]) -> Pipeline:
    """A sales process (BusinessProcess) with the record types that share it."""
    rows = [process, *record_types]
    return Pipeline(
        pipeline_id=_needed(process, "Id"),
        name=process.get("Name") or process["Id"],
        is_active=process.get("IsActive") is not False,
        updated_at=latest(*map(stamp_of, rows)),
        raw=raw_of({**process, "RecordTypes": list(record_types)}),
    )


def default_pipeline() -> Pipeline:
    """The pipeline of deals without a sales process."""
    return Pipeline(pipeline_id=DEFAULT_PIPELINE, name="Opportunities", raw={})


def stage_name(row: Row) -> str:
    """What StageName on deals and in history holds: the API name, in old orgs the label."""
    return str(row.get("ApiName") or row.get("MasterLabel") or "")


def stage(pipeline_id: str, row: Row, *, is_foreign: bool = False) -> Stage:
    """An OpportunityStage as a stage of one sales process. Its place is SortOrder: one order for the whole org, with gaps.

    `is_foreign`: the process does not offer it, a deal brought it along from another one: it has no place here.
    """
    order = None if is_foreign else row.get("SortOrder")
    return Stage(
        pipeline_id=pipeline_id,
        stage_id=stage_name(row),
        name=row.get("MasterLabel") or stage_name(row),
        display_order=None if order is None else int(order),
        outcome=outcome_of(row.get("IsClosed"), row.get("IsWon")),
        probability=_share(row.get("DefaultProbability")),
        is_archived=is_foreign or row.get("IsActive") is False,
        updated_at=stamp_of(row),
        raw=raw_of(row),
    )


def vanished_stage(pipeline_id: str, name: str) -> Stage:
    """A stage that only deals or their history still name: neither its order nor its outcome is known."""
    return Stage(pipeline_id=pipeline_id, stage_id=name, name=name, is_archived=True, raw={})


def owner(row: Row) -> Owner:
    """A User; never deleted, only deactivated."""
    return Owner(
        owner_id=_needed(row, "Id"),
        name=row.get("Name"),
        email=row.get("Email"),
        is_active=row.get("IsActive") is not False,
        updated_at=_instant(row.get("SystemModstamp")),
        raw=raw_of(row),
    )


def company(row: Row) -> Company:
    """An Account. Its domain comes from Website."""
    site = _HOST.match(row.get("Website") or "")
    return Company(
        company_id=_needed(row, "Id"),
        name=row.get("Name"),
        domain=site[1].lower() if site else None,
        country=row.get("BillingCountry"),
        industry=row.get("Industry"),
        updated_at=_instant(row.get("SystemModstamp")),
        raw=raw_of(row),
    )


def _rate(row: Row) -> Decimal | None:
    """Units of the currency per corporate unit; None where that is no number."""
    try:
        return _decimal(row.get("ConversionRate"))
    except DataError:
        return None


def corporate_currency(currencies: Iterable[Row]) -> str | None:
    """The currency that all rates are counted in; None where the org has only one currency."""
    return next((row["IsoCode"] for row in currencies if row.get("IsCorporate")), None)


def rates(currencies: Sequence[Row], dated: Sequence[Row]) -> list[CurrencyRate]:
    """Rates in units of the corporate currency. Salesforce counts the other way round: corporate = amount / ConversionRate."""
    base = corporate_currency(currencies)
    if base is None:
        return []
    found = []
    for row in (*currencies, *dated):
        rate = _rate(row)
        if not rate or not row.get("IsoCode"):
            continue
        found.append(
            CurrencyRate(
                currency=row["IsoCode"],
                base_currency=base,
                rate=(1 / rate).quantize(_RATE_STEP),
                rate_date=_day(row.get("StartDate")),
                raw=raw_of(row),
            )
        )
    return found


def _id(value: Any) -> str | None:
    """An id; what is none is unknown."""
    return value if isinstance(value, str) else None


def _share(percent: Any) -> float | None:
    """Percent as 0..1; what is no number is unknown."""
    is_number = isinstance(percent, int | float | Decimal) and not isinstance(percent, bool)
    return float(percent) / 100 if is_number else None


def stamp_of(row: Row) -> datetime | None:
    """SystemModstamp of a row; None where it is none, which whoever maps the row tells of."""
    try:
        return _instant(row.get("SystemModstamp"))
    except DataError:
        return None


def _needed(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise DataError(f"a row without {name}")
    return value


def instant(value: Any) -> datetime:
    """An instant as Salesforce writes it, the usual form without detours."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_instant(value)
    return found if found.tzinfo is UTC else parse_instant(value)


def _instant(value: Any) -> datetime | None:
    return None if value is None else instant(value)


@lru_cache(maxsize=50_000)
def _a_day(value: str) -> date:
    return parse_date(value)


def _day(value: Any) -> date | None:
    return None if value is None else _a_day(value)


def _midnight(value: Any) -> datetime | None:
    if value is None:
        return None
    day = _a_day(value)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _decimal(value: Any) -> Decimal | None:
    if value is None or value.__class__ is Decimal:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError("an amount that is no number")
    return Decimal(str(value))
