"""A connector that yields what a test tells it to, and a look at what landing then holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from connectors.sdk.clock import FakeClock
from connectors.sdk.connector import Connector, Sync
from connectors.sdk.records import Deal, HistoryRead, Record, SourceInfo, StageChange, SweepEnd
from connectors.sdk.settings import ConnectorSettings
from tests.warehouse.quick import landed
from warehouse.home import Home
from warehouse.landing import reading
from warehouse.sync import SyncReport, run_sync

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
INFO = SourceInfo(account_id="acc-1", name="Acme")

Script = Iterable[Record] | Callable[[Sync], Iterable[Record]]


class Scripted(Connector):
    """Yields the records of `script`; an exception among them is raised in its place."""

    name = "scripted"
    Settings = ConnectorSettings

    def __init__(self, script: Script, *, mapper_version: int = 1, source_key: str = "acme") -> None:
        super().__init__(ConnectorSettings(), source_key=source_key)
        self._script = script
        self.mapper_version = mapper_version  # type: ignore[misc]

    def read(self, sync: Sync) -> Iterator[Record]:
        for record in self._script(sync) if callable(self._script) else self._script:
            if isinstance(record, BaseException):
                raise record
            yield record


class Land:
    """A home with one source, a clock, and `sync(script)`."""

    def __init__(self, root: Any, source_key: str = "acme") -> None:
        self.home = Home(root)
        self.clock = FakeClock(START)
        self.source_key = source_key

    def sync(self, *records: Record | BaseException, script: Script | None = None, **options: Any) -> SyncReport:
        connector = Scripted(script if script is not None else records, source_key=self.source_key)
        return run_sync(connector, home=self.home, clock=self.clock, **options)

    def manifest(self) -> Any:
        return reading.snapshot(self.home, [self.source_key]).manifests[self.source_key]

    def query(self, sql: str, at_sequence: dict[str, int] | None = None) -> list[tuple[Any, ...]]:
        return landed(self.home, self.source_key, sql, at_sequence)

    def presence(self) -> list[tuple[Any, ...]]:
        return self.query(
            "select key, kind from landing.presence where stream = 'deals' order by _read_at, _sync_seq, _ordinal"
        )


def deal(deal_id: str, stage: str = "new", **values: Any) -> Deal:
    return Deal(deal_id=deal_id, stage_id=stage, raw={"id": deal_id, "stage": stage}, **values)


def deals(count: int, **values: Any) -> list[Deal]:
    return [deal(f"d{number:04d}", **values) for number in range(count)]


def change(deal_id: str, event_id: str, stage: str = "new", at: datetime = START, **values: Any) -> StageChange:
    return StageChange(event_id=event_id, deal_id=deal_id, changed_at=at, to_stage_id=stage, **values)


def history(deal_id: str, *events: StageChange, complete: bool = True, **values: Any) -> HistoryRead:
    return HistoryRead(deal_id=deal_id, complete=complete, stage_changes=events, **values)


def sweep(stream: str = "deals", **values: Any) -> SweepEnd:
    return SweepEnd(stream=stream, complete=values.pop("complete", True), **values)
