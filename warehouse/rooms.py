"""Where a build keeps what it does not publish: in memory, spilling to the build's own folder, never in the file that readers get.

While a build runs, `staging` is a database in memory of that name, so `staging.stg_deals` means what it would mean with a schema `staging`
in the file. Unpublished tables of `main` are temporary tables, which DuckDB finds under `main` too. In return a transaction must keep to
one database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from warehouse.runner import AnyModel, Check, references


def open_staging(con: duckdb.DuckDBPyConnection) -> None:
    """Attach the room; not inside a transaction."""
    con.execute("attach ':memory:' as staging")


def last_uses(models: Sequence[AnyModel], checks: Iterable[Check]) -> dict[str, list[str]]:
    """Model -> unpublished tables that nothing after it reads. What a check reads stays to the end."""
    checked = {table for check in checks for table in references(check.sql, where=check.name)}
    last = {table: model.table for model in models for table in (*model.reads, model.table)}
    found: dict[str, list[str]] = {}
    for model in models:
        if not model.about.kept and model.table not in checked:
            found.setdefault(last[model.table], []).append(model.table)
    return found


def drop(con: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    """Free what is not needed any more."""
    for table in tables:
        con.execute(f"drop table {table}")


def close_staging(con: duckdb.DuckDBPyConnection, models: Sequence[AnyModel]) -> None:
    """Copy what `staging` holds for readers (settings, seeds, kept models) into the file and drop the rest. Not inside a transaction."""
    hidden = {model.name for model in models if model.schema == "staging" and not model.about.kept}
    found = con.execute(
        "select table_name from duckdb_tables() where database_name = 'staging' order by all"
    ).fetchall()
    file = con.execute("select current_database()").fetchone()
    target = f'"{file[0] if file else ""}".staging'
    con.execute(f"create schema {target}")
    for (name,) in found:
        if name not in hidden:
            con.execute(f'create table {target}."{name}" as from staging.main."{name}"')
    for (name,) in con.execute("select table_name from duckdb_tables() where temporary").fetchall():
        con.execute(f'drop table temp.main."{name}"')
    con.execute("detach staging")
