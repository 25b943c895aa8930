"""Every published column of staging and core is described, and each model says what one row is."""

from __future__ import annotations

from functools import cache

import pytest

from tests.warehouse.core.world import Built, core_models, sales_world
from warehouse.runner import columns_of


@cache
def empty_build() -> Built:
    return sales_world().build()


@pytest.mark.parametrize("model", [m for m in core_models() if m.about.kept], ids=lambda m: m.table)
def test_every_column_is_described_once(model) -> None:
    assert list(columns_of(empty_build().con, model.table)) == list(model.about.columns)


def test_first_comment_line_says_what_one_row_is() -> None:
    for model in core_models():
        assert model.sql.startswith("-- One row per "), model.name
