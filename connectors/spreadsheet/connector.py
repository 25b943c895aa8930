"""Spreadsheets: CSV, Excel, OpenDocument and Google Sheets as a source of deals with history.

Reads     files, folders, globs, https CSV, Google Sheets; layouts: current state, wide, log, grouped, board, tabs per period, stage, owner
Cursor    a digest of every snapshot already read (content and settings): the same content yields nothing
History   from dates in the sheet, and by comparing dated snapshots (the build compares); a row that disappears is `absent`, not deleted
Promise   all or nothing per snapshot; every row is a deal, a dropped row with its reason, or a reject; nothing is guessed in silence
Source    measured on public trackers, exports and templates, with python-calamine 0.4 to 0.9
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from connectors.sdk.connector import Capabilities, Connector, Finding, PlanLine, Sync, stream
from connectors.sdk.errors import ConfigError
from connectors.sdk.records import (
    Checkpoint,
    Company,
    Deal,
    FieldDef,
    HistoryRead,
    Owner,
    Pipeline,
    Record,
    Reject,
    SourceInfo,
    Stage,
    SweepEnd,
    Warn,
)
from connectors.spreadsheet import files, memory, periods, planning, snapshots
from connectors.spreadsheet.emit import Emission
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.settings import SpreadsheetSettings, Table, tables_of
from connectors.spreadsheet.snapshots import Snapshot
from connectors.spreadsheet.survey import Surveyed, survey


class Spreadsheet(Connector):
    """Sheets as a source. See the module's first lines for what it promises."""

    name = "spreadsheet"
    title = "Spreadsheets (CSV, Excel, OpenDocument, Google Sheets)"
    Settings: ClassVar[type[SpreadsheetSettings]] = SpreadsheetSettings
    capabilities = Capabilities(
        field_history=False,
        incremental=False,
        reports_deletes=False,
        reports_archives=False,
        reports_merges=False,
        late_commits=False,
        call_budget=False,
        renews_tokens=False,
        notes={
            "field_history": "a sheet keeps no old values; changes are found by comparing snapshots",
            "incremental": "a changed file is read whole; an unchanged one is not read at all",
            "reports_deletes": "a row that is gone is absent: sheets do not say whether it was deleted or moved",
            "reports_archives": "sheets have no archive flag",
            "reports_merges": "a sheet does not say that two rows became one",
            "late_commits": "a file is one reading; there is no clock inside it",
            "call_budget": "a sync takes at most a few requests",
            "renews_tokens": "files need no token; a Google token lives longer than a sync",
        },
    )
    setup_guide = "Run `muara sheets inspect FILE`: it prints what was understood and a source that would load it."

    settings: SpreadsheetSettings

    @stream(
        SourceInfo,
        Pipeline,
        Stage,
        Deal,
        HistoryRead,
        Owner,
        Company,
        FieldDef,
        Reject,
        SweepEnd,
        cursor="content digest",
    )
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Deals, their history and everything around them, snapshot by snapshot in order of their days."""
        tables = tables_of(self.settings)
        for table in tables:
            snapshots.check_zone(table)
        yield self._info(tables[0])
        remembered = memory.load(sync.cursors.get("deals", {}))
        done = dict(memory.load(sync.cursor("deals")).digests)
        found = self._find(tables, sync)
        fresh = [snapshot for snapshot in found if done.get(snapshot.label) != snapshot.digest]
        failures: list[ConfigError] = []
        for number, snapshot in enumerate(fresh):
            sync.progress(number, len(fresh), snapshot.names)
            try:
                prepared = self._prepare(tables, snapshot, remembered, sync.clock.now())
            except ConfigError as error:
                failures.append(error)
                yield Warn(
                    code="file_refused", message=f"{error} Nothing of {snapshot.names} was taken over.", makes="partial"
                )
                continue
            for emission, label in prepared:
                yield from emission.records()
                yield from memory.renames(remembered, emission, label)
                remembered = memory.after(remembered, emission, label)
            remembered = memory.read(remembered, snapshot.label, snapshot.digest)
            yield Checkpoint(stream="deals", cursor=memory.dump(remembered))
        if failures and len(failures) == len(fresh):
            raise failures[0]
        yield from memory.vanished(done, found)

    def _info(self, table: Table) -> SourceInfo:
        return SourceInfo(
            account_id=f"spreadsheet:{self.source_key}",
            name=self.source_key.replace("_", " "),
            time_zone=table.timezone,
            home_currency=table.default_currency,
        )

    def _find(self, tables: Iterable[Table], sync: Sync) -> list[Snapshot]:
        fetched = [files.resolve(table.path or "") for table in tables]
        return snapshots.find(list(tables), fetched, now=sync.clock.now(), fingerprint=self._fingerprint())

    def _fingerprint(self) -> str:
        """What of the settings decides how content is read: another mapping reads the same file anew."""
        names = (
            "sheet",
            "layout",
            "locale",
            "timezone",
            "default_currency",
            "columns",
            "stage_dates",
            "key",
            "header_row",
        )
        names += ("snapshot_date", "stages", "encoding", "zero_amount", "tables")
        content = {name: getattr(self.settings, name) for name in names}
        return f"{self.mapper_version}:{msgspec.json.encode(content, order='deterministic').decode()}"

    def _prepare(
        self, tables: tuple[Table, ...], snapshot: Snapshot, remembered: memory.Memory, now: datetime
    ) -> list[tuple[Emission, str]]:
        """Everything settled for one snapshot, before a record leaves. Several emissions where the tabs of a file are periods."""
        chosen = [self._choose(tables, number, snapshot) for number in range(len(tables))]
        _check_missing(tables, chosen)
        groups = _by_period(chosen[0]) if len(tables) == 1 else None
        if groups is None:
            return [self._emission(chosen, tables, snapshot, remembered, now, snapshot.day)]
        return [self._emission([plans], tables, snapshot, remembered, now, day) for day, plans in groups]

    def _choose(self, tables: tuple[Table, ...], number: int, snapshot: Snapshot) -> list[SheetPlan]:
        table = tables[number]
        plans: list[SheetPlan] = []
        notes: list[str] = []
        for ref in snapshot.inputs[number]:
            tabs = files.grids(ref, table, size_limit_mb=self.settings.size_limit_mb)
            found, said = planning.choose(tabs, table, needs_stage=len(tables) == 1)
            plans += found
            notes += [f"{ref.name}: {note}." for note in said]
        for one in plans:
            planning.complete(one)
        for note in notes:
            plans[0].warn("tabs_not_read", note)
        return plans

    def _emission(  # noqa: PLR0917
        self,
        chosen: list[list[SheetPlan]],
        tables: tuple[Table, ...],
        snapshot: Snapshot,
        remembered: memory.Memory,
        now: datetime,
        day: Any,
    ) -> tuple[Emission, str]:
        surveyed: list[Surveyed] = []
        for number, plans in enumerate(chosen):
            memory.check_columns(remembered, plans, number)
            surveyed.append(survey(plans, chosen=remembered.keys.get(str(number), ())))
        if day is None:
            lines = [text for plans in chosen for one in plans for _, text in one.head.above]
            day = periods.as_of_line(lines, tables[0].locale)
        emission = Emission(
            surveyed,
            settings=self.settings,
            title=self.source_key.replace("_", " "),
            read_at=snapshots.read_at(day, snapshot.modified_at, tables[0].timezone, now),
            is_dated=day is not None,
            known_stages=remembered.stages,
            shown_order=self.settings.stages,
        )
        return emission, day.isoformat() if day else snapshot.label

    def check(self, sync: Sync) -> Iterable[Finding]:
        """Open every file and settle how it would be read, without taking anything over."""
        tables = tables_of(self.settings)
        try:
            found = self._find(tables, sync)
        except ConfigError as error:
            return [Finding(level="error", what="files", message=str(error))]
        findings = []
        for snapshot in found:
            try:
                self._prepare(tables, snapshot, memory.load({}), sync.clock.now())
                findings.append(Finding(level="ok", what=snapshot.names, message="can be read"))
            except ConfigError as error:
                findings.append(Finding(level="error", what=snapshot.names, message=str(error)))
        return findings

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """How many files are new or changed. A file takes no calls."""
        done = memory.load(sync.cursor("deals")).digests
        found = self._find(tables_of(self.settings), sync)
        fresh = sum(1 for snapshot in found if done.get(snapshot.label) != snapshot.digest)
        return [
            PlanLine(stream="deals", rows=None, calls=0, note=f"{fresh} of {len(found)} snapshot(s) new or changed")
        ]


def _check_missing(tables: tuple[Table, ...], chosen: list[list[SheetPlan]]) -> None:
    """A header named in the settings must stand in one of the tables that the setting is for."""
    absent = [set(one.mapping.missing) for plans in chosen for one in plans]
    for setting, name in set.intersection(*absent) if absent else ():
        one = chosen[0][0]
        listed = ", ".join(repr(head.text) for head in one.head.headers if head.given)
        raise ConfigError(f"{one.where}: `{setting}` names {name!r}, which is not a header here. Headers: {listed}.")
    if len(tables) == 1:
        for one in chosen[0]:
            for setting, name in one.mapping.missing:
                raise ConfigError(f"{one.where}: `{setting}` names {name!r}, which is not a header of this tab.")


def _by_period(plans: list[SheetPlan]) -> list[tuple[Any, list[SheetPlan]]] | None:
    """Tabs grouped by the period that their name is, in order; None when the tabs are not periods."""
    if not plans or plans[0].layout != "sheet_per_period":
        return None
    groups: dict[Any, list[SheetPlan]] = {}
    for one in plans:
        day = periods.of_sheet(one.grid.sheet or "")
        if day is None:
            raise ConfigError(
                f"{one.where}: the name of the tab is not a period with a year (such as 'Mei 2024'). Rename it, or name the tabs in `sheet`."
            )
        groups.setdefault(day, []).append(one)
    return sorted(groups.items())
