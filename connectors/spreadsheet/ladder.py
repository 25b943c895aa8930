"""The order of stages where a sheet has no ids and no flags: what the sheet shows, else the ordinary ladder, else nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.spreadsheet import words


def stage_id(label: str) -> str:
    """A stage's id in a sheet: its label, folded."""
    return words.fold(label)


def display_orders(labels: Sequence[str], shown: Sequence[str]) -> tuple[dict[str, int | None], list[str]]:
    """(stage id -> place or None, labels whose place is not known).

    `shown` is an order that the sheet or the settings show (columns of dates, columns of a board, tabs, a list). It decides when it names
    every open stage; else the words of an ordinary ladder do; a stage that neither knows has no place. Only when not a single open stage
    is known does the order of first appearance stand in.
    """
    listed = {stage_id(label): place for place, label in enumerate(shown)}
    open_labels = [label for label in labels if (words.rung(label) or 0) < 1000]
    closed = {stage_id(label): 100_000 + (words.rung(label) or 0) for label in labels if label not in open_labels}
    if listed and all(stage_id(label) in listed for label in open_labels):
        return {stage_id(label): (listed[stage_id(label)] + 1) * 10 for label in open_labels} | closed, []
    known = {stage_id(label): words.rung(label) for label in open_labels}
    if open_labels and not any(known.values()) and not any(stage_id(label) in listed for label in open_labels):
        return {stage_id(label): (place + 1) * 10 for place, label in enumerate(open_labels)} | closed, list(
            open_labels
        )
    orders: dict[str, int | None] = dict(closed)
    for place, label in enumerate(open_labels):
        rung = known[stage_id(label)]
        orders[stage_id(label)] = rung * 1000 + place if rung is not None else None
    return orders, [label for label in open_labels if known[stage_id(label)] is None]
