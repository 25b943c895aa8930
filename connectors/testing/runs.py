"""One sync of a connector into the reference landing: the loop of Muara's own sync, with the SDK's call policy and a clock that never waits."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal

import msgspec

from connectors.sdk import (
    KEYS,
    CallPolicy,
    CallReport,
    Checkpoint,
    Connector,
    DailyBudget,
    DataError,
    FakeClock,
    MemoryTokens,
    MuaraError,
    QuotaError,
    Record,
    Reject,
    StandaloneSync,
    Warn,
    secrets_of,
)
from connectors.testing.held import LandedHeld
from connectors.testing.landing import KEYED_STREAMS, Landing

Status = Literal["complete", "partial", "suspicious", "failed", "killed"]


class Outcome(msgspec.Struct, kw_only=True):
    """What one sync came to. `rows`: rows that landing wrote; `records`: everything yielded, in order; `slept`: seconds of each wait;
    `bug`: an error that is none of the SDK's.
    """

    status: Status = "complete"
    reasons: list[str] = []
    error: MuaraError | None = None
    bug: Exception | None = None
    records: list[Record] = []
    warnings: list[Warn] = []
    rows: int = 0
    calls: CallReport | None = None
    slept: list[float] = []
    progress: list[str] = []

    def of(self, *kinds: type) -> list[Any]:
        """Records of these types."""
        return [record for record in self.records if isinstance(record, kinds)]


class ContractSync(StandaloneSync):
    """`StandaloneSync` whose sweeps are recorded by the reference landing: one that is not believed stays due."""

    landing: Landing
    #: The same as `clock`.
    fake_clock: FakeClock

    def sweep_is_due(self, stream: str, every_days: float) -> bool:
        """True when no believed sweep of `stream` began within `every_days`, one is open, or under `full`."""
        swept = self.landing.swept_at.get(stream)
        if self.full or swept is None or stream in self.landing.open_sweeps:
            return True
        return (self.clock.now() - swept).total_seconds() >= every_days * 86_400


def new_sync(
    connector: type[Connector],
    settings: Any,
    landing: Landing,
    *,
    clock: FakeClock,
    tokens: MemoryTokens | None = None,
    full: bool = False,
    page_size: int | None = None,
    budget_file: Path | None = None,
) -> ContractSync:
    """A sync that holds what `landing` holds. `page_size` overrules the settings; `budget_file` counts calls over several syncs."""
    budget = None
    if budget_file is not None:
        budget = DailyBudget(budget_file, clock=clock, ceiling=settings.daily_call_budget)
    policy = CallPolicy(
        connector.name,
        clock=clock,
        rng=random.Random(0),  # noqa: S311 - the same jitter each time
        budget=budget,
        secrets=secrets_of(settings),
        tokens=tokens,
    )
    sync = ContractSync(
        connector,
        settings,
        clock=clock,
        held=LandedHeld(landing),
        cursors=landing.cursors,
        full=full,
        page_size=page_size,
        calls=policy,
    )
    sync.landing, sync.fake_clock = landing, clock
    return sync


def run(connector: Connector, sync: ContractSync, *, stop_after: int | None = None) -> Outcome:
    """Read everything, land it, say how it ended. `stop_after`: the process dies after so many records."""
    landing, outcome = sync.landing, Outcome(reasons=[], records=[], warnings=[])
    slept_before = len(sync.fake_clock.slept)
    landing.begin(sync.clock.now(), connector.mapper_version)
    stream = iter(connector.read(sync))
    count, whole = 0, False
    try:
        for record in stream:
            count += 1
            outcome.records.append(record)
            _take(record, sync, outcome)
            if count == stop_after:
                landing.crash()
                outcome.status = "killed"
                break
        else:
            whole = True
    except (QuotaError, DataError) as error:
        outcome.status, outcome.error = "partial", error
        if isinstance(error, DataError):
            landing.take(
                Reject(stream="deals", reason="data_error", detail=str(error), key=error.key), sync.clock.now()
            )
    except MuaraError as error:
        outcome.status, outcome.error = "failed", error
    except Exception as error:
        # A bug in the connector; whoever asked for this sync is shown it.
        outcome.status, outcome.bug = "failed", error
    finally:
        _close(stream)
    outcome.progress = [what for _, _, what in sync.reports]
    outcome.slept = sync.fake_clock.slept[slept_before:]
    return _ended(connector, sync, outcome, whole=whole)


def _take(record: Record, sync: ContractSync, outcome: Outcome) -> None:
    sync.landing.take(record, sync.clock.now())
    if isinstance(record, Checkpoint):
        sync.cursors = dict(sync.landing.cursors)
    elif isinstance(record, Warn):
        outcome.warnings.append(record)
        if record.makes == "partial" and outcome.status == "complete":
            outcome.status = "partial"
            outcome.reasons.append(record.message)


def _ended(connector: Connector, sync: ContractSync, outcome: Outcome, *, whole: bool) -> Outcome:
    landing = sync.landing
    if outcome.status != "killed":
        declared = {record for decl in connector.streams() for record in decl.records}
        landing.finish(streams_of(declared), whole=whole, full=sync.full)
    doubts = [*landing.suspicions, *(warn.message for warn in outcome.warnings if warn.makes == "suspicious")]
    outcome.reasons += doubts
    if doubts and outcome.status in ("complete", "partial"):
        outcome.status = "suspicious"
    if outcome.error is not None:
        outcome.reasons.append(f"{type(outcome.error).__name__}: {outcome.error}")
    outcome.rows = landing.rows
    outcome.calls = sync.calls.report()
    return outcome


def streams_of(declared: set[type[Record]]) -> set[str]:
    """Names of the keyed streams that records of these types land in."""
    return {KEYS[record][0] for record in declared if record in KEYS} & KEYED_STREAMS


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
