"""Reading sheets in tests: settings and files in, records out."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
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


def _record(kind: int, body: bytes = b"") -> bytes:
    """A record of a binary workbook (MS-XLSB): its kind and size as variable-length integers, then its body."""
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size = len(body)
    length = b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return head + length + bytes([size]) + body


def _wide(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data) // 2) + data


def _xlsb_cell(column: int, value: Any) -> bytes:
    if isinstance(value, str):
        return _record(6, struct.pack("<II", column, 0) + _wide(value))
    is_day = isinstance(value, date)
    number = (value - date(1899, 12, 30)).days if is_day else value
    return _record(5, struct.pack("<IId", column, int(is_day), number))


def xlsb_file(folder: Path, sheets: Mapping[str, Sequence[Sequence[Any]]], name: str = "book.xlsb") -> Path:
    """A binary workbook of texts, numbers and days, as little of it as readers need: nobody else writes one without an office program."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links, tabs = "", b""
    path = folder / name
    with zipfile.ZipFile(path, "w") as package:
        for number, (title, rows) in enumerate(sheets.items(), start=1):
            links += f'<Relationship Id="r{number}" Type="{office}/worksheet" Target="worksheets/sheet{number}.bin"/>'
            tabs += _record(156, struct.pack("<II", 0, number) + _wide(f"r{number}") + _wide(title))
            data = _record(148, struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)) + _record(145)
            for place, row in enumerate(rows):
                data += _record(0, struct.pack("<IIHHBI", place, 0, 300, 0, 0, 0))
                data += b"".join(_xlsb_cell(at, cell) for at, cell in enumerate(row) if cell is not None)
            package.writestr(f"xl/worksheets/sheet{number}.bin", _record(129) + data + _record(146) + _record(130))
        space = "http://schemas.openxmlformats.org/package/2006"
        package.writestr("[Content_Types].xml", f'<Types xmlns="{space}/content-types"/>')
        package.writestr(
            "xl/_rels/workbook.bin.rels", f'<Relationships xmlns="{space}/relationships">{links}</Relationships>'
        )
        package.writestr("xl/workbook.bin", _record(131) + _record(143) + tabs + _record(144) + _record(132))
        formats = b"".join(_record(47, struct.pack("<HH", 0, code) + bytes(12)) for code in (0, 14))
        styles = _record(617, struct.pack("<I", 2)) + formats + _record(618)
        package.writestr("xl/styles.bin", _record(278) + styles + _record(279))
    return path
