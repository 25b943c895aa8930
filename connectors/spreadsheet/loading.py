"""From the files of a snapshot to emissions: open, choose tabs, settle columns and keys. Shared by the connector and by `inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import files, memory, periods, planning, snapshots, words
from connectors.spreadsheet.emit import Emission
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.settings import SpreadsheetSettings, Table
from connectors.spreadsheet.snapshots import Snapshot
from connectors.spreadsheet.survey import Surveyed, survey

Tables = Sequence[Table]


class Loader:
    """Prepares snapshots of one source. Everything that may refuse a file happens in `prepare`, before a record leaves."""

    def __init__(self, settings: SpreadsheetSettings, title: str, tables: Tables, now: datetime) -> None:
        self.settings, self.title, self.tables, self.now = settings, title, tables, now

    def prepare(self, snapshot: Snapshot, remembered: memory.Memory) -> list[tuple[Emission, str]]:
        """(emission, its label) of a snapshot; several where the tabs of a file are periods. Raises ConfigError to refuse it whole."""
        chosen = [self.choose(number, snapshot) for number in range(len(self.tables))]
        check_settings(chosen)
        periods_of = by_period(chosen[0]) if len(chosen) == 1 else None
        if periods_of is None:
            return [self._emission(chosen, snapshot, remembered, snapshot.day)]
        return [self._emission([plans], snapshot, remembered, day) for day, plans in periods_of]

    def choose(self, number: int, snapshot: Snapshot) -> list[SheetPlan]:
        """The tabs of one table, ready for the survey."""
        table = self.tables[number]
        plans: list[SheetPlan] = []
        notes: list[str] = []
        for ref in snapshot.inputs[number]:
            tabs = files.grids(ref, table, size_limit_mb=self.settings.size_limit_mb)
            found, said = planning.choose(tabs, table, needs_stage=len(self.tables) == 1)
            plans += found
            notes += [f"{ref.name}: {note}." for note in said]
        if len({plan.layout in ("log", "kanban") for plan in plans}) > 1:
            raise ConfigError(
                f"{snapshot.names}: some tables are logs or boards, others are not. Name each under `tables`, with a shared `key`."
            )
        for plan in plans:
            planning.complete(plan)
        for note in notes:
            plans[0].warn("tabs_not_read", note)
        return plans

    def _emission(
        self, chosen: list[list[SheetPlan]], snapshot: Snapshot, remembered: memory.Memory, day: date | None
    ) -> tuple[Emission, str]:
        surveyed: list[Surveyed] = []
        for number, plans in enumerate(chosen):
            memory.check_columns(remembered, plans, number)
            surveyed.append(survey(plans, chosen=remembered.keys.get(str(number), ())))
        if len(chosen) == 1:
            surveyed += beside(surveyed[0])
        day = day or as_of(chosen, self.tables[0])
        emission = Emission(
            surveyed,
            settings=self.settings,
            title=self.title,
            read_at=snapshots.read_at(day, self.tables[0].timezone, self.now),
            now=self.now,
            known_stages=remembered.stages,
            shown_stages=self.settings.stages,
        )
        return emission, day.isoformat() if day else snapshot.label


def beside(deals: Surveyed) -> list[Surveyed]:
    """The change log in another tab, when it has the key of the deals; where it has not, a warning says how to join the two."""
    first = deals.plans[0]
    log = first.log_beside
    if log is None:
        return []
    how = f"tables: [{{sheet: {first.grid.sheet}}}, {{sheet: {log.grid.sheet}}}], each with its `path` and `key`"
    names = {words.fold_header(head.given) for head in log.head.headers}
    if not all(words.fold_header(name) in names for name in deals.key.headers):
        first.warn(
            "log_not_read",
            f"{log.where}: looks like a change log, but has no column {deals.key.headers[0]!r}. Join it with {how}.",
        )
        return []
    log.asked = msgspec.structs.replace(log.asked, key=deals.key.headers, columns={}, stage_dates={})
    planning.complete(log)
    first.warn(
        "log_read",
        f"{log.where}: read as the change log of {first.grid.sheet!r}. To leave it out, name the tab in `sheet`.",
    )
    return [survey([log])]


def as_of(chosen: list[list[SheetPlan]], table: Table) -> date | None:
    """The day of an "as of" line above a table."""
    lines = [text for plans in chosen for plan in plans for _, text in plan.head.above]
    return periods.as_of_line(lines, table.locale)


def check_settings(chosen: list[list[SheetPlan]]) -> None:
    """A header named in the settings must stand in the table, or (with several tables) in one of them. Raises ConfigError."""
    absent = [set(plan.mapping.missing) for plans in chosen for plan in plans]
    alone = len(chosen) == 1
    lost = set.union(*absent) if alone else set.intersection(*absent)
    for plans in chosen:
        for plan in plans:
            for setting, name in plan.mapping.missing:
                if (setting, name) in lost:
                    listed = ", ".join(repr(head.text) for head in plan.head.headers if head.given)
                    raise ConfigError(
                        f"{plan.where}: `{setting}` names {name!r}, which is not a header here. Headers: {listed}."
                    )


def by_period(plans: list[SheetPlan]) -> list[tuple[date, list[SheetPlan]]] | None:
    """Tabs grouped by the period that their name is, in order; None when the tabs are not periods."""
    if not plans or plans[0].layout != "sheet_per_period":
        return None
    groups: dict[date, list[SheetPlan]] = {}
    for plan in plans:
        day = periods.of_sheet(plan.grid.sheet or "", plan.grid.file)
        if day is None:
            raise ConfigError(
                f"{plan.where}: the tab's name is no period with a year (such as 'Mei 2024'). Rename the tab, put the year into the "
                "file's name, or name the tabs to read in `sheet`."
            )
        groups.setdefault(day, []).append(plan)
    return sorted(groups.items())
