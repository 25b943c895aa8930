"""How fast and how large: a CSV of a million rows, a workbook of two hundred thousand, a log of a million changes.

    python benchmarks/spreadsheet.py [csv] [xlsx] [log] [--rows N]

Each case runs in a process of its own: seconds of CPU and peak memory are those of reading alone (records are made and dropped), the file
having been written before. Two passes over the file are part of the figure.
"""

from __future__ import annotations

import argparse
import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

SIZES = {"csv": 1_000_000, "xlsx": 200_000, "log": 1_000_000}
HEAD = ["Deal ID", "Deal", "Company", "Stage", "Amount", "Created", "Close date", "Owner", "Source", "Note"]
STAGES = ["Lead", "Qualified", "Meeting", "Proposal", "Negotiation", "Won", "Lost"]


def deal_rows(count: int) -> Iterator[list[str]]:
    rng = random.Random(1)
    for number in range(count):
        created = date(2020, 1, 1) + timedelta(days=rng.randrange(1500))
        closes = created + timedelta(days=rng.randrange(300))
        yield [
            f"D{number:07}",
            f"Deal {number}",
            f"Company {rng.randrange(count // 5 + 1)}",
            rng.choice(STAGES),
            f"{rng.randrange(1, 10**7) / 100:.2f}",
            created.isoformat(),
            closes.strftime("%d/%m/%Y"),
            f"owner {rng.randrange(50)}",
            rng.choice(["web", "fair", "call"]),
            "a remark that nobody reads",
        ]


def log_rows(count: int) -> Iterator[list[str]]:
    rng = random.Random(2)
    for _ in range(count):
        at = date(2020, 1, 1) + timedelta(days=rng.randrange(1500))
        yield [
            f"D{rng.randrange(count // 5):07}",
            f"{at.isoformat()} {rng.randrange(24):02}:{rng.randrange(60):02}",
            rng.choice(STAGES),
        ]


def write_csv(path: Path, head: list[str], rows: Iterator[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(head)
        writer.writerows(rows)


def write_xlsx(path: Path, head: list[str], rows: Iterator[list[str]]) -> None:
    """A plain workbook of inline strings and numbers, written as programs write them."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
        parts = {"/xl/workbook.xml": "sheet.main", "/xl/worksheets/sheet1.xml": "worksheet"}
        named = "".join(
            f'<Override PartName="{part}" ContentType="{kinds}.{kind}+xml"/>' for part, kind in parts.items()
        )
        rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        space = "http://schemas.openxmlformats.org/package/2006"
        package.writestr("[Content_Types].xml", f'<Types xmlns="{space}/content-types">{rels}{named}</Types>')
        link = '<Relationship Id="r1" Type="{}" Target="{}"/></Relationships>'
        relation = f'<Relationships xmlns="{space}/relationships">' + link
        package.writestr("_rels/.rels", relation.format(f"{office}/officeDocument", "xl/workbook.xml"))
        package.writestr("xl/_rels/workbook.xml.rels", relation.format(f"{office}/worksheet", "worksheets/sheet1.xml"))
        package.writestr(
            "xl/workbook.xml",
            f'<workbook {main} xmlns:r="{office}"><sheets><sheet name="Deals" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        with package.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f"<worksheet {main}><sheetData>".encode())
            for number, row in enumerate(_chain(head, rows), start=1):
                cells = "".join(_cell(column, number, value) for column, value in enumerate(row))
                sheet.write(f'<row r="{number}">{cells}</row>'.encode())
            sheet.write(b"</sheetData></worksheet>")


def _chain(head: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield head
    yield from rows


def _cell(column: int, row: int, value: str) -> str:
    where = f"{chr(65 + column)}{row}"
    if column == 4 and row > 1:
        return f'<c r="{where}"><v>{value}</v></c>'
    return f'<c r="{where}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def read(path: Path) -> None:
    """Read a file and print rows a second and the peak of memory."""
    from connectors.sdk.records import Deal, HistoryRead
    from connectors.sdk.standalone import StandaloneSync
    from connectors.spreadsheet import Spreadsheet

    sync = StandaloneSync(
        Spreadsheet, {"path": str(path), "default_currency": "EUR", "size_limit_mb": 1000}, source_key="bench"
    )
    connector = Spreadsheet(sync.settings, source_key="bench")
    before, began = time.process_time(), time.perf_counter()
    deals = history = 0
    for record in connector.read(sync):
        deals += isinstance(record, Deal)
        history += len(record.stage_changes) if isinstance(record, HistoryRead) else 0
    cpu, wall = time.process_time() - before, time.perf_counter() - began
    rows = history or deals
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1 if sys.platform == "darwin" else 1024)
        / (1024 if sys.platform == "darwin" else 1)
    )
    print(
        f"{path.name:10} {rows:>9,} rows {deals:>9,} deals  {cpu:6.1f} s CPU {wall:6.1f} s wall  {rows / cpu:8,.0f} rows per CPU second  "
        f"peak {peak:,.0f} MB  file {path.stat().st_size / 1e6:,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="csv, xlsx, log; default: all")
    parser.add_argument("--rows", type=int, help="rows instead of each case's own number")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read(args.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        for case in args.cases or list(SIZES):
            count = args.rows or SIZES[case]
            path = Path(folder) / f"{case}.{'xlsx' if case == 'xlsx' else 'csv'}"
            if case == "xlsx":
                write_xlsx(path, HEAD, deal_rows(count))
            elif case == "csv":
                write_csv(path, HEAD, deal_rows(count))
            else:
                write_csv(path, ["Deal ID", "Changed at", "New stage"], log_rows(count))
            subprocess.run([sys.executable, __file__, "--read", str(path)], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
