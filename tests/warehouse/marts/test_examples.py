"""The worked examples that stand in the marts' `.yml`, and what every mart owes its readers."""

from __future__ import annotations

import pytest

from tests.warehouse.marts.harness import CORE, marts, rows, warehouse
from warehouse.examples import run_example, schemas_of
from warehouse.runner import Example, Model, add_comments, columns_of, run_check


@pytest.fixture(scope="module")
def empty():
    with warehouse({}) as con:
        yield con


CASES = [
    pytest.param(model, example, id=f"{model.name}: {example.name}")
    for model in marts()
    for example in model.about.examples
]


@pytest.mark.parametrize(("model", "example"), CASES)
def test_the_worked_example_gives_the_printed_numbers(empty, model: Model, example: Example) -> None:
    run_example(model, example, schemas_of(empty))


@pytest.mark.parametrize("model", marts(), ids=lambda model: model.name)
def test_every_column_of_a_mart_is_explained_and_nothing_else_is(empty, model: Model) -> None:
    assert list(columns_of(empty, model.table)) == list(model.about.columns)
    add_comments(empty, model.table, model.about)


@pytest.mark.parametrize("model", marts(), ids=lambda model: model.name)
def test_a_mart_of_nothing_is_empty_and_passes_its_checks(empty, model: Model) -> None:
    assert [result.name for check in model.checks() if not (result := run_check(empty, check)).passed] == []
    assert rows(empty, f"select * from {model.table}") == []


@pytest.mark.parametrize("model", marts(), ids=lambda model: model.name)
def test_types_follow_the_names(empty, model: Model) -> None:
    wanted = {
        "_count": "BIGINT",
        "_amount": "DECIMAL(18,2)",
        "_rate": "DOUBLE",
        "_share": "DOUBLE",
        "_low": "DOUBLE",
        "_high": "DOUBLE",
        "_days": "DOUBLE",
        "_per_week": "DOUBLE",
        "_per_day": "DOUBLE",
        "_probability": "DOUBLE",
        "_order": "INTEGER",
        "_rank": "INTEGER",
        "_at": "TIMESTAMP",
        "_date": "DATE",
        "_key": "VARCHAR",
    }
    # the core table's own column, carried through; and a rate up to now
    exceptions = {"push_count": "INTEGER", "win_rate_to_date": "DOUBLE"}
    for column, kind in columns_of(empty, model.table).items():
        if column.startswith("is_"):
            assert kind == "BOOLEAN", column
        for ending, expected in wanted.items():
            if column.endswith(ending):
                assert kind == exceptions.get(column, expected), f"{model.name}.{column} is {kind}"


def test_the_marts_read_only_core_tables_settings_and_each_other() -> None:
    known = set(CORE) | {"staging.settings"} | {model.table for model in marts()}
    assert {table for model in marts() for table in model.reads} <= known
