"""A backfill over several days gives the warehouse that one day would have given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from connectors.sandbox.pipedrive import serve
from connectors.sandbox.world import World
from tests.connectors.pipedrive.test_pipedrive import Hub
from warehouse.build import BuildInputs, ConfiguredSource, run_build
from warehouse.settings import WarehouseSettings

#: When something was read is not what was read.
_READING = {"first_seen_at", "last_seen_at", "read_at", "gone_at", "observed_at", "data_through_at", "last_synced_at"}


def test_a_budget_smaller_than_the_backfill_ends_with_the_tables_of_an_unlimited_run(tmp_path: Path) -> None:
    """A14."""
    with serve(World(seed=3, deals=70), burst=None) as company:
        whole = Hub(company, tmp_path / "whole")
        assert whole.sync().status == "complete"
        days = Hub(company, tmp_path / "days", daily_call_budget=450)
        statuses = [days.sync().status]
        while statuses[-1] == "partial" and len(statuses) < 9:
            days.clock.advance(days=1)
            whole.clock.advance(days=1)
            company.world.tick(86_400)
            statuses.append(days.sync().status)
        assert statuses[0] == "partial"
        assert statuses[-1] == "complete"
        assert len(statuses) > 2
        assert whole.sync().status == "complete"  # so that both know of nothing later
        one, other = _tables(days), _tables(whole)
    assert one.keys() == other.keys()
    assert {name: rows for name, rows in one.items() if rows != other[name]} == {}
    assert len(one["main.stage_changes"]) > 150


def _tables(hub: Hub) -> dict[str, list[tuple[Any, ...]]]:
    """Every published table of `main`, sorted, without the columns that tell when it was read."""
    sources = (ConfiguredSource(source_key="pipedrive", connector="pipedrive"),)
    inputs = BuildInputs(home=hub.home, sources=sources, settings=WarehouseSettings(), project=hub.home.root)
    run_build(inputs, clock=hub.clock, as_of=hub.company.world.now)
    found: dict[str, list[tuple[Any, ...]]] = {}
    with duckdb.connect(str(hub.home.published), read_only=True) as con:
        named = con.execute(
            "select table_schema || '.' || table_name, list(column_name order by ordinal_position) from information_schema.columns "
            "where table_schema = 'main' group by 1 order by 1"
        ).fetchall()
        for table, columns in named:
            kept = [name for name in columns if name not in _READING]
            found[table] = con.execute(f"select {', '.join(kept)} from {table} order by all").fetchall()
    return found
