"""What a build does not publish: held in memory under the names that models use, freed when nothing needs it, never in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from warehouse import rooms
from warehouse.runner import Check, Description, Model, references, run_models


def model(table: str, sql: str, *, kept: bool) -> Model:
    schema, name = table.split(".")
    return Model(
        schema=schema,
        name=name,
        layer="staging" if schema == "staging" else "marts",
        sql=sql,
        about=Description(description="One row.", kept=kept),
        reads=frozenset(references(sql, where=name)),
    )


MODELS = [
    model("staging.stg_a", "select 1 as x", kept=False),
    model("staging.stg_b", "select x from staging.stg_a", kept=False),
    model("staging.stg_c", "select x from staging.stg_a", kept=True),
    model("main.mart_d", "select x from staging.stg_b", kept=False),
    model("main.final", "select x from main.mart_d inner join staging.stg_b using (x)", kept=True),
    model("staging.stg_e", "select x from main.final", kept=False),
]
CHECK = Check(name="c", sql="select x from staging.stg_b where x is null", description="d")


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "b.duckdb")) as opened:
        rooms.open_staging(opened)
        yield opened


def tables(con: duckdb.DuckDBPyConnection) -> set[tuple[str, str, str]]:
    return set(con.execute("select database_name, schema_name, table_name from duckdb_tables()").fetchall())


def test_an_unpublished_table_is_freed_after_its_last_reader() -> None:
    assert rooms.last_uses(MODELS, []) == {
        "staging.stg_c": ["staging.stg_a"],
        "main.final": ["staging.stg_b", "main.mart_d"],
        "staging.stg_e": ["staging.stg_e"],
    }


def test_a_table_that_a_check_reads_is_not_freed() -> None:
    freed = [table for gone in rooms.last_uses(MODELS, [CHECK]).values() for table in gone]
    assert "staging.stg_b" not in freed
    assert "main.mart_d" in freed


def test_models_find_each_other_under_their_names_and_only_kept_ones_of_main_reach_the_file(
    con: duckdb.DuckDBPyConnection,
) -> None:
    run_models(con, MODELS)
    assert con.execute("select x from main.final").fetchall() == [(1,)]
    assert {row for row in tables(con) if row[0] == "b"} == {("b", "main", "final")}


def test_freeing_after_the_last_reader_lets_every_model_run(con: duckdb.DuckDBPyConnection) -> None:
    unneeded = rooms.last_uses(MODELS, [])
    run_models(con, MODELS, after_model=lambda table: rooms.drop(con, unneeded.get(table, ())))
    assert tables(con) == {("b", "main", "final"), ("staging", "main", "stg_c")}


def test_closing_publishes_what_readers_get_and_leaves_nothing_else(con: duckdb.DuckDBPyConnection) -> None:
    run_models(con, MODELS)
    rooms.close_staging(con, MODELS)
    assert tables(con) == {("b", "main", "final"), ("b", "staging", "stg_c")}
    assert con.execute("select x from staging.stg_c").fetchall() == [(1,)]
