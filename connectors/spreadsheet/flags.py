"""Columns of ticks that say how a deal ended: "Won?", "Lost (Y/N)", "Closed". Read where no status column says it.

A tick says yes; a "no" says only what it says. "Won? no" alone is a deal that is lost or still open: then the stage decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from connectors.sdk.records import Outcome
from connectors.spreadsheet import words
from connectors.spreadsheet.grid import Cell, text_of
from connectors.spreadsheet.header import Header

_BRACKETS = re.compile(r"[(\[（].*?[)\]）]")
_BEFORE = ("is ", "deal ", "ist ", "opportunity ")


def meaning(header: str) -> str | None:
    """won, lost or closed for a header that asks for it, else None."""
    name = words.fold_header(_BRACKETS.sub(" ", header))
    for start in _BEFORE:
        name = name.removeprefix(start)
    if name in words.words("closed_headers"):
        return "closed"
    said = words.outcome_of(name)
    return said if said in ("won", "lost") else None


def is_tick(text: str) -> bool | None:
    """True for a tick or a yes, False for a no, None for anything else."""
    folded = words.fold(text)
    if folded in words.words("marks"):
        return True
    return False if folded in words.words("unmarks") else None


def columns(headers: Sequence[Header], texts: Mapping[int, Sequence[str]]) -> dict[str, int]:
    """won, lost, closed -> the one column that says it by ticks. `texts`: what stands in the columns that may."""
    found: dict[str, list[int]] = {}
    for header in headers:
        said = meaning(header.given) if header.given else None
        held = texts.get(header.index)
        if said and held and all(is_tick(text) is not None for text in held):
            found.setdefault(said, []).append(header.index)
    return {said: indexes[0] for said, indexes in found.items() if len(indexes) == 1}


def outcome(cells: Sequence[Cell], found: Mapping[str, int]) -> Outcome | None:
    """What the ticks of a row say together, None where they leave it open or contradict each other."""
    won, lost, closed = (
        is_tick(text_of(cells[found[said]])) if said in found else None for said in ("won", "lost", "closed")
    )
    if won:
        return None if lost or closed is False else "won"
    if lost or (closed and won is False):
        return None if closed is False else "lost"
    if closed is False or (won is False and lost is False and not closed):
        return "open"
    return None
