"""What a made-up company consists of, and the events in the lives of its deals. Vendor-neutral; see `world`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

DAY_MS = 86_400_000
DEFAULT_NOW = dt.datetime(2026, 11, 20, 12, 0, 0, tzinfo=dt.UTC)

OPEN, WON, LOST = "open", "won", "lost"
PRESENT, DELETED, ARCHIVED, MERGED, PURGED = "present", "deleted", "archived", "merged", "purged"


def to_ms(instant: dt.datetime | int) -> int:
    """Epoch milliseconds of an aware datetime (integers pass)."""
    if isinstance(instant, int):
        return instant
    if instant.tzinfo is None:
        raise ValueError("world: a time without a zone; give an aware datetime")
    return round(instant.timestamp() * 1000)


def to_datetime(at_ms: int) -> dt.datetime:
    """Aware UTC datetime of epoch milliseconds."""
    return dt.datetime.fromtimestamp(at_ms // 1000, tz=dt.UTC).replace(microsecond=at_ms % 1000 * 1000)


def to_date(at_ms: int) -> dt.date:
    """The UTC calendar day of epoch milliseconds."""
    return to_datetime(at_ms).date()


class Change(NamedTuple):
    """One field of one deal, before and after. Creation events have `old` None throughout."""

    field: (
        str  # stage, pipeline, amount, currency, close_date, owner, company, name, lost_reason, presence, custom:<key>
    )
    old: Any  # stage/pipeline/owner/company: ids; amount: Decimal | None; close_date: date | None
    new: Any


@dataclass(slots=True)
class Event:
    """One save of one deal. Ids grow in the order of commits, so they break ties within an instant."""

    id: int
    at_ms: int
    actor_id: int
    changes: tuple[Change, ...]


@dataclass(slots=True)
class Stage:
    """`name` is what it was called at first (an API name); `label` is what people see today."""

    id: int
    pipeline_id: int
    name: str
    order: int
    outcome: str
    probability: int
    label: str = ""
    active: bool = True  # False: nobody can pick it any more, old deals keep it
    gone: bool = False  # True: the CRM has forgotten it; only history still names it
    stamp_ms: int = 0


@dataclass(slots=True)
class Pipeline:
    """A sales process."""

    id: int
    name: str
    order: int
    active: bool = True
    stamp_ms: int = 0


@dataclass(slots=True)
class Owner:
    """A salesperson. `active` False: deactivated, still listed. `deleted`: listed nowhere, deals still name the id."""

    id: int
    name: str
    email: str
    active: bool = True
    deleted: bool = False
    created_ms: int = 0
    stamp_ms: int = 0


@dataclass(slots=True)
class Company:
    """A customer. A merged company points to the one that stayed."""

    id: int
    name: str
    industry: str
    country: str
    owner_id: int
    created_ms: int
    stamp_ms: int
    presence: str = PRESENT
    merged_into: int | None = None


@dataclass(frozen=True, slots=True)
class CustomField:
    """A field of their own. `kind`: text, longtext, number, date, bool, choice, multichoice. Labels may repeat."""

    key: str
    label: str
    kind: str
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class Deal:
    """One deal as it is now, and everything that ever happened to it (`events`, oldest first)."""

    id: int
    name: str
    pipeline_id: int
    stage_id: int
    amount: Decimal | None
    currency: str
    close_date: dt.date | None
    owner_id: int
    company_id: int | None
    created_ms: int
    modified_ms: int  # last change by a person
    stamp_ms: int  # last change by anybody or anything (automated touches too); >= modified_ms
    lost_reason: str | None = None
    presence: str = PRESENT
    merged_into: int | None = None
    custom: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class StageVisit(NamedTuple):
    """One entry into a stage: the truth that `stage_changes` of a sync must agree with."""

    at_ms: int
    pipeline_id: int
    stage_id: int


class LockedDealError(RuntimeError):
    """A deal was changed while an uncommitted transaction holds its row."""
