"""Worked examples of the models' `.yml`, run one by one on a few rows in memory.

The tables that an example gives get the columns and types of the real ones (taken from an empty build), so an example cannot pass on a
column that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import msgspec

from warehouse.runner import MODELS, Example, Model, insert_rows
from warehouse.seeds import create_settings
from warehouse.settings import Thresholds, WarehouseSettings

#: table -> column -> type
Schemas = Mapping[str, Mapping[str, str]]


class ExampleError(AssertionError):
    """The model gives other rows than the worked example; the message shows both."""


def schemas_of(con: duckdb.DuckDBPyConnection) -> Schemas:
    """Columns and types of every table and view of a build, by `schema.table`; of a running build too, where `staging` is a database."""
    rows = con.execute(
        "select case when database_name = 'staging' then database_name else schema_name end as schema, table_name, "
        "column_name, data_type from duckdb_columns() where not internal order by schema, table_name, column_index"
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for schema, table, column, kind in rows:
        if schema in ("landing", "staging", "main", "ops"):
            found.setdefault(f"{schema}.{table}", {})[column] = kind
    return found


def run_example(model: Model, example: Example, schemas: Schemas) -> None:
    """Run one example. Raises ExampleError when the rows differ; tables not given are empty."""
    with duckdb.connect() as con:
        for schema in ("landing", "staging", "ops"):
            con.execute(f"create schema if not exists {schema}")
        con.execute((MODELS / "macros.sql").read_text(encoding="utf-8"))
        create_settings(con, _settings(example), as_of=str(example.settings.get("as_of_at", "2026-01-01")))
        for table in sorted(set(model.reads) | set(example.given)):
            if table == "staging.settings":
                continue
            if table not in schemas:
                raise ExampleError(f"{model.table}: example {example.name!r} gives unknown table {table}")
            rows = example.given.get(table, [])
            unknown = {key for row in rows for key in row} - set(schemas[table])
            if unknown:
                raise ExampleError(f"{model.table}: example {example.name!r}: {table} has no column {sorted(unknown)}")
            insert_rows(con, table, schemas[table], rows)
        cursor = con.execute(f"select * from ({model.sql}) as result")
        names = [column[0] for column in cursor.description or []]
        got = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    _compare(model, example, got)


def _settings(example: Example) -> WarehouseSettings:
    given = {key: value for key, value in example.settings.items() if key != "as_of_at"}
    thresholds = {key: given.pop(key) for key in list(given) if key in Thresholds.__struct_fields__}
    return msgspec.convert({**given, "thresholds": thresholds}, WarehouseSettings)


def _compare(model: Model, example: Example, got: Sequence[Mapping[str, Any]]) -> None:
    left = [dict(row) for row in got]
    for expected in example.expect:
        match = next((row for row in left if _agrees(row, expected)), None)
        if match is None:
            shown = "\n  ".join(str({key: row.get(key, "<no such column>") for key in expected}) for row in left)
            raise ExampleError(
                f"{model.table}: example {example.name!r}: expected\n  {expected}\nbut left are\n  {shown}"
            )
        left.remove(match)
    if example.complete and left:
        raise ExampleError(f"{model.table}: example {example.name!r}: {len(left)} row(s) too many, first: {left[0]}")


def _agrees(row: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(key in row and _same(row[key], value) for key, value in expected.items())


def _same(actual: Any, expected: Any) -> bool:
    if actual is None or expected is None:
        return actual is expected
    if isinstance(expected, bool) or isinstance(actual, bool):
        return bool(actual == expected)
    if isinstance(expected, int | float) and isinstance(actual, int | float | Decimal):
        return abs(float(actual) - float(expected)) <= 0.0005 * max(1.0, abs(float(expected)))
    return str(actual) == str(expected) or str(actual).removesuffix(" 00:00:00") == str(expected).removesuffix(
        " 00:00:00"
    )
