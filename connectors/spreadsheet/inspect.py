"""How a file would be read, for a person to look at before it counts: `muara sheets inspect FILE`.

    found = inspect("trackers/pipeline.xlsx")
    print(found.to_text())          # layout and why, header row, columns -> fields, dates, numbers, key, dropped rows, warnings, first deals
    print(found.to_yaml())          # a CrmSource document that would load it

Nothing is written. A file that cannot be read gives an Inspection too: `errors` says why, and what was understood so far is shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from connectors.sdk.clock import Clock, SystemClock
from connectors.sdk.errors import ConfigError
from connectors.sdk.records import Deal, Reject, Stage, Warn
from connectors.sdk.settings import load
from connectors.spreadsheet import files, ladder, memory, sourcedoc, words
from connectors.spreadsheet.emit import Emission
from connectors.spreadsheet.grid import text_of
from connectors.spreadsheet.loading import Loader
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.settings import SpreadsheetSettings, Table, tables_of
from connectors.spreadsheet.snapshots import Snapshot, check_zone, find
from connectors.spreadsheet.survey import Surveyed, survey
from connectors.spreadsheet.views import ColumnView, SheetView, columns_of, dates_of, notes_of, plain, short

__all__ = ["ColumnView", "Inspection", "SheetView", "inspect"]

#: Snapshots of a folder that are looked at: the oldest ones and the newest.
MOST_SNAPSHOTS = 6
_SAMPLES = 5
_FIRST_ROWS = 6


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What was understood of a path. `snapshots`: (day or "", where the day comes from, files). `sample`: first deals as plain values."""

    path: str
    settings: SpreadsheetSettings
    snapshots: tuple[tuple[str, str, str], ...] = ()
    sheets: tuple[SheetView, ...] = ()
    deal_count: int = 0
    rejects: tuple[str, ...] = ()
    reject_count: int = 0
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    first_rows: tuple[str, ...] = ()
    sample: tuple[dict[str, Any], ...] = ()
    #: Settings worth saying in the source: what was found, and what a person must check ({name: comment}).
    proposal: dict[str, Any] = {}
    checks: dict[str, str] = {}

    def to_text(self) -> str:
        """For a terminal."""
        return sourcedoc.text(self)

    def to_yaml(self) -> str:
        """A CrmSource document that would load this, with remarks on what to check."""
        return sourcedoc.yaml(self)


def inspect(
    path: str | Path, settings: SpreadsheetSettings | Mapping[str, Any] | None = None, *, clock: Clock | None = None
) -> Inspection:
    """Understand a file, folder or glob as the connector would, with these settings. Web addresses are not fetched (ConfigError)."""
    if isinstance(settings, SpreadsheetSettings):
        asked = settings
    else:
        said = {name: _number(name, value) for name, value in (settings or {}).items()}
        asked = load(SpreadsheetSettings, {**said, "path": str(path)}, where="settings")
    asked = msgspec.structs.replace(asked, path=str(path), google_sheet_id=None)
    now = (clock or SystemClock()).now()
    first = _look(asked, now)
    if not first.errors or asked.locale is not None or not any("`locale`" in error for error in first.errors):
        return first
    return _with_locale(asked, now, first)


def _with_locale(asked: SpreadsheetSettings, now: datetime, first: Inspection) -> Inspection:
    """The same look with the locale of the headers' language, when that is what was missing; a person must agree to it."""
    name = _language_of(first)
    second = _look(msgspec.structs.replace(asked, locale=name), now)
    if second.errors:
        return first
    remark = f"from the language of the headers. CHECK: {'; '.join(first.errors)}"
    return msgspec.structs.replace(
        second,
        warnings=(
            f"without `locale` this is refused: {first.errors[0]} Shown here with locale {name}.",
            *second.warnings,
        ),
        proposal=second.proposal | {"locale": name},
        checks=second.checks | {"locale": remark},
    )


def _number(name: str, value: Any) -> Any:
    """A whole number that came as text, as from a command line."""
    is_count = name in ("header_row", "size_limit_mb") and isinstance(value, str) and value.isdigit()
    return int(value) if is_count else value


_COUNTRIES = {
    "id": "id_ID",
    "es": "es_ES",
    "pt": "pt_BR",
    "de": "de_DE",
    "fr": "fr_FR",
    "it": "it_IT",
    "nl": "nl_NL",
    "ja": "ja_JP",
    "zh": "zh_CN",
    "en": "en_US",
    "pl": "pl_PL",
    "cs": "cs_CZ",
    "sk": "sk_SK",
    "sv": "sv_SE",
    "da": "da_DK",
    "no": "nb_NO",
    "fi": "fi_FI",
    "tr": "tr_TR",
    "ru": "ru_RU",
    "uk": "uk_UA",
    "bg": "bg_BG",
    "ms": "ms_MY",
    "vi": "vi_VN",
    "th": "th_TH",
    "ko": "ko_KR",
    "ar": "ar_SA",
    "he": "he_IL",
    "hi": "hi_IN",
    "el": "el_GR",
    "ro": "ro_RO",
    "hu": "hu_HU",
}


