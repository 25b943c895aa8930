"""Reading sheets in tests: settings and files in, records out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.sdk import records as rec
from connectors.sdk.clock import FakeClock
from connectors.sdk.standalone import StandaloneSync
from connectors.spreadsheet import Spreadsheet

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


class Reading:
    """The records of one sync, by type."""

    def __init__(self, sync: StandaloneSync) -> None:
        self.sync = sync
        self.all = sync.run()

    def of(self, kind: type[rec.Record]) -> list[Any]:
        return [record for record in self.all if type(record) is kind]

    @property
    def deals(self) -> dict[str, rec.Deal]:
        return {deal.deal_id: deal for deal in self.of(rec.Deal)}

    @property
    def history(self) -> dict[str, rec.HistoryRead]:
        return {read.deal_id: read for read in self.of(rec.HistoryRead)}

    @property
    def path_of(self) -> dict[str, list[tuple[str, str]]]:
        """Deal -> [(stage id, ISO day or instant)]."""
        return {
            key: [(change.to_stage_id, _short(change.changed_at)) for change in read.stage_changes]
            for key, read in self.history.items()
        }

    @property
    def warnings(self) -> dict[str, str]:
        return {warn.code: warn.message for warn in self.of(rec.Warn)}

    @property
    def rejects(self) -> list[rec.Reject]:
        return self.of(rec.Reject)

    @property
    def stages(self) -> dict[str, rec.Stage]:
        return {stage.stage_id: stage for stage in self.of(rec.Stage)}

    def again(self, **changes: Any) -> Reading:
        return Reading(self.sync.again(**changes))


def _short(at: datetime) -> str:
    return at.date().isoformat() if at.time().isoformat() == "00:00:00" else at.isoformat()


def read(path: Path | str | None = None, *, cursors: Mapping[str, Any] | None = None, **config: Any) -> Reading:
    if path is not None:
        config["path"] = str(path)
    return Reading(StandaloneSync(Spreadsheet, config, source_key="sheet", clock=FakeClock(NOW), cursors=cursors))


def csv_file(folder: Path, text: str, name: str = "deals.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.lstrip("\n").encode(encoding))
    return path


def xlsx_file(
    folder: Path, sheets: Mapping[str, Sequence[Sequence[Any]]], name: str = "book.xlsx", hidden: Sequence[str] = ()
) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
        if title in hidden:
            sheet.sheet_state = "hidden"
    path = folder / name
    book.save(path)
    return path
