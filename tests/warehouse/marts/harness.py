"""Core tables in memory, with the real column types, and the marts run over them in their own order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from warehouse.runner import MODELS, Model, load_models
from warehouse.seeds import create_settings
from warehouse.settings import WarehouseSettings, load_settings

Row = Mapping[str, Any]

_V, _I, _B, _T, _D, _F = "VARCHAR", "INTEGER", "BOOLEAN", "TIMESTAMP", "DATE", "DOUBLE"
_MONEY, _SUM = "DECIMAL(18,4)", "DECIMAL(18,2)"

#: table -> column -> type, as facts of the core layer that the marts lean on
CORE: dict[str, dict[str, str]] = {
    "main.sources": {
        "source_key": _V,
        "source_type": _V,
        "name": _V,
        "priority": _I,
        "last_synced_at": _T,
        "data_through_at": _T,
        "history_starts_at": _T,
    },
    "main.pipelines": {
        "pipeline_key": _V,
        "source_key": _V,
        "source_pipeline_id": _V,
        "pipeline": _V,
        "display_order": _I,
        "is_active": _B,
        "is_deleted": _B,
        "is_post_sale": _B,
    },
    "main.stages": {
        "stage_key": _V,
        "source_key": _V,
        "pipeline_key": _V,
        "source_stage_id": _V,
        "stage": _V,
        "canonical_stage": _V,
        "canonical_order": _I,
        "stage_order": _I,
        "outcome": _V,
        "crm_probability": _F,
        "is_archived": _B,
        "is_synthetic": _B,
    },
    "main.owners": {"owner_key": _V, "source_key": _V, "name": _V, "email": _V, "is_active": _B, "person_key": _V},
    "main.companies": {"company_key": _V, "source_key": _V, "name": _V, "industry": _V},
    "main.deals": {
        "deal_key": _V,
        "source_key": _V,
        "source_deal_id": _V,
        "unified_deal_id": _V,
        "is_primary": _B,
        "name": _V,
        "company_key": _V,
        "owner_key": _V,
        "pipeline_key": _V,
        "stage_key": _V,
        "canonical_stage": _V,
        "lead_source": _V,
        "deal_type": _V,
        "lost_reason": _V,
        "deal_url": _V,
        "amount": _MONEY,
        "currency": _V,
        "amount_reporting": _SUM,
        "fx_rate": "DECIMAL(24,12)",
        "created_at": _T,
        "started_at": _T,
        "outcome": _V,
        "closed_at": _T,
        "closing_pipeline_key": _V,
        "closing_owner_key": _V,
        "expected_close_date": _D,
        "last_open_stage_key": _V,
        "entry_stage_order": _I,
        "is_mid_entry": _B,
        "reopened_count": _I,
        "backward_count": _I,
        "push_count": _I,
        "last_activity_at": _T,
        "next_activity_at": _T,
        "last_touch_at": _T,
        "crm_probability": _F,
        "presence": _V,
        "last_seen_at": _T,
        "deleted_at": _T,
        "is_deleted": _B,
        "is_archived": _B,
        "merged_into_deal_key": _V,
    },
    "main.deal_field_changes": {
        "deal_key": _V,
        "source_key": _V,
        "field": _V,
        "seq": _I,
        "changed_at": _T,
        "old_value": _V,
        "new_value": _V,
        "origin": _V,
    },
    "main.fx_rates": {"currency": _V, "rate": "DECIMAL(24,12)", "rate_date": _D, "rate_source": _V},
    "main.stage_changes": {
        "deal_key": _V,
        "source_key": _V,
        "seq": _I,
        "changed_at": _T,
        "from_pipeline_key": _V,
        "from_stage_key": _V,
        "from_canonical_stage": _V,
        "to_pipeline_key": _V,
        "to_stage_key": _V,
        "to_canonical_stage": _V,
        "movement": _V,
        "stages_skipped": _I,
        "days_in_from_stage": _F,
        "to_stage_then": _V,
        "changed_by_owner_key": _V,
        "evidence": _V,
    },
    "main.stage_intervals": {
        "deal_key": _V,
        "source_key": _V,
        "seq": _I,
        "pipeline_key": _V,
        "stage_key": _V,
        "canonical_stage": _V,
        "outcome": _V,
        "visit_number": _I,
        "entered_at": _T,
        "exited_at": _T,
        "is_current": _B,
        "entry_movement": _V,
        "exit_movement": _V,
        "is_backward": _B,
        "is_skip": _B,
        "is_reopen": _B,
        "is_censored": _B,
        "is_left_censored": _B,
        "is_deleted_deal": _B,
        "deleted_at": _T,
        "dwell_ms": "BIGINT",
        "dwell_days": _F,
        "owner_key": _V,
        "amount_at_entry": _SUM,
    },
}


def warehouse(
    tables: Mapping[str, Iterable[Row]],
    *,
    as_of: str = "2026-01-01",
    settings: Mapping[str, Any] | WarehouseSettings | None = None,
    models: Sequence[Model] | None = None,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the given core rows (tables left out are empty) and every mart built."""
    con = duckdb.connect(config={"threads": "1"})  # tables are tiny; two threads only wait for each other
    for schema in ("landing", "staging", "ops"):
        con.execute(f"create schema {schema}")
    con.execute((MODELS / "macros.sql").read_text(encoding="utf-8"))
    if not isinstance(settings, WarehouseSettings):
        settings = load_settings(dict(settings or {}))
    create_settings(con, settings, as_of=as_of)
    for table, types in CORE.items():
        load(con, table, types, tables.get(table, ()))
    build_marts(con, models)
    return con


def load(con: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, str], given: Iterable[Row]) -> None:
    """Create a table and fill it through newline JSON: row-wise inserts would take minutes."""
    con.execute(f"create table {table} ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as spool:
        written = 0
        for row in given:
            spool.write(json.dumps(row, default=str) + "\n")
            written += 1
        spool.flush()
        if written:
            columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in types.items()) + "}"
            con.execute(
                f"insert into {table} select * from read_json('{spool.name}', columns = {columns}, format = 'newline_delimited')"
            )


@cache
def marts() -> tuple[Model, ...]:
    """The marts, each after what it reads; the other layers are not even read."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "marts").symlink_to(MODELS / "marts", target_is_directory=True)
        return load_models(Path(folder))


def build_marts(con: duckdb.DuckDBPyConnection, models: Sequence[Model] | None = None) -> None:
    """Create (or replace) every mart."""
    for model in models or marts():
        con.execute(f"create or replace table {model.table} as {model.sql}")


def rows(con: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> list[dict[str, Any]]:
    """All rows of a query as dicts."""
    cursor = con.execute(sql, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def model_sql(name: str) -> str:
    """The SQL of one mart."""
    return next(model.sql for model in marts() if model.name == name)
