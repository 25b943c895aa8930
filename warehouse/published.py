"""Reading the published file: for the command line, Dagster's metadata and whoever must not import duckdb."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from connectors.sdk.errors import ConfigError
from warehouse.runner import literal


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a query: column names, their DuckDB types, rows as tuples of Python values."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def dicts(self) -> list[dict[str, Any]]:
        """Rows as mappings."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a published table, with its comment."""

    name: str
    type: str
    comment: str | None


def query(path: Path, sql: str, params: Sequence[Any] = ()) -> Answer:
    """Run one SELECT on the published file, read-only, and close it again. Raises ConfigError when nothing is published yet."""
    with _open(path) as con:
        cursor = con.execute(sql, list(params))
        described = cursor.description or []
        return Answer(
            columns=tuple(column[0] for column in described),
            types=tuple(str(column[1]) for column in described),
            rows=tuple(cursor.fetchall()),
        )


def catalogue(path: Path) -> dict[str, tuple[Column, ...]]:
    """`schema.table` -> its columns in order, of everything that is published."""
    found: dict[str, list[Column]] = {}
    with _open(path) as con:
        rows = con.execute(
            "select schema_name || '.' || table_name, column_name, data_type, comment from duckdb_columns() "
            "where not internal and database_name = current_database() order by schema_name, table_name, column_index"
        ).fetchall()
    for table, name, kind, comment in rows:
        found.setdefault(table, []).append(Column(name=name, type=kind, comment=comment))
    return {table: tuple(columns) for table, columns in found.items()}


def digests(path: Path) -> dict[str, str]:
    """`schema.table` -> a text that is the same for the same rows in any order, of everything that is published.

    Columns that say which build it was (`as_of_at`, `build_id`) do not count: they differ when nothing else does.
    """
    found = {}
    with _open(path) as con:
        for table, names in catalogue(path).items():
            columns = ", ".join(f'"{column.name}"' for column in names if column.name not in _OF_THE_BUILD)
            rows = con.execute(f"select count(*), sum(hash({columns})::hugeint) from {table}").fetchone() or (0, 0)
            found[table] = hashlib.sha256(f"{columns}|{rows[0]}|{rows[1]}".encode()).hexdigest()[:16]
    return found


_OF_THE_BUILD = frozenset({"as_of_at", "build_id"})


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    if not path.exists():
        raise ConfigError(f"{path} does not exist yet: nothing was published. Run `muara run` first.")
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise ConfigError(f"{path} cannot be opened as a DuckDB file: {error}") from None


def export(path: Path, folder: Path) -> dict[str, int]:
    """Write every table for analysts (schema `main`) to `folder/<table>.parquet`, each replaced in one step. Returns rows by table."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with _open(path) as con:
        names = con.execute("select table_name from duckdb_tables() where schema_name = 'main' order by 1").fetchall()
        for (name,) in names:
            beside = folder / f".{name}.parquet.tmp"
            con.execute(f"copy main.{name} to {literal(str(beside))} (format parquet, compression zstd)")
            beside.replace(folder / f"{name}.parquet")
            counted = con.execute(f"select count(*) from main.{name}").fetchone()
            written[name] = int(counted[0]) if counted else 0
    return written
