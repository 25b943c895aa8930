"""The rows of a table below its header: deals on one side, dropped rows with their reason on the other. No row is lost without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from connectors.spreadsheet import money, words
from connectors.spreadsheet.grid import Cell, Grid, text_of
from connectors.spreadsheet.header import Head, known_fields

Dropped = Literal["total", "repeated_header", "note", "group_label", "title", "other_table"]


class Row(msgspec.Struct, frozen=True):
    """One row under the header: its number, its cells padded to the header's width, and why it is not a deal (None: it is one)."""

    number: int
    cells: list[Cell]
    dropped: Dropped | None = None
    #: The group it stands in, where group labels are filled down.
    group: str | None = None


class Shape(msgspec.Struct, frozen=True):
    """What row judging needs to know of a table: column indexes of stage, key and name, and whether group labels stand in it."""

    stage: int | None = None
    identity: tuple[int, ...] = ()
    dates: tuple[int, ...] = ()
    width: int = 0
    #: Column whose label is filled down inside a group (the stage is written on the group's first row only).
    fill_down: int | None = None
    #: Columns written on the first row of a group only; a sum ends the group.
    filled_down: tuple[int, ...] = ()
    #: Column of the deals' names: empty in the sums that a program puts under its groups ("Ann Total").
    name: int | None = None
    #: Rows that hold nothing but a label name the group of the rows below.
    label_rows: bool = False
    #: Cells are cards: a row is a sum only when its first cell says nothing else ("Total Energies" is a card).
    is_board: bool = False


def rows(grid: Grid, head: Head, shape: Shape) -> Iterator[Row]:
    """Every row below the header that holds something, judged. Blank rows end nothing.

    A text alone in its row right above the header's repetition, or above another header, is the title of that block, not a deal. What stands
    under another header is not read as deals until the table's own header comes again.
    """
    names = {header.index: words.fold(header.given) for header in head.headers if header.given}
    looks = frozenset(name.split(" ", 1)[0] for name in names.values()) | words.total_starts()
    starts = frozenset(look[:3] for look in looks)
    width, last, name_at = len(head.headers), head.last, shape.name
    group: str | None = None
    waiting: Row | None = None
    upper: dict[int, Cell] = {}
    is_elsewhere, is_in_sums, before = False, False, last
    downward = [_Area(area) for area in grid.merged if last < area[0] < area[2] and area[1] == area[3] < width]
    for number, raw in grid.rows():
        if number <= last:
            continue
        given = _filled_down(number, raw, downward) if downward else raw
        cells = given if len(given) == width else given[:width] + [None] * (width - len(given))
        lead = _lead(cells)
        if lead is None:
            continue
        why: Dropped | None = None
        first = cells[lead]
        is_after_break = number > before + 1 or waiting is not None
        before = number
        if (
            lead == _ALONE
            or is_after_break
            or is_elsewhere
            or ((not isinstance(first, str) or _may_start(first, starts)) and _first_word(cells, lead) in looks)
            or (name_at is not None and cells[name_at] is None)
        ):
            filled = [index for index, cell in enumerate(cells) if _holds(cell)]
            why = judge(cells, filled, names, shape)
            is_elsewhere = why != "repeated_header" and (
                is_elsewhere or (is_after_break and _is_other_header(cells, filled, shape))
            )
            why = "other_table" if is_elsewhere else why
        if is_after_break:
            is_in_sums = why == "total"
        elif is_in_sums and why is None:
            is_in_sums = _is_key_figure(cells, shape)
            why = "total" if is_in_sums else None
        if why == "total" or is_after_break:
            upper.clear()
        if why == "total":
            group = None
        elif why == "group_label":
            group = group_label(next(text for text in map(text_of, cells) if text))
        elif why is None and shape.fill_down is not None:
            own = text_of(cells[shape.fill_down])
            group = group_label(own) if own else group
        if why is None and shape.filled_down:
            cells = list(cells)
            for index in shape.filled_down:
                upper[index] = cells[index] = cells[index] if _holds(cells[index]) else upper.get(index)
        if waiting is not None:
            is_title = why in ("repeated_header", "other_table")
            yield msgspec.structs.replace(waiting, dropped="title") if is_title else waiting
            waiting = None
        row = Row(number, cells, why, group)
        if why is None and lead == _ALONE and width > 1:
            waiting = row
        else:
            yield row
    if waiting is not None:
        yield waiting


class _Area:
    """Cells merged downwards, and the value of the topmost."""

    def __init__(self, place: tuple[int, int, int, int]) -> None:
        self.place = place
        self.value: Cell = None


def _filled_down(number: int, cells: list[Cell], areas: list[_Area]) -> list[Cell]:
    """A row with the value of cells that are merged down over several rows; each such value is seen in all of them."""
    found = list(cells)
    for area in areas:
        top, column, bottom, _ = area.place
        if top == number:
            area.value = found[column] if column < len(found) else None
        elif top < number <= bottom and column < len(found):
            found[column] = area.value
    return found


_ALONE = -1


def _lead(cells: Sequence[Cell]) -> int | None:
    """Index of the first cell that holds something, _ALONE when no other does, None for a blank row."""
    lead = None
    if len(cells) > 1 and isinstance(one := cells[0], str) and isinstance(two := cells[1], str):
        usual = not one.isspace() and not two.isspace()
        if usual:
            return 0
    for index, cell in enumerate(cells):
        if cell is not None and (not isinstance(cell, str) or not cell.isspace()):
            if lead is not None:
                return lead
            lead = index
    return None if lead is None else _ALONE


def _may_start(text: str, starts: frozenset[str]) -> bool:
    """Whether a text may begin with one of the words whose first three characters these are; sure only when it says no."""
    start = text[:3].lower()
    return start in starts or start[:2] in starts or start[:1] in starts or start[:1].isspace() or not text.isascii()


