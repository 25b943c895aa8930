"""A grid: one tab or one text table as rows of cells, with the numbers a person sees in the margin. May be read any number of times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

#: What a cell may hold. Empty is None; text is as written.
Cell = str | int | float | bool | date | datetime | time | timedelta | None


class Grid(Protocol):
    """One table-like thing of one file."""

    file: str
    sheet: str | None
    is_hidden: bool
    #: Native dates count from 1904 (old Mac workbooks); concerns plain serial numbers only.
    date1904: bool
    #: The xlsx package behind it (`package.Package`), None for everything else.
    package: Any

    #: Merged areas as (first row, first column, last row, last column), rows from 1, columns from 0.
    @property
    def merged(self) -> Sequence[tuple[int, int, int, int]]:
        """Merged areas, where the format tells them."""

    #: What the file says beyond its cells.
    notes: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """(row number from 1, cells from column A) in order; blank rows may be left out."""


class MemoryGrid:
    """A grid whose rows are held: HTML tables, Google values, tests."""

    def __init__(
        self,
        file: str,
        sheet: str | None,
        rows: Iterable[Sequence[Cell]],
        *,
        merged: Sequence[tuple[int, int, int, int]] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.file, self.sheet, self.is_hidden, self.date1904 = file, sheet, False, False
        self.merged, self.notes = merged, notes
        self.package: Any = None
        self._rows = [list(row) for row in rows]

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Rows as given, numbered from 1."""
        for number, row in enumerate(self._rows, start=1):
            yield number, [None if cell == "" else cell for cell in row]


def letter(index: int) -> str:
    """Column index from 0 as a person sees it: A .. Z, AA .."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(65 + rest) + name
    return name


def letter_index(name: str) -> int | None:
    """A column letter as index from 0, None for anything else."""
    if not re.fullmatch(r"[A-Za-z]{1,3}", name):
        return None
    index = 0
    for ch in name.upper():
        index = index * 26 + ord(ch) - 64
    return index - 1


_SPACE_RUN = re.compile(r"[^\S\n]+")


def text_of(cell: Cell) -> str:
    """A cell as text: trimmed, no-break spaces made plain, line breaks inside kept; a whole number without its `.0`."""
    if isinstance(cell, str):
        if cell.isascii() and "  " not in cell and "\t" not in cell:
            return cell.strip()
        return _SPACE_RUN.sub(" ", unicodedata.normalize("NFC", cell.replace("\u200b", ""))).strip()
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)


_JSON = frozenset({str, int, float, bool})


def raw_of(names: Sequence[str], cells: Sequence[Cell]) -> dict[str, str | int | float | bool]:
    """The filled cells of a row for the archive: what JSON has, as it was in the file; dates and times as ISO text."""
    return {
        name: cell if cell.__class__ in _JSON else text_of(cell)  # type: ignore[misc]  # isinstance costs a fifth more, on every cell
        for name, cell in zip(names, cells, strict=False)
        if cell is not None
    }


def place(grid: Grid, row: int | None = None, column: int | None = None) -> str:
    """Where something is, in words of a person: `tracker.xlsx, sheet Deals, row 17` or `..., cell C17`."""
    where = grid.file if grid.sheet is None else f"{grid.file}, sheet {grid.sheet}"
    if row is None:
        return where
    return f"{where}, row {row}" if column is None else f"{where}, cell {letter(column)}{row}"
