"""Markup that calls itself a sheet: a web table saved as .xls or .csv is read; a sign-in page or another XML is refused by name."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from pathlib import Path

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import words
from connectors.spreadsheet.grid import Cell, MemoryGrid

_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_SIGN_IN = ('type="password"', "accounts.google.com", "servicelogin", "sign in", "log in", "login", "anmelden", "masuk")


def read_markup(path: Path, file: str, language: str | None) -> MemoryGrid:
    """The one table of an HTML file as a grid. Raises ConfigError for pages without one, sign-in pages, and other XML."""
    data = path.read_bytes()
    text = _decode(data, file, language)
    if "<workbook" in text[:4000].lower() and "<html" not in text[:4000].lower():
        raise ConfigError(
            f"{file}: is an XML spreadsheet of 2003. Open it in a spreadsheet program and save it as .xlsx."
        )
    parser = _Tables()
    parser.feed(text)
    parser.close()
    tables = [table for table in parser.tables if len(table) > 1 and max(map(len, table)) > 1]
    if not tables:
        raise ConfigError(why_not(text, file))
    best = max(tables, key=lambda table: sum(len(row) for row in table))
    rivals = [table for table in tables if table is not best and len(table) > len(best) / 2]
    if rivals:
        raise ConfigError(
            f"{file}: is a web page with several tables. Copy the right one into a sheet of its own and save it as .xlsx or CSV."
        )
    return MemoryGrid(file, None, best, notes=("a web table (HTML), whatever its name says",))


def why_not(text: str, file: str) -> str:
    """What a page without a table is, in words."""
    lower = text[:200_000].lower()
    if any(mark in lower for mark in _SIGN_IN):
        return f"{file}: is a sign-in page (HTML), not a sheet. Share the sheet with whoever reads it, or download it again while signed in."
    return f"{file}: is a web page (HTML) without a table. Download the sheet as .xlsx or CSV."


def _decode(data: bytes, file: str, language: str | None) -> str:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(name)
    declared = _CHARSET.search(data[:4096])
    for name in (declared[1].decode("ascii") if declared else "utf-8", "utf-8", words.code_page(language)):
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    raise ConfigError(f"{file}: the text of this web page cannot be decoded. Save it as CSV in UTF-8.")


class _Tables(HTMLParser):
    """Innermost tables as rows of texts; spans are spread as empty cells."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[Cell]]] = []
        self._open: list[list[list[Cell]]] = []
        self._cell: list[str] | None = None
        self._span = 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a table, row or cell."""
        if tag == "table":
            self._open.append([])
        elif tag == "tr" and self._open:
            self._end_cell()
            self._open[-1].append([])
        elif tag in ("td", "th") and self._open:
            self._end_cell()
            if not self._open[-1]:
                self._open[-1].append([])
            span = dict(attrs).get("colspan") or "1"
            self._cell, self._span = [], int(span) if span.isdigit() else 1
        elif tag == "br" and self._cell is not None:
            self._cell.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Close a cell or table."""
        if tag in ("td", "th", "tr"):
            self._end_cell()
        elif tag == "table" and self._open:
            self._end_cell()
            self.tables.append(self._open.pop())

    def handle_data(self, data: str) -> None:
        """Text of the open cell."""
        if self._cell is not None:
            self._cell.append(data)

    def close(self) -> None:
        """Take over tables that were never closed."""
        super().close()
        self._end_cell()
        self.tables += self._open
        self._open = []

    def _end_cell(self) -> None:
        if self._cell is None or not self._open or not self._open[-1]:
            self._cell = None
            return
        text = re.sub(r"[^\S\n]+", " ", "".join(self._cell)).strip()
        self._open[-1][-1].append(text or None)
        self._open[-1][-1].extend([None] * (min(self._span, 200) - 1))
        self._cell = None
