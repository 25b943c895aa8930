"""Delimited text (CSV, TSV): which encoding, which delimiter, and rows, strictly.

Encoding: byte order mark, else strict UTF-8, else the configured code page, else that of the locale's language, else the one in which the
header is made of words we know, else cp1252 (and a warning says so). No detector guesses by frequencies of letters.
Delimiter: Excel's own `sep=;` line, else the one that cuts the first lines into the most even rows.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import words
from connectors.spreadsheet.grid import Cell

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = (",", ";", "\t", "|")
_FIELD_LIMIT = 1_000_000
ASSUMED = "assumed: nothing tells"
_BLOCK = 1 << 20


def find_encoding(path: Path, file: str, configured: str | None, language: str | None) -> tuple[str, str]:
    """(encoding of a text file by the rules above, how it was found). Raises ConfigError when the bytes are not text in it."""
    with path.open("rb") as handle:
        head = handle.read(_BLOCK)
        for mark, name in _BOMS:
            if head.startswith(mark):
                return name, ""
        if _looks_utf16(head):
            return ("utf-16-le" if head[1:2] == b"\0" else "utf-16-be"), ""
        if b"\0" in head[:4096]:
            raise ConfigError(f"{file}: is not text (binary content). Save it as .xlsx or as CSV in UTF-8.")
        if configured is None and _is_utf8(head, handle):
            return "utf-8", ""
    if configured is None:
        _refuse_mixed(head, file)
    told = configured is not None or language is not None
    shown = None if told else _by_header(head[:8000])
    name = configured or shown or words.code_page(language)
    how = "" if told else "its words are of that code page" if shown else ASSUMED if _has_letters(head, name) else ""
    try:
        with path.open(encoding=name, errors="strict", newline="") as text:
            while text.read(_BLOCK):
                pass
    except LookupError:
        raise ConfigError(f"encoding {name!r} is not known. Use a name such as utf-8, cp1252 or utf-16.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: byte {error.start} is not text in {name}. Set `encoding`, or save the file as CSV in UTF-8."
        ) from None
    return name, how


def _has_letters(head: bytes, name: str) -> bool:
    """Whether there are letters on which code pages differ; signs such as € are the same in most of them."""
    return any(ch > "\x7f" and ch.isalpha() for ch in head.decode(name, "replace"))


def _refuse_mixed(head: bytes, file: str) -> None:
    """Raise ConfigError for text that is UTF-8 but for a few bytes: two files in different encodings were put together."""
    text = head.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for ch in text if ch > "\x7f") - bad
    if bad and good >= 3 * bad:
        line = text[: text.index("\ufffd")].count("\n") + 1
        raise ConfigError(
            f"{file}, line {line}: a letter is not UTF-8, though the rest of the file is. Correct the line, or save the file again as CSV in UTF-8."
        )


def _by_header(head: bytes) -> str | None:
    """The code page in which most cells of the first lines are words that we know by more than plain letters, None without any."""
    start = head.rsplit(b"\n", 1)[0] if b"\n" in head else head
    hits: dict[str, int] = {}
    for page in words.code_page_names():
        try:
            cells = {cell.strip(' "') for cell in re.split(r"[;,\t|\r\n]", start.decode(page))}
        except UnicodeDecodeError:
            continue
        hits[page] = sum(1 for cell in cells if not cell.isascii() and words.fold(cell) in words.spelled())
    best = max(hits, key=lambda page: hits[page], default="")
    return best if hits.get(best) else None


def _looks_utf16(head: bytes) -> bool:
    sample = head[:2000]
    if len(sample) < 4:
        return False
    odd, even = sample[1::2].count(0), sample[0::2].count(0)
    half = len(sample) // 2
    return max(odd, even) > 0.8 * half and min(odd, even) < 0.1 * half


def _is_utf8(head: bytes, handle: io.BufferedReader) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        block = head
        while block:
            decoder.decode(block)
            block = handle.read(_BLOCK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def find_delimiter(path: Path, encoding: str) -> tuple[str, bool]:
    """(delimiter, whether the first line is Excel's `sep=` line)."""
    with path.open(encoding=encoding, newline="") as text:
        sample = text.read(64_000)
    first = sample.split("\n", 1)[0].strip("\r\ufeff ")
    if match := re.fullmatch(r'"?sep=(.)"?', first, re.IGNORECASE):
        return match[1], True
    if first.lower().startswith("sep=") and "\t" in first:
        return "\t", True
    if len(sample) == 64_000:
        sample = sample.rsplit("\n", 1)[0]
    scores = {mark: _evenness(sample, mark) for mark in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda mark: scores[mark])
    return (best if scores[best] > 0 else ","), False


def _evenness(sample: str, mark: str) -> float:
    """How well a delimiter cuts the sample: rows of the most common width, times the columns it gives."""
    widths: dict[int, int] = {}
    try:
        for count, row in enumerate(csv.reader(io.StringIO(sample, newline=""), delimiter=mark)):
            if count == 200:
                break
            if any(cell.strip() for cell in row):
                widths[len(row)] = widths.get(len(row), 0) + 1
    except csv.Error:
        return 0.0
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide:
        return 0.0
    width, count = max(wide.items(), key=lambda item: (item[1], item[0]))
    return count / sum(widths.values()) * (1 + min(width, 40) / 100)


class TextGrid:
    """A delimited file as a grid. Reading is strict: a quote that never closes is an error with the line where it opens."""

    is_hidden = False
    date1904 = False
    package: Any = None
    sheet: str | None = None

    def __init__(self, path: Path, file: str, *, encoding: str | None = None, language: str | None = None) -> None:
        self.path, self.file = path, file
        self.encoding, how = find_encoding(path, file, encoding, language)
        self.is_assumed = how == ASSUMED
        self.delimiter, self._has_sep_line = find_delimiter(path, self.encoding)
        self.merged: Sequence[tuple[int, int, int, int]] = ()
        self.notes: tuple[str, ...] = (
            f"text in {self.encoding.removesuffix('-sig')}{f' ({how})' if how else ''}, columns cut at {_mark_name(self.delimiter)}",
        )

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Rows numbered as a spreadsheet program shows them; blank rows are left out."""
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_LIMIT))
        with self.path.open(encoding=self.encoding, errors="strict", newline="") as text:
            yield from self._numbered(text)

    def _numbered(self, text: TextIO) -> Iterator[tuple[int, list[Cell]]]:
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        line = 1
        try:
            if self._has_sep_line:
                next(reader)
            for number, row in enumerate(reader, start=1):
                line = reader.line_num + 1
                if any(row):
                    yield number, [cell if cell else None for cell in row]
        except csv.Error as error:
            raise ConfigError(self._complaint(str(error), line)) from None
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self.file}: byte {error.start} is not text in {self.encoding}. Set `encoding`."
            ) from None

    def _complaint(self, error: str, line: int) -> str:
        if "unexpected end of data" in error or "field larger" in error:
            return f"{self.file}, line {line}: a quote opens here and never closes. Close it, or double it if it belongs to the text."
        if "expected after" in error:
            return f"{self.file}, line {line}: text follows a closing quote. Double the quotes that belong to the text."
        return f"{self.file}, line {line}: {error}. Save the file again as CSV."


def _mark_name(mark: str) -> str:
    return {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}.get(mark, repr(mark))
