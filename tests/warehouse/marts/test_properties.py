"""Whatever happened, the identities of analytics section 12 hold, and neither row order nor the session's time zone matters."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.warehouse.independent.full import FullCalculation
from tests.warehouse.independent.world import (
    AS_OF,
    BEGIN,
    PIPELINES,
    STAGES,
    ZONE,
    Deal,
    Event,
    FieldChange,
    Source,
    World,
)
from tests.warehouse.marts.comparison import all_differences
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import CORE, build_marts, load, marts, rows, warehouse
from warehouse.runner import run_check

SOURCES = [
    Source("force", "Force", AS_OF),
    Source("spot", "Spot", AS_OF - timedelta(days=10)),
    Source("sheet", "Sheet", AS_OF),
]
STAGES_OF = {s.key: [stage.key for stage in STAGES if stage.key.startswith(s.key)] for s in SOURCES}
GAPS = [
    timedelta(),
    timedelta(milliseconds=1),
    timedelta(hours=7),
    timedelta(days=1),
    timedelta(days=30),
    timedelta(days=89),
]


@st.composite
def deal(draw: st.DrawFn, number: int) -> Deal:
    source = draw(st.sampled_from(list(STAGES_OF)))
    at = BEGIN + timedelta(days=draw(st.integers(0, 370)), hours=draw(st.sampled_from((0, 3, 6, 12))))
    events = []
    for place in range(draw(st.integers(1, 9))):
        if events:
            at += draw(st.sampled_from(GAPS))
        evidence = draw(st.sampled_from(("exact", "exact", "created", "observed")))
        events.append(Event(at, place, draw(st.sampled_from(STAGES_OF[source])), evidence))
    amount = draw(st.none() | st.integers(0, 10_000_000))
    close_date = draw(st.none() | st.dates(BEGIN.date(), AS_OF.date() + timedelta(days=90)))
    deleted_at = draw(st.none() | st.none() | st.just(AS_OF - timedelta(days=1)) | st.just(at + timedelta(days=3)))
    if deleted_at and deleted_at >= AS_OF:
        deleted_at = None
    return Deal(
        key=f"{source}:{number}",
        source=source,
        events=events,
        created_at=events[0].at,
        amount=None if amount is None else Decimal(amount) / 100,
        owner=draw(st.none() | st.just(f"{source}:owner:u1")),
        close_date=close_date,
        lead_source=draw(st.none() | st.just("Web")),
        deal_type=None,
        company=None,
        last_activity_at=draw(st.none() | st.just(AS_OF - timedelta(days=31))),
        presence=draw(st.sampled_from(("present", "present", "hidden"))),
        deleted_at=deleted_at,
        unified=f"one:{number // 2}",
        is_primary=number % 2 == 0 or draw(st.booleans()),
        changes=[
            *_changes(draw, "amount", events, None if amount is None else f"{Decimal(amount) / 100:.2f}"),
            *_changes(draw, "expected_close_date", events, close_date and str(close_date)),
        ],
    )


def _changes(draw: st.DrawFn, field: str, events: list[Event], value: str | None) -> list[FieldChange]:
    """Up to three changes that end in today's value, some in the very instant of a move."""
    found: list[FieldChange] = []
    instants = st.sampled_from(events).map(lambda event: event.at + draw(st.sampled_from(GAPS)))
    for at in sorted(draw(st.lists(instants, max_size=3)), reverse=True):
        old = draw(
            st.sampled_from((None, "1000.00", "0.01") if field == "amount" else (None, "2024-12-31", "2025-03-01"))
        )
        if at < AS_OF and old != value:
            found.append(FieldChange(at, field, old, value))
            value = old
    return found[::-1]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    deals = [draw(deal(number)) for number in range(draw(st.integers(1, 20)))]
    people = {f"{source.key}:owner:u1": ("u1@example.com", "Person 1") for source in SOURCES}
    return World(
        SOURCES, PIPELINES, STAGES, people, {}, deals, zone=draw(st.sampled_from(("UTC", ZONE, "Asia/Jakarta")))
    )


@pytest.fixture(scope="module")
def con():
    with warehouse({}) as built:
        yield built


def refill(con: duckdb.DuckDBPyConnection, tables: dict[str, list[dict]], zone: str, session_zone: str) -> None:
    """Put other core rows under the marts and build them again, in a session of another time zone."""
    con.execute(f"set TimeZone = '{session_zone}'")
    con.execute(f"update staging.settings set as_of_at = '{AS_OF}', reporting_timezone = '{zone}'")
    for table, types in CORE.items():
        con.execute(f"drop table {table}")
        load(con, table, types, tables.get(table, ()))
    build_marts(con)


def contents(con: duckdb.DuckDBPyConnection) -> dict[str, list]:
    """Every published mart as sorted rows."""
    kept = [model for model in marts() if model.about.kept]
    return {model.name: sorted(map(repr, rows(con, f"select * from {model.table}"))) for model in kept}


@settings(
    max_examples=7, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(world=worlds(), seed=st.integers(0, 1000))
def test_identities_hold_in_any_world_and_order(con, world: World, seed: int) -> None:
    tables = core_rows(world)
    refill(con, tables, world.zone, "UTC")
    broken = [
        result.name for model in marts() for check in model.checks() if not (result := run_check(con, check)).passed
    ]
    assert broken == []
    assert all_differences(con, FullCalculation(world)) == {}
    before = contents(con)
    for given_rows in tables.values():
        random.Random(seed).shuffle(given_rows)
    refill(con, tables, world.zone, "Asia/Tokyo")
    assert contents(con) == before
