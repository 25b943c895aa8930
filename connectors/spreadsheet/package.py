"""What calamine does not tell, read from the xlsx package itself: error cells, formulas without a stored result, currencies in number
formats, and whether dates count from 1904. xlsx and xlsm only; other kinds of workbook do without (the plan says so).

The sheet's XML is scanned as bytes, block by block: a million cells take about a second and no memory to speak of.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from connectors.spreadsheet import words
from connectors.spreadsheet.grid import letter_index

_BLOCK = 1 << 22
_OVERLAP = 1 << 16
_CELL = rb"<(?:\w+:)?c\b([^>]*?)>"
_ERROR = re.compile(_CELL + rb"(?:<(?:\w+:)?f\b[^>]*?(?:/>|>[^<]*</(?:\w+:)?f>))?<(?:\w+:)?v>(#[^<]*)</")
_FORMULA = re.compile(
    _CELL
    + rb"<(?:\w+:)?f\b[^>]*?(?:/>|>[^<]*</(?:\w+:)?f>)\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>|</(?:\w+:)?c>)"
)
_REF = re.compile(rb'\br="([A-Z]{1,3})(\d+)"')
_STYLED = re.compile(rb'<(?:\w+:)?c\b(?=[^>]*\br="([A-Z]{1,3})(\d+)")(?=[^>]*\bs="(\d+)")[^>]*>')
_NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class Package:
    """An xlsx or xlsm file as a zip of XML. `open_package` gives None for anything else."""

    def __init__(self, path: Path, sheets: dict[str, str], currencies: dict[int, str], *, date1904: bool) -> None:
        self._path, self._sheets, self._currencies = path, sheets, currencies
        self.date1904 = date1904

    def errors(self, sheet: str) -> Iterator[tuple[int, int, str]]:
        """(row, column from 0, error text) of every error cell."""
        for match in self._scan(sheet, _ERROR, rb't="e"'):
            if b't="e"' in match[1] and (at := _address(match[1])):
                yield (*at, match[2].decode("ascii", "replace"))

    def formulas_without_result(self, sheet: str) -> Iterator[tuple[int, int]]:
        """(row, column from 0) of formulas that nobody ever calculated: they read as empty."""
        for match in self._scan(sheet, _FORMULA, b"<f", b":f"):
            if b't="str"' not in match[1] and (at := _address(match[1])):
                yield at

    def format_currencies(self, sheet: str, column: int) -> dict[int, str]:
        """Row -> currency sign or code in the number format, for the cells of a column whose format has one."""
        if not self._currencies:
            return {}
        found: dict[int, str] = {}
        for match in self._scan(sheet, _STYLED):
            sign = self._currencies.get(int(match[3]))
            if sign is not None and letter_index(match[1].decode()) == column:
                found[int(match[2])] = sign
        return found

    def _scan(self, sheet: str, pattern: re.Pattern[bytes], *needles: bytes) -> Iterator[re.Match[bytes]]:
        member = self._sheets.get(sheet)
        if member is None:
            return
        with zipfile.ZipFile(self._path) as package, package.open(member) as stream:
            rest = b""
            while block := stream.read(_BLOCK):
                text = rest + block
                last = text.rfind(b"</row>")
                last = len(text) if last < 0 and len(text) > _BLOCK + _OVERLAP else last + 6 if last >= 0 else 0
                whole, rest = text[:last], text[last:]
                if not needles or any(needle in whole for needle in needles):
                    yield from pattern.finditer(whole)
            if rest and (not needles or any(needle in rest for needle in needles)):
                yield from pattern.finditer(rest)


def _address(attributes: bytes) -> tuple[int, int] | None:
    match = _REF.search(attributes)
    if match is None:
        return None
    column = letter_index(match[1].decode())
    return None if column is None else (int(match[2]), column)


def unpacked_size(path: Path) -> int:
    """Bytes that a zip says it holds, 0 for what is no zip."""
    try:
        with zipfile.ZipFile(path) as package:
            return sum(member.file_size for member in package.infolist())
    except (zipfile.BadZipFile, OSError):
        return 0


def open_package(path: Path) -> Package | None:
    """The package of an xlsx or xlsm file; None for other workbooks and for packages of an unusual build."""
    try:
        with zipfile.ZipFile(path) as package:
            if "xl/workbook.xml" not in package.namelist():
                return None
            # expat (2.4.1 and later) bounds entity expansion by itself; external entities are never fetched.
            book = ElementTree.fromstring(package.read("xl/workbook.xml"))  # noqa: S314
            links = ElementTree.fromstring(package.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
            styles = package.read("xl/styles.xml") if "xl/styles.xml" in package.namelist() else b""
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, OSError):
        return None
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    sheets = {}
    for sheet in book.iter(f"{_NS}sheet"):
        target = targets.get(sheet.get(_RELATION), "")
        member = target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)
        sheets[sheet.get("name", "")] = member
    properties = book.find(f"{_NS}workbookPr")
    is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
    return Package(path, sheets, _style_currencies(styles), date1904=is_1904)


_BRACKET = re.compile(r"\[\$([^\]\-]*)(?:-[0-9A-Fa-f]+)?\]")
_QUOTED = re.compile(r'"([^"]*)"')


def _style_currencies(styles: bytes) -> dict[int, str]:
    """Style index -> currency sign or code that its number format shows."""
    if not styles:
        return {}
    try:
        root = ElementTree.fromstring(styles)  # noqa: S314  (see open_package)
    except ElementTree.ParseError:
        return {}
    codes = {int(one.get("numFmtId", "0")): one.get("formatCode", "") for one in root.iter(f"{_NS}numFmt")}
    formats = root.find(f"{_NS}cellXfs")
    found = {}
    for index, style in enumerate(formats if formats is not None else ()):
        sign = format_currency(codes.get(int(style.get("numFmtId", "0")), ""))
        if sign is not None:
            found[index] = sign
    return found


def format_currency(code: str) -> str | None:
    """The currency that a number format shows: `[$€-407] #,##0`, `"Rp" #,##0`, `$#,##0.00`; None without one."""
    for sign in [match[1] for match in _BRACKET.finditer(code)] + [match[1] for match in _QUOTED.finditer(code)]:
        folded = words.fold(sign)
        if folded in words.currency_signs() or folded.upper() in words.currency_codes():
            return folded
    plain = _QUOTED.sub("", _BRACKET.sub("", code)).replace("\\", "")
    return next((sign for sign in ("$", "€", "£", "¥", "₹") if sign in plain), None)
