"""What a spreadsheet source may say in its `config:`.

    config:
      path: trackers/pipeline_*.xlsx      # file, folder or glob; an https:// address of a CSV
      locale: id_ID
      columns: {stage: Tahap, amount: "Nilai (Rp)"}
      key: [Perusahaan, Nama Deal]

`tables:` joins several tables by one key; each entry may say anything that concerns one table, and inherits the rest from above.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import ConnectorSettings, Secret
from connectors.spreadsheet import words

#: How deals are laid out; the connector guesses when it is not said, and shows why.
Layout = Literal[
    "current_state", "wide", "log", "grouped", "kanban", "sheet_per_stage", "sheet_per_period", "sheet_per_owner"
]

_Path = Annotated[str | None, msgspec.Meta(description="File, folder, glob, or https:// address of a CSV file.")]
_Sheet = Annotated[
    str | list[str] | None,
    msgspec.Meta(
        description="Name of the tab (or a pattern such as `Deals *`, or a list). Default: tabs that hold deals."
    ),
]
_Layout = Annotated[Layout | None, msgspec.Meta(description="Layout of the table; default: recognised, and reported.")]
_Locale = Annotated[
    str | None,
    msgspec.Meta(description="How numbers and dates are written where a column does not tell, e.g. id_ID, en_US."),
]
_Zone = Annotated[
    str | None, msgspec.Meta(description="Time zone of the dates in the sheet, e.g. Asia/Jakarta (default UTC).")
]
_Currency = Annotated[str | None, msgspec.Meta(description="Currency of amounts that name none (ISO 4217).")]
_Columns = Annotated[
    dict[str, str | None],
    msgspec.Meta(description="Field -> header (or column letter); null = this field is not in the sheet."),
]
_StageDates = Annotated[
    dict[str, str],
    msgspec.Meta(description="Stage -> header of the column with the day on which a deal entered it."),
]
_Key = Annotated[
    str | list[str] | None,
    msgspec.Meta(
        description="Header (or headers) that identify a deal for ever. Default: an id column, else company + deal."
    ),
]
_FromZero = Annotated[int, msgspec.Meta(ge=0)]
_HeaderRow = Annotated[
    _FromZero | None,
    msgspec.Meta(description="Row number of the header; 0 = there is none, columns are named by letter."),
]
_SnapshotDate = Annotated[
    date | None,
    msgspec.Meta(
        description="Day on which the sheet was true. Default: from file or tab name, or an 'as of' cell; else it is true when read."
    ),
]


class TableSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `tables:`. What is not said here is inherited from the source."""

    path: _Path = None
    google_sheet_id: str | None = None
    sheet: _Sheet = None
    layout: _Layout = None
    locale: _Locale = None
    timezone: _Zone = None
    default_currency: _Currency = None
    columns: _Columns = {}
    stage_dates: _StageDates = {}
    key: _Key = None
    header_row: _HeaderRow = None
    snapshot_date: _SnapshotDate = None
    encoding: str | None = None


