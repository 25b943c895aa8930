"""The small inputs of a build that do not come from the landing zone: settings, rates, priorities, taxonomy, hand-made deal links."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from connectors.sdk.errors import ConfigError
from warehouse.runner import insert_rows
from warehouse.settings import Thresholds, WarehouseSettings
from warehouse.stages import CANONICAL_STAGES

_THRESHOLD_TYPES = {int: "BIGINT", float: "DOUBLE"}

#: Seed table -> its columns and their types.
SEEDS: Mapping[str, Mapping[str, str]] = {
    "staging.seed_fx_rates": {
        "currency": "VARCHAR",
        "rate": "DECIMAL(24,12)",
        "rate_date": "DATE",
        "source": "VARCHAR",
    },
    "staging.seed_source_priority": {"source_key": "VARCHAR", "priority": "INTEGER"},
    "staging.seed_canonical_stages": {
        "canonical_stage": "VARCHAR",
        "canonical_order": "INTEGER",
        "list_order": "INTEGER",
        "outcome": "VARCHAR",
        "temperature": "VARCHAR",
    },
    "staging.seed_deal_links": {
        "source_key": "VARCHAR",
        "source_deal_id": "VARCHAR",
        "link_group": "VARCHAR",
        "is_match": "BOOLEAN",
    },
}


def create_settings(con: duckdb.DuckDBPyConnection, settings: WarehouseSettings, *, as_of: str) -> None:
    """`staging.settings`: one row with `as_of_at` (UTC), reporting currency and zone, and every threshold by name."""
    types = {"as_of_at": "TIMESTAMP", "reporting_currency": "VARCHAR", "reporting_timezone": "VARCHAR"}
    row: dict[str, Any] = {
        "as_of_at": as_of,
        "reporting_currency": settings.reporting_currency,
        "reporting_timezone": settings.reporting_timezone,
    }
    defaults = Thresholds()
    for name in Thresholds.__struct_fields__:
        types[name] = _THRESHOLD_TYPES[type(getattr(defaults, name))]
        row[name] = getattr(settings.thresholds, name)
    insert_rows(con, "staging.settings", types, [row])


def threshold_descriptions() -> dict[str, str]:
    """Threshold -> what it means, from the settings model: the comments of `staging.settings`."""
    return {
        field.name: next((str(meta.description) for meta in getattr(field.type, "__metadata__", ())), "")
        for field in msgspec.structs.fields(Thresholds)
    }


def create_seeds(con: duckdb.DuckDBPyConnection, settings: WarehouseSettings, project: Path | None) -> None:
    """All `staging.seed_*` tables. Raises ConfigError naming file and line when a CSV cannot be understood."""
    priorities = enumerate(settings.source_priority, start=1)
    rows: dict[str, Iterable[Mapping[str, Any]]] = {
        "staging.seed_fx_rates": _rates(_resolve(project, settings.fx_rates, "fx_rates"), settings.reporting_currency),
        "staging.seed_source_priority": [{"source_key": key, "priority": rank} for rank, key in priorities],
        "staging.seed_canonical_stages": [_canonical(stage) for stage in CANONICAL_STAGES],
        "staging.seed_deal_links": _deal_links(_resolve(project, settings.deal_links, "deal_links")),
    }
    for table, types in SEEDS.items():
        insert_rows(con, table, types, rows[table])


def _canonical(stage: Any) -> dict[str, Any]:
    row = msgspec.structs.asdict(stage) if isinstance(stage, msgspec.Struct) else dict(stage)
    return {
        "canonical_stage": row.get("canonical_stage") or row.get("name"),
        "canonical_order": row.get("canonical_order", row.get("order")),
        "list_order": row.get("list_order"),
        "outcome": row.get("outcome"),
        "temperature": row.get("temperature"),
    }


def _resolve(project: Path | None, name: str | None, setting: str) -> Path | None:
    if name is None:
        return None
    path = (project or Path()) / name
    if not path.is_file():
        raise ConfigError(
            f"warehouse.{setting}: there is no file {name}. Put it into the project folder or correct the path."
        )
    return path


def _read(path: Path, needed: set[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = needed - set(reader.fieldnames or [])
        if missing:
            raise ConfigError(f"{path.name}: column(s) missing: {', '.join(sorted(missing))}.")
        for row in reader:
            yield f"{path.name}, line {reader.line_num}", row


def _rates(path: Path | None, reporting_currency: str) -> Iterator[dict[str, Any]]:
    if path is None:
        return
    for where, row in _read(path, {"currency", "rate"}):
        currency = (row["currency"] or "").strip().upper()
        try:
            rate = Decimal((row["rate"] or "").strip())
            rate_date = date.fromisoformat(row["rate_date"].strip()) if (row.get("rate_date") or "").strip() else None
        except (InvalidOperation, ValueError):
            raise ConfigError(
                f"{where}: rate must be a number such as 0.0000625, rate_date a day such as 2026-01-31."
            ) from None
        if len(currency) != 3 or not rate.is_finite() or rate <= 0:
            raise ConfigError(f"{where}: currency must be a three-letter code and rate greater than 0.")
        if currency == reporting_currency and rate != 1:
            raise ConfigError(f"{where}: the reporting currency {currency} has rate 1 by definition; remove the line.")
        yield {
            "currency": currency,
            "rate": str(rate),
            "rate_date": rate_date,
            "source": (row.get("source") or path.name).strip(),
        }


def _deal_links(path: Path | None) -> Iterator[dict[str, Any]]:
    if path is None:
        return
    words = {"true": True, "yes": True, "1": True, "": True, "false": False, "no": False, "0": False}
    for where, row in _read(path, {"source_key", "source_deal_id", "link_group"}):
        said = (row.get("is_match") or "").strip().lower()
        if said not in words:
            raise ConfigError(f"{where}: is_match must be true or false.")
        yield {
            "source_key": row["source_key"].strip(),
            "source_deal_id": row["source_deal_id"].strip(),
            "link_group": row["link_group"].strip(),
            "is_match": words[said],
        }


def utc_text(instant: datetime) -> str:
    """An aware instant as the UTC text that DuckDB casts to TIMESTAMP. A naive one is a bug."""
    if instant.tzinfo is None:
        raise ValueError("as_of must be timezone-aware")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
