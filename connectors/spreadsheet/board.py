"""A board (Kanban): the headers are stages, every cell below is a deal. The text of a card is all there is of it, and its key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import words
from connectors.spreadsheet.draft import Draft
from connectors.spreadsheet.grid import Cell, letter, text_of
from connectors.spreadsheet.keys import KeyChoice
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.table import group_label

CARD_KEY = KeyChoice(
    ("text of the card",), (), True, "a board has nothing else; a renamed card will look like a new deal"
)


def survey_board(plan: SheetPlan) -> None:
    """Count rows and check that no card stands twice. Raises ConfigError naming the cells of cards that do."""
    places: dict[str, list[str]] = {}
    for head in plan.head.headers:
        if head.given:
            plan.stages.setdefault((None, group_label(head.given)))
    for row in plan.rows():
        plan.row_count += 1
        if row.dropped is not None:
            plan.dropped.setdefault(row.dropped, []).append(row.number)
            continue
        for index, text in _cards(plan, row.cells):
            places.setdefault(words.fold(_first_line(text)), []).append(f"{letter(index)}{row.number}")
    twice = [cells for cells in places.values() if len(cells) > 1]
    repeated = sorted(text for text, cells in places.items() if len(cells) > 1)
    if twice and set(repeated) <= words.words("marks"):
        raise ConfigError(
            f"{plan.where}: the columns named after stages hold marks ({', '.join(map(repr, repeated[:3]))}), neither deals nor days. "
            "Write the day on which a stage was reached instead of a mark, or add a column with the present stage."
        )
    if twice:
        listed = "; ".join(" and ".join(cells[:3]) for cells in twice[:5])
        raise ConfigError(
            f"{plan.where}: {len(twice)} card(s) stand twice on the board ({listed}). Take one away, or tell them apart by their text."
        )


def drafts(plan: SheetPlan, table: int) -> Iterator[Draft]:
    """A draft for every card."""
    for row in plan.rows():
        if row.dropped is not None:
            continue
        for index, text in _cards(plan, row.cells):
            name = _first_line(text)
            yield Draft(
                key=words.fold(name),
                row=row.number,
                table=table,
                file=plan.grid.file,
                sheet=plan.grid.sheet,
                column=letter(index),
                name=name,
                stage=group_label(plan.head.headers[index].given),
                custom={"Card": text} if text != name else {},
                raw={plan.head.headers[index].text: text},
            )


def _cards(plan: SheetPlan, cells: Sequence[Cell]) -> Iterator[tuple[int, str]]:
    for head in plan.head.headers:
        text = text_of(cells[head.index])
        if head.given and text and words.fold(text) not in words.nothing("text"):
            yield head.index, text


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()
