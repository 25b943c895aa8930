"""Spreadsheets: CSV, Excel, OpenDocument and Google Sheets as a source of deals with history.

Reads     files, folders, globs, https CSV, Google Sheets; layouts: current state, wide, log, grouped, board, tabs per period, stage, owner
Cursor    a digest of every snapshot already read (content and settings): the same content yields nothing
History   from dates in the sheet, and by comparing dated snapshots (the build compares); a row that disappears is `absent`, not deleted
Promise   all or nothing per snapshot; every row is a deal, a dropped row with its reason, or a reject; nothing is guessed in silence
Source    measured on public trackers, exports and templates, with python-calamine 0.4 to 0.9
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import ClassVar

import msgspec

from connectors.sdk.connector import Capabilities, Connector, Finding, PlanLine, Sync, stream
from connectors.sdk.errors import ConfigError, TransientError
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
from connectors.spreadsheet import fetch, memory, snapshots
from connectors.spreadsheet.loading import Loader
from connectors.spreadsheet.settings import SpreadsheetSettings, Table, tables_of
from connectors.spreadsheet.snapshots import Snapshot

#: Settings that decide how content is read: with another mapping the same file is read anew.
_DECISIVE = (
    "path",
    "google_sheet_id",
    "sheet",
    "layout",
    "locale",
    "timezone",
    "default_currency",
    "columns",
    "stage_dates",
    "key",
    "header_row",
    "snapshot_date",
    "stages",
    "encoding",
    "zero_amount",
    "tables",
)


def _guide() -> str:
    return resources.files("connectors.spreadsheet").joinpath("data/guide.md").read_text(encoding="utf-8")


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
    setup_guide = _guide()

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
        began = sync.clock.now()
        with tempfile.TemporaryDirectory(prefix="muara-fetch-") as folder:
            tables, found = self._find(sync, Path(folder))
            yield self._info(tables[0])
            yield from self._read(sync, tables, found, began)

    def _read(self, sync: Sync, tables: Sequence[Table], found: list[Snapshot], now: datetime) -> Iterator[Record]:
        remembered = memory.proved(memory.load(sync.cursors.get("deals", {})), sync)
        done = dict(memory.load(sync.cursor("deals")).digests)
        fresh = [one for one in found if done.get(one.label) != one.digest or one.label in remembered.unproved]
        loader = Loader(self.settings, self._shown_name, tables, now)
        names = memory.Names(sync.held)
        failures: list[ConfigError] = []
        for number, snapshot in enumerate(fresh):
            sync.progress(number, len(fresh), snapshot.names)
            try:
                prepared = loader.prepare(snapshot, remembered)
            except ConfigError as error:
                failures.append(error)
                if len(found) > 1:
                    yield Warn(
                        code="file_refused",
                        message=f"{error} Nothing of {snapshot.names} was taken over.",
                        makes="partial",
                    )
                continue
            for emission, label in prepared:
                yield from emission.records()
                yield from memory.renames(remembered, emission, label, names)
                names.learn(emission.fingerprints or ())
                remembered = memory.after(remembered, emission, label)
            if not snapshot.is_unchanged:
                raise TransientError(
                    f"{snapshot.names}: was saved while it was being read. It is read again at the next sync."
                )
            remembered = memory.read(remembered, snapshot.label, snapshot.digest, now)
            yield Checkpoint(stream="deals", cursor=memory.dump(remembered))
        if failures and len(failures) == len(fresh):
            raise failures[0]
        yield from memory.vanished(done, found)

    @property
    def _shown_name(self) -> str:
        return self.source_key.replace("_", " ")

    def _info(self, table: Table) -> SourceInfo:
        return SourceInfo(
            account_id=f"spreadsheet:{self.source_key}",
            name=self._shown_name,
            time_zone=table.timezone,
            home_currency=table.default_currency,
        )

    def _find(self, sync: Sync, folder: Path) -> tuple[list[Table], list[Snapshot]]:
        """(tables, their snapshots), with everything fetched into `folder`."""
        if self.settings.start_date is not None:
            raise ConfigError(
                "start_date: a sheet does not say when a deal was modified, so it is read whole. Remove the setting."
            )
        asked = tables_of(self.settings)
        for table in asked:
            snapshots.check_zone(table)
        tables, fetched = fetch.Fetcher(self.settings, sync.calls, sync.clock, folder).fetch(asked)
        return tables, snapshots.find(tables, fetched, now=sync.clock.now(), fingerprint=self._fingerprint())

    def _fingerprint(self) -> str:
        content = {name: getattr(self.settings, name) for name in _DECISIVE}
        return f"{self.mapper_version}:{msgspec.json.encode(content, order='deterministic').decode()}"

    def check(self, sync: Sync) -> Iterable[Finding]:
        """Open every file and settle how it would be read, without taking anything over."""
        with tempfile.TemporaryDirectory(prefix="muara-fetch-") as folder:
            try:
                tables, found = self._find(sync, Path(folder))
            except ConfigError as error:
                return [Finding(level="error", what="files", message=str(error))]
            loader = Loader(self.settings, self._shown_name, tables, sync.clock.now())
            remembered = memory.load(sync.cursors.get("deals", {}))
            findings = []
            for snapshot in found:
                try:
                    loader.prepare(snapshot, remembered)
                    findings.append(Finding(level="ok", what=snapshot.names, message="can be read"))
                except ConfigError as error:
                    findings.append(Finding(level="error", what=snapshot.names, message=str(error)))
        return findings

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """How many files are new or changed. Local files take no calls; for web addresses nothing is fetched, so nothing can be told."""
        asked = tables_of(self.settings)
        if any(table.google_sheet_id or fetch.is_address(table.path or "") for table in asked):
            return [PlanLine(stream="deals", rows=None, calls=2 * len(asked), note="known only after the download")]
        done = memory.load(sync.cursor("deals")).digests
        with tempfile.TemporaryDirectory(prefix="muara-fetch-") as folder:
            _, found = self._find(sync, Path(folder))
        fresh = sum(1 for snapshot in found if done.get(snapshot.label) != snapshot.digest)
        return [
            PlanLine(stream="deals", rows=None, calls=0, note=f"{fresh} of {len(found)} snapshot(s) new or changed")
        ]
