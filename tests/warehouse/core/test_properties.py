"""The identities of the core tables hold, whatever the order of rows, the session's time zone and the split of history into readings."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.warehouse.core.world import DAY_0, Built, World, day

pytestmark = pytest.mark.slow

STAGES = ["P", "Q", "R", "N", "Won", "Lost"]
ZONES = ["UTC", "America/Phoenix", "Asia/Jakarta", "Pacific/Kiritimati", "America/St_Johns"]

#: Hours since day 0; few values, so that ties and midnights are common.
_hours = st.one_of(st.integers(0, 60).map(lambda n: n * 24), st.integers(0, 400))
_event = st.tuples(_hours, st.integers(0, 2), st.sampled_from(STAGES), st.sampled_from(["sales", "renewals"]))
_history = st.lists(_event, max_size=8)
_version = st.tuples(
    st.integers(1, 80), st.sampled_from([*STAGES, None]), st.sampled_from([None, None, "open", "won", "lost"]),
    st.one_of(st.none(), st.integers(0, 500)), st.sampled_from([None, "USD"]),
)  # fmt: skip
_deal = st.tuples(_history, st.lists(_version, min_size=1, max_size=4), st.one_of(st.none(), st.integers(0, 70)))
#: A build costs the same with one deal and with sixteen, so each example brings many.
_deals = st.lists(_deal, min_size=4, max_size=16)


def base_world(as_of: float) -> World:
    world = World(as_of=as_of).source(data_through_at=day(90)).pipeline(STAGES).pipeline(STAGES, pipeline_id="renewals")
    return world.stage("N", 4, "won", read=30, updated_at=day(30))


def fill(world: World, deals: list[Any], *, split: random.Random | None = None) -> World:
    """Land the deals. With `split`, each history comes in incomplete readings with repetitions instead of one complete one."""
    for number, (history, versions, created) in enumerate(deals):
        deal_id = str(number)
        for read, stage_id, status, amount, currency in versions:
            world.deal(
                deal_id, stage_id=stage_id, status=status, amount=amount, currency=currency, created=created, read=read
            )
        events = [
            (stage, hours / 24, {"event_id": f"e{place:03}", "sequence": sequence, "to_pipeline_id": pipeline})
            for place, (hours, sequence, stage, pipeline) in enumerate(history)
        ]
        if split is None:
            world.history(events, deal_id, read=85)
            continue
        readings = [[event for event in events if split.random() < 0.5] for _ in range(3)]
        for late, part in enumerate([*readings, events]):
            world.history(part, deal_id, read=82 + late, complete=False)
    return world


def content(built: Built) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that hold a deal's life, in one order."""
    tables = ["deals", "stage_changes", "stage_intervals", "deal_field_changes", "stages", "stage_versions"]
    return {table: sorted(built.con.execute(f"select * from main.{table}").fetchall(), key=repr) for table in tables}


_SETTINGS = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_SETTINGS
@given(deals=_deals, seed=st.integers(0, 999), zone=st.sampled_from(ZONES), as_of=st.integers(5, 120))
def test_every_path_agrees_with_a_plain_calculation_whatever_the_order_of_rows_and_the_sessions_zone(
    deals: list[Any], seed: int, zone: str, as_of: int
) -> None:
    plain = fill(base_world(as_of), deals).build()
    assert plain.failed("error") == {}
    check_paths(plain, deals, as_of)
    world = fill(base_world(as_of), deals)
    for rows in world.rows.values():
        random.Random(seed).shuffle(rows)
    assert content(world.build(session_zone=zone)) == content(plain)


@_SETTINGS
@given(deals=_deals, seed=st.integers(0, 999))
def test_the_split_into_readings_changes_no_path(deals: list[Any], seed: int) -> None:
    whole = content(fill(base_world(100), deals).build())
    parted = content(fill(base_world(100), deals, split=random.Random(seed)).build())
    for table in ("stage_changes", "stage_intervals"):
        assert parted[table] == whole[table]


def check_paths(built: Built, deals: list[Any], as_of: int) -> None:
    """Deals with history: sort, collapse and number in Python, from the words of the rules (1, 2, 8, 9, 12, 21)."""
    for number, (history, _, _) in enumerate(deals):
        path = expected_path(history, as_of) if history else []
        shown = [(c["to_pipeline_key"], c["to_stage_key"], c["changed_at"]) for c in built.changes(f"crm:{number}")]
        assert shown[: len(path)] == path


def expected_path(history: list[Any], as_of: int) -> list[tuple[Any, ...]]:
    """The visits that the history alone tells, first ones first; stage N of sales counts as won from day 30 on."""
    rows = sorted(
        (hours, sequence, place, stage, pipeline) for place, (hours, sequence, stage, pipeline) in enumerate(history)
    )
    edited = 30 * 24

    def outcome(stage: str, pipeline: str, hours: int) -> str:
        if (stage, pipeline) == ("N", "sales"):
            return "won" if hours >= edited else "open"
        return {"Won": "won", "Lost": "lost"}.get(stage, "open")

    before_edit = [row for row in rows if row[0] < edited]
    if before_edit and before_edit[-1][3:] == ("N", "sales"):
        rows.insert(len(before_edit), (edited, -1, -1, "N", "sales"))
    path: list[tuple[Any, ...]] = []
    last = None
    for hours, _, _, stage, pipeline in rows:
        here = (pipeline, stage, outcome(stage, pipeline, hours))
        if here != last and hours < as_of * 24:
            path.append((f"crm:{pipeline}", f"crm:{pipeline}:{stage}", DAY_0 + timedelta(hours=hours)))
        last = here
    return path
