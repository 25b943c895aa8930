"""The order of stages where a sheet has no ids and no flags: what the sheet shows, else the ordinary ladder, else nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from connectors.spreadsheet import words
from connectors.spreadsheet.grid import Grid
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.table import group_label

_LIST_ROWS = 200


def stage_id(label: str) -> str:
    """A stage's id in a sheet: its label, folded."""
    return words.fold(label)


def shown_order(plans: Sequence[SheetPlan], labels: Sequence[str]) -> tuple[list[str], str]:
    """(stages in an order that the sheet shows, where it shows it): columns of dates, a board, tabs, or a list in another tab."""
    first = plans[0]
    if first.layout == "wide":
        return [stage for stage, _ in first.mapping.stage_dates], "the order of the date columns"
    if first.layout == "kanban":
        return [group_label(head.given) for head in first.head.headers if head.given], "the order of the columns"
    if first.layout == "sheet_per_stage":
        return [plan.tab_stage for plan in plans if plan.tab_stage], "the order of the tabs"
    wanted = {stage_id(label) for label in labels}
    for plan in plans:
        for grid in plan.siblings:
            for column in _columns(grid):
                if len(wanted) >= 2 and wanted <= {stage_id(text) for text in column}:
                    return column, f"the list in tab {grid.sheet!r}"
    return [], ""


def _columns(grid: Grid) -> list[list[str]]:
    """Short columns of texts, as lists for drop-downs are."""
    columns: dict[int, list[str]] = {}
    for _, cells in islice(grid.rows(), _LIST_ROWS):
        for index, cell in enumerate(cells):
            if isinstance(cell, str) and cell.strip():
                columns.setdefault(index, []).append(cell.strip())
    return [column for column in columns.values() if len(column) < _LIST_ROWS]


def display_orders(labels: Sequence[str], shown: Sequence[str]) -> tuple[dict[str, int | None], list[str]]:
    """(stage id -> place or None, labels whose place is not known).

    `shown` is an order that the sheet or the settings show (columns of dates, columns of a board, tabs, a list). It decides when it names
    every open stage; else the words of an ordinary ladder do; a stage that neither knows has no place. Only when not a single open stage
    is known does the order of first appearance stand in.
    """
    orders: dict[str, int | None]
    listed = {stage_id(label): place for place, label in enumerate(shown)}
    open_labels = [label for label in labels if (words.rung(label) or 0) < 1000]
    closed: dict[str, int | None] = {
        stage_id(label): 100_000 + (words.rung(label) or 0) for label in labels if label not in open_labels
    }
    if listed and all(stage_id(label) in listed for label in open_labels):
        orders = {stage_id(label): (listed[stage_id(label)] + 1) * 10 for label in open_labels}
        return orders | closed, []
    known = {stage_id(label): _open_rung(label) for label in open_labels}
    if open_labels and not any(known.values()) and not any(stage_id(label) in listed for label in open_labels):
        return {stage_id(label): (place + 1) * 10 for place, label in enumerate(open_labels)} | closed, list(
            open_labels
        )
    orders = dict(closed)
    for place, label in enumerate(open_labels):
        rung = known[stage_id(label)]
        orders[stage_id(label)] = rung * 1000 + place if rung is not None else None
    return orders, [label for label in open_labels if known[stage_id(label)] is None]


def _open_rung(label: str) -> int | None:
    near = words.near_rung(label)
    return near if near is not None and near < 1000 else None
