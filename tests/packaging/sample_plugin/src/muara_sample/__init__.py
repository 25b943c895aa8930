"""A CRM that lives in this file: two deals, one of which moved once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from connectors.sdk.connector import Capabilities, Connector, Finding, Sync, stream
from connectors.sdk.records import Deal, HistoryRead, Pipeline, Record, SourceInfo, Stage, StageChange
from connectors.sdk.settings import ConnectorSettings, Secret


class SampleSettings(ConnectorSettings, frozen=True, kw_only=True):
    """Settings of the sample CRM."""

    token: Annotated[Secret, msgspec.Meta(description="Any text.")]


def _day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


class Sample(Connector):
    """The sample CRM."""

    name = "sample"
    title = "Sample CRM"
    Settings = SampleSettings
    capabilities = Capabilities(
        field_history=False,
        owners=False,
        companies=False,
        notes=dict.fromkeys(("field_history", "owners", "companies"), "the sample has none"),
    )

    @stream(SourceInfo, Pipeline)
    def pipelines(self, sync: Sync) -> Iterator[Record]:
        """One pipeline, Sales."""
        yield SourceInfo(account_id="sample-1", name="Sample")
        yield Pipeline(pipeline_id="p", name="Sales")

    @stream(Stage)
    def stages(self, sync: Sync) -> Iterator[Record]:
        """Lead, Proposal, Won."""
        yield Stage(pipeline_id="p", stage_id="1", name="Lead", display_order=1, outcome="open")
        yield Stage(pipeline_id="p", stage_id="2", name="Proposal", display_order=2, outcome="open")
        yield Stage(pipeline_id="p", stage_id="3", name="Won", display_order=3, outcome="won")

    @stream(Deal, HistoryRead, cursor="updated_at")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Two deals with their whole history."""
        yield from self._deal("a", [("1", 1), ("2", 5), ("3", 9)])
        yield from self._deal("b", [("1", 3)])

    def _deal(self, deal_id: str, moves: list[tuple[str, int]]) -> Iterator[Record]:
        yield Deal(
            deal_id=deal_id,
            name=f"Deal {deal_id}",
            pipeline_id="p",
            stage_id=moves[-1][0],
            amount=Decimal(1000),
            currency="USD",
            created_at=_day(moves[0][1]),
            updated_at=_day(moves[-1][1]),
        )
        changes = tuple(
            StageChange(
                event_id=f"{deal_id}-{number}",
                deal_id=deal_id,
                changed_at=_day(day),
                to_stage_id=stage,
                to_pipeline_id="p",
                evidence="created" if number == 0 else "exact",
            )
            for number, (stage, day) in enumerate(moves)
        )
        yield HistoryRead(deal_id=deal_id, complete=True, stage_changes=changes)

    def check(self, sync: Sync) -> list[Finding]:
        """Always content."""
        return [Finding(level="ok", what="token", message="was given")]
