"""HubSpot JSON to records: pure functions of an answer and what is known of the account."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from connectors.hubspot.wire import Entry, Read
from connectors.sdk import (
    DataError,
    Deal,
    FieldChange,
    FieldDef,
    HistoryRead,
    Outcome,
    Owner,
    Pipeline,
    Stage,
    StageChange,
    TrackedField,
    from_epoch_ms,
    parse_instant,
)

#: Deal properties that have a place of their own in the record; everything else that is read goes into custom_fields.
PLAIN = (
    "dealname", "pipeline", "dealstage", "amount", "deal_currency_code", "amount_in_home_currency", "hs_exchange_rate", "closedate",
    "createdate", "hs_lastmodifieddate", "hs_object_id", "hubspot_owner_id", "dealtype", "hs_is_closed", "hs_is_closed_won",
    "hs_deal_stage_probability", "notes_last_updated", "notes_next_activity_date", "hs_analytics_source", "hs_merged_object_ids",
    "hs_salesforceopportunityid", "hs_v2_date_entered_current_stage",
)  # fmt: skip
#: Properties whose history is read, and what their changes are called.
HISTORY: dict[str, TrackedField | Literal["stage"]] = {
    "dealstage": "stage",
    "pipeline": "pipeline",
    "amount": "amount",
    "deal_currency_code": "currency",
    "closedate": "expected_close_date",
    "hubspot_owner_id": "owner",
}
#: HubSpot keeps a limited number of versions of a deal property (20 by its help pages; unconfirmed): as many may be all, or a cut list.
VERSION_CAP = 20


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What mapping leans on: zone and home currency of the account, labels of fields, pipeline of each stage."""

    zone: str = "UTC"
    currency: str | None = None
    labels: Mapping[str, str] = {}
    kinds: Mapping[str, str] = {}
    pipeline_of: Mapping[str, str] = {}
    #: (pipeline, stage) of stages whose id several pipelines use, which HubSpot does not rule out.
    shared: frozenset[tuple[str, str]] = frozenset()
    lost_reason: str = "closed_lost_reason"
    zero_amount: str = "zero"

    def pipeline_with(self, stage_id: str, near: str | None) -> str | None:
        """The pipeline of a stage. `near`: the one that the deal was in about then, which counts where the stage alone does not tell."""
        if near and (near, stage_id) in self.shared:
            return near
        return self.pipeline_of.get(stage_id) or near or None


def instant(text: str | None) -> datetime | None:
    """A datetime property: ISO text, or epoch milliseconds as text; empty is None."""
    if not text:
        return None
    if text[-1] == "Z":  # what HubSpot writes; worth a short way, as there are several a change
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return parse_instant(text)
        if found.tzinfo is UTC:
            return found
    return from_epoch_ms(text) if text.lstrip("-").isdigit() else parse_instant(text)


def day(text: str | None, zone: str) -> date | None:
    """The calendar day of a date or datetime property in the account's zone."""
    if text is None or text == "":
        return None
    if len(text) == 10 and text[4] == "-":
        return date.fromisoformat(text)
    at = instant(text)
    return None if at is None else at.astimezone(ZoneInfo(zone)).date()


def decimal(value: str | float | None) -> Decimal | None:
    """A number property as it stands, never through a float."""
    text = "" if value is None else str(value).strip()
    if text == "":
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise DataError("amount: not a number") from None
    if not found.is_finite():
        raise DataError("amount: not a finite number")
    return found


def deal(read: Read, account: Account) -> Deal:
    """A HubSpot deal. The stage alone says the outcome; the close date is a day in the account's zone."""
    found = read.properties
    stage = found.get("dealstage") or None
    salesforce = found.get("hs_salesforceopportunityid")
    probability = decimal(found.get("hs_deal_stage_probability"))
    return Deal(
        deal_id=read.id,
        name=found.get("dealname"),
        pipeline_id=found.get("pipeline") or (account.pipeline_of.get(stage) if stage else None),
        stage_id=stage,
        amount=_amount(found, account),
        currency=found.get("deal_currency_code") or account.currency,
        home_amount=decimal(found.get("amount_in_home_currency")),
        created_at=instant(found.get("createdate")),
        stage_entered_at=instant(found.get("hs_v2_date_entered_current_stage")),
        expected_close_date=day(found.get("closedate"), account.zone),
        owner_id=found.get("hubspot_owner_id") or None,
        company_id=read.company_id,
        lead_source=found.get("hs_analytics_source") or None,
        deal_type=found.get("dealtype") or None,
        lost_reason=found.get(account.lost_reason) or None,
        probability=None if probability is None else round(float(probability), 6),
        last_activity_at=instant(found.get("notes_last_updated")),
        next_activity_at=instant(found.get("notes_next_activity_date")),
        presence="deleted" if read.archived else "present",
        foreign_ids={"salesforce": salesforce} if salesforce else {},
        custom_fields=custom_fields(found, account),
        updated_at=instant(found.get("hs_lastmodifieddate")),
        raw=read.raw,
    )


