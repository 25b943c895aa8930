"""Workbooks (xlsx, xlsm, xlsb, xls, ods) through calamine, and what it cannot tell, from the xlsx package itself.

Measured with python-calamine 0.4 to 0.9: error cells come back empty, number formats are not given, a formula without a stored result reads
as empty, and plain serials of a 1904 workbook are not shifted. `package.py` looks those up where the file is an xlsx or xlsm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import python_calamine as calamine

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet.grid import Cell
from connectors.spreadsheet.package import Package


class Workbook:
    """An open workbook: its tabs as grids. Raises ConfigError for a damaged or protected file."""

    def __init__(self, path: Path, file: str, package: Package | None = None) -> None:
        self.path, self.file, self._package = path, file, package
        try:
            self._book = calamine.load_workbook(str(path))
        except calamine.PasswordError:
            raise ConfigError(f"{file}: is protected by a password. Save a copy without one.") from None
        except (calamine.CalamineError, OSError, ValueError) as error:
            raise ConfigError(
                f"{file}: is damaged or incomplete ({type(error).__name__}). Open it in a spreadsheet program and save it again."
            ) from None

    def grids(self) -> list[SheetGrid]:
        """Every tab that is a worksheet, hidden ones marked."""
        found = []
        for meta in self._book.sheets_metadata:
            if meta.typ != calamine.SheetTypeEnum.WorkSheet:
                continue
            hidden = meta.visible != calamine.SheetVisibleEnum.Visible
            found.append(SheetGrid(self._book, self.file, meta.name, self._package, is_hidden=hidden))
        return found


class SheetGrid:
    """One tab. Its cells are decoded when first asked for."""

    def __init__(self, book: Any, file: str, sheet: str, package: Package | None, *, is_hidden: bool) -> None:
        self._book, self._sheet_object = book, None
        self.file, self.is_hidden = file, is_hidden
        self.sheet: str | None = sheet
        self.package: Any = package
        self.date1904 = package.date1904 if package else False
        self.notes: tuple[str, ...] = ()

    def _sheet(self) -> Any:
        if self._sheet_object is None:
            try:
                self._sheet_object = self._book.get_sheet_by_name(self.sheet)
            except (calamine.CalamineError, OSError, ValueError) as error:
                raise ConfigError(
                    f"{self.file}, sheet {self.sheet}: cannot be read ({type(error).__name__}). Open and save the workbook again."
                ) from None
        return self._sheet_object

    @property
    def merged(self) -> Sequence[tuple[int, int, int, int]]:
        """Merged areas, where the format tells them."""
        ranges = self._sheet().merged_cell_ranges or []
        return [(first[0] + 1, first[1], last[0] + 1, last[1]) for first, last in ranges]

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Rows that hold something, numbered as in the margin."""
        sheet = self._sheet()
        if sheet.start is None:
            return
        left: list[Cell] = [None] * sheet.start[1]
        for number, row in enumerate(sheet.iter_rows(), start=1):
            blank = row.count("")
            if blank < len(row):
                cells = [None if cell == "" else cell for cell in row] if blank else row
                yield number, left + cells if left else cells
