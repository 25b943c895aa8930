"""Run a connector alone: everything the `Sync` protocol promises, in memory, without a warehouse. For plug-in authors and for tests.

sync = StandaloneSync(Acme, {"access_token": "t-1", "base_url": server.url})
first = sync.run()                     # records of a first sync
server.move(deal=1, to="won")
second = sync.again().run()            # only what is new since
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.sdk.budget import DailyBudget
from connectors.sdk.client import CallPolicy
from connectors.sdk.clock import Clock, FakeClock
from connectors.sdk.connector import Connector, Held, HeldDeal
from connectors.sdk.cursor import AT, cursor_at
from connectors.sdk.records import (
    KEYS,
    Checkpoint,
    Deal,
    HistoryRead,
    Record,
    Seen,
    SweepEnd,
    Tombstone,
    joined_key,
)
from connectors.sdk.settings import load, secrets_of


class MemoryHeld:
    """`Held` over dicts. It is fed with the records of earlier syncs (`learn`) or with ready-made entries."""

    def __init__(
        self,
        deals: Mapping[str, HeldDeal] | None = None,
        versions: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._deals = dict(deals or {})
        self._versions = {stream: dict(keys) for stream, keys in (versions or {}).items()}
        self._gone: dict[str, set[str]] = {}
        for key, deal in self._deals.items():
            self._versions.setdefault("deals", {}).setdefault(key, deal.version)
            if deal.presence != "present":
                self._gone.setdefault("deals", set()).add(key)

    def deals(self, keys: Sequence[str]) -> dict[str, HeldDeal]:
        """Held deals among `keys`."""
        return {key: self._deals[key] for key in keys if key in self._deals}

    def versions(self, stream: str, keys: Sequence[str]) -> dict[str, str]:
        """Version text by key, of held records of `stream`."""
        held = self._versions.get(stream, {})
        return {key: held[key] for key in keys if key in held}

    def live_count(self, stream: str) -> int:
        """How many keys of `stream` are held and not gone."""
        return sum(1 for _ in self.live_keys(stream))

    def live_keys(self, stream: str) -> Iterator[str]:
        """Live keys of `stream`, ascending as text."""
        gone = self._gone.get(stream, set())
        yield from (key for key in sorted(self._versions.get(stream, {})) if key not in gone)

    def live_deals_without_history(self, limit: int = 1_000_000) -> Iterator[str]:
        """Live deals without a complete reading; open ones first, then by the time of their last move, newest first."""
        missing = [(key, self._deals[key]) for key in self.live_keys("deals") if key in self._deals]
        missing = [(key, deal) for key, deal in missing if not deal.history_complete]
        missing.sort(key=lambda entry: entry[1].stage_entered_at or "", reverse=True)
        missing.sort(key=lambda entry: entry[1].status not in (None, "open"))
        yield from (key for key, _ in missing[:limit])

    def learn(self, records: Iterable[Record]) -> None:
        """Take over the records of a sync, as landing would."""
        seen: dict[str, set[str]] = {}
        for record in records:
            if isinstance(record, HistoryRead):
                self._learn_history(record)
            elif isinstance(record, Tombstone):
                self._gone.setdefault(record.stream, set()).add(record.key)
            elif isinstance(record, Seen):
                self._present(record.stream, record.key, seen)
            elif isinstance(record, SweepEnd) and record.complete:
                missing = set(self._versions.get(record.stream, {})) - seen.get(record.stream, set())
                self._gone.setdefault(record.stream, set()).update(missing)
            elif type(record) in KEYS:
                self._learn_content(record, seen)

    def _learn_content(self, record: Record, seen: dict[str, set[str]]) -> None:
        stream, parts = KEYS[type(record)]
        values = ["" if (value := getattr(record, part)) is None else str(value) for part in parts]
        key = joined_key(*values) if len(values) > 1 else values[0]
        updated_at = getattr(record, "updated_at", None)
        version = _text(updated_at) or ""
        self._versions.setdefault(stream, {})[key] = version
        self._present(stream, key, seen)
        if isinstance(record, Deal):
            self._learn_deal(record, version)
            if record.presence != "present":
                self._gone.setdefault(stream, set()).add(key)

    def _learn_deal(self, deal: Deal, version: str) -> None:
        before = self._deals.get(deal.deal_id)
        has_moved = before is None or (before.stage_id, before.pipeline_id) != (deal.stage_id, deal.pipeline_id)
        self._deals[deal.deal_id] = HeldDeal(
            version=version,
            pipeline_id=deal.pipeline_id,
            stage_id=deal.stage_id,
            status=deal.status,
            stage_entered_at=_text(deal.stage_entered_at),
            presence=deal.presence,
            has_history=before is not None and before.has_history,
            history_complete=before is not None and before.history_complete and not has_moved,
        )

    def _learn_history(self, reading: HistoryRead) -> None:
        before = self._deals.get(reading.deal_id)
        if before is not None:
            self._deals[reading.deal_id] = HeldDeal(
                version=before.version,
                pipeline_id=before.pipeline_id,
                stage_id=before.stage_id,
                status=before.status,
                stage_entered_at=before.stage_entered_at,
                presence=before.presence,
                has_history=True,
                history_complete=reading.complete,
            )

    def _present(self, stream: str, key: str, seen: dict[str, set[str]]) -> None:
        seen.setdefault(stream, set()).add(key)
        self._gone.get(stream, set()).discard(key)


class StandaloneSync:
    """One sync of one connector without landing. `settings` is a config as in YAML (already resolved) or a settings object.

    The clock is a FakeClock unless another is given, jitter is seeded, and `calls` may be replaced by a policy of your own.
    """

    def __init__(
        self,
        connector: type[Connector],
        settings: Any,
        *,
        source_key: str | None = None,
        clock: Clock | None = None,
        held: Held | None = None,
        cursors: Mapping[str, Mapping[str, Any]] | None = None,
        full: bool = False,
        page_size: int | None = None,
        calls: CallPolicy | None = None,
        budget_file: Path | None = None,
    ) -> None:
        self.source_key = source_key or connector.name
        self.settings = (
            load(connector.Settings, settings, where=self.source_key) if isinstance(settings, Mapping) else settings
        )
        self.clock: Clock = clock or FakeClock()
        self.held: Held = held if held is not None else MemoryHeld()
        self.full = full
        self.cursors: Mapping[str, Mapping[str, Any]] = dict(cursors or {})
        self.page_size = page_size if page_size is not None else self.settings.page_size
        self.calls = calls or self._policy(budget_file)
        self.reports: list[tuple[int, int | None, str]] = []
        #: Records so far, and those of them that a checkpoint or the end of the sync has committed.
        self.records: list[Record] = []
        self.committed: list[Record] = []
        self._connector = connector
        self._given_calls = calls
        self._budget_file = budget_file
        self._swept: dict[str, Any] = {}

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """The committed cursor of `stream`; {} where none and under `full`."""
        return {} if self.full else self.cursors.get(stream, {})

    def sweep_is_due(self, stream: str, every_days: float) -> bool:
        """True when no sweep of `stream` was completed within `every_days` of an earlier `run`, or under `full`."""
        swept = self._swept.get(stream)
        return self.full or swept is None or self.clock.now() - swept >= timedelta(days=every_days)

    def progress(self, done: int, total: int | None, what: str) -> None:
        """Remembered in `reports`."""
        self.reports.append((done, total, what))

    def stream(self) -> Iterator[Record]:
        """Records as they come. Cursors move with each Checkpoint; a sync that is broken off is resumed from there by `again`."""
        for record in self._connector(self.settings, source_key=self.source_key).read(self):
            self.records.append(record)
            if isinstance(record, Checkpoint):
                self._commit(record)
            if isinstance(record, SweepEnd) and record.complete:
                self._swept[record.stream] = self.clock.now()
            yield record
        self.committed = list(self.records)

    def run(self) -> list[Record]:
        """All records of this sync."""
        return list(self.stream())

    def again(self, *, full: bool = False, change: Callable[[Any], Any] = lambda settings: settings) -> StandaloneSync:
        """The next sync of the same source: it holds what this one committed and starts at its cursors. `change` may alter the settings."""
        held = self.held
        if isinstance(held, MemoryHeld):
            held.learn(self.committed)
        following = StandaloneSync(
            self._connector,
            change(self.settings),
            source_key=self.source_key,
            clock=self.clock,
            held=held,
            cursors=self.cursors,
            full=full,
            page_size=self.page_size,
            calls=self._given_calls,
            budget_file=self._budget_file,
        )
        following.calls.tokens = self.calls.tokens
        following._swept = dict(self._swept)
        return following

    def watermark(self, stream: str) -> Any:
        """The instant in the committed cursor of `stream`, None when it has none."""
        cursor = self.cursors.get(stream, {})
        return cursor_at(cursor) if AT in cursor else None

    def _commit(self, checkpoint: Checkpoint) -> None:
        self.committed = list(self.records)
        kept = {name: cursor for name, cursor in self.cursors.items() if name != checkpoint.stream}
        self.cursors = kept if checkpoint.cursor is None else kept | {checkpoint.stream: dict(checkpoint.cursor)}

    def _policy(self, budget_file: Path | None) -> CallPolicy:
        budget = None
        if budget_file is not None:
            budget = DailyBudget(budget_file, clock=self.clock, ceiling=self.settings.daily_call_budget)
        return CallPolicy(
            self.source_key,
            clock=self.clock,
            rng=random.Random(0),  # noqa: S311 - the same jitter each time, for tests
            budget=budget,
            secrets=secrets_of(self.settings),
        )


def _text(instant: datetime | None) -> str | None:
    """As landing's index writes it: ISO 8601 with `+00:00`, a fraction only where there is one."""
    return None if instant is None else instant.astimezone(UTC).isoformat()
