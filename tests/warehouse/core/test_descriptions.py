"""Every published column of staging and core is described, and every worked example of their `.yml` gives the rows it states."""

from __future__ import annotations

from functools import cache

import pytest

from tests.warehouse.core.world import Built, core_models, sales_world
from warehouse.examples import Schemas, run_example, schemas_of
from warehouse.runner import columns_of

EXAMPLES = [(model, example) for model in core_models() for example in model.about.examples]


@cache
def empty_build() -> Built:
    return sales_world().build()


@cache
def schemas() -> Schemas:
    return schemas_of(empty_build().con)


@pytest.mark.parametrize("model", [m for m in core_models() if m.about.kept], ids=lambda m: m.table)
def test_every_column_is_described_once(model) -> None:
    assert list(columns_of(empty_build().con, model.table)) == list(model.about.columns)


@pytest.mark.parametrize(("model", "example"), EXAMPLES, ids=[f"{m.name}: {e.name}" for m, e in EXAMPLES])
def test_the_worked_examples_hold(model, example) -> None:
    run_example(model, example, schemas())


def test_first_comment_line_says_what_one_row_is() -> None:
    for model in core_models():
        assert model.sql.startswith("-- One row per "), model.name
