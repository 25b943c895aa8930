"""Pipedrive JSON to records: pure functions of an answer and what is known of the company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from connectors.sdk import (
    Company,
    DataError,
    Deal,
    FieldDef,
    Owner,
    Pipeline,
    Stage,
    parse_date,
    parse_instant,
)

Status = Literal["open", "won", "lost"]
CLOSED: tuple[Status, Status] = ("won", "lost")


class Field(msgspec.Struct, frozen=True):
    """A deal field: the label it is shown under, and the label of each option id."""

    label: str
    options: Mapping[str, str] = {}


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What mapping leans on: custom fields by key, pipeline and probability of each stage."""

    fields: Mapping[str, Field] = {}
    pipeline_of: Mapping[str, str] = {}
    probability_of: Mapping[str, float] = {}
    zero_amount: str = "unknown"


def text(value: Any) -> str | None:
    """An id or a value as text; empty is None."""
    return None if value is None or value == "" else str(value)


def instant(value: str | None) -> datetime | None:
    """A time of v2 (`...Z`) or of v1 (`YYYY-MM-DD HH:MM:SS`, UTC without saying so)."""
    return None if not value else parse_instant(value, UTC)


def day(value: str | None) -> date | None:
    """A date in the company's zone."""
    return None if not value else parse_date(value[:10])


def number(value: Any) -> Decimal | None:
    """A JSON number as a decimal, by its shortest text."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise DataError("value: a flag where a number is needed")
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        raise DataError("value: not a number") from None
    if not found.is_finite():
        raise DataError("value: not a finite number")
    return found


def status_of(row: Mapping[str, Any]) -> Status:
    """What became of it; a deleted deal keeps what it was."""
    found = row.get("status")
    if found == "deleted":
        found = "won" if row.get("won_time") else "lost" if row.get("lost_time") else "open"
    return "won" if found == "won" else "lost" if found == "lost" else "open"


def presence_of(row: Mapping[str, Any]) -> Literal["present", "archived", "deleted"]:
    """Whether it is there. A deleted deal says so by its flag or by its status (which of the two: unconfirmed)."""
    if row.get("is_deleted") or row.get("status") == "deleted":
        return "deleted"
    return "archived" if row.get("is_archived") else "present"


def deal(row: Mapping[str, Any], known: Known) -> Deal:
    """A v2 deal. Its stage is the last open one also when it is won or lost; the status says the outcome."""
    status = status_of(row)
    stage_id = text(row.get("stage_id"))
    closed = instant(row.get(f"{status}_time") or row.get("close_time")) if status in CLOSED else None
    probability = number(row.get("probability"))
    return Deal(
        deal_id=str(row["id"]),
        name=text(row.get("title")),
        pipeline_id=text(row.get("pipeline_id")),
        stage_id=stage_id,
        status=status,
        amount=_amount(row, status, known),
        currency=text(row.get("currency")),
        created_at=instant(row.get("add_time")),
        stage_entered_at=instant(row.get("stage_change_time")) or instant(row.get("add_time")),
        closed_at=closed,
        expected_close_date=day(row.get("expected_close_date")),
        owner_id=text(row.get("owner_id")),
        company_id=text(row.get("org_id")),
        lead_source=text(row.get("channel") or row.get("origin")),
        lost_reason=text(row.get("lost_reason")) if status == "lost" else None,
        probability=float(probability) / 100 if probability is not None else known.probability_of.get(stage_id or ""),
        presence=presence_of(row),
        custom_fields=custom_fields(row.get("custom_fields") or {}, known.fields),
        updated_at=instant(row.get("update_time")),
        raw=row,
    )


def _amount(row: Mapping[str, Any], status: str, known: Known) -> Decimal | None:
    amount = number(row.get("value"))
    if amount != 0 or known.zero_amount == "zero":
        return amount
    return None if known.zero_amount == "unknown" or status == "lost" else amount


def custom_fields(values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Custom values under their labels, options as labels; the 40-character keys stay in `raw`."""
    shown: dict[str, Any] = {}
    for key, value in values.items():
        if value is None or value in ("", []):
            continue
        field = fields.get(key, Field(key))
        shown[field.label] = _labelled(value, field)
    return shown