class SpreadsheetSettings(ConnectorSettings, frozen=True, kw_only=True):
    """Settings of a spreadsheet source; unknown keys are errors."""

    path: _Path = None
    google_sheet_id: Annotated[
        str | None, msgspec.Meta(description="Id of a Google Sheet (the long part of its address).")
    ] = None
    api_key: Annotated[Secret | None, msgspec.Meta(description="Google API key, for sheets that anyone may read.")] = (
        None
    )
    service_account: Annotated[
        Secret | None,
        msgspec.Meta(description="JSON key of a Google service account (its text, or the path of the file)."),
    ] = None
    base_url: Annotated[
        str | None, msgspec.Meta(description="Another address for Google's API; plain http for this machine only.")
    ] = None
    sheet: _Sheet = None
    layout: _Layout = None
    locale: _Locale = None
    timezone: _Zone = None
    default_currency: _Currency = None
    columns: _Columns = {}  # noqa: RUF012  (msgspec copies defaults)
    stage_dates: _StageDates = {}  # noqa: RUF012  (msgspec copies defaults)
    key: _Key = None
    header_row: _HeaderRow = None
    snapshot_date: _SnapshotDate = None
    stages: Annotated[
        list[str], msgspec.Meta(description="Stages in the order of the funnel, where the sheet does not show one.")
    ] = []  # noqa: RUF012  (msgspec copies defaults)
    encoding: Annotated[
        str | None, msgspec.Meta(description="Text encoding of CSV files that are neither marked nor UTF-8.")
    ] = None
    size_limit_mb: Annotated[int, msgspec.Meta(ge=1, description="A larger file is refused.")] = 200
    tables: Annotated[
        list[TableSettings], msgspec.Meta(description="Several tables that share a key, joined into one deal each.")
    ] = []  # noqa: RUF012  (msgspec copies defaults)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one table, after inheritance. `columns` is keyed by field under its own name."""

    path: str | None
    google_sheet_id: str | None
    sheets: tuple[str, ...]
    layout: Layout | None
    locale: words.Locale | None
    timezone: str
    is_zone_set: bool
    default_currency: str | None
    columns: dict[str, str | None]
    stage_dates: dict[str, str]
    key: tuple[str, ...]
    header_row: int | None
    snapshot_date: date | None
    encoding: str | None


#: Other names under which a field may be given in `columns:`.
ALIASES = {
    "id": "deal_id",
    "key": "deal_id",
    "deal": "name",
    "deal_name": "name",
    "company_name": "company",
    "customer": "company",
    "close_date": "expected_close_date",
    "expected_close": "expected_close_date",
    "closed": "closed_at",
    "actual_close": "closed_at",
    "actual_close_date": "closed_at",
    "closed_date": "closed_at",
    "created": "created_at",
    "created_date": "created_at",
    "value": "amount",
    "source": "lead_source",
    "last_activity": "last_activity_at",
    "next_activity": "next_activity_at",
    "outcome": "status",
    "sales_rep": "owner",
    "new_stage": "to_stage",
    "old_stage": "from_stage",
}


def tables_of(settings: SpreadsheetSettings) -> tuple[Table, ...]:
    """The tables a source asks for, one or more. Raises ConfigError for a source that names none, or an unknown field or locale."""
    if not settings.tables:
        return (_table(settings, None),)
    return tuple(_table(settings, entry) for entry in settings.tables)


def _table(base: SpreadsheetSettings, entry: TableSettings | None) -> Table:
    def said(name: str) -> Any:
        own = getattr(entry, name, None)
        return own if own not in (None, {}, []) else getattr(base, name)

    path, google = said("path"), said("google_sheet_id")
    if entry is not None and (entry.path or entry.google_sheet_id):
        path, google = entry.path, entry.google_sheet_id
    if (path is None) == (google is None):
        raise ConfigError("a spreadsheet source needs `path` or `google_sheet_id` (one of them).")
    sheet, key, locale = said("sheet"), said("key"), said("locale")
    currency = said("default_currency")
    if currency is not None and currency.upper() not in words.currency_codes():
        raise ConfigError(
            f"default_currency {currency!r} is not a currency code. Use three letters, for example IDR or USD."
        )
    return Table(
        path=path,
        google_sheet_id=google,
        sheets=_listed(sheet),
        layout=said("layout"),
        locale=words.locale(locale) if locale else None,
        timezone=said("timezone") or "UTC",
        is_zone_set=said("timezone") is not None,
        default_currency=currency.upper() if currency else None,
        columns=_fields(said("columns")),
        stage_dates=dict(said("stage_dates")),
        key=_listed(key),
        header_row=said("header_row"),
        snapshot_date=said("snapshot_date"),
        encoding=said("encoding"),
    )


def _listed(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _fields(columns: dict[str, str | None]) -> dict[str, str | None]:
    known = words.fields()
    found: dict[str, str | None] = {}
    for name, header in columns.items():
        field = ALIASES.get(name.lower(), name.lower())
        if field not in known:
            raise ConfigError(f"columns: unknown field {name!r}. Known fields: {', '.join(known)}.")
        found[field] = header
    return found
