"""From the landing zone to every mart, against the plain calculation over the events: staging, core and marts together."""

from __future__ import annotations

import pytest

from tests.warehouse.independent.full import FullCalculation
from tests.warehouse.independent.history import pushes
from tests.warehouse.independent.landing import build_whole, told_by_history
from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.comparison import KEYS, differences
from tests.warehouse.marts.harness import marts
from warehouse.runner import run_check


@pytest.fixture(scope="module")
def world():
    return told_by_history(make_world())


@pytest.fixture(scope="module")
def calculation(world):
    return FullCalculation(world)


@pytest.fixture(scope="module")
def con(world):
    with build_whole(world) as built:
        yield built


def test_the_world_is_large_and_has_every_oddity(world, calculation) -> None:
    movements = {visit.movement for story in calculation.stories for visit in story.visits}
    assert len(world.deals) >= 2000
    assert movements == {"enter", "forward", "backward", "lateral", "won", "lost", "reopen", "pipeline_move"}
    visits = [visit for story in calculation.stories for visit in story.visits]
    assert sum(visit.unseen_entry for visit in visits) > 20
    assert sum(visit.is_open and visit.outcome != visit.stage.outcome for visit in visits) > 10  # open then, won today
    assert sum(visit.exited == visit.entered for visit in visits) > 50  # ties
    assert sum(deal.deleted_at is not None for deal in world.deals) > 50
    assert sum(deal.merged_into is not None for deal in world.deals) > 20
    assert sum(not deal.is_primary for deal in world.deals) > 50
    assert sum(event.at >= world.as_of for deal in world.deals for event in deal.events) > 20
    states = {reach.state for reach in calculation.reaches}
    assert states == {"advanced", "lost", "moved", "open"}
    assert any(not reach.visited for reach in calculation.reaches)


def test_every_visit_equals_the_story_of_the_deal(con, calculation) -> None:
    columns = "deal_key, stage_key, outcome, entered_at, exited_at, entry_movement, visit_number, is_left_censored"
    got = con.execute(f"select {columns} from main.stage_intervals order by deal_key, seq").fetchall()
    expected = [
        (story.key, v.stage.key, v.outcome, v.entered, v.exited, v.movement, v.number, v.unseen_entry)
        for story in sorted(calculation.stories, key=lambda story: story.key)
        for v in story.visits
    ]
    assert got == expected


def test_every_deal_equals_its_story(con, calculation) -> None:
    columns = "deal_key, outcome, closed_at, closing_pipeline_key, closing_owner_key, started_at, last_open_stage_key, push_count"
    got = con.execute(f"select {columns} from main.deals order by deal_key").fetchall()
    expected = [
        (s.key, s.outcome, s.closed_at, s.closing_pipeline, s.closing_owner, s.started_at, s.last_open_stage, pushes(s))
        for s in sorted(calculation.stories, key=lambda story: story.key)
    ]
    assert got == expected


@pytest.mark.parametrize("mart", KEYS)
def test_the_built_mart_equals_the_calculation_over_the_events(con, calculation, mart: str) -> None:
    assert differences(con, mart, getattr(calculation, mart)()) == []


def test_every_check_of_the_marts_passes(con) -> None:
    results = [run_check(con, check) for model in marts() for check in model.checks()]
    assert [(result.name, result.sample[:2]) for result in results if not result.passed] == []
