"""Every mart against the same numbers calculated in plain Python over the events of a made-up world of 2,100 deals."""

from __future__ import annotations

import pytest

from tests.warehouse.independent.calc import Calculation
from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.comparison import KEYS, differences
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import marts, warehouse
from warehouse.runner import run_check


@pytest.fixture(scope="module")
def world():
    return make_world()


@pytest.fixture(scope="module")
def calculation(world):
    return Calculation(world)


@pytest.fixture(scope="module")
def built(world):
    with warehouse(core_rows(world), as_of=str(world.as_of), settings={"reporting_timezone": world.zone}) as con:
        yield con


def test_the_world_is_large_and_has_every_oddity(world, calculation) -> None:
    movements = {visit.movement for story in calculation.stories for visit in story.visits}
    assert len(world.deals) >= 2000
    assert movements == {"enter", "forward", "backward", "lateral", "won", "lost", "reopen", "pipeline_move"}
    visits = [visit for story in calculation.stories for visit in story.visits]
    assert sum(visit.unseen_entry for visit in visits) > 100
    assert sum(visit.is_open and visit.outcome != visit.stage.outcome for visit in visits) > 10  # open then, won today
    assert sum(visit.exited == visit.entered for visit in visits) > 50  # ties
    assert sum(deal.deleted_at is not None for deal in world.deals) > 50
    assert sum(deal.merged_into is not None for deal in world.deals) > 20
    assert sum(not deal.is_primary for deal in world.deals) > 50
    assert sum(event.at >= world.as_of for deal in world.deals for event in deal.events) > 20
    states = {reach.state for reach in calculation.reaches}
    assert states == {"advanced", "lost", "moved", "open"}
    assert any(not reach.visited for reach in calculation.reaches)


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
