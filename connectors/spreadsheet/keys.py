"""What identifies a deal for ever: a configured column, an id-like unique column, company and deal name, or nothing (and then nothing is read).

A row number is never a key: rows are sorted and deleted. Composite keys are folded (case, width, spaces), so that a retyped name stays the
same deal; an id of its own is kept exactly as written.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import mapping, words
from connectors.spreadsheet.grid import Cell, place, text_of
from connectors.spreadsheet.planning import SheetPlan


class KeyChoice(msgspec.Struct, frozen=True):
    """Which headers make the key, and why; `is_folded` for names, False for ids."""

    headers: tuple[str, ...]
    columns: tuple[int, ...]
    is_folded: bool
    reason: str
    #: Parts that must be filled. Of company and deal the deal must: a deal without a company yet is still a deal.
    required: tuple[int, ...] = ()
    #: An id column that a program wrote as floats: 1001.0 is 1001.
    is_float: bool = False


def key_of(cells: Sequence[Cell], choice: KeyChoice) -> str | None:
    """The key of a row, None when part of it is empty. Parts of a composite key are joined by "/" (escaped inside a part)."""
    if len(choice.columns) == 1:
        text = text_of(cells[choice.columns[0]])
        if not text or (len(text) < 8 and words.fold(text) in words.nothing("text")):
            return None
        if choice.is_float and text.endswith(".0"):
            text = text[:-2]
        return words.fold(text) if choice.is_folded else text
    nothing = words.nothing("text")
    parts = []
    for index in choice.columns:
        part = words.fold(text_of(cells[index]))
        if part in nothing:
            if not choice.required or index in choice.required:
                return None
            part = ""
        parts.append(part)
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)


def candidates(plan: SheetPlan) -> list[KeyChoice]:
    """Keys worth trying, the best first. A configured key is the only one. Raises ConfigError when it names no column here."""
    if plan.asked.key:
        return [_configured(plan)]
    found: list[KeyChoice] = []
    fields = plan.fields
    if "deal_id" in fields:
        index = fields["deal_id"]
        asked = "deal_id" in plan.asked.columns
        how = (
            "set in `columns`"
            if asked
            else "an id column"
            if plan.layout == "log"
            else "an id column, filled and unique"
        )
        found.append(
            KeyChoice((plan.head.headers[index].text,), (index,), False, how, is_float=_are_floats(plan, (index,)))
        )
        if asked:
            return found
    if "company" in fields and "name" in fields:
        pair = (fields["company"], fields["name"])
        found.append(
            _named(plan, pair, "company and deal name together are unique; a renamed deal will look like a new one")
        )
    else:
        single = fields.get("name", fields.get("company"))
        if single is not None:
            found.append(_named(plan, (single,), "there is no id column; a renamed deal will look like a new one"))
    return found


def _named(plan: SheetPlan, columns: tuple[int, ...], reason: str) -> KeyChoice:
    names = tuple(plan.head.headers[index].text for index in columns)
    return KeyChoice(names, columns, True, reason, _required(plan, columns))


def _required(plan: SheetPlan, columns: tuple[int, ...]) -> tuple[int, ...]:
    name = plan.fields.get("name")
    return (name,) if name is not None and name in columns and len(columns) > 1 else ()


def _configured(plan: SheetPlan) -> KeyChoice:
    columns = []
    for name in plan.asked.key:
        index = mapping.find_column(plan.head, name, plan.where, "key")
        if index is None:
            index = plan.fields.get(name)
        if index is None:
            listed = ", ".join(repr(head.text) for head in plan.head.headers if head.given)
            raise ConfigError(f"{plan.where}: `key` names {name!r}, which is not a header here. Headers: {listed}.")
        columns.append(index)
    names = tuple(plan.head.headers[index].text for index in columns)
    is_name = len(columns) > 1 or columns[0] in (plan.fields.get("name"), plan.fields.get("company"))
    return in_tab(plan, KeyChoice(names, tuple(columns), is_name, "set in `key`"), tuple(columns))


def in_tab(plan: SheetPlan, option: KeyChoice, columns: tuple[int, ...]) -> KeyChoice:
    """The same key in another tab, where its columns stand elsewhere."""
    is_float = not option.is_folded and _are_floats(plan, columns)
    return KeyChoice(option.headers, columns, option.is_folded, option.reason, _required(plan, columns), is_float)


_FLOAT = re.compile(r"\d+\.0")


def _are_floats(plan: SheetPlan, columns: tuple[int, ...]) -> bool:
    """Whether a text column of ids holds nothing but whole numbers with ".0", as programs write ids that they took for numbers."""
    texts = plan.held[columns[0]].texts
    return len(columns) == 1 and bool(texts) and all(_FLOAT.fullmatch(text) for text in texts)


class Uniqueness:
    """Counts rows and finds keys that come twice, with eight bytes a row. Candidates are checked exactly afterwards."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self.missing: list[int] = []
        self.missing_count = 0

    def see(self, row: int, key: str | None) -> None:
        """Count one row."""
        if key is None:
            self.missing_count += 1
            if len(self.missing) < 10:
                self.missing.append(row)
        else:
            self._hashes.append(hash(key))

    def suspects(self) -> frozenset[int]:
        """Hashes that came more than once."""
        ordered = sorted(self._hashes)
        return frozenset(left for left, right in pairwise(ordered) if left == right)

    def __len__(self) -> int:
        return len(self._hashes)


def duplicates_error(plan: SheetPlan, choice: KeyChoice, rows: Sequence[Sequence[str]]) -> ConfigError:
    """The error for keys that several different rows claim."""
    listed = "; ".join(("rows " if group[0].isdigit() else "") + " and ".join(group[:4]) for group in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    names = " + ".join(repr(name) for name in choice.headers)
    return ConfigError(
        f"{place(plan.grid)}: {len(rows)} value(s) of the key {names} stand in several different rows ({listed}{more}). "
        "Correct the sheet, or set `key` to a column (or several) that tells the deals apart."
    )
