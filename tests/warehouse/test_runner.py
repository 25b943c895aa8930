"""The runner: order from references, checks that really run, comments, worked examples that can fail."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from warehouse.runner import (
    Check,
    Description,
    Model,
    ModelError,
    add_comments,
    in_order,
    insert_rows,
    load_models,
    references,
    run_check,
    run_models,
)


def model(name: str, sql: str, *, layer: str = "core", grain: tuple[str, ...] = ()) -> Model:
    return Model(
        schema="staging" if layer == "staging" else "main",
        name=name,
        layer=layer,
        sql=sql,
        about=Description(description="One row.", grain=list(grain)),
        reads=frozenset(references(sql, where=name)),
    )


def test_references_are_tables_and_never_ctes_or_functions() -> None:
    sql = """
        with deals as (select * from staging.stg_deals)
        select * from deals, unnest(generate_series(date '2020-01-01', date '2020-02-01', interval 1 day)) as t(day)
        where exists (select 1 from main.stages as s where s.stage_key = deals.stage_key)
    """
    assert references(sql, where="x") == {"staging.stg_deals", "main.stages"}


def test_a_model_that_is_no_select_is_refused_with_its_name() -> None:
    with pytest.raises(ModelError, match=r"broken\.sql"):
        references("delete from main.deals", where="broken.sql")


def test_models_run_after_what_they_read_whatever_their_names() -> None:
    last = model("a_last", "select * from main.z_first")
    first = model("z_first", "select 1 as x")
    assert [m.name for m in in_order([last, first])] == ["z_first", "a_last"]


def test_models_that_read_each_other_are_an_error_naming_them() -> None:
    with pytest.raises(ModelError, match="circle"):
        in_order([model("a", "select * from main.b"), model("b", "select * from main.a")])


def test_a_failing_model_is_named() -> None:
    with duckdb.connect() as con, pytest.raises(ModelError, match=r"main\.bad"):
        run_models(con, [model("bad", "select no_such_column from (select 1 as x)")])


@pytest.mark.parametrize(
    ("rows", "layer", "failing"),
    [
        ("select 1 as k union all select 2", "core", 0),
        ("select 1 as k union all select 1", "core", 1),
        ("select 1 as k union all select null", "core", 1),
        ("select 1 as k union all select null", "marts", 0),
        ("select null as k union all select null", "marts", 1),
    ],
)
def test_the_grain_is_checked_for_repeats_and_in_core_for_nulls(rows: str, layer: str, failing: int) -> None:
    one = model("t", rows, layer=layer, grain=("k",))
    with duckdb.connect() as con:
        run_models(con, [one])
        results = [run_check(con, check) for check in one.checks()]
    assert [result.failing for result in results] == [failing]


def test_a_check_names_the_sources_it_blames_and_shows_rows() -> None:
    check = Check(name="c", sql="select 'b' as source_key, 1 as x union all select 'a', 2", description="d")
    with duckdb.connect() as con:
        result = run_check(con, check)
    assert result.failing == 2
    assert result.source_keys == ("a", "b")
    assert {row["x"] for row in result.sample} == {1, 2}


def test_a_check_that_cannot_run_is_an_error_and_no_pass() -> None:
    with duckdb.connect() as con, pytest.raises(ModelError, match="no_such"):
        run_check(con, Check(name="no_such", sql="select * from main.nowhere", description="d"))


def test_a_description_of_a_column_that_is_not_there_is_an_error() -> None:
    about = Description(description="One row.", columns={"gone": "x"})
    with duckdb.connect() as con:
        con.execute("create table t as select 1 as here")
        with pytest.raises(ModelError, match="gone"):
            add_comments(con, "main.t", about)


def test_comments_reach_the_catalogue_with_quotes_intact() -> None:
    about = Description(description="It's one row.", columns={"here": "the 'x'"})
    with duckdb.connect() as con:
        con.execute("create table t as select 1 as here")
        add_comments(con, "main.t", about)
        assert con.execute("select comment from duckdb_tables()").fetchone() == ("It's one row.",)
        assert con.execute("select comment from duckdb_columns() where column_name = 'here'").fetchone() == ("the 'x'",)


def test_a_model_without_its_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "t.sql").write_text("select 1 as x")
    with pytest.raises(ModelError, match=r"t\.yml is missing"):
        load_models(tmp_path)


def test_a_misspelt_word_in_a_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "t.sql").write_text("select 1 as x")
    (tmp_path / "core" / "t.yml").write_text("description: One row.\ncollumns: {x: y}\n")
    with pytest.raises(ModelError, match="collumns"):
        load_models(tmp_path)


_TYPES = {
    "name": "VARCHAR",
    "at": "TIMESTAMP",
    "day": "DATE",
    "count": "BIGINT",
    "rate": "DECIMAL(24,12)",
    "share": "DOUBLE",
    "ok": "BOOLEAN",
}


def test_rows_of_mixed_python_values_arrive_in_the_declared_types() -> None:
    noon = datetime(2025, 1, 2, 12, 0, 0, 6, tzinfo=UTC)
    plain = noon.replace(tzinfo=None)
    given = [
        {"name": "it's", "at": plain, "day": noon.date(), "count": 2**60, "rate": Decimal("0.0000625")},
        {"name": "", "at": noon, "day": "2025-01-03", "count": "7", "share": 0.1, "ok": True},
        {"at": "2025-01-02", "share": 1, "ok": False},
    ]
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'Asia/Jakarta'")
        insert_rows(con, "t", _TYPES, given)
        rows = con.execute("select * from t order by name nulls last").fetchall()
    midnight = plain.replace(hour=0, microsecond=0)
    assert rows == [
        ("", plain, date(2025, 1, 3), 7, None, 0.1, True),
        ("it's", plain, date(2025, 1, 2), 2**60, Decimal("0.0000625"), None, None),
        (None, midnight, None, None, None, 1.0, False),
    ]


class _Counting:
    """A connection that counts its statements."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con, self.statements = con, 0

    def execute(self, *given: Any) -> Any:
        self.statements += 1
        return self.con.execute(*given)


def test_thousands_of_rows_take_one_statement() -> None:
    with duckdb.connect() as con:
        counting: Any = _Counting(con)
        insert_rows(counting, "t", {"number": "BIGINT"}, [{"number": number} for number in range(5000)])
        assert con.execute("select count(*), sum(number) from t").fetchone() == (5000, sum(range(5000)))
    assert counting.statements == 2


def test_no_rows_make_an_empty_table() -> None:
    with duckdb.connect() as con:
        insert_rows(con, "t", {"number": "BIGINT"}, [])
        assert con.execute("select count(*) from t").fetchone() == (0,)
