"""The first pass over a table: everything that only the whole column can tell, before anything is yielded.

Order of dates, decimal marks, percent points, what the status column means, which stages there are, and whether the key is unique. What
cannot be settled refuses the file with the rows named; nothing is half read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import board, columns, keys, mapping, units, words
from connectors.spreadsheet.columns import DateColumn, MoneyColumn
from connectors.spreadsheet.grid import Cell, letter, place, text_of
from connectors.spreadsheet.keys import KeyChoice, Uniqueness
from connectors.spreadsheet.planning import MAX_STAGES, SheetPlan
from connectors.spreadsheet.reading import needed_dates, needed_money
from connectors.spreadsheet.table import group_label


class Surveyed(msgspec.Struct, frozen=True):
    """The tabs of one table, ready to be read under one key."""

    plans: list[SheetPlan]
    choices: list[KeyChoice]
    #: Keys that stand in several equal rows: read once.
    repeated: frozenset[str] = frozenset()

    @property
    def key(self) -> KeyChoice:
        """The key, as the first tab shows it."""
        return self.choices[0]


def survey(plans: list[SheetPlan], *, chosen: Sequence[str] = ()) -> Surveyed:
    """Go over all rows of the tabs of one table. `chosen`: headers of the key that earlier readings used.

    Raises ConfigError for a column or key that cannot be settled.
    """
    if plans[0].layout == "kanban":
        for plan in plans:
            board.survey_board(plan)
        return Surveyed(plans, [board.CARD_KEY] * len(plans))
    options = _options(plans[0], chosen)
    first = [options[0]] + [_same(plan, options[0]) for plan in plans[1:]] if options else []
    seen = Uniqueness()
    for number, plan in enumerate(plans):
        _columns(plan, first[number] if first else None, seen)
    _decide(plans)
    if not options:
        raise ConfigError(
            f"{plans[0].where}: nothing identifies a deal (no id column, no deal name). Set `key` to one header or several. "
            f"Columns: {_listed(plans[0])}."
        )
    return _key(plans, options, seen, was_chosen=bool(chosen))


def _columns(plan: SheetPlan, choice: KeyChoice | None, seen: Uniqueness) -> None:
    """One pass: counts, dropped rows, evidence of dates and amounts, labels of stages, keys."""
    plan.dates = {index: DateColumn() for index in needed_dates(plan)}
    for index, column in plan.dates.items():
        column.hint = columns.order_hint(plan.head.headers[index].given)
    plan.money = {index: MoneyColumn() for index in needed_money(plan)}
    if (amount := plan.fields.get("amount")) is not None:
        plan.money[amount].unit = units.unit_of(plan.head.headers[amount].given)[1]
    stage = plan.fields.get("to_stage", plan.fields.get("stage")) if plan.layout == "log" else plan.fields.get("stage")
    pipeline = plan.fields.get("pipeline")
    watched: list[tuple[int, Callable[[int, Cell], object]]] = [
        (index, column.see) for index, column in plan.dates.items()
    ]
    watched += [(index, amounts.see) for index, amounts in plan.money.items()]
    inside = _Inside(plan, choice)
    labels_met: set[Cell] = set()
    for row in plan.rows():
        plan.row_count += 1
        if row.dropped is not None:
            plan.dropped.setdefault(row.dropped, []).append(row.number)
            continue
        cells = row.cells
        for index, see in watched:
            see(row.number, cells[index])
        if inside.rows and row.number in inside.rows:
            inside.see(row.number)
        if choice is not None:
            seen.see(row.number, keys.key_of(cells, choice))
        label = ""
        if stage is not None:
            cell = cells[stage]
            if pipeline is None and cell.__class__ is str and cell in labels_met:
                continue
            label = text_of(cell)
            if len(labels_met) <= MAX_STAGES and plan.layout != "grouped" and cell is not None:
                labels_met.add(cell)
        label = (
            (group_label(label) if label else row.group or "")
            if plan.layout == "grouped"
            else label or plan.tab_stage or ""
        )
        if label and words.fold(label) not in words.nothing("text"):
            plan.stages.setdefault((text_of(cells[pipeline]) or None if pipeline is not None else None, label))
            if len(plan.stages) > MAX_STAGES and stage is not None:
                raise ConfigError(
                    f"{plan.where}: column {plan.head.headers[stage].text!r} has more than {MAX_STAGES} different values, so it is "
                    "not a stage column. Map the right one with `columns: {stage: ...}`."
                )
    inside.finish()
    if below := plan.dropped.get("other_table"):
        plan.warn(
            "table_below",
            f"{plan.where}: rows {below[0]} to {below[-1]} stand under another header and are not read. "
            "If they are deals, move them to a tab or file of their own.",
        )


class _Inside:
    """What only the xlsx package tells of the data rows: error cells, and formulas that were never calculated."""

    def __init__(self, plan: SheetPlan, choice: KeyChoice | None) -> None:
        self.plan = plan
        self.needed = {index for name, index in plan.fields.items() if name not in ("weighted", "updated_at")}
        self.needed |= {index for _, index in plan.mapping.stage_dates} | set(choice.columns if choice else ())
        self.rows: dict[int, list[tuple[int, str | None]]] = {}
        self._blank: dict[int, list[str]] = {}
        package, sheet, width = getattr(plan.grid, "package", None), plan.grid.sheet, len(plan.head.headers)
        if package is None or sheet is None:
            return
        for row, column, text in package.errors(sheet):
            if row > plan.head.last and column < width:
                self.rows.setdefault(row, []).append((column, text))
        for row, column in package.formulas_without_result(sheet):
            if row > plan.head.last and column < width:
                self.rows.setdefault(row, []).append((column, None))
        amount = plan.fields.get("amount")
        if amount is not None:
            plan.format_currencies = package.format_currencies(sheet, amount)

    def see(self, row: int) -> None:
        """A data row with such cells."""
        for column, text in self.rows[row]:
            cell = f"{letter(column)}{row}"
            if text is None:
                self._blank.setdefault(column, []).append(cell)
            else:
                label = self.plan.head.headers[column].label
                self.plan.bad_cells.setdefault((f"error value {text}", label), []).append(cell)

    def finish(self) -> None:
        """Refuse formulas without results in columns that matter, mention the others."""
        for column, cells in self._blank.items():
            head = self.plan.head.headers[column]
            text = (
                f"{self.plan.where}, column {head.letter} {head.label!r}: {len(cells)} formula(s) without a stored result "
                f"({', '.join(cells[:5])}{', ...' if len(cells) > 5 else ''}), as programs write them. "
                "Open the workbook in a spreadsheet program and save it once."
            )
            if column in self.needed:
                raise ConfigError(text)
            self.plan.warn("formulas_without_result", text)


def _decide(plans: list[SheetPlan]) -> None:
    """Settle columns of the same header together over all tabs of the table."""
    dated: dict[str, DateColumn] = {}
    priced: dict[str, MoneyColumn] = {}
    for plan in plans:
        for index, date_column in plan.dates.items():
            dated.setdefault(words.fold(plan.head.headers[index].text), DateColumn()).merge(date_column)
        for index, money_column in plan.money.items():
            priced.setdefault(words.fold(plan.head.headers[index].text), MoneyColumn()).merge(money_column)
    _share_order(plans, dated)
    for plan in plans:
        optional = {plan.fields[name] for name in ("last_activity_at", "next_activity_at") if name in plan.fields}
        for index in plan.dates:
            whole = dated[words.fold(plan.head.headers[index].text)]
            reason = whole.decide(plan.asked.locale)
            if reason is not None and index in optional:
                where = f"{plan.where}, column {plan.head.headers[index].letter} {plan.head.headers[index].label!r}"
                plan.warn("dates_left_empty", f"{where}: left empty, because {reason}.")
                whole.is_given_up = True
            else:
                _refuse(plan, index, reason and reason + _shown_beside(plan, dated))
            plan.dates[index] = whole
            _check_dates(plan, index, whole)
        for index in plan.money:
            amounts = priced[words.fold(plan.head.headers[index].text)]
            _refuse(plan, index, amounts.decide(plan.asked.locale, _currencies(plan, amounts)))
            plan.money[index] = amounts
            _check_unit(plan, index, amounts)
        if "probability" in plan.fields:
            plan.percent_points = plan.money[plan.fields["probability"]].max_plain > 1
        _settle_status(plan)


def _share_order(plans: list[SheetPlan], dated: dict[str, DateColumn]) -> None:
    """Columns of stage dates are written by one hand: where one shows the order of day and month, it counts for the others of them."""
    names = {words.fold(plan.head.headers[index].text) for plan in plans for _, index in plan.mapping.stage_dates}
    columns = [dated[name] for name in names]
    shown = {order for column in columns for order in ("dmy", "mdy") if column.rows[order]}
    if len(shown) == 1:
        for column in columns:
            column.hint = column.hint or next(iter(shown))


def _shown_beside(plan: SheetPlan, dated: dict[str, DateColumn]) -> str:
    """Which other column of the table shows its order: a help for whoever sets the locale, no evidence for this column."""
    for index in plan.dates:
        head = plan.head.headers[index]
        rows = dated[words.fold(head.text)].rows
        if bool(rows["dmy"]) != bool(rows["mdy"]):
            order = "day first (such as en_GB)" if rows["dmy"] else "month first (such as en_US)"
            return f"; column {head.label!r} is {order}"
    return ""


def _currencies(plan: SheetPlan, amounts: MoneyColumn) -> frozenset[str]:
    index = plan.fields.get("amount")
    stated = units.unit_of(plan.head.headers[index].given)[0] if index is not None else None
    signs = amounts.signs | ({stated} if stated else set())
    codes = {units.currency_of(sign, default=None, locale=plan.asked.locale) or sign for sign in signs}
    return frozenset(codes | ({plan.asked.default_currency} if plan.asked.default_currency else set()))


def _check_unit(plan: SheetPlan, index: int, amounts: MoneyColumn) -> None:
    """Say that amounts are multiplied because the header says so, and when it looks as if they had been already."""
    if not amounts.unit_power:
        return
    head = plan.head.headers[index]
    text = f"{plan.where}, column {head.letter} {head.label!r}: amounts are multiplied by {10**amounts.unit_power:,}, as the header says"
    if amounts.max_plain * 10**amounts.unit_power >= 10**12:
        text += (
            f"; the largest would be {amounts.max_plain * 10**amounts.unit_power:,.0f}. If the cells hold whole amounts already, take the "
            "unit out of the header"
        )
    plan.warn("header_unit", text + ".")


def _refuse(plan: SheetPlan, index: int, reason: str | None) -> None:
    if reason is not None:
        head = plan.head.headers[index]
        raise ConfigError(f"{plan.where}, column {head.letter} {head.label!r}: {reason}.")


def _check_dates(plan: SheetPlan, index: int, column: DateColumn) -> None:
    """Real dates beside text dates that are all past the 12th: what a program does to dates of another country while opening a CSV."""
    head = plan.head.headers[index]
    where = f"{plan.where}, column {head.letter} {head.label!r}"
    if (
        column.native_days
        and column.order == "dmy"
        and column.counts.get("ordered", 0)
        and not column.rows["ambiguous"]
    ):
        plan.warn(
            "dates_may_be_swapped",
            f"{where}: dates after the 12th are text, the others real dates. A spreadsheet program may have swapped day and month of "
            "the others; compare a few with the original.",
        )
    locale = plan.asked.locale
    if column.order and locale is not None and locale.order in ("dmy", "mdy") and locale.order != column.order:
        first = "day" if column.order == "dmy" else "month"
        plan.warn(
            "dates_against_locale",
            f"{where}: the dates put the {first} first, against `locale: {locale.name}`; read as they stand.",
        )


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
        "stage" in plan.fields or plan.is_wide or plan.tab_stage is not None or plan.layout in ("log", "grouped")
    )
    asked = "status" in plan.asked.columns
    plan.status_is_outcome = asked or not labels or (closed and known >= len(labels) / 2)
    if not has_stage and not asked:
        plan.status_is_outcome = closed and known == len(labels)
    strange = sorted(text for text, outcome in outcomes.items() if outcome is None)
    if plan.status_is_outcome and strange:
        plan.warn(
            "status_not_understood",
            f"{plan.where}, column {plan.head.headers[index].label!r}: {len(strange)} value(s) say neither open, won nor lost "
            f"({', '.join(map(repr, strange[:5]))}); the stage decides for those deals.",
        )
    elif has_stage and not plan.status_is_outcome:
        plan.warn(
            "status_is_a_remark",
            f"{plan.where}, column {plan.head.headers[index].label!r}: holds remarks ({', '.join(map(repr, strange[:5]))}), no outcome; "
            "kept as a plain column. If it is the outcome, say so with `columns: {status: ...}`.",
        )
    if not has_stage and plan.asked.columns.get("stage", "") is not None:
        plan.fields["stage"] = index
        plan.mapping.matched["stage"] = "status column (there is no stage column)"
        plan.stages = dict.fromkeys((None, text) for text in plan.held[index].texts if text in labels)


def _options(plan: SheetPlan, chosen: Sequence[str]) -> list[KeyChoice]:
    """Keys worth trying. Once a source has read deals under a key, no other key comes in by itself."""
    options = keys.candidates(plan)
    if not chosen or plan.asked.key:
        return options
    same = [option for option in options if list(option.headers) == list(chosen)]
    if not same:
        raise ConfigError(
            f"{plan.where}: deals were identified by {' + '.join(map(repr, chosen))} so far, and that is no longer possible. "
            "Restore the column, or set `key` (deals then count as new under the new key)."
        )
    return same


def _key(plans: list[SheetPlan], options: list[KeyChoice], seen: Uniqueness, *, was_chosen: bool) -> Surveyed:
    """The first candidate that is filled and unique, over all tabs. A log repeats its keys; there it only has to be filled."""
    failure: ConfigError | None = None
    for option in options:
        try:
            choices = [option] + [_same(plan, option) for plan in plans[1:]]
            counted = seen if option is options[0] else _count(plans, choices)
            return _try(plans, choices, counted, may_lack=was_chosen or option is options[-1])
        except ConfigError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _count(plans: list[SheetPlan], choices: list[KeyChoice]) -> Uniqueness:
    seen = Uniqueness()
    for plan, choice in zip(plans, choices, strict=True):
        for row in plan.rows():
            if row.dropped is None:
                seen.see(row.number, keys.key_of(row.cells, choice))
    return seen


def _try(plans: list[SheetPlan], choices: list[KeyChoice], seen: Uniqueness, *, may_lack: bool) -> Surveyed:
    plan, option = plans[0], choices[0]
    names = " + ".join(map(repr, option.headers))
    if len(seen) == 0:
        raise ConfigError(f"{plan.where}: the key {names} is empty in every row. Set `key`.")
    if seen.missing_count and not may_lack and not option.reason.startswith("set in"):
        raise ConfigError(
            f"{plan.where}: the key {names} is empty in rows {', '.join(map(str, seen.missing[:5]))}. Fill it, or set `key`."
        )
    if plan.layout == "log":
        return Surveyed(plans, choices)
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
    return keys.in_tab(plan, option, tuple(columns))


def _repeated(plans: list[SheetPlan], choices: list[KeyChoice], suspects: frozenset[int]) -> frozenset[str]:
    """Keys whose rows are equal. Raises ConfigError when rows of one key differ."""
    if not suspects:
        return frozenset()
    first: dict[str, list[str | None]] = {}
    places: dict[str, list[str]] = {}
    differing: set[str] = set()
    for plan, choice in zip(plans, choices, strict=True):
        for row in plan.rows():
            key = keys.key_of(row.cells, choice) if row.dropped is None else None
            if key is None or hash(key) not in suspects:
                continue
            content = [*map(text_of, row.cells), row.group, plan.tab_stage]
            places.setdefault(key, []).append(str(row.number) if len(plans) == 1 else place(plan.grid, row.number))
            if first.setdefault(key, content) != content:
                differing.add(key)
    if differing:
        raise keys.duplicates_error(
            plans[0], choices[0], sorted((places[key] for key in differing), key=lambda group: (len(group[0]), group))
        )
    return frozenset(key for key, rows in places.items() if len(rows) > 1)


def _listed(plan: SheetPlan) -> str:
    return ", ".join(repr(head.text) for head in plan.head.headers if head.given)
