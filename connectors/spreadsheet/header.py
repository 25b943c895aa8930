"""Finding the header: which row, one or two rows high, what each column is called. Not row 1 by habit.

Titles, "as of" lines, filters, logos and totals may stand above it. The header is the row among the first thirty in which most cells are
names of known fields (or of headers that the settings name), followed by rows of like width.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import dates, money, words
from connectors.spreadsheet.grid import Cell, Grid, letter, place, text_of
from connectors.spreadsheet.settings import Table

SEARCHED_ROWS = 30


class Header(msgspec.Struct, frozen=True):
    """One column: `text` is unique in its table (a repeated or blank header gets its letter); `given` is what the cell says."""

    index: int
    text: str
    given: str
    #: The lower of two header rows alone, where there are two.
    lower: str = ""

    @property
    def letter(self) -> str:
        """Column letter as a person sees it."""
        return letter(self.index)

    @property
    def label(self) -> str:
        """What a person calls this column: its header, or its letter."""
        return self.given or f"column {self.letter}"


class Head(msgspec.Struct, frozen=True):
    """The header of a table: rows `first`..`last` (0, 0 = none), its columns, and the rows above it as text."""

    first: int
    last: int
    headers: tuple[Header, ...]
    above: tuple[tuple[int, str], ...] = ()
    note: str = ""


def find(grid: Grid, table: Table) -> Head:
    """The header of a grid. Raises ConfigError when there is none, or when `header_row` points past the table."""
    top = list(islice(grid.rows(), SEARCHED_ROWS + 5 if table.header_row is None else table.header_row + 5))
    if not top:
        raise ConfigError(f"{place(grid)}: is empty. Nothing was read; earlier data stay as they are.")
    if table.header_row == 0:
        width = max(len(cells) for _, cells in top)
        return Head(0, 0, tuple(Header(index, f"Column {letter(index)}", "") for index in range(width)))
    if table.header_row is not None:
        at = next((index for index, (number, _) in enumerate(top) if number == table.header_row), None)
        if at is None:
            raise ConfigError(
                f"{place(grid, table.header_row)}: `header_row` points to an empty row. Set it to the row of the headers."
            )
    else:
        at = _best(top, table)
        if at is None:
            shown = "; ".join(f'"{_shown(cells)}"' for _, cells in top[:3])
            raise ConfigError(
                f"{place(grid)}: no header row found in rows {top[0][0]} to {top[-1][0]}. First rows: {shown}. Set `header_row` to the row "
                "with the column names (0 if there is none, then name columns by letter in `columns`)."
            )
    _refuse_transposed(grid, top, at)
    return _head(grid, top, at)


def _shown(cells: list[Cell]) -> str:
    """The beginning of a row, for a message."""
    text = ", ".join(text_of(cell).replace("\n", " ")[:20] for cell in cells[:6])
    return text + (", ..." if len(cells) > 6 else "")


def _refuse_transposed(grid: Grid, top: list[tuple[int, list[Cell]]], at: int) -> None:
    """Raise ConfigError for a sheet whose fields run down its first column."""
    across = known_fields([text_of(cell) for cell in top[at][1]])
    down = known_fields([next((text_of(cell) for cell in cells if cell is not None), "") for _, cells in top])
    if len(down) >= 3 and len(down) > len(across):
        raise ConfigError(
            f"{place(grid)}: the names of the fields run down the first column ({', '.join(sorted(down)[:4])}), so each deal is a column. "
            "Turn the table (copy, paste special, transpose) so that each deal is a row."
        )


def known_fields(texts: list[str]) -> set[str]:
    """Fields that texts are the names of; labels of stages do not count."""
    names = {words.fold_header(text) for text in texts if text and words.rung(text) is None}
    return {words.synonyms()[name][0][0] for name in names if name in words.synonyms() and len(name) > 1}


def _best(top: list[tuple[int, list[Cell]]], table: Table) -> int | None:
    wanted = {
        words.fold_header(name) for name in (*table.columns.values(), *table.stage_dates.values(), *table.key) if name
    }
    best, best_score = None, 0.0
    for index, (_, cells) in enumerate(top[:SEARCHED_ROWS]):
        score = _score(cells, wanted, top[index + 1 : index + 6])
        if score > best_score:
            best, best_score = index, score
    return best


def _score(cells: list[Cell], wanted: set[str], below: list[tuple[int, list[Cell]]]) -> float:
    texts = [text_of(cell) for cell in cells]
    folded = {words.fold_header(text) for text in texts if text}
    ranked = {words.fold_header(text) for text in texts if text and words.rung(text) is not None}
    if any(not isinstance(cell, str) and cell is not None for cell in cells) and not (folded & wanted):
        typed = sum(1 for cell in cells if cell is not None and not isinstance(cell, str))
        if typed > len(folded) / 2:
            return 0.0
    data_like = sum(
        1 for text in texts if text and (_is_number(text) or dates.parse(text).kind in ("day", "instant", "ordered"))
    )
    if len(folded) < 2 or data_like > len(folded) / 2:
        return 0.0
    stages = ranked | {name for name in folded if words.rung(name) is not None}
    named = folded - stages
    known = {words.synonyms()[name][0][0] for name in named if name in words.synonyms() and len(name) > 1}
    weak = {words.synonyms()[name][0][0] for name in named & words.weak_headers() if name in words.synonyms()}
    weak -= {words.synonyms()[name][0][0] for name in named - words.weak_headers() if name in words.synonyms()}
    part = sum(1 for name in named if name not in words.synonyms() and _known_by_word(name))
    hits = len(known) - 0.4 * len(weak & known) + 0.5 * part + 0.7 * len(stages) + 3 * len(folded & wanted)
    hits -= 0.5 * data_like
    if hits < 1:
        return 0.0
    width = sum(1 for text in texts if text)
    like = [row for _, row in below if abs(sum(1 for cell in row if cell is not None) - width) <= max(2, width // 2)]
    return hits + 0.1 * len(folded) + (0.5 if like else 0.0)


def _known_by_word(name: str) -> bool:
    parts = name.split(" ")
    return len(parts) <= 5 and any(part in words.synonyms() and len(part) > 2 for part in parts)


def _is_number(text: str) -> bool:
    parsed = money.parse(text)
    return parsed.kind == "text"


def _head(grid: Grid, top: list[tuple[int, list[Cell]]], at: int) -> Head:
    number, cells = top[at]
    upper = top[at - 1] if at and top[at - 1][0] == number - 1 else None
    below = top[at + 1] if at + 1 < len(top) and top[at + 1][0] == number + 1 else None
    lower_texts = [text_of(cell) for cell in cells]
    above = tuple((row, " ".join(filter(None, map(text_of, line)))) for row, line in top[:at])
    if below is not None and _is_second_header(grid, cells, below):
        joined = _join(_filled(grid, number, cells), [text_of(cell) for cell in below[1]])
        return Head(number, below[0], _named(*joined), above, "two header rows, joined")
    if upper is not None and _is_group_header(grid, upper, lower_texts):
        joined = _join(_filled(grid, upper[0], upper[1]), lower_texts)
        return Head(upper[0], number, _named(*joined), above[:-1], "two header rows, joined")
    return Head(number, number, _named(lower_texts, [""] * len(lower_texts)), above)


def _is_group_header(grid: Grid, upper: tuple[int, list[Cell]], lower: list[str]) -> bool:
    """A row of group names over the header: two texts or more, no numbers, covering columns whose own names repeat or are merged over."""
    row, cells = upper
    texts = [text_of(cell) for cell in cells]
    filled = [text for text in texts if text]
    if len(set(filled)) < 2 or any(cell is not None and not isinstance(cell, str) for cell in cells):
        return False
    if any(_is_number(text) or dates.parse(text).kind != "unreadable" for text in filled):
        return False
    has_merge = any(first == last == row and left < right for first, left, last, right in grid.merged)
    named = [text for text in lower if text]
    return has_merge or len(set(map(words.fold_header, named))) < len(named)


def _is_second_header(grid: Grid, cells: list[Cell], below: tuple[int, list[Cell]]) -> bool:
    """The next row goes on with the header: some of the header's cells are merged downwards or sidewards, and it is text only."""
    number, under = below
    if any(cell is not None and not isinstance(cell, str) for cell in under):
        return False
    down = any(first < number <= last for first, _, last, _ in grid.merged)
    sideways = [area for area in grid.merged if area[0] == area[2] == number - 1 and area[1] < area[3]]
    if not down and not sideways:
        return False
    filled = [index for index, cell in enumerate(under) if cell is not None]
    gaps = [index for index, cell in enumerate(under) if cell is None]
    covered = [index for index in filled if any(area[1] <= index <= area[3] for area in sideways)]
    return bool(filled) and len(covered) == len(filled) and (bool(gaps) or down)


