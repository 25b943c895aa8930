"""A harness over Muara's made-up company (`connectors.sandbox.world`): a fake CRM that shows this company gets nearly all of it for nothing.

A subclass says how to build the server, how the CRM writes ids, and what it calls a stage. The world and the server are used by their shape
alone: nothing is imported from the sandbox here.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, ClassVar

from connectors.testing.harness import FaultKind, Harness, Impossible, NewField, TrueDeal, Truth
from connectors.testing.tamper import Tampered

#: What the server's own fault rules call these kinds.
_SERVER_FAULTS = ("rate_limited", "daily_limit", "unauthorized", "unavailable", "cut_body")
_OPEN = "open"


class WorldHarness(Harness):
    """One running fake CRM over a world. `resolution_ms`: the finest step of the CRM's instants; the world has milliseconds."""

    resolution_ms: ClassVar[int] = 1
    #: Keep the world's deals with a story (reopened, merged, ...); worlds below 45 deals have none.
    cases: ClassVar[bool] = True
    #: A custom field of the world that is hidden at first, so that it can appear: (key, value to give it, value as the record shows it).
    new_field: ClassVar[tuple[str, Any, Any]] = ("score", Decimal(77), 77)

    #: How a deal's amount of 987654321.12 stands in an answer (a regular expression), and what stands there once the record is broken.
    bad_value: ClassVar[tuple[str, str]] = (r"(:\s*)987654321\.12\b", r'\1"no number"')

    world: Any
    server: Any

    def build(self) -> tuple[Any, Any]:
        """(world, server): a `World` of `self.size` deals and a server of the fake CRM over it, not started."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to build its world and server")

    def __enter__(self) -> Any:
        """Start the server."""
        self.world, self.server = self.build()
        self.tampered = Tampered(self.server.app)
        self.server.app = self.tampered
        # The fake's own log of calls must not be taken for memory of the connector.
        self.server.log = deque(maxlen=10)
        self.world.hide_field("deal", f"custom:{self.new_field[0]}")
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.server.__exit__(kind, error, trace)

    # --- how this CRM writes things -----------------------------------------------------------------------------------------------

    def deal_key(self, number: int) -> str:
        """A deal's id as the connector yields it."""
        return str(number)

    def stage_key(self, stage: Any) -> tuple[str, str]:
        """(pipeline id, stage id) of a stage of the world."""
        return str(stage.pipeline_id), str(stage.id)

    def stage_of(self, deal: Any) -> tuple[str, str]:
        """(pipeline id, stage id) that the deal is in."""
        return self.stage_key(self.world.stages[deal.stage_id])

    def is_there(self, deal: Any) -> bool:
        """Whether a deal is plainly there; a CRM that has no archive shows archived deals like all others."""
        return bool(deal.presence == "present")

    def owner_key(self, number: int) -> str:
        """An owner's id."""
        return str(number)

    def company_key(self, number: int) -> str:
        """A company's id."""
        return str(number)

    def path(self, deal: Any) -> Iterable[tuple[int, str]]:
        """(epoch ms, stage id) of every entry into a stage that the CRM can tell of."""
        for visit in self.world.stage_path(deal.id):
            yield visit.at_ms, self.stage_key(self.world.stages[visit.stage_id])[1]

    def instant(self, at_ms: int) -> dt.datetime:
        """An instant in the CRM's resolution."""
        cut = at_ms // self.resolution_ms * self.resolution_ms
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=cut)

    # --- what is there -------------------------------------------------------------------------------------------------------------

    @property
    def truth(self) -> Truth:
        """The world as the API user may see it."""
        world = self.world
        hidden = world.hidden.get("api", set())
        seen = [deal for deal in world.deals.values() if deal.id not in hidden]
        merged = [deal for deal in seen if deal.presence == "merged"]
        return Truth(
            deals={self.deal_key(d.id): self.true_deal(d) for d in seen if self.is_there(d)},
            gone={self.deal_key(d.id): d.presence for d in seen if not self.is_there(d)},
            survivors={self.deal_key(d.id): self.deal_key(d.merged_into) for d in merged},
            owners=frozenset(self.owner_key(o.id) for o in world.owners.values() if not o.deleted),
            companies=frozenset(self.company_key(c.id) for c in world.companies.values() if c.presence == "present"),
            stages={self.stage_key(s): s.label for s in world.stages.values() if not s.gone},
        )

    def true_deal(self, deal: Any) -> TrueDeal:
        """One deal; override what the CRM tells otherwise or not at all."""
        pipeline_id, stage_id = self.stage_of(deal)
        path: list[tuple[dt.datetime, str]] = []
        for at_ms, stage in self.path(deal):
            if not path or path[-1][1] != stage:
                path.append((self.instant(at_ms), stage))
        return TrueDeal(
            deal_id=self.deal_key(deal.id),
            pipeline_id=pipeline_id,
            stage_id=stage_id,
            outcome=self.world.stages[deal.stage_id].outcome,
            path=tuple(path),
            created_at=self.instant(deal.created_ms),
            amount=deal.amount,
            currency=deal.currency if deal.amount is not None else None,
            expected_close_date=deal.close_date,
            owner_id=self.owner_key(deal.owner_id),
            company_id=None if deal.company_id is None else self.company_key(deal.company_id),
        )

    @property
    def now(self) -> dt.datetime:
        """The world's clock."""
        found: dt.datetime = self.world.now
        return found

    def advance(self, seconds: float) -> None:
        """Let the world's time pass; late commits that fall due become visible."""
        self.world.tick(seconds)

    @property
    def calls(self) -> int:
        """Requests of all endpoints."""
        return int(self.server.total_calls)

    @property
    def alone(self) -> int:
        """Requests that found no other under way."""
        return int(self.server.alone)

    @property
    def most_at_once(self) -> int:
        """The most requests under way together."""
        return int(self.server.peak_in_flight)

    # --- what happens in it --------------------------------------------------------------------------------------------------------

    def number(self, deal_id: str) -> int:
        """The world's number of a deal."""
        return int(next(number for number in self.world.deals if self.deal_key(number) == deal_id))

    def create(self, *, amount: Decimal | None = Decimal(1000)) -> str:
        """A new deal in the first pipeline, of the first owner and company."""
        owner = next(o.id for o in self.world.owners.values() if o.active)
        company = next(c.id for c in self.world.companies.values() if c.presence == "present")
        return self.deal_key(self.world.create(amount=amount, owner_id=owner, company_id=company).id)

    def move(self, deal_id: str) -> None:
        """Into the next open stage of its pipeline, after the last one into the first."""
        deal = self.world.deals[self.number(deal_id)]
        stages = [s for s in self.world.pipeline_stages(deal.pipeline_id) if s.outcome == _OPEN and s.active]
        orders = [s.order for s in stages]
        here = self.world.stages[deal.stage_id].order
        target = next((s for s, order in zip(stages, orders, strict=True) if order > here), stages[0])
        self.world.move(deal.id, target.id)

    def edit(self, deal_id: str, *, amount: Decimal) -> None:
        """Another amount."""
        self.world.edit(self.number(deal_id), amount=amount)

    def close(self, deal_id: str, *, won: bool) -> None:
        """Won, or lost for a reason."""
        number = self.number(deal_id)
        if won:
            self.world.win(number)
        else:
            self.world.lose(number)

    def reopen(self, deal_id: str) -> None:
        """Into the stage that it was last open in."""
        self.world.reopen(self.number(deal_id))

    def delete(self, deal_id: str) -> None:
        """Into the bin."""
        self.world.delete(self.number(deal_id))

    def restore(self, deal_id: str) -> None:
        """Out of the bin or the archive."""
        self.world.restore(self.number(deal_id))

    def archive(self, deal_id: str) -> None:
        """Put away."""
        self.world.archive(self.number(deal_id))

    def merge(self, loser: str, survivor: str) -> None:
        """One into the other."""
        self.world.merge(self.number(loser), self.number(survivor))

    def purge(self, deal_id: str) -> None:
        """Without a trace."""
        self.world.purge(self.number(deal_id))

    def hide(self, deal_ids: Sequence[str]) -> None:
        """From the API user."""
        self.world.hide([self.number(deal_id) for deal_id in deal_ids])

    def unhide(self, deal_ids: Sequence[str]) -> None:
        """Visible to the API user again."""
        self.world.unhide([self.number(deal_id) for deal_id in deal_ids])

    def rename_stage(self) -> tuple[str, str, str]:
        """The first open stage of the first pipeline gets another label."""
        stage = self._busy_stage()
        self.world.rename_stage(stage.id, "Another name")
        return (*self.stage_key(stage), "Another name")

    def remove_stage(self) -> tuple[str, str]:
        """A stage that holds live deals is retired; the deals keep it."""
        stage = self._busy_stage()
        self.world.remove_stage(stage.id)
        return self.stage_key(stage)

    def _busy_stage(self) -> Any:
        held = {d.stage_id for d in self.world.deals.values() if d.presence == "present"}
        open_ones = [s for s in self.world.stages.values() if s.outcome == _OPEN and s.active and s.id in held]
        if not open_ones:
            raise Impossible("no live deal is in an open stage")
        return open_ones[0]

    def late_commit(self, deal_id: str, *, amount: Decimal, seconds: float) -> None:
        """A long transaction."""
        self.world.late_commit(self.number(deal_id), seconds, amount=amount)

    def add_field(self) -> NewField:
        """The hidden custom field appears, and the first live deal has a value in it."""
        key, given, shown = self.new_field
        deal_id = min(self.truth.deals)
        self.world.show_field("deal", f"custom:{key}")
        self.world.edit(self.number(deal_id), custom={key: given})
        label = self.world.custom_fields[key].label
        return NewField(code=self.field_code(key), label=label, deal_id=deal_id, value=shown)

    def field_code(self, key: str) -> str:
        """What the CRM calls a custom field of the world."""
        return key

    def bad_record(self) -> str:
        """The last live deal's amount becomes something that is no number."""
        deal_id = max(self.truth.deals)
        self.world.edit(self.number(deal_id), amount=Decimal("987654321.12"))
        self.tampered.replace(*self.bad_value)
        return deal_id

    def slow(self, seconds: float) -> None:
        """The server's latency."""
        self.server.latency = seconds

    # --- what goes wrong -----------------------------------------------------------------------------------------------------------

    def fault(self, kind: FaultKind, *, after: int = 0, times: int | None = 1, retry_after: int | None = None) -> None:
        """A rule of the server, or of the app in front of it."""
        if kind == "bad_request":
            self.tampered.refuse(after=after, times=times)
        elif kind in _SERVER_FAULTS:
            self.server.faults.add(
                kind, after=after, times=times, retry_after=retry_after, match=self.fault_match(kind)
            )
        else:
            raise Impossible(f"the fake CRM cannot answer as {kind}")

    def fault_match(self, kind: FaultKind) -> str:
        """Which endpoints a kind of trouble befalls (a glob)."""
        return "*"

    def clear_faults(self) -> None:
        """All rules end; broken records stay broken."""
        self.server.faults.clear()
        self.tampered.clear()