def _labelled(value: Any, field: Field) -> Any:
    if isinstance(value, list):
        return [_labelled(part, field) for part in value]
    if isinstance(value, dict) and "label" in value:
        return value["label"]
    return field.options.get(str(value), value) if field.options else value


def fields(definitions: Sequence[Mapping[str, Any]]) -> dict[str, Field]:
    """Custom fields by key; a label that several share gets ` (key)`."""
    count: dict[str, int] = {}
    for item in definitions:
        count[_label(item)] = count.get(_label(item), 0) + 1
    return {
        str(item["field_code"]): Field(
            _label(item) if count[_label(item)] == 1 else f"{_label(item)} ({item['field_code']})",
            _options(item.get("options")),
        )
        for item in definitions
        if item.get("field_code")
    }


def _options(found: Any) -> dict[str, str]:
    """Label of each option id; what is no option is left out."""
    listed = found if isinstance(found, list) else []
    return {
        str(one["id"]): str(one["label"]) for one in listed if isinstance(one, dict) and {"id", "label"} <= one.keys()
    }


def _label(item: Mapping[str, Any]) -> str:
    return str(item.get("field_name") or item.get("field_code"))


def field_def(item: Mapping[str, Any]) -> FieldDef:
    """A field definition."""
    return FieldDef(
        object_type="deal",
        code=str(item["field_code"]),
        label=_label(item),
        field_type=str(item.get("field_type") or ""),
        is_custom=bool(item.get("is_custom_field")),
        raw={
            key: value
            for key, value in item.items()
            if key not in ("ui_visibility", "important_fields", "required_fields")
        },
    )


def pipeline(row: Mapping[str, Any]) -> Pipeline:
    """A pipeline."""
    return Pipeline(
        pipeline_id=str(row["id"]),
        name=str(row.get("name") or row["id"]),
        display_order=row.get("order_nr"),
        is_active=not row.get("is_deleted", False),
        is_deleted=bool(row.get("is_deleted", False)),
        updated_at=instant(row.get("update_time")),
        raw=row,
    )


def stage(row: Mapping[str, Any]) -> Stage:
    """A stage; all of Pipedrive's stages are open ones."""
    probability = number(row.get("deal_probability"))
    return Stage(
        pipeline_id=str(row["pipeline_id"]),
        stage_id=str(row["id"]),
        name=str(row.get("name") or row["id"]),
        display_order=row.get("order_nr"),
        outcome="open",
        probability=None if probability is None else float(probability) / 100,
        is_archived=bool(row.get("is_deleted", False)),
        updated_at=instant(row.get("update_time")),
        raw=row,
    )


def closing_stages(pipeline_id: str) -> tuple[Stage, Stage]:
    """Won and lost are a status in Pipedrive; as stages they are ours (`is_synthetic`)."""
    return (
        Stage(pipeline_id=pipeline_id, stage_id="won", name="Won", outcome="won", probability=1.0, is_synthetic=True),
        Stage(
            pipeline_id=pipeline_id, stage_id="lost", name="Lost", outcome="lost", probability=0.0, is_synthetic=True
        ),
    )


def owner(row: Mapping[str, Any]) -> Owner:
    """A user; former ones stay in the list, inactive."""
    return Owner(
        owner_id=str(row["id"]),
        name=text(row.get("name")),
        email=text(row.get("email")),
        is_active=bool(row.get("active_flag", True)) and not row.get("is_deleted", False),
        updated_at=instant(row.get("modified")),
        raw={key: value for key, value in row.items() if key != "last_login"},
    )


def company(row: Mapping[str, Any]) -> Company:
    """An organization."""
    address = row.get("address")
    return Company(
        company_id=str(row["id"]),
        name=text(row.get("name")),
        domain=text(row.get("website")),
        country=text(address.get("country")) if isinstance(address, dict) else None,
        updated_at=instant(row.get("update_time")),
        raw=row,
    )
