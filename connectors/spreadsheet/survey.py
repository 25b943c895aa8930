"""The first pass over a table: everything that only the whole column can tell, before anything is yielded.

Order of dates, decimal marks, percent points, what the status column means, which stages there are, and whether the key is unique. What
cannot be settled refuses the file with the rows named; nothing is half read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import keys, mapping, words
from connectors.spreadsheet.dates import DateColumn
from connectors.spreadsheet.grid import text_of
from connectors.spreadsheet.keys import KeyChoice
from connectors.spreadsheet.money import MoneyColumn
from connectors.spreadsheet.planning import MAX_STAGES, SheetPlan
from connectors.spreadsheet.reading import needed_dates, needed_money
from connectors.spreadsheet.table import strip_count


class Surveyed(msgspec.Struct, frozen=True):
    """The tabs of one table, ready to be read under one key."""

    plans: list[SheetPlan]
    choices: list[KeyChoice]
    #: Keys that stand in several equal rows: read once.
    repeated: frozenset[str]

    @property
    def key(self) -> KeyChoice:
        """The key, as the first tab shows it."""
        return self.choices[0]


def survey(plans: list[SheetPlan], *, chosen: Sequence[str] = ()) -> Surveyed:
    """Go over all rows of the tabs of one table. `chosen`: headers of the key that earlier readings used.

    Raises ConfigError for a column or key that cannot be settled.
    """
    for plan in plans:
        _columns(plan)
    _decide(plans)
    return _key(plans, chosen)


def _columns(plan: SheetPlan) -> None:
    """One pass: counts, dropped rows, evidence of dates and amounts, labels of stages."""
    plan.dates = {index: DateColumn() for index in needed_dates(plan)}
    plan.money = {index: MoneyColumn() for index in needed_money(plan)}
    stage = plan.fields.get("to_stage", plan.fields.get("stage")) if plan.layout == "log" else plan.fields.get("stage")
    pipeline = plan.fields.get("pipeline")
    watched = [(index, column.see) for index, column in (*plan.dates.items(), *plan.money.items())]
    for row in plan.rows():
        plan.row_count += 1
        if row.dropped is not None:
            plan.dropped.setdefault(row.dropped, []).append(row.number)
            continue
        cells = row.cells
        for index, see in watched:
            see(row.number, cells[index])
        label = text_of(cells[stage]) if stage is not None else row.group or plan.tab_stage
        if label and words.fold(label) not in words.nothing("text"):
            label = strip_count(label) if plan.layout == "grouped" else label
            plan.stages.setdefault((text_of(cells[pipeline]) or None if pipeline is not None else None, label))
            if len(plan.stages) > MAX_STAGES and stage is not None:
                raise ConfigError(
                    f"{plan.where}: column {plan.head.headers[stage].text!r} has more than {MAX_STAGES} different values, so it is "
                    "not a stage column. Map the right one with `columns: {stage: ...}`."
                )


def _decide(plans: list[SheetPlan]) -> None:
    """Settle columns of the same header together over all tabs of the table."""
    dated: dict[str, DateColumn] = {}
    priced: dict[str, MoneyColumn] = {}
    for plan in plans:
        for index, date_column in plan.dates.items():
            dated.setdefault(words.fold(plan.head.headers[index].text), DateColumn()).merge(date_column)
        for index, money_column in plan.money.items():
            priced.setdefault(words.fold(plan.head.headers[index].text), MoneyColumn()).merge(money_column)
    for plan in plans:
        for index in plan.dates:
            whole = dated[words.fold(plan.head.headers[index].text)]
            _refuse(plan, index, whole.decide(plan.asked.locale))
            plan.dates[index] = whole
            _check_swapped(plan, index, whole)
        for index in plan.money:
            amounts = priced[words.fold(plan.head.headers[index].text)]
            currencies = frozenset(
                {plan.asked.default_currency or ""}
                | {"IDR" for sign in amounts.signs if sign.startswith(("rp", "idr"))}
            )
            _refuse(plan, index, amounts.decide(plan.asked.locale, currencies))
            plan.money[index] = amounts
        if "probability" in plan.fields:
            plan.percent_points = _has_points(plan.money[plan.fields["probability"]])
        _settle_status(plan)


def _refuse(plan: SheetPlan, index: int, reason: str | None) -> None:
    if reason is not None:
        head = plan.head.headers[index]
        raise ConfigError(f"{plan.where}, column {head.letter} {head.text!r}: {reason}.")


def _check_swapped(plan: SheetPlan, index: int, column: DateColumn) -> None:
    """Real dates beside text dates that are all past the 12th: what a program does to dates of another country while opening a CSV."""
    if (
        column.native_days
        and column.order == "dmy"
        and column.counts.get("ordered", 0)
        and not column.rows["ambiguous"]
    ):
        head = plan.head.headers[index]
        plan.warn(
            "dates_may_be_swapped",
            f"{plan.where}, column {head.letter} {head.text!r}: dates after the 12th are text, the others real dates. A spreadsheet "
            "program may have swapped day and month of the others; compare a few with the original.",
        )


def _has_points(column: MoneyColumn) -> bool:
    return column.max_plain > 1


def _settle_status(plan: SheetPlan) -> None:
    """Whether the status column is the outcome, the stage, or only a remark ("at risk"), by its values."""
    index = plan.fields.get("status")
    if index is None:
        return
    labels = {text for text in plan.held[index].texts if words.fold(text) not in words.nothing("text")}
    outcomes = {text: words.outcome_of(text) for text in labels}
    known = sum(1 for outcome in outcomes.values() if outcome)
    closed = any(outcome in ("won", "lost") for outcome in outcomes.values())
    has_stage = (
        "stage" in plan.fields
        or plan.is_wide
        or plan.tab_stage is not None
        or plan.layout in ("log", "grouped", "kanban")
    )
    asked = "status" in plan.asked.columns
    plan.status_is_outcome = asked or not labels or (closed and known >= len(labels) / 2)
    if not has_stage and not asked:
        plan.status_is_outcome = closed and known == len(labels)
    if plan.status_is_outcome and (strange := sorted(text for text, outcome in outcomes.items() if outcome is None)):
        plan.warn(
            "status_not_understood",
            f"{plan.where}, column {plan.head.headers[index].text!r}: {len(strange)} value(s) say neither open, won nor lost "
            f"({', '.join(map(repr, strange[:5]))}); the stage decides for those deals.",
        )
    if not has_stage and plan.asked.columns.get("stage", "") is not None:
        plan.fields["stage"] = index
        plan.mapping.matched["stage"] = "status column (there is no stage column)"
        plan.stages = dict.fromkeys((None, text) for text in plan.held[index].texts if text in labels)


def _key(plans: list[SheetPlan], chosen: Sequence[str]) -> Surveyed:
    """The first candidate that is filled and unique, over all tabs. A log repeats its keys; there it only has to be filled."""
    options = keys.candidates(plans[0])
    if chosen and not plans[0].asked.key:
        options = [option for option in options if option.headers == tuple(chosen)] or options
        if options and options[0].headers != tuple(chosen):
            raise ConfigError(
                f"{plans[0].where}: deals were identified by {' + '.join(map(repr, chosen))} so far, and that is no longer possible. "
                "Restore the column, or set `key` (deals will then count as new under the new key)."
            )
    if not options:
        listed = ", ".join(repr(head.text) for head in plans[0].head.headers if head.given)
        raise ConfigError(
            f"{plans[0].where}: nothing identifies a deal (no id column, no deal name). Set `key` to one header or several. Columns: {listed}."
        )
    failure: ConfigError | None = None
    for option in options:
        try:
            return _try(plans, option, is_last=option is options[-1], was_chosen=bool(chosen))
        except ConfigError as error:
            failure = failure or error
    raise failure or ConfigError(f"{plans[0].where}: nothing identifies a deal. Set `key`.")


def _try(plans: list[SheetPlan], option: KeyChoice, *, is_last: bool, was_chosen: bool) -> Surveyed:
    choices = [option] + [_same(plan, option) for plan in plans[1:]]
    seen = keys.Uniqueness()
    for plan, choice in zip(plans, choices, strict=True):
        for row in plan.rows():
            if row.dropped is None:
                seen.see(row.number, keys.key_of(row.cells, choice))
    if len(seen) == 0:
        raise ConfigError(
            f"{plans[0].where}: the key {' + '.join(map(repr, option.headers))} is empty in every row. Set `key`."
        )
    is_asked = bool(plans[0].asked.key) or option.reason.startswith("set in")
    if seen.missing_count and not is_asked and not was_chosen and not is_last:
        raise ConfigError(
            f"{plans[0].where}: the key {option.headers[0]!r} is empty in rows {', '.join(map(str, seen.missing[:5]))}."
        )
    if plans[0].layout == "log":
        return Surveyed(plans, choices, frozenset())
    return Surveyed(plans, choices, _repeated(plans, choices, seen.suspects()))


def _same(plan: SheetPlan, option: KeyChoice) -> KeyChoice:
    """The same key in another tab. Raises ConfigError when a header of it is missing there."""
    columns = []
    for name in option.headers:
        index = mapping.find_column(plan.head, name, plan.where, "key")
        if index is None:
            raise ConfigError(
                f"{plan.where}: has no column {name!r}, which is the key in the other tabs. Add it, or name the tabs in `sheet`."
            )
        columns.append(index)
    return KeyChoice(option.headers, tuple(columns), option.is_folded, option.reason)


def _repeated(plans: list[SheetPlan], choices: list[KeyChoice], suspects: frozenset[int]) -> frozenset[str]:
    """Keys whose rows are equal. Raises ConfigError when rows of one key differ."""
    if not suspects:
        return frozenset()
    first: dict[str, tuple[SheetPlan, list[object]]] = {}
    places: dict[str, list[int]] = {}
    differing: set[str] = set()
    for plan, choice in zip(plans, choices, strict=True):
        for row in plan.rows():
            key = keys.key_of(row.cells, choice) if row.dropped is None else None
            if key is None or hash(key) not in suspects:
                continue
            content = [text_of(cell) for cell in row.cells] + [row.group, plan.tab_stage]
            places.setdefault(key, []).append(row.number)
            if key not in first:
                first[key] = (plan, content)
            elif first[key][1] != content:
                differing.add(key)
    if differing:
        raise keys.duplicates_error(plans[0], choices[0], [places[key] for key in sorted(differing)])
    return frozenset(key for key, rows in places.items() if len(rows) > 1)