def _first_word(cells: Sequence[Cell], lead: int) -> str:
    """The first word of a row's first text, folded: enough to see that it is neither a sum nor a header."""
    cell = cells[lead]
    text = cell if isinstance(cell, str) else next((one for one in cells if isinstance(one, str)), None)
    if text is None:
        return ""
    word = text.split(None, 1)[0].partition("(")[0].rstrip(":").casefold()
    return word if word.isascii() else words.fold(word)


def _holds(cell: Cell) -> bool:
    return cell is not None and (not isinstance(cell, str) or bool(cell.strip()))


def judge(cells: Sequence[Cell], filled: list[int], names: dict[int, str], shape: Shape) -> Dropped | None:
    """Why a row is not a deal, or None."""
    if _is_repeated_header(cells, filled, names):
        return "repeated_header"
    first = text_of(cells[filled[0]])
    if _is_total(cells, filled, shape):
        return "total"
    if len(filled) == 1:
        if shape.label_rows and money.parse(first).kind != "text":
            return "group_label"
        if is_note(first) and len(names) > 2:
            return "note"
    return None


def _is_repeated_header(cells: Sequence[Cell], filled: list[int], names: dict[int, str]) -> bool:
    first = filled[0]
    if len(filled) < 2 or len(filled) < len(names) / 2 or names.get(first) != words.fold(text_of(cells[first])):
        return False
    return all(
        isinstance(cells[index], str) and names.get(index) == words.fold(text_of(cells[index])) for index in filled
    )


def _is_other_header(cells: Sequence[Cell], filled: list[int], shape: Shape) -> bool:
    """The header of another table below: after a break, texts only, two fields or more that make up at least half of them."""
    if shape.is_board or len(filled) < 2 or not all(isinstance(cells[index], str) for index in filled):
        return False
    found = known_fields([text_of(cells[index]) for index in filled])
    return len(found) >= 2 and 2 * len(found) >= len(filled)


_COUNT = re.compile(r"\s*\(\s*\d+[^)]*\)\s*$|\s*[-–:]\s*\d+\s*$")


def group_label(label: str) -> str:
    """A group label bare of its count and of the field's name: "Proposal (3)" and "Stage: Proposal (3 records)" are Proposal."""
    before, colon, after = label.partition(":")
    if colon and after.strip() and _names_stage(before):
        label = after
    return _COUNT.sub("", label).strip().rstrip(":").strip() or label.strip()


@lru_cache(maxsize=256)
def _names_stage(text: str) -> bool:
    return any(field == "stage" for field, _ in words.synonyms().get(words.fold_header(text), ()))


def _is_total(cells: Sequence[Cell], filled: list[int], shape: Shape) -> bool:
    """A sum: its first text is a word for total, and it has neither a stage nor a date of its own (a customer may be called Total)."""
    lead = next((index for index in filled if isinstance(cells[index], str)), None)
    if lead is None:
        return False
    text = words.fold(text_of(cells[lead])).rstrip(":").strip()
    if _is_group_total(cells, filled, lead, shape):
        return True
    if text.split(" ", 1)[0].split("(", 1)[0].rstrip(":") not in words.total_starts():
        return False
    whole = group_label(text) in words.words("totals") or text in words.words("totals")
    if not whole and (
        shape.is_board or not any(text.startswith((word + " ", word + ":")) for word in words.words("totals"))
    ):
        return False
    stage_filled = shape.stage is not None and shape.stage != lead and _holds(cells[shape.stage])
    dated = any(
        _holds(cells[index]) and not isinstance(cells[index], int | float) for index in shape.dates if index != lead
    )
    if stage_filled or dated:
        return False
    others = [index for index in filled if index != lead]
    plain = all(
        not isinstance(cells[index], str) or money.parse(cells[index]).kind in ("text", "empty") for index in others
    )
    return (
        plain
        if whole
        else plain and bool(others) and not any(index in shape.identity and index != lead for index in others)
    )


def _is_group_total(cells: Sequence[Cell], filled: list[int], lead: int, shape: Shape) -> bool:
    """A sum as programs put it under a group: "Ann Total" where the group's label stands, no name, figures in the other cells."""
    if shape.name is None or _holds(cells[shape.name]) or len(filled) < 2:
        return False
    word = words.fold(text_of(cells[lead])).rpartition(" ")[2]
    return word in words.words("totals") and all(
        not isinstance(cells[index], str) or money.parse(cells[index]).kind == "text"
        for index in filled
        if index != lead
    )


def _is_key_figure(cells: Sequence[Cell], shape: Shape) -> bool:
    """A label and figures, no stage: what stands under a sum in a block of its own ("Win rate 50%")."""
    filled = [index for index, cell in enumerate(cells) if _holds(cell)]
    figures = all(not isinstance(cells[index], str) or money.parse(cells[index]).kind == "text" for index in filled[1:])
    return len(filled) > 1 and figures and (shape.stage is None or not _holds(cells[shape.stage]))


_SENTENCE = re.compile(r"\S+\s+\S+\s+\S+\s+\S+\s+\S+.*[.!]$", re.DOTALL)


def is_note(text: str) -> bool:
    """A line under the table that is not a deal: a footnote, a legend, a copyright line, a whole sentence."""
    folded = words.fold(text)
    return any(_starts(folded, start) for start in words.words("notes")) or bool(_SENTENCE.fullmatch(text))


def _starts(text: str, start: str) -> bool:
    if not text.startswith(start):
        return False
    rest = text[len(start) :]
    return not start[-1].isalnum() or not rest or not rest[0].isalnum()