def _language_of(found: Inspection) -> str:
    """The locale of most headers that were recognised; English headers say nothing of the order of dates, so en_US is only a start."""
    votes: dict[str, float] = {}
    for sheet in found.sheets:
        for column in sheet.columns:
            languages = {language for _, language in words.synonyms().get(words.fold_header(column.header), ())}
            for language in languages:
                votes[language] = votes.get(language, 0.0) + 1 / len(languages)
    best = max(votes, key=lambda language: votes[language]) if votes else "en"
    if best == "en" and any(how.startswith("day first") for sheet in found.sheets for _, how in sheet.dates):
        return "en_GB"
    return _COUNTRIES.get(best, "en_US")


def _look(asked: SpreadsheetSettings, now: datetime) -> Inspection:
    shown = asked.path or ""
    try:
        tables = tables_of(asked)
        for table in tables:
            check_zone(table)
        fetched = [files.resolve(table.path or "") for table in tables]
        found = find(tables, fetched, now=now, fingerprint="")
    except ConfigError as error:
        return Inspection(path=shown, settings=asked, errors=(str(error),))
    kept = found if len(found) <= MOST_SNAPSHOTS else [*found[: MOST_SNAPSHOTS - 1], found[-1]]
    loader = Loader(asked, Path(shown).stem.replace("_", " "), tables, now)
    look = _Look(loader, asked)
    for snapshot in kept:
        look.at(snapshot)
    warnings = look.warnings
    if len(kept) < len(found):
        warnings.append(f"{len(found)} snapshots; the first {MOST_SNAPSHOTS - 1} and the last were looked at.")
    return Inspection(
        path=shown,
        settings=asked,
        snapshots=tuple((_day(one.day), _day_from(one, asked), one.names) for one in kept),
        sheets=tuple(look.sheets),
        deal_count=look.deal_count,
        rejects=tuple(look.rejects[:20]),
        reject_count=len(look.rejects),
        warnings=tuple(dict.fromkeys(warnings)),
        errors=tuple(look.errors),
        first_rows=tuple(look.first_rows),
        sample=tuple(look.sample),
        proposal=look.proposal,
        checks=look.checks,
    )


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""


def _day_from(snapshot: Snapshot, asked: SpreadsheetSettings) -> str:
    if asked.snapshot_date:
        return "set in `snapshot_date`"
    if snapshot.day:
        return "from the file's name"
    at = snapshot.modified_at.astimezone(UTC)
    return (
        f"no day in the name, so it counts as of the moment it is read (last saved {at:%Y-%m-%d %H:%M} UTC). "
        "Dated copies in one folder make a history"
    )