def _filled(grid: Grid, row: int, cells: list[Cell]) -> list[str]:
    """Group names spread over the columns they stand above: over merged cells, or (where nothing is merged) up to the next name."""
    texts = [text_of(cell) for cell in cells]
    areas = [area for area in grid.merged if area[0] <= row <= area[2] and area[1] < area[3]]
    if areas:
        for _, left, _, right in areas:
            if left < len(texts):
                texts += [""] * (right + 1 - len(texts))
                texts[left : right + 1] = [texts[left]] * (right + 1 - left)
        return texts
    last = ""
    for index, text in enumerate(texts):
        last = text or last
        texts[index] = last
    return texts


def _join(upper: list[str], lower: list[str]) -> tuple[list[str], list[str]]:
    width = max(len(upper), len(lower))
    upper, lower = upper + [""] * (width - len(upper)), lower + [""] * (width - len(lower))
    whole = [
        f"{above} {below}" if above and below and above != below else above or below
        for above, below in zip(upper, lower, strict=True)
    ]
    return whole, [below if below != name else "" for below, name in zip(lower, whole, strict=True)]


def _named(texts: list[str], lower: list[str]) -> tuple[Header, ...]:
    seen: dict[str, int] = {}
    for text in texts:
        seen[words.fold(text)] = seen.get(words.fold(text), 0) + 1
    taken: set[str] = set()
    headers = []
    for index, text in enumerate(texts):
        name = text or f"Column {letter(index)}"
        if text and seen[words.fold(text)] > 1 and name in taken:
            name = f"{text} ({letter(index)})"
        taken.add(name)
        headers.append(Header(index, name, text, lower[index]))
    return tuple(headers)
