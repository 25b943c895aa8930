"""What a connector yields: frozen, typed records in the field's own words.

Shape rules that hold for every record
- Ids are the source's own ids as text, never case-folded. Landing adds the source key; a connector never does.
- Instants (`..._at`) are timezone-aware datetimes; landing stores them as UTC with microseconds. A naive instant is a bug and is rejected.
- Dates (`..._date`) are calendar days in the account's zone; they never shift with a time zone.
- Money is `Decimal` in the record's `currency` (ISO 4217). Unknown is None, never 0.
- `raw` is the vendor's own JSON object for this row (for a history event: that event only). Unknown fields live there untouched.
- `read_at` is when the source's state was true as read. None means "now": landing stamps its own clock. A dated snapshot of a sheet
  sets it to the snapshot's instant, so that a late older snapshot takes its right place.
- `updated_at` is the source's own version stamp of the content (None where the source has none).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

Outcome = Literal["open", "won", "lost"]
Evidence = Literal["exact", "created"]
Presence = Literal["present", "absent", "archived", "deleted", "purged", "merged", "hidden"]
#: Why a key is no longer (plainly) there; also what a sweep may say of keys it did not see.
Gone = Literal["absent", "archived", "deleted", "purged", "merged", "hidden"]
#: The deal fields whose changes are kept as history.
TrackedField = Literal["amount", "currency", "expected_close_date", "owner", "pipeline"]

#: A decoded object, or its JSON text as it came (`msgspec.Raw`), which is cheaper where nobody needs to look inside.
Raw = Mapping[str, Any] | msgspec.Raw


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of everything a connector may yield."""


class SourceInfo(Record, frozen=True, kw_only=True):
    """One per sync: who this account is. `deep_link` is a URL template with `{id}` for a deal (sheets give `Deal.url` instead)."""

    account_id: str
    name: str
    deep_link: str | None = None
    time_zone: str | None = None
    home_currency: str | None = None
    history_starts_at: datetime | None = None
    raw: Raw = {}


class Pipeline(Record, frozen=True, kw_only=True):
    """A source's own pipeline (Salesforce: sales process)."""

    pipeline_id: str
    name: str
    display_order: int | None = None
    is_active: bool = True
    is_deleted: bool = False
    updated_at: datetime | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class Stage(Record, frozen=True, kw_only=True):
    """One stage of one pipeline, key (pipeline_id, stage_id).

    `display_order` is the CRM's own order (gaps allowed). `outcome` comes from the CRM's flags and is None where it has none.
    `probability` is 0..1. `valid_from` dates an edit where the CRM tells it; otherwise the build uses the read time.
    """

    pipeline_id: str
    stage_id: str
    name: str
    display_order: int | None = None
    outcome: Outcome | None = None
    probability: float | None = None
    is_archived: bool = False
    is_synthetic: bool = False
    updated_at: datetime | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class Deal(Record, frozen=True, kw_only=True):
    """One deal as the source states it now.

    `status` is an explicit outcome column or flag of the deal itself (None where only the stage says it). `stage_id` is None when unknown.
    `stage_entered_at`: when the source says the deal entered its present stage (None when it does not say).
    `custom_fields` is keyed by the field's label; FieldDef explains each. `foreign_ids` names the same deal elsewhere
    (for example {"salesforce": "006..."}). `home_amount`/`home_currency` are the source's own conversion where it has one.
    `history_starts_at`/`history_is_combined` say how far this deal's stage history can be trusted.
    """

    deal_id: str
    name: str | None = None
    pipeline_id: str | None = None
    stage_id: str | None = None
    status: Outcome | None = None
    amount: Decimal | None = None
    currency: str | None = None
    home_amount: Decimal | None = None
    created_at: datetime | None = None
    stage_entered_at: datetime | None = None
    closed_at: datetime | None = None
    expected_close_date: date | None = None
    owner_id: str | None = None
    company_id: str | None = None
    company_name: str | None = None
    lead_source: str | None = None
    deal_type: str | None = None
    lost_reason: str | None = None
    probability: float | None = None
    last_activity_at: datetime | None = None
    next_activity_at: datetime | None = None
    presence: Literal["present", "archived", "deleted"] = "present"
    url: str | None = None
    source_file: str | None = None
    source_sheet: str | None = None
    source_row: int | None = None
    dates_only: bool = False
    foreign_ids: Mapping[str, str] = {}
    custom_fields: Mapping[str, Any] = {}
    updated_at: datetime | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class StageChange(Record, frozen=True, kw_only=True):
    """The deal was in `to_stage_id` from `changed_at` on, as the source's own history says.

    Rows may repeat a stage (the build collapses them); from_* may be None where the source does not say it. `event_id` is unique per
    deal and stable between reads. `sequence` is the source's own order among rows of one instant. `to_stage_label`: the label as
    it was then, if the source keeps it. Evidence `exact`: the CRM's history; `created`: derived from the creation time.
    """

    event_id: str
    deal_id: str
    changed_at: datetime
    to_stage_id: str
    to_pipeline_id: str | None = None
    from_stage_id: str | None = None
    from_pipeline_id: str | None = None
    to_stage_label: str | None = None
    changed_by_id: str | None = None
    sequence: int = 0
    evidence: Evidence = "exact"
    precision: Literal["instant", "day", "snapshot"] = "instant"
    raw: Raw = {}


