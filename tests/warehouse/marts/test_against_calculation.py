"""Every mart against the same numbers calculated in plain Python over the events of a made-up world of 2,100 deals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.independent.calc import Calculation, Mart
from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import marts, rows, warehouse
from warehouse.runner import run_check

#: mart -> its key columns, in the order of the calculation's keys
KEYS = {
    "deal_stage_facts": ("deal_key", "stage_key"),
    "stage_conversion": ("stage_key", "period_grain", "period_start"),
    "deal_canonical_facts": ("deal_key", "canonical_stage"),
    "cross_system_conversion": ("source_key", "canonical_stage", "period_grain", "period_start"),
    "cross_system_compare": ("canonical_stage", "source_key"),
    "stage_dwell": ("stage_key",),
    "stage_bottlenecks": ("stage_key",),
    "transitions": ("source_key", "from_stage_key", "to_stage_key", "movement", "period_grain", "period_start"),
    "win_rates": ("dimension", "dimension_value", "period_grain", "period_start"),
    "stalled_deals": ("deal_key",),
}


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


def differences(con: Any, mart: str, expected: Mart) -> list[str]:
    """What the mart and the calculation disagree about; empty when nothing."""
    got = {tuple(row[key] for key in KEYS[mart]): row for row in rows(con, f"select * from main.{mart}")}
    found = [f"only the calculation has {key}" for key in expected.keys() - got.keys()]
    found += [f"only the mart has {key}" for key in got.keys() - expected.keys()]
    for key in expected.keys() & got.keys():
        for column, value in expected[key].items():
            if not same(got[key][column], value):
                found.append(f"{key} {column}: mart {got[key][column]!r}, calculation {value!r}")
    return found


def same(mine: Any, theirs: Any) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, float) or isinstance(theirs, float):
        return abs(float(mine) - float(theirs)) <= 1e-9 * max(1.0, abs(float(theirs)))
    if isinstance(mine, Decimal):
        return mine == Decimal(theirs)
    return mine == theirs


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