class _Look:
    """Gathers what several snapshots show; keys and columns must agree from one to the next, as in a sync."""

    def __init__(self, loader: Loader, asked: SpreadsheetSettings) -> None:
        self._loader, self._asked = loader, asked
        self._remembered = memory.load({})
        self.sheets: list[SheetView] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.rejects: list[str] = []
        self.first_rows: list[str] = []
        self.sample: list[dict[str, Any]] = []
        self.deal_count = 0
        self.proposal: dict[str, Any] = {}
        self.checks: dict[str, str] = {}
        self.has_unknown_currency = False

    def at(self, snapshot: Snapshot) -> None:
        """Look at one snapshot."""
        try:
            prepared = self._loader.prepare(snapshot, self._remembered)
        except ConfigError as error:
            self.errors.append(str(error))
            self._partly(snapshot)
            return
        for emission, label in prepared:
            self._emission(emission)
            self._remembered = memory.after(self._remembered, emission, label)

    def _emission(self, emission: Emission) -> None:
        stages: dict[str, list[tuple[str, int | None]]] = {}
        count = 0
        said: set[str] = set()
        self.sample = []
        for record in emission.records():
            if isinstance(record, Deal):
                count += 1
                if len(self.sample) < _SAMPLES:
                    self.sample.append(plain(record))
            elif isinstance(record, Stage):
                stages.setdefault(record.pipeline_id, []).append((record.name, record.display_order))
            elif isinstance(record, Reject) and not record.is_dropped:
                self.rejects.append(record.detail)
            elif isinstance(record, Warn) and record.code != "rows_read":
                said.add(record.code)
                if record.code != "currency_unknown" or "currency_sign_unclear" not in said:
                    self.warnings.append(record.message)
                self.has_unknown_currency = self.has_unknown_currency or record.code == "currency_unknown"
        self.deal_count = count
        shown = tuple(pair for pairs in stages.values() for pair in pairs)
        for table in emission.tables:
            for plan in table.plans:
                self.sheets.append(self._view(plan, table, shown, emission.tally.rejected(plan)))
        self._propose(emission.tables)

    def _partly(self, snapshot: Snapshot) -> None:
        """What can be said of a snapshot that is refused: its columns where a header was found, else its first rows."""
        for number, table in enumerate(self._loader.tables):
            try:
                plans = self._loader.choose(number, snapshot)
            except ConfigError:
                self._raw(snapshot, number, table)
                continue
            surveyed = None
            with contextlib.suppress(ConfigError):
                surveyed = survey(plans)
            self.sheets += [self._view(plan, surveyed, ()) for plan in plans]
            if surveyed is not None:
                self._propose([surveyed])

    def _raw(self, snapshot: Snapshot, number: int, table: Table) -> None:
        for ref in snapshot.inputs[number]:
            try:
                grids = files.grids(ref, table, size_limit_mb=self._asked.size_limit_mb)
                for grid in grids[:5]:
                    for row, cells in islice(grid.rows(), _FIRST_ROWS):
                        where = f"{grid.file}{f', {grid.sheet}' if grid.sheet else ''}"
                        self.first_rows.append(
                            f"{where} {row}: {' | '.join(short(text_of(cell), 24) for cell in cells)}"
                        )
            except ConfigError:
                continue

    def _view(
        self, plan: SheetPlan, table: Surveyed | None, stages: tuple[tuple[str, int | None], ...], rejected: int = 0
    ) -> SheetView:
        labels = [label for _, label in plan.stages]
        ordered = "set in `stages`" if self._asked.stages else ladder.shown_order([plan], labels)[1]
        return SheetView(
            file=plan.grid.file,
            sheet=plan.grid.sheet,
            layout=plan.layout,
            reason=plan.reason,
            header_row=plan.head.first,
            above=tuple(text for _, text in plan.head.above if text),
            columns=tuple(columns_of(plan, table)),
            notes=(*plan.grid.notes, *notes_of(plan)),
            dates=tuple(dates_of(plan)),
            key=table.key.headers if table else (),
            key_reason=table.key.reason if table else "",
            rows_read=plan.row_count,
            rows_rejected=rejected,
            dropped=plan.dropped,
            stages=tuple(sorted(stages, key=lambda pair: (pair[1] is None, pair[1] or 0))),
            stage_order_from=ordered or "what the words mean",
        )

    def _propose(self, tables: list[Surveyed] | Any) -> None:
        """Settings that pin down what was found."""
        plan = tables[0].plans[0]
        for name in (
            "locale",
            "timezone",
            "default_currency",
            "snapshot_date",
            "stages",
            "encoding",
            "header_row",
            "layout",
        ):
            if (said := getattr(self._asked, name)) not in (None, []):
                self.proposal.setdefault(name, said)
        if self._asked.zero_amount != "zero":
            self.proposal["zero_amount"] = self._asked.zero_amount
        if len(tables) > 1:
            return
        self.proposal.setdefault("layout", plan.layout)
        if (
            plan.siblings
            and plan.grid.sheet
            and plan.layout not in ("sheet_per_stage", "sheet_per_period", "sheet_per_owner")
        ):
            tabs = [one.grid.sheet for one in tables[0].plans]
            self.proposal.setdefault("sheet", tabs[0] if len(tabs) == 1 else list(dict.fromkeys(tabs)))
        if plan.layout != "kanban":
            key = list(tables[0].key.headers)
            self.proposal.setdefault("key", key[0] if len(key) == 1 else key)
            self.proposal.setdefault("columns", _pinned(plan))
        if plan.mapping.stage_dates:
            self.proposal.setdefault(
                "stage_dates", {stage: plan.head.headers[index].text for stage, index in plan.mapping.stage_dates}
            )
        if self.has_unknown_currency:
            self.checks.setdefault(
                "default_currency",
                "DECIDE: nothing tells the currency of some amounts; say which, for example IDR or USD",
            )
        dated = [
            plan.head.headers[index].text
            for field, index in plan.fields.items()
            if field in ("created_at", "closed_at")
        ]
        if plan.layout == "current_state" and not plan.mapping.stage_dates and dated:
            self.checks.setdefault(
                "stage_dates",
                f"if {' or '.join(map(repr, dated))} is the day a deal entered a stage, say so: {{Stage: {dated[0]}}}",
            )


def _pinned(plan: SheetPlan) -> dict[str, str]:
    skipped = {"weighted", "updated_at"}
    taken = {field: plan.head.headers[index].text for field, index in plan.fields.items() if field not in skipped}
    if plan.layout != "log" and "status" in taken and not plan.status_is_outcome:
        del taken["status"]
    return taken
