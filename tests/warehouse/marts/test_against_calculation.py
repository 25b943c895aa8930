"""Every mart, over given core tables, against the same numbers calculated in plain Python over the events of a made-up world."""

from __future__ import annotations

import pytest

from tests.warehouse.independent.full import FullCalculation
from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.comparison import KEYS, differences
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import marts, warehouse
from warehouse.runner import run_check


@pytest.fixture(scope="module")
def world():
    return make_world(deals=700)


@pytest.fixture(scope="module")
def calculation(world):
    return FullCalculation(world)


@pytest.fixture(scope="module")
def built(world):
    with warehouse(core_rows(world), as_of=str(world.as_of), settings={"reporting_timezone": world.zone}) as con:
        yield con


@pytest.mark.parametrize("mart", KEYS)
def test_the_mart_equals_the_calculation_over_the_events(built, calculation, mart: str) -> None:
    expected = getattr(calculation, mart)()
    assert expected
    assert differences(built, mart, expected) == []


def test_every_mart_is_calculated_twice() -> None:
    assert {model.name for model in marts() if model.about.kept} == set(KEYS)


def test_the_made_up_world_passes_every_check(built) -> None:
    results = [run_check(built, check) for model in marts() for check in model.checks()]
    assert [(result.name, result.sample[:2]) for result in results if not result.passed] == []
