"""How one tab is read: which header, which columns, which layout and why, which rows are deals. Everything a person may want to check.

`choose` picks the tabs of a file that hold deals; `survey` then goes over all their rows once and settles what only the whole column can
tell (order of dates, decimal marks, percent points, uniqueness of keys). Nothing is yielded before the survey is done: all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from itertools import islice

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import gaps, header, mapping, periods, table, words
from connectors.spreadsheet.columns import DateColumn, MoneyColumn
from connectors.spreadsheet.grid import Cell, Grid, place, text_of
from connectors.spreadsheet.mapping import DATE_FIELDS
from connectors.spreadsheet.settings import Layout, Table

SAMPLE_ROWS = 500
#: A column with more different labels than this is not a stage column.
MAX_STAGES = 150


class SheetPlan:
    """Everything decided about one tab of one table. Filled by `choose`, completed by `survey`."""

    def __init__(self, grid: Grid, asked: Table, head: header.Head, found: mapping.Mapping_) -> None:
        self.grid, self.asked, self.head, self.mapping = grid, asked, head, found
        self.layout: Layout = "current_state"
        self.reason = ""
        self.held: list[mapping.Profile] = []
        #: What the tab's name stands for: a stage, an owner, or nothing.
        self.tab_stage: str | None = None
        self.tab_owner: str | None = None
        self.shape = table.Shape()
        #: Columns whose cells count for the empty ones below them.
        self.filled_down: tuple[int, ...] = ()
        self.key: tuple[int, ...] = ()
        self.dates: dict[int, DateColumn] = {}
        self.money: dict[int, MoneyColumn] = {}
        self.percent_points = False
        #: Row -> currency sign in the number format of the amount, where formats have one.
        self.format_currencies: dict[int, str] = {}
        #: A change log in another tab of the same workbook, if there is one.
        self.log_beside: SheetPlan | None = None
        #: Tabs of the same workbook that are not read, hidden ones too: one may list the stages in order.
        self.siblings: tuple[Grid, ...] = ()
        self.status_is_outcome = False
        self.warnings: list[tuple[str, str]] = []
        self.row_count = 0
        self.dropped: dict[str, list[int]] = {}
        #: (pipeline label, stage label) in order of first appearance.
        self.stages: dict[tuple[str | None, str], None] = {}
        #: Problems of single cells: what -> list of cell names.
        self.bad_cells: dict[tuple[str, str], list[str]] = {}

    @property
    def where(self) -> str:
        """File and sheet in words."""
        return place(self.grid)

    @property
    def fields(self) -> dict[str, int]:
        """Field -> column index."""
        return self.mapping.fields

    @property
    def is_wide(self) -> bool:
        """Stage dates give the history of each deal."""
        return bool(self.mapping.stage_dates)

    def rows(self) -> Iterator[table.Row]:
        """All rows below the header, judged."""
        return table.rows(self.grid, self.head, self.shape)

    def warn(self, code: str, message: str) -> None:
        """Keep a warning once."""
        if (code, message) not in self.warnings:
            self.warnings.append((code, message))


def choose(grids: Sequence[Grid], asked: Table, *, needs_stage: bool = True) -> tuple[list[SheetPlan], list[str]]:
    """(plans of the tabs that hold deals, notes on the tabs left out). Raises ConfigError when no tab does, or two kinds of tab could."""
    notes: list[str] = []
    wanted = _named_tabs(grids, asked)
    plans: list[SheetPlan] = []
    failures: list[ConfigError] = []
    for grid in wanted:
        try:
            plans.append(_plan(grid, asked))
        except ConfigError as error:
            if asked.sheets:
                raise
            failures.append(error)
    hidden = [grid.sheet for grid in grids if grid.is_hidden and grid not in wanted and grid.sheet]
    if hidden:
        notes.append(f"hidden tabs not read: {', '.join(hidden)} (name one in `sheet` to read it)")
    if not plans:
        raise (
            failures[0]
            if failures
            else ConfigError(f"{grids[0].file if grids else 'file'}: has no visible tab. Name one in `sheet`.")
        )
    _tab_roles(plans)
    fit = plans if asked.sheets else _with_deals(plans, needs_stage=needs_stage)
    if not fit:
        raise _nothing_fits(plans)
    if not asked.sheets:
        could = fit
        fit, left = _alike(fit)
        if left:
            raise ConfigError(
                f"{fit[0].grid.file}: sheets {fit[0].grid.sheet!r} and {left[0].grid.sheet!r} may both hold deals, with different "
                "columns. Name the right one in `sheet`, or both under `tables`."
            )
        notes += _left_out(fit, could, plans, failures)
    _log_beside(fit, plans, asked)
    taken = [plan.grid for plan in fit]
    for plan in fit:
        for note in plan.mapping.notes:
            plan.warn("columns_in_doubt", f"{plan.where}: {note}; kept as plain columns. Say which with `columns:`.")
        plan.siblings = tuple(grid for grid in grids if grid not in taken)
        if needs_stage or plan.layout == "log":
            _demand(plan)
        _settle_layout(plan, fit)
    return fit, notes


def _left_out(
    fit: list[SheetPlan], could: list[SheetPlan], plans: list[SheetPlan], failures: list[ConfigError]
) -> list[str]:
    """Notes on visible tabs that are not read: those with a stage of their own, and those without."""
    doubtful = [plan.grid.sheet for plan in could if plan not in fit and plan.layout != "log" and plan.grid.sheet]
    plain = [plan.grid.sheet for plan in plans if plan not in could and plan.layout != "log" and plan.grid.sheet]
    plain += [text for error in failures if (text := _sheet_of(str(error)))]
    notes = []
    if doubtful:
        notes.append(
            f"tabs with other columns not read: {', '.join(doubtful)} (if one holds deals, name it in `sheet` or `tables`)"
        )
    if plain:
        notes.append(f"tabs without deals not read: {', '.join(dict.fromkeys(plain))}")
    return notes


def _log_beside(fit: list[SheetPlan], plans: list[SheetPlan], asked: Table) -> None:
    """A single tab of deals beside a single change log: the sheet is now, the log is history."""
    logs = [plan for plan in plans if plan.layout == "log" and plan not in fit]
    if asked.layout is None and not asked.sheets and len(logs) == 1 and all(plan.layout != "log" for plan in fit):
        fit[0].log_beside = logs[0]


def _sheet_of(message: str) -> str:
    return message.split(", sheet ", 1)[1].split(":", 1)[0].split(",", 1)[0] if ", sheet " in message else ""


def _named_tabs(grids: Sequence[Grid], asked: Table) -> list[Grid]:
    if not asked.sheets:
        return [grid for grid in grids if not grid.is_hidden]
    if len(grids) == 1 and grids[0].sheet is None:
        return list(grids)
    found: list[Grid] = []
    for pattern in asked.sheets:
        hits = [
            grid for grid in grids if grid.sheet is not None and fnmatch(words.fold(grid.sheet), words.fold(pattern))
        ]
        if not hits:
            names = ", ".join(repr(grid.sheet) for grid in grids)
            raise ConfigError(f"{grids[0].file}: has no sheet {pattern!r}. Its sheets: {names}.")
        found += [grid for grid in hits if grid not in found]
    return found


def _plan(grid: Grid, asked: Table) -> SheetPlan:
    head = header.find(grid, asked)
    sample = [
        (row.number, row.cells) for row in islice(table.rows(grid, head, table.Shape()), SAMPLE_ROWS) if not row.dropped
    ]
    head, beside = _without_side_table(head, sample)
    if not sample:
        raise ConfigError(
            f"{place(grid)}: has a header (row {head.last}) and no rows. Nothing was read; earlier data stay as they are."
        )
    held = mapping.profiles(head, sample)
    is_log = asked.layout == "log" or (asked.layout is None and mapping.is_log(head, held))
    found = mapping.map_columns(head, asked, held, place(grid), is_log=is_log)
    plan = SheetPlan(grid, asked, head, found)
    if beside:
        plan.warn("side_table", f"{place(grid)}: {beside} are another table beside this one and are not read.")
    plan.held = held
    if getattr(grid, "is_assumed", False):
        plan.warn(
            "encoding_assumed",
            f"{place(grid)}: is not in UTF-8 and nothing tells its encoding; read as {getattr(grid, 'encoding', '')}. If letters look wrong, "
            "set `encoding` or `locale`.",
        )
    if is_log:
        plan.layout = "log"
        plan.reason = "set in `layout`" if asked.layout else "a column of new stages beside the time of the change"
    elif asked.layout == "kanban" or (asked.layout is None and not _has_stage(plan) and mapping.is_kanban(head, held)):
        plan.layout = "kanban"
        plan.reason = "set in `layout`" if asked.layout else "the headers are stages, the cells are deals"
    return plan


def _without_side_table(head: header.Head, sample: Sequence[tuple[int, list[Cell]]]) -> tuple[header.Head, str]:
    """The header without a second table that stands beside the first behind an empty column (lists for drop-downs, a summary).

    It is another table when some rows have cells on its side only.
    """
    filled = {index for _, cells in sample for index, cell in enumerate(cells) if cell is not None}
    for gap in head.headers[1:-1]:
        if gap.given or gap.index in filled:
            continue
        only_right = any(
            all(cell is None for cell in cells[: gap.index]) and any(cell is not None for cell in cells[gap.index :])
            for _, cells in sample
        )
        left, right = head.headers[: gap.index], [one for one in head.headers[gap.index :] if one.given]
        if only_right and right and sum(1 for one in left if one.given) > len(right):
            return msgspec.structs.replace(head, headers=left), f"columns {right[0].letter} to {right[-1].letter}"
    return head, ""


def _has_stage(plan: SheetPlan) -> bool:
    return bool({"stage", "to_stage", "status"} & set(plan.fields)) or plan.is_wide


def _has_identity(plan: SheetPlan) -> bool:
    return bool({"deal_id", "name", "company"} & set(plan.fields)) or bool(plan.asked.key) or plan.layout == "kanban"


def _with_deals(plans: list[SheetPlan], *, needs_stage: bool) -> list[SheetPlan]:
    fit = []
    for plan in plans:
        staged = _has_stage(plan) or plan.layout == "kanban" or plan.tab_stage is not None or _label_rows(plan)
        if _has_identity(plan) and (staged or not needs_stage or plan.asked.columns.get("stage", "") is None):
            fit.append(plan)
    return fit


def _nothing_fits(plans: list[SheetPlan]) -> ConfigError:
    plan = max(plans, key=lambda one: len(one.fields))
    columns = ", ".join(repr(head.text) for head in plan.head.headers if head.given)
    if not _has_identity(plan):
        return ConfigError(
            f"{plan.where}: no column names the deals. Map one with `columns: {{name: ...}}`. Columns: {columns}."
        )
    return ConfigError(
        f"{plan.where}: no stage column found. Map one with `columns: {{stage: ...}}` or dates with `stage_dates:`. Columns: {columns}."
    )


def _demand(plan: SheetPlan) -> None:
    """Refuse a table whose columns are in doubt."""
    if plan.mapping.conflicts:
        fields = plan.mapping.conflicts[0]
        field = fields.rsplit("'", 2)[1]
        raise ConfigError(
            f"{plan.where}: {fields}. Say which with `columns: {{{field}: ...}}` (null if it is neither)."
        )
    for head in plan.head.headers if plan.layout == "log" else ():
        values = [text for text in plan.held[head.index].texts if words.fold(text) not in words.nothing("text")]
        if words.fold_header(head.given) in words.words("property_headers") and len(values) > 1:
            raise ConfigError(
                f"{plan.where}: column {head.text!r} says that this log holds changes of several fields "
                f"({', '.join(map(repr, values[:4]))}). Keep only the rows of the stage, in a tab or file of their own."
            )
    if plan.layout == "log" and not ("changed_at" in plan.fields and {"to_stage", "stage"} & set(plan.fields)):
        columns = ", ".join(repr(head.text) for head in plan.head.headers if head.given)
        raise ConfigError(
            f"{plan.where}: a log needs the time of each change and the new stage. Map them with "
            f"`columns: {{changed_at: ..., to_stage: ...}}`. Columns: {columns}."
        )


def _alike(plans: list[SheetPlan]) -> tuple[list[SheetPlan], list[SheetPlan]]:
    """(tabs that belong together, other tabs that look as much like deals): same columns for the most part."""
    best = max(plans, key=_weight)
    names = _columns(best)
    same = [plan for plan in plans if plan is best or _overlap(names, _columns(plan)) >= 0.6]
    left = [plan for plan in plans if plan not in same and _weight(plan) >= _weight(best) - 1 and plan.layout != "log"]
    return same, left


def _weight(plan: SheetPlan) -> int:
    core = {"stage", "to_stage", "amount", "expected_close_date", "deal_id", "name", "company", "owner"}
    return len(core & set(plan.fields)) + (2 if plan.is_wide else 0)


def _columns(plan: SheetPlan) -> set[str]:
    return {words.fold_header(head.given) for head in plan.head.headers if head.given}


def _overlap(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 0.0


def _tab_roles(plans: list[SheetPlan]) -> None:
    """Tabs named after stages or periods, when there are two or more."""
    tabs = [plan for plan in plans if plan.grid.sheet]
    asked = plans[0].asked.layout
    stages = [
        plan
        for plan in tabs
        if words.rung(plan.grid.sheet or "") is not None and "stage" not in plan.fields and not plan.is_wide
    ]
    if asked == "sheet_per_stage" or (asked is None and len(stages) >= 2):
        for plan in tabs if asked else stages:
            plan.tab_stage, plan.layout = plan.grid.sheet, "sheet_per_stage"
            plan.reason = "set in `layout`" if asked else "no stage column, and the tabs are named after stages"
    if asked == "sheet_per_owner":
        for plan in tabs:
            plan.tab_owner, plan.layout, plan.reason = plan.grid.sheet, "sheet_per_owner", "set in `layout`"


def _settle_layout(plan: SheetPlan, fit: list[SheetPlan]) -> None:
    asked = plan.asked.layout
    if plan.reason:
        return
    if asked in (None, "current_state", "grouped"):
        _settle_gaps(plan)
    tabs = [one.grid.sheet for one in fit if one.grid.sheet]
    named = [tab for tab in tabs if periods.of_sheet(tab) or periods.is_bare(tab)]
    if asked == "sheet_per_period" or (asked is None and len(fit) >= 2 and len(named) == len(fit)):
        plan.layout = "sheet_per_period"
        plan.reason = "set in `layout`" if asked else "the tabs are named after periods"
    elif asked is not None:
        plan.layout, plan.reason = asked, "set in `layout`"
    elif plan.is_wide and "stage" not in plan.fields:
        plan.layout, plan.reason = (
            "wide",
            f"{len(plan.mapping.stage_dates)} columns hold the date on which a deal entered a stage",
        )
    elif _is_grouped(plan):
        plan.layout, plan.reason = "grouped", "the stage stands only on the first row of each group"
    elif _label_rows(plan):
        plan.layout, plan.reason = "grouped", "rows that hold only a stage head the deals below them"
    else:
        if len(tabs) > 1 and not plan.is_wide and "owner" not in plan.fields and plan is fit[0]:
            plan.warn(
                "tabs_read_together",
                f"{plan.grid.file}: tabs {', '.join(map(repr, tabs[:6]))} have the same columns and are read as one table. If each tab is "
                "a person, say `layout: sheet_per_owner`: then the tab's name is the owner.",
            )
        plan.layout = "current_state"
        plan.reason = "a stage column, one row for each deal" + (
            f", dates of {len(plan.mapping.stage_dates)} stage(s) beside it" if plan.is_wide else ""
        )


def _is_grouped(plan: SheetPlan) -> bool:
    index = plan.fields.get("stage")
    if index is None:
        return False
    labels: list[str] = []
    blanks, first_filled = 0, None
    counted = False
    for row in islice(plan.rows(), SAMPLE_ROWS):
        if row.dropped is not None:
            counted = counted or row.dropped == "total"
            continue
        label = text_of(row.cells[index])
        first_filled = bool(label) if first_filled is None else first_filled
        if label:
            labels.append(words.fold(table.group_label(label)))
            counted = counted or table.group_label(label) != label
        else:
            blanks += 1
    once = len(set(labels)) == len(labels) and len(labels) >= 2
    return bool(first_filled) and once and blanks > 0 and (counted or blanks >= len(labels))


def _settle_gaps(plan: SheetPlan) -> None:
    """Fill an owner or company down where it heads its group; say it where that only may be so."""
    complete(plan)
    for field in ("owner", "company"):
        index = plan.fields.get(field)
        if index is None or "name" not in plan.fields:
            continue
        found, sums = gaps.blocks(islice(plan.rows(), SAMPLE_ROWS), index)
        where = f"{plan.where}, column {plan.head.headers[index].label!r}"
        if gaps.heads_groups(found, sums):
            plan.filled_down += (index,)
            plan.warn(
                f"{field}_filled_down",
                f"{where}: stands only on the first row of each group; the rows below it were read with the same.",
            )
        elif gaps.may_head_groups(found):
            plan.warn(
                f"{field}_only_on_first_rows",
                f"{where}: stands only on the first row of each group; the rows below are read without "
                f"{'an owner' if field == 'owner' else 'a company'}. Fill the column down if it belongs to them.",
            )


def _label_rows(plan: SheetPlan) -> bool:
    """Rows with nothing but a stage in them, and no stage column."""
    if "stage" in plan.fields or plan.is_wide or plan.layout in ("log", "kanban"):
        return False
    hits = 0
    for number, cells in islice(plan.grid.rows(), SAMPLE_ROWS):
        filled = [text_of(cell) for cell in cells if cell is not None and text_of(cell)]
        if number > plan.head.last and len(filled) == 1 and words.rung(table.group_label(filled[0])) is not None:
            hits += 1
    return hits >= 2


def complete(plan: SheetPlan) -> None:
    """Derive what row judging needs, once the layout is settled."""
    fields = plan.fields
    if plan.layout == "grouped" and "stage" not in fields:
        label_rows, fill_down = True, None
    else:
        label_rows, fill_down = False, fields.get("stage") if plan.layout == "grouped" else None
    identity = tuple(fields[name] for name in ("deal_id", "company") if name in fields)
    date_columns = tuple(index for _, index in plan.mapping.stage_dates) + tuple(
        fields[name] for name in fields if name in DATE_FIELDS
    )
    plan.shape = table.Shape(
        stage=fields.get("stage", fields.get("to_stage")),
        identity=identity,
        dates=date_columns,
        width=len(plan.head.headers),
        fill_down=fill_down,
        filled_down=plan.filled_down,
        name=fields.get("name"),
        label_rows=label_rows,
        is_board=plan.layout == "kanban",
    )