def _amount(found: Mapping[str, str | None], account: Account) -> Decimal | None:
    amount = decimal(found.get("amount"))
    if amount != 0 or account.zero_amount == "zero":
        return amount
    is_lost = found.get("hs_is_closed") == "true" and found.get("hs_is_closed_won") != "true"
    return None if account.zero_amount == "unknown" or is_lost else amount


def custom_fields(found: Mapping[str, str | None], account: Account) -> dict[str, Any]:
    """Everything without a place of its own, under its label; numbers and flags as such, choices as HubSpot stores them."""
    shown: dict[str, Any] = {}
    for name, value in found.items():
        if name in _PLACED or name == account.lost_reason or value is None or value == "":
            continue
        shown[account.labels.get(name, name)] = _typed(value, account.kinds.get(name))
    return shown


_PLACED = frozenset(PLAIN)


def _typed(value: str, kind: str | None) -> Any:
    if kind == "bool":
        return value == "true"
    if kind == "number":
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        return int(number) if number == number.to_integral_value() and abs(number) < 1e15 else float(number)
    return value


def labels(definitions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Property -> label; a label that several properties share gets ` (property)`."""
    count: dict[str, int] = {}
    for item in definitions:
        label = str(item.get("label") or item["name"])
        count[label] = count.get(label, 0) + 1
    return {
        str(item["name"]): label
        if count[label := str(item.get("label") or item["name"])] == 1
        else f"{label} ({item['name']})"
        for item in definitions
    }


def field_def(item: Mapping[str, Any], *, is_read: bool) -> FieldDef:
    """A property definition."""
    return FieldDef(
        object_type="deal",
        code=str(item["name"]),
        label=str(item.get("label") or item["name"]),
        field_type=str(item.get("type") or ""),
        is_custom=not item.get("hubspotDefined", False),
        is_calculated=bool(item.get("calculated", False)),
        is_read=is_read,
        raw={key: value for key, value in item.items() if key not in ("options", "updatedAt")},
    )


def pipeline(item: Mapping[str, Any]) -> Pipeline:
    """A deal pipeline."""
    return Pipeline(
        pipeline_id=str(item["id"]),
        name=str(item.get("label") or item["id"]),
        display_order=item.get("displayOrder"),
        is_active=not item.get("archived", False),
        updated_at=instant(item.get("updatedAt")),
        raw={key: value for key, value in item.items() if key != "stages"},
    )


def stage(pipeline_id: str, item: Mapping[str, Any]) -> Stage:
    """A stage. Closed with probability 1.0 is won, closed with 0.0 is lost; metadata values are text."""
    metadata = item.get("metadata") or {}
    probability = decimal(metadata.get("probability"))
    return Stage(
        pipeline_id=pipeline_id,
        stage_id=str(item["id"]),
        name=str(item.get("label") or item["id"]),
        display_order=item.get("displayOrder"),
        outcome=_outcome(str(metadata.get("isClosed") or "").lower(), probability),
        probability=None if probability is None else float(probability),
        is_archived=bool(item.get("archived", False)),
        updated_at=instant(item.get("updatedAt")),
        raw=dict(item),
    )


def _outcome(is_closed: str, probability: Decimal | None) -> Outcome | None:
    """By the flag, and where an answer lacks it by the probability: 0 and 1 are for lost and won."""
    if is_closed == "false":
        return "open"
    if probability is not None and probability in (0, 1):
        return "won" if probability == 1 else "lost"
    return None


def owner(item: Mapping[str, Any]) -> Owner:
    """An owner; `id` is what deals name."""
    name = " ".join(part for part in (item.get("firstName"), item.get("lastName")) if part)
    return Owner(
        owner_id=str(item["id"]),
        name=name or item.get("email") or None,
        email=item.get("email") or None,
        is_active=not item.get("archived", False),
        updated_at=instant(item.get("updatedAt")),
        raw=dict(item),
    )


def history(read: Read, account: Account) -> HistoryRead:
    """All stage and field changes of a deal, from the property histories of one answer; complete unless a list may have been cut.

    The answer lists versions newest first. Consecutive equal values (re-saves, merges) are collapsed by the build.
    """
    versions = {name: _oldest_first((read.history or {}).get(name) or []) for name in HISTORY}
    stages = versions["dealstage"]
    # Without any version a deal sits where it was created; but an answer that brings no histories, as one of the recycle bin may, says nothing.
    is_told = bool(stages) or (read.history is not None and not read.archived)
    changes = _stage_changes(read, stages, versions["pipeline"], account) if is_told else []
    note = None if is_told else "HubSpot gave no history with the deal"
    if note is None and not agrees(read, changes):
        note = "the history ends in another stage than the deal is in"
    elif note is None and len(stages) == VERSION_CAP and not _starts_at_creation(read, stages):
        note = f"exactly {VERSION_CAP} versions of the stage: HubSpot may have dropped older ones"
    return HistoryRead(
        deal_id=read.id,
        complete=note is None,
        stage_changes=tuple(changes),
        field_changes=tuple(_field_changes(read, versions, account)),
        is_combined=bool(read.properties.get("hs_merged_object_ids")),
        note=note,
    )


def agrees(read: Read, changes: Sequence[StageChange]) -> bool:
    """Whether the history ends in the stage the deal is in."""
    now = read.properties.get("dealstage")
    return not changes or not now or changes[-1].to_stage_id == now


def _starts_at_creation(read: Read, stages: Sequence[_Version]) -> bool:
    created = instant(read.properties.get("createdate"))
    return created is not None and abs((stages[0].at - created).total_seconds()) < 1


class _Version(msgspec.Struct):
    """One version of a property; `twin`: how many equal ones of the same instant came before."""

    at: datetime
    value: str
    entry: Entry
    twin: int = 0

    @property
    def by(self) -> str | None:
        return _by(self.entry)

    def event_id(self, name: str) -> str:
        """Made of content, so that it survives re-reading."""
        return f"{name}:{self.at.isoformat()}:{self.value}" + (f":{self.twin}" if self.twin else "")


def _oldest_first(entries: Sequence[Entry]) -> list[_Version]:
    found = []
    for entry in reversed(entries):
        at = instant(entry.timestamp)
        if at is not None:
            found.append(_Version(at, entry.value or "", entry))
    # Stable: entries of one instant keep HubSpot's order.
    found.sort(key=_at)
    for number, version in enumerate(found):
        before = number - 1
        while before >= 0 and found[before].at == version.at:
            version.twin += found[before].value == version.value
            before -= 1
    return found


def _at(version: _Version) -> datetime:
    return version.at


def _by(entry: Entry) -> str | None:
    if entry.updatedByUserId is not None:
        return f"user:{entry.updatedByUserId}"
    source = entry.sourceId or ""
    return f"user:{source.removeprefix('userId:')}" if source.startswith("userId:") else None


def _raw(name: str, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"property": name}
    for key in _ENTRY:
        value = getattr(entry, key)
        if value is not None:
            found[key] = value
    return found


_ENTRY = Entry.__struct_fields__


def _stage_changes(
    read: Read, stages: Sequence[_Version], pipelines: Sequence[_Version], account: Account
) -> list[StageChange]:
    if not stages:
        return _created(read, account)
    times = [version.at for version in pipelines]
    changes = []
    for number, version in enumerate(stages):
        if not version.value:
            continue
        then = pipelines[max(0, bisect_right(times, version.at) - 1)].value if pipelines else None
        known = account.pipeline_with(version.value, then)
        changes.append(
            StageChange(
                event_id=version.event_id("dealstage"),
                deal_id=read.id,
                changed_at=version.at,
                to_stage_id=version.value,
                to_pipeline_id=known or read.properties.get("pipeline") or None,
                changed_by_id=version.by,
                sequence=number,
                raw=_raw("dealstage", version.entry),
            )
        )
    return changes


def _created(read: Read, account: Account) -> list[StageChange]:
    """A deal whose stage has no history sits where it was created."""
    stage_id, created = read.properties.get("dealstage"), instant(read.properties.get("createdate"))
    if not stage_id or created is None:
        return []
    return [
        StageChange(
            event_id="created",
            deal_id=read.id,
            changed_at=created,
            to_stage_id=stage_id,
            to_pipeline_id=account.pipeline_with(stage_id, read.properties.get("pipeline")),
            evidence="created",
        )
    ]


def _field_changes(read: Read, versions: Mapping[str, Sequence[_Version]], account: Account) -> list[FieldChange]:
    created = instant(read.properties.get("createdate"))
    changes: list[FieldChange] = []
    for name, field in HISTORY.items():
        if field == "stage":
            continue
        before: str | None = None
        for number, version in enumerate(versions[name]):
            value = _canonical(field, version.value, account)
            is_creation = number == 0 and (created is None or abs((version.at - created).total_seconds()) < 1)
            if value != before and not is_creation:
                changes.append(
                    FieldChange(
                        event_id=version.event_id(name),
                        deal_id=read.id,
                        field=field,
                        changed_at=version.at,
                        old_value=before,
                        new_value=value,
                        changed_by_id=version.by,
                        sequence=number,
                        raw=_raw(name, version.entry),
                    )
                )
            before = value
    return changes


def _canonical(field: str, value: str, account: Account) -> str | None:
    if value == "":
        return None
    if field == "expected_close_date":
        found = day(value, account.zone)
        return None if found is None else found.isoformat()
    if field == "amount":
        return format(Decimal(value), "f") if _is_number(value) else None
    return value


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def differs(version: str, modified: str | None) -> bool:
    """Whether a held version is another one than HubSpot shows; compared as instants, since HubSpot drops zero fractions."""
    return not version or not modified or parse_instant(version) != instant(modified)
