"""What the contract suite must be told about a connector: how to start its fake CRM, how to change it, and what is true.

A Harness object *is* one running fake CRM. Implement what your fake can do; what you leave out raises `Impossible`, and the checks that need it are
reported as "declared impossible", never as passed. With Muara's sandbox world most of it is done for you: see `connectors.testing.WorldHarness`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal

import msgspec

from connectors.sdk import Connector

#: Things that go wrong on request.
#: rate_limited   429 with Retry-After, the call had no effect          daily_limit    the vendor's words for "today's quota is used up"
#: unauthorized   401, and every token issued so far is dead            unavailable    503, the call had no effect
#: cut_body       the answer ends half way                              bad_request    400, whatever is asked
FaultKind = Literal["rate_limited", "daily_limit", "unauthorized", "unavailable", "cut_body", "bad_request"]

Unset = msgspec.UnsetType


class Impossible(Exception):  # noqa: N818 - not an error: a fact about a CRM or its fake
    """The fake CRM cannot do this. `note` is the sentence that the report shows."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class TrueDeal(msgspec.Struct, frozen=True, kw_only=True):
    """One live deal as a perfect sync would know it, with ids as the connector writes them. Fields left UNSET are not compared.

    `path`: (instant in UTC, stage id) of every entry into a stage, the first one included, oldest first, in the resolution of the CRM.
    """

    deal_id: str
    stage_id: str
    path: tuple[tuple[datetime, str], ...] | Unset = msgspec.UNSET
    pipeline_id: str | Unset | None = msgspec.UNSET
    outcome: Literal["open", "won", "lost"] | Unset = msgspec.UNSET
    created_at: datetime | Unset | None = msgspec.UNSET
    amount: Decimal | Unset | None = msgspec.UNSET
    currency: str | Unset | None = msgspec.UNSET
    expected_close_date: date | Unset | None = msgspec.UNSET
    owner_id: str | Unset | None = msgspec.UNSET
    company_id: str | Unset | None = msgspec.UNSET


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account as the connector's user may see it.

    `gone`: deal id -> archived, deleted, merged or purged, for every other deal; `survivors`: merged deal -> the deal that it became.
    `owners` and `companies`: ids of all that the CRM lists. `stages`: (pipeline id, stage id) -> the name that people see today.
    """

    deals: Mapping[str, TrueDeal]
    gone: Mapping[str, str] = {}
    survivors: Mapping[str, str] = {}
    owners: frozenset[str] = frozenset()
    companies: frozenset[str] = frozenset()
    stages: Mapping[tuple[str, str], str] = {}


class NewField(msgspec.Struct, frozen=True, kw_only=True):
    """A custom field that appeared: its code in the source, its label, and the deal that has `value` in it (as the record shows it)."""

    code: str
    label: str
    deal_id: str
    value: Any


class Harness:
    """One running fake CRM of one connector; a context manager. `deals`: about how many live deals it holds, the same ones for the same `seed`.

    What the suite changes it changes through the methods below, deals being named by the ids that the connector yields.
    """

    connector: ClassVar[type[Connector]]
    #: About how many live deals the account of an ordinary check holds: a few pages full.
    usual_size: ClassVar[int] = 12
    #: Numbers of deals between which memory must not grow.
    memory_sizes: ClassVar[tuple[int, int]] = (100, 300)
    #: The smallest page that the source serves: where it is not 1, the suite asks for this many rows a page.
    smallest_page: ClassVar[int] = 1
    #: Days after which every sweep of the connector is due.
    sweep_days: ClassVar[int] = 35

    #: Where recorded answers lie: they must be scrubbed. By default the folder of the harness's own module, with all below it.
    recordings: ClassVar[Path | None] = None

    def __init__(self, *, deals: int, seed: int = 1) -> None:
        self.size = deals
        self.seed = seed

    def __enter__(self) -> Any:
        """Start the fake CRM."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, with everything it started."""

    # --- what is there -----------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Mapping[str, Any]:
        """The source's `config:` with every value in place, secrets too."""
        raise NotImplementedError(f"{type(self).__name__} does not say its settings")

    @property
    def truth(self) -> Truth:
        """What a perfect sync would know now."""
        raise NotImplementedError(f"{type(self).__name__} does not say what is true")

    @property
    def now(self) -> datetime:
        """The fake CRM's clock (aware UTC); the suite's own clock starts here."""
        raise NotImplementedError(f"{type(self).__name__} has no clock")

    def advance(self, seconds: float) -> None:
        """Let time pass in the fake CRM."""
        raise NotImplementedError(f"{type(self).__name__} has no clock")

    @property
    def calls(self) -> int:
        """How many requests have come in so far, of whatever kind."""
        raise Impossible("the harness does not count calls")

    @property
    def alone(self) -> int:
        """How many of these requests came in while no other was under way."""
        raise Impossible("the harness does not see which calls are under way together")

    @property
    def most_at_once(self) -> int:
        """The most requests that were under way together."""
        raise Impossible("the harness does not see which calls are under way together")

    @property
    def secrets(self) -> Sequence[str]:
        """Secrets that are no settings, such as the access tokens issued so far."""
        return ()

    # --- what happens in it ------------------------------------------------------------------------------------------------------

    def create(self, *, amount: Decimal | None = Decimal(1000)) -> str:
        """A new deal in the entry stage; returns its id."""
        raise _cannot("create a deal")

    def move(self, deal_id: str) -> None:
        """Into another open stage."""
        raise _cannot("move a deal")

    def edit(self, deal_id: str, *, amount: Decimal) -> None:
        """One save that leaves the stage alone. Saves between which no time passes have one and the same instant."""
        raise _cannot("edit a deal")

    def close(self, deal_id: str, *, won: bool) -> None:
        """Won or lost."""
        raise _cannot("close a deal")

    def reopen(self, deal_id: str) -> None:
        """Back from won or lost into an open stage."""
        raise _cannot("reopen a deal")

    def delete(self, deal_id: str) -> None:
        """Deleted as a person does it."""
        raise _cannot("delete a deal")

    def restore(self, deal_id: str) -> None:
        """Back from the bin, or from the archive."""
        raise _cannot("restore a deal")

    def archive(self, deal_id: str) -> None:
        """Put away, not deleted."""
        raise _cannot("archive a deal")

    def merge(self, loser: str, survivor: str) -> None:
        """The loser's life goes on in the survivor."""
        raise _cannot("merge deals")

    def purge(self, deal_id: str) -> None:
        """Gone without a trace: no list of deleted deals has it, no modified time moves."""
        raise _cannot("purge a deal")

    def hide(self, deal_ids: Sequence[str]) -> None:
        """A permission changes: the connector's user does not see these deals any more. No modified time moves."""
        raise _cannot("hide deals")

    def unhide(self, deal_ids: Sequence[str]) -> None:
        """The user sees them again."""
        raise _cannot("show hidden deals again")

    def rename_stage(self) -> tuple[str, str, str]:
        """People give a stage another name; returns (pipeline id, stage id, new name)."""
        raise _cannot("rename a stage")

    def remove_stage(self) -> tuple[str, str]:
        """A stage that holds live deals can be chosen no more; returns (pipeline id, stage id)."""
        raise _cannot("remove a stage")

    def late_commit(self, deal_id: str, *, amount: Decimal, seconds: float) -> None:
        """An edit that carries the present instant, but can be read only `seconds` later."""
        raise _cannot("commit late")

    def add_field(self) -> NewField:
        """A custom field appears, with a value in one deal that was saved just now."""
        raise _cannot("add a field")

    def bad_record(self) -> str:
        """From now on one deal has a value that cannot be read (a date that is none, say); returns its id."""
        raise _cannot("serve a broken record")

    def slow(self, seconds: float) -> None:
        """From now on each answer takes so long, in real time; a few milliseconds are enough."""
        raise _cannot("be slow")

    def limit_pages(self, rows: int | None) -> None:
        """Serve at most so many rows a page (None: as usual), where a connector's `page_size` alone does not bring that about."""

    # --- what goes wrong ---------------------------------------------------------------------------------------------------------

    def fault(self, kind: FaultKind, *, after: int = 0, times: int | None = 1, retry_after: int | None = None) -> None:
        """Trouble with the calls that come after `after` others: with `times` of them, or with all (None)."""
        raise _cannot(f"answer as {kind}")

    def clear_faults(self) -> None:
        """No trouble any more."""

    def retry_kinds(self) -> Sequence[FaultKind]:
        """Which kinds of passing trouble this fake can make."""
        return ("unavailable", "cut_body")


def _cannot(what: str) -> Impossible:
    return Impossible(f"the fake CRM of this harness cannot {what}")
