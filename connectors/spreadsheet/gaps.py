"""Owners and companies that stand on the first row of a group only: when the rows below may be given the same.

Gaps alone say nothing: a deal may have no owner. The groups must show: by sums below them, or by blank rows between three blocks or more.
"""

from __future__ import annotations

from collections.abc import Iterable

from connectors.spreadsheet.grid import text_of
from connectors.spreadsheet.table import Row

_BLOCKS = 3


def blocks(rows: Iterable[Row], column: int) -> tuple[list[list[str]], int]:
    """(the column's cells block by block, number of sums between them): a sum or a blank row ends a block."""
    found: list[list[str]] = [[]]
    sums, before = 0, None
    for row in rows:
        if row.dropped is not None:
            if row.dropped == "total" and found[-1]:
                sums += 1
                found.append([])
        else:
            if before is not None and row.number > before + 1 and found[-1]:
                found.append([])
            found[-1].append(text_of(row.cells[column]))
        before = row.number
    return [block for block in found if block], sums


def heads_groups(found: list[list[str]], sums: int) -> bool:
    """Whether each block has its label on its first row and nowhere else, and the blocks are no accident."""
    headed = all(block[0] and not any(block[1:]) for block in found)
    return (
        headed and any(len(block) > 1 for block in found) and len(found) >= 2 and (sums >= 2 or len(found) >= _BLOCKS)
    )


def may_head_groups(found: list[list[str]]) -> bool:
    """Whether labels with gaps below them look like groups: the first row has one, none comes twice, and gaps are as many as labels."""
    cells = [cell for block in found for cell in block]
    labels = [cell.casefold() for cell in cells if cell]
    return bool(cells and cells[0]) and len(labels) == len(set(labels)) >= 2 and len(cells) - len(labels) >= len(labels)
