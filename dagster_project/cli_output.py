"""How the command line speaks: aligned tables, one line of progress, JSON for programs."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import msgspec

UNKNOWN = "-"


def to_json(value: Any) -> str:
    """Any result as JSON text: instants as ISO, decimals as text so that no digit is lost, paths as text."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


def cell(value: Any) -> str:
    """A value as a person reads it; unknown is `-`, never 0 and never empty."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, Decimal):
        return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return printable(" ".join(str(value).split("\n")))


def percent(value: float | None) -> str:
    """A share 0..1 as `66.7 %`; unknown is `-`."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def offending(count: int, description: str) -> str:
    """`6 rows, each a stage without …`: a check's description, which begins with what a returned row is, as a sentence of a list."""
    begin = "A returned row is "
    rows = f"{count:,} {'row' if count == 1 else 'rows'}"
    return f"{rows}, each {description[len(begin) :]}" if description.startswith(begin) else f"{rows}. {description}"


def table(rows: Sequence[Sequence[Any]], header: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """An aligned text table. Columns whose values are all numbers stand right, and so do those named in `right`."""
    cells = [[cell(value) for value in row] for row in rows]
    numeric = {
        index
        for index in range(len(header))
        if any(row[index] is not None for row in rows)
        and all(
            row[index] is None or (isinstance(row[index], int | float | Decimal) and not isinstance(row[index], bool))
            for row in rows
        )
    } | set(right)
    widths = [max([width(name), *(width(row[index]) for row in cells)]) for index, name in enumerate(header)]
    lines = [_line(header, widths, numeric), "  ".join("-" * size for size in widths)]
    lines += [_line(row, widths, numeric) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _line(values: Sequence[str], widths: Sequence[int], right: set[int]) -> str:
    padded = []
    for index, (value, size) in enumerate(zip(values, widths, strict=True)):
        space = " " * (size - width(value))
        padded.append(space + value if index in right else value + space)
    return "  ".join(padded)


def width(text: str) -> int:
    """Columns a text takes in a terminal: East Asian wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def printable(text: str) -> str:
    """Text from a CRM with control characters made visible, so that a deal's name cannot drive the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


class Progress:
    """One line that is written over in a terminal; elsewhere a plain line now and then, so that logs stay readable."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, monotonic: Any = None) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.quiet = quiet
        self._monotonic = monotonic
        self._last: tuple[str, float] = ("", float("-inf"))
        self._open = False

    def show(self, label: str, done: int, total: int | None, what: str) -> None:
        """Say how far `label` is. Cheap enough for every page: shown at most ten times a second (a plain line every 10 s)."""
        if self.quiet:
            return
        now = self._monotonic() if self._monotonic else 0.0
        wait = 0.1 if self.is_terminal else 10.0
        if self._last[0] == label and now - self._last[1] < wait:
            return
        self._last = (label, now)
        of = f" of {total:,}" if total else ""
        text = f"{label}: {done:,}{of} {what}"
        if self.is_terminal:
            columns = shutil.get_terminal_size().columns
            self.stream.write("\r\x1b[2K" + text[: columns - 1])
            self._open = True
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Clear the line, so that the next print starts at the left."""
        if self._open:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
            self._open = False
