"""The workbench of one check: a running fake CRM, a landing, a clock that both follow, and one line per sync."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from connectors.sdk import Capabilities, Connector, FakeClock, FieldChange, MemoryTokens, StageChange
from connectors.sdk.settings import load
from connectors.testing.entries import Version
from connectors.testing.harness import Harness, Truth
from connectors.testing.landing import Landing
from connectors.testing.runs import ContractSync, Outcome, new_sync, run


class ContractError(AssertionError):
    """A promise is not kept. The message says which deals show it and what to look for."""


def must(kept: Any, message: str) -> None:
    """Raise ContractError unless `kept`."""
    if not kept:
        raise ContractError(message)


class LinkedClock(FakeClock):
    """A clock whose waiting lets time pass in the fake CRM too."""

    def __init__(self, crm: Harness) -> None:
        super().__init__(crm.now)
        self._crm = crm

    def sleep(self, seconds: float) -> None:
        """Move both on at once."""
        super().sleep(seconds)
        if seconds > 0:
            self._crm.advance(seconds)


class Bench:
    """What a check works with. `crm` is started on first use, with the harness's usual number of deals unless `start` asks for another."""

    def __init__(self, harness: type[Harness], connector: type[Connector] | None = None) -> None:
        self.harness = harness
        self.connector = connector or harness.connector
        self._stack = ExitStack()
        self._crm: Harness | None = None
        self.fresh()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def capabilities(self) -> Capabilities:
        """What the connector declares."""
        return self.connector.capabilities

    @property
    def crm(self) -> Harness:
        """The running fake CRM."""
        return self._crm if self._crm is not None else self.start()

    def start(self, deals: int | None = None, seed: int = 1) -> Harness:
        """A new fake CRM and an empty landing."""
        self._stack.close()
        deals = self.harness.usual_size if deals is None else deals
        self._crm = self._stack.enter_context(self.harness(deals=deals, seed=seed))
        self.clock = LinkedClock(self._crm)
        self.fresh()
        return self._crm

    def fresh(self) -> None:
        """An empty landing, as if this source had never been synced; the fake CRM goes on."""
        self.landing = Landing()
        self.tokens = MemoryTokens()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Let time pass."""
        seconds = ((days * 24 + hours) * 60 + minutes) * 60
        self.crm.advance(seconds)
        self.clock.advance(seconds=seconds)

    @property
    def truth(self) -> Truth:
        """What is true now."""
        return self.crm.truth

    def ids(self) -> list[str]:
        """Live deals, open ones first, in order of their ids."""
        deals = self.truth.deals
        return sorted(deals, key=lambda deal_id: (deals[deal_id].outcome in ("won", "lost"), deal_id))

    def sync(
        self,
        *,
        full: bool = False,
        stop_after: int | None = None,
        budget_file: Path | None = None,
        bugs: bool = False,
        **config: Any,
    ) -> Outcome:
        """One sync into the landing; `config` changes settings. An error that is none of the SDK's is a broken promise unless `bugs`."""
        sync = self.prepared(full=full, budget_file=budget_file, **config)
        connector = self.connector(sync.settings, source_key=sync.source_key)
        outcome = run(connector, sync, stop_after=stop_after)
        if outcome.bug is not None and not bugs:
            kind = type(outcome.bug).__name__
            raise ContractError(
                f"the connector raised {kind}: {outcome.bug}. What a source can cause must be a MuaraError or a Reject."
            ) from outcome.bug
        return outcome

    def good_sync(self, **options: Any) -> Outcome:
        """A sync that must end as complete."""
        outcome = self.sync(**options)
        must(
            outcome.status == "complete",
            f"a sync without trouble ended as {outcome.status}: {'; '.join(outcome.reasons)}",
        )
        return outcome

    def prepared(self, *, full: bool = False, budget_file: Path | None = None, **config: Any) -> ContractSync:
        """The next sync, not started."""
        settings = self.settings(**config)
        return new_sync(
            self.connector,
            settings,
            self.landing,
            clock=self.clock if self._crm is not None else FakeClock(),
            tokens=self.tokens,
            full=full,
            budget_file=budget_file,
        )

    def settings(self, **config: Any) -> Any:
        """The connector's settings, `config` in place of the harness's own."""
        merged: Mapping[str, Any] = {**self.crm.settings, **config}
        return load(self.connector.Settings, merged, where=self.connector.name)

    def folder(self) -> Path:
        """A folder that lives as long as the bench."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="muara-contract-")))

    def now(self) -> datetime:
        """The clock's instant."""
        return self.clock.now()


def some(keys: Any, most: int = 5) -> str:
    """A few keys for a message, and how many more there are."""
    names = sorted(map(str, keys))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    """One line for each key and field in which two sets of records differ."""
    for key in sorted({*left, *right}):
        if key not in left or key not in right:
            yield f"{key} is only in the {'second' if key in right else 'first'}"
            continue
        for name in left[key].__struct_fields__:
            if name in ("raw", "read_at"):
                continue
            one, other = getattr(left[key], name), getattr(right[key], name, None)
            if one != other:
                yield f"{key}.{name}: {one!r} against {other!r}"


def agrees(bench: Bench, when: str) -> None:
    """Raise ContractError unless every live deal is held, live, and in the stage and with the amount that the source says."""
    held, presence = bench.landing.current("deals"), bench.landing.presence()
    for deal_id, true in bench.truth.deals.items():
        must(deal_id in held, f"{when}: deal {deal_id} is missing")
        kind = presence[deal_id]
        must(kind == "present", f"{when}: deal {deal_id} is there, landing has it as {kind}")
        found = held[deal_id]
        must(
            found.stage_id == true.stage_id,
            f"{when}: deal {deal_id} is in stage {true.stage_id}, landing has {found.stage_id}",
        )
        if true.amount is not msgspec.UNSET:
            must(
                found.amount == true.amount,
                f"{when}: the amount of deal {deal_id} is {true.amount}, landing has {found.amount}",
            )


def same_landing(left: Landing, right: Landing, when: str, *, unmoved: Collection[str] = ()) -> None:
    """Raise ContractError unless two landings hold the same: content, presence, history, and no version more.

    `unmoved`: deals whose history need not have been read again, because their stage stood still.
    """
    for stream in sorted({*left.entries, *right.entries}):
        found = list(differences(left.current(stream), right.current(stream)))
        must(not found, f"{when}: {stream} differ: {some(found, 3)}")
        one, other = left.presence(stream), right.presence(stream)
        odd = [key for key in {*one, *other} if one.get(key) != other.get(key)]
        must(not odd, f"{when}: presence in {stream} differs: {some(odd)}")
        twice = [key for key, entry in right.entries.get(stream, {}).items() if _repeats(entry.versions)]
        must(not twice, f"{when}: the same content of {stream} {some(twice)} was landed twice")
    for deal_id in sorted({*left.readings, *right.readings}):
        for kind in (StageChange,) if deal_id in unmoved else (StageChange, FieldChange):
            events = [{e.event_id: _plain(e) for e in landing.events(deal_id, kind)} for landing in (left, right)]
            found = list(differences(*events))
            must(
                not found,
                f"{when}: the {kind.__name__} events of deal {deal_id} differ (by their ids): {some(found, 3)}",
            )


def _repeats(versions: list[Version]) -> bool:
    ordered = [version.digest for version in sorted(versions, key=lambda version: version.place)]
    return any(one == other for one, other in pairwise(ordered))


def _plain(event: StageChange | FieldChange) -> StageChange | FieldChange:
    return msgspec.structs.replace(event, raw={})