class FieldChange(Record, frozen=True, kw_only=True):
    """One change of one tracked field; values as canonical text (decimal, ISO date, id), None = empty."""

    event_id: str
    deal_id: str
    field: TrackedField
    changed_at: datetime
    old_value: str | None = None
    new_value: str | None = None
    changed_by_id: str | None = None
    sequence: int = 0
    raw: Raw = {}


class HistoryRead(Record, frozen=True, kw_only=True):
    """One reading of one deal's history, with the events it gave.

    A complete reading replaces every earlier event of that deal; an incomplete one is merged by event id. `is_combined`: the source
    reports the history of merged deals as one. `note` says why a reading is incomplete, in words for a person.
    """

    deal_id: str
    complete: bool
    stage_changes: tuple[StageChange, ...] = ()
    field_changes: tuple[FieldChange, ...] = ()
    is_combined: bool = False
    note: str | None = None
    read_at: datetime | None = None


class Owner(Record, frozen=True, kw_only=True):
    """A user of the source who may own deals. Deactivated ones too."""

    owner_id: str
    name: str | None = None
    email: str | None = None
    is_active: bool = True
    updated_at: datetime | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class Company(Record, frozen=True, kw_only=True):
    """A customer organisation."""

    company_id: str
    name: str | None = None
    domain: str | None = None
    country: str | None = None
    industry: str | None = None
    updated_at: datetime | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class CurrencyRate(Record, frozen=True, kw_only=True):
    """`rate` = units of `base_currency` per one unit of `currency`, valid from `rate_date` on (None: current rate without a date)."""

    currency: str
    base_currency: str
    rate: Decimal
    rate_date: date | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class FieldDef(Record, frozen=True, kw_only=True):
    """A field of the source: its code, the label people see, its vendor type; drift is found by comparing these between syncs."""

    object_type: str
    code: str
    label: str
    field_type: str
    is_custom: bool = False
    is_calculated: bool = False
    is_read: bool = True
    read_at: datetime | None = None
    raw: Raw = {}


class Tombstone(Record, frozen=True, kw_only=True):
    """The source says that this key is gone, how, when, and for a merge into which survivor. Never guarded: the source said it."""

    stream: str
    key: str
    kind: Gone
    gone_at: datetime | None = None
    survivor: str | None = None
    read_at: datetime | None = None


class Seen(Record, frozen=True, kw_only=True):
    """The key is there (an id sweep saw it), nothing else is said of it. Also every yielded record counts as seen."""

    stream: str
    key: str
    read_at: datetime | None = None


class SweepEnd(Record, frozen=True, kw_only=True):
    """Everything of `stream` has been yielded (as records or Seen) since the sweep began; keys held but not seen get `missing_as`.

    `read_at` dates the sweep of a snapshot (None: now); keys first read after it are not judged. `complete=False` closes nothing:
    the sweep stays open and may go on in the next sync. Guarded: too many missing keys make the sync
    suspicious and write no tombstone (see `warehouse.sync`).
    """

    stream: str
    complete: bool
    missing_as: Gone = "purged"
    read_at: datetime | None = None


class Reject(Record, frozen=True, kw_only=True):
    """A row that could not become a record, put aside. `reason` is a short stable code, `detail` tells a person where and what to do.

    `is_dropped` marks rows left out on purpose (totals, repeated headers): counted, but no error.
    """

    stream: str
    reason: str
    detail: str
    key: str | None = None
    is_dropped: bool = False
    source_file: str | None = None
    source_sheet: str | None = None
    source_row: int | None = None
    read_at: datetime | None = None
    raw: Raw = {}


class Warn(Record, frozen=True, kw_only=True):
    """Something a person should know about this sync; shown in the report and in Dagster. `code` is stable, `message` says what to do."""

    code: str
    message: str
    makes: Literal["note", "partial", "suspicious"] = "note"


class Checkpoint(Record, frozen=True, kw_only=True):
    """All records yielded so far may be committed together with this cursor of `stream` (any JSON object). None drops the cursor."""

    stream: str
    cursor: Mapping[str, Any] | None


#: The key of each landed stream, as attribute names of its record. A key of several parts is joined with ':' after escaping.
KEYS: dict[type[Record], tuple[str, tuple[str, ...]]] = {
    SourceInfo: ("sources", ("account_id",)),
    Pipeline: ("pipelines", ("pipeline_id",)),
    Stage: ("stages", ("pipeline_id", "stage_id")),
    Deal: ("deals", ("deal_id",)),
    Owner: ("owners", ("owner_id",)),
    Company: ("companies", ("company_id",)),
    CurrencyRate: ("currency_rates", ("currency", "base_currency", "rate_date")),
    FieldDef: ("field_defs", ("object_type", "code")),
}


def joined_key(*parts: str) -> str:
    """One key of several parts: joined with ':', after escaping ':' and the backslash in each."""
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in parts)


def stage_key(pipeline_id: str, stage_id: str) -> str:
    """Key of a stage inside its source, as `Seen` and `Tombstone` name it."""
    return joined_key(pipeline_id, stage_id)
