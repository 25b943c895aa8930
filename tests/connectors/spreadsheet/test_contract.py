"""The contract suite on sheets: a tracker with a change log beside it, kept by people who edit, delete and hide rows."""

from __future__ import annotations

import csv
import random
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from connectors.spreadsheet import Spreadsheet
from connectors.testing import Harness, Impossible, NewField, TrueDeal, Truth
from connectors.testing.suite import ContractSuite

OPEN = ["Lead", "Qualified", "Meeting", "Proposal", "Negotiation"]
HEAD = ["Deal ID", "Deal", "Company", "Stage", "Status", "Amount", "Currency", "Created", "Expected close", "Owner"]


@dataclass
class Line:
    """One deal of the tracker, with its lines in the log."""

    key: str
    company: str
    owner: str
    amount: Decimal | None
    created: datetime
    close: date
    stage: str
    moves: list[tuple[datetime, str]] = field(default_factory=list)
    score: str = ""
    is_hidden: bool = False
    spoilt: bool = False

    @property
    def status(self) -> str:
        return self.stage if self.stage in ("Won", "Lost") else "Open"


class SheetHarness(Harness):
    """A folder with deals.csv and history.csv, written anew at each change."""

    connector = Spreadsheet
    #: Beyond what is held on purpose: the sample for recognising columns, the fingerprints for suggesting renames.
    memory_sizes = (1200, 2400)

    def __init__(self, *, deals: int, seed: int = 1) -> None:
        super().__init__(deals=deals, seed=seed)
        self._rng = random.Random(seed)
        self._now = datetime(2026, 3, 2, 9, tzinfo=UTC)
        self._lines: dict[str, Line] = {}
        self._gone: dict[str, Line] = {}
        self._has_score = False

    def __enter__(self) -> SheetHarness:
        self._folder = tempfile.TemporaryDirectory(prefix="muara-tracker-")
        self._root = Path(self._folder.name)
        for number in range(self.size):
            line = self._new(
                Decimal(self._rng.randrange(1, 10**7)) / 100, self._now - timedelta(days=self.size - number + 60)
            )
            at = line.created
            for stage in OPEN[1 : self._rng.randrange(1, len(OPEN) + 1)]:
                at += timedelta(days=self._rng.randrange(1, 9), minutes=self._rng.randrange(60))
                self._enter(line, stage, at)
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _new(self, amount: Decimal | None, at: datetime) -> Line:
        key = f"D{len(self._lines) + len(self._gone):04}"
        close = (at + timedelta(days=90)).date()
        line = Line(key, f"Company {self._rng.randrange(9)}", self._rng.choice(["ann", "bob"]), amount, at, close, "")
        self._lines[key] = line
        self._enter(line, OPEN[0], at)
        return line

    def _enter(self, line: Line, stage: str, at: datetime) -> None:
        line.stage = stage
        line.moves.append((at, stage))

    def _write(self) -> None:
        seen = [line for line in self._lines.values() if not line.is_hidden]
        with (self._root / "deals.csv").open("w", newline="", encoding="utf-8") as handle:
            out = csv.writer(handle)
            out.writerow(HEAD + ["Score"] * self._has_score)
            for line in seen:
                row = [
                    line.key,
                    f"Deal {line.key}",
                    line.company,
                    line.stage,
                    line.status,
                    "" if line.amount is None else line.amount,
                ]
                row += ["EUR", line.created.strftime("%Y-%m-%d %H:%M:%S"), line.close, line.owner]
                out.writerow(row + [line.score] * self._has_score)
        with (self._root / "history.csv").open("w", newline="", encoding="utf-8") as handle:
            out = csv.writer(handle)
            out.writerow(["Deal ID", "Changed at", "New stage"])
            for line in seen:
                for place, (at, stage) in enumerate(line.moves):
                    when = (
                        "some day" if line.spoilt and place == len(line.moves) - 1 else at.strftime("%Y-%m-%d %H:%M:%S")
                    )
                    out.writerow([line.key, when, stage])

    @property
    def settings(self) -> dict[str, object]:
        return {"key": "Deal ID", "tables": [{"path": str(self._root / name)} for name in ("deals.csv", "history.csv")]}

    @property
    def truth(self) -> Truth:
        seen = {key: line for key, line in self._lines.items() if not line.is_hidden}
        return Truth(
            deals={
                key: TrueDeal(
                    deal_id=key,
                    stage_id=line.stage.lower(),
                    path=tuple((at, stage.lower()) for at, stage in line.moves),
                    pipeline_id="default",
                    outcome={"Won": "won", "Lost": "lost"}.get(line.stage, "open"),
                    created_at=line.created,
                    amount=line.amount,
                    currency="EUR" if line.amount is not None else None,
                    expected_close_date=line.close,
                    owner_id=line.owner,
                    company_id=line.company.lower(),
                )
                for key, line in seen.items()
            },
            gone=dict.fromkeys(self._gone, "purged"),
            owners=frozenset(line.owner for line in seen.values()),
            companies=frozenset(line.company.lower() for line in seen.values()),
            stages={("default", line.stage.lower()): line.stage for line in seen.values()},
        )

    @property
    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    # --- what happens in it

    def create(self, *, amount: Decimal | None = Decimal(1000)) -> str:
        key = self._new(amount, self._now.replace(microsecond=0)).key
        self._write()
        return key

    def move(self, deal_id: str) -> None:
        line = self._lines[deal_id]
        other = next(stage for stage in OPEN[::-1] if stage != line.stage)
        self._enter(line, other, self._now.replace(microsecond=0))
        self._write()

    def edit(self, deal_id: str, *, amount: Decimal) -> None:
        self._lines[deal_id].amount = amount
        self._write()

    def close(self, deal_id: str, *, won: bool) -> None:
        self._enter(self._lines[deal_id], "Won" if won else "Lost", self._now.replace(microsecond=0))
        self._write()

    def reopen(self, deal_id: str) -> None:
        self._enter(self._lines[deal_id], "Proposal", self._now.replace(microsecond=0))
        self._write()

    def delete(self, deal_id: str) -> None:
        self._gone[deal_id] = self._lines.pop(deal_id)
        self._write()

    purge = delete

    def restore(self, deal_id: str) -> None:
        self._lines[deal_id] = self._gone.pop(deal_id)
        self._write()

    def hide(self, deal_ids) -> None:
        for deal_id in deal_ids:
            self._lines[deal_id].is_hidden = True
        self._write()

    def unhide(self, deal_ids) -> None:
        for deal_id in deal_ids:
            self._lines[deal_id].is_hidden = False
        self._write()

    def rename_stage(self) -> tuple[str, str, str]:
        raise Impossible(
            "a sheet has no ids of stages: a new label is a new stage until the stage mapping links the two"
        )

    def remove_stage(self) -> tuple[str, str]:
        return "default", next(iter(self._lines.values())).stage.lower()

    def add_field(self) -> NewField:
        self._has_score = True
        line = next(iter(self._lines.values()))
        line.score = "77"
        self._write()
        return NewField(code="Score", label="Score", deal_id=line.key, value="77")

    def bad_record(self) -> str:
        line = next(iter(self._lines.values()))
        line.spoilt = True
        self._write()
        return line.key


class TestSpreadsheet(ContractSuite):
    harness = SheetHarness
