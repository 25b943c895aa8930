"""Marts beside the independent calculation: keys, and what the two disagree about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import duckdb

from tests.warehouse.independent.calc import Mart
from tests.warehouse.independent.full import FullCalculation
from tests.warehouse.marts.harness import rows

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
    "cycle_time": ("pipeline_key", "period_grain", "period_start"),
    "sales_velocity": ("source_key", "pipeline_key", "period_grain", "period_start"),
    "forgotten_prospects": ("deal_key",),
    "owner_capacity": ("person_key",),
    "forecast_deals": ("deal_key",),
    "forecast": ("pipeline_key", "timing", "close_month"),
    "lost_reasons": ("source_key", "stage_key", "lost_reason"),
    "cohort_win_rates": ("source_key", "cohort_date"),
    "pipeline_daily": ("snapshot_date", "stage_key"),
    "pipeline_waterfall": ("kind", "source_key", "pipeline_key", "period_grain", "period_start"),
    "pipeline_waterfall_deals": ("kind", "period_grain", "period_start", "pipeline_key", "deal_key"),
}


def differences(con: duckdb.DuckDBPyConnection, mart: str, expected: Mart) -> list[str]:
    """What the mart and the calculation disagree about; empty when nothing."""
    got = {tuple(row[key] for key in KEYS[mart]): row for row in rows(con, f"select * from main.{mart}")}
    found = [f"only the calculation has {key}" for key in expected.keys() - got.keys()]
    found += [f"only the mart has {key}" for key in got.keys() - expected.keys()]
    for key in expected.keys() & got.keys():
        for column, value in expected[key].items():
            if not same(got[key][column], value):
                found.append(f"{key} {column}: mart {got[key][column]!r}, calculation {value!r}")
    return found


def all_differences(con: duckdb.DuckDBPyConnection, calculation: FullCalculation) -> dict[str, list[str]]:
    """Mart -> disagreements, only of marts that have some."""
    found = {mart: differences(con, mart, getattr(calculation, mart)()) for mart in KEYS}
    return {mart: lines for mart, lines in found.items() if lines}


def same(mine: Any, theirs: Any) -> bool:
    """Equal, floats within 1e-9; None only equals None."""
    if mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, float) or isinstance(theirs, float):
        return abs(float(mine) - float(theirs)) <= 1e-9 * max(1.0, abs(float(theirs)))
    if isinstance(mine, Decimal):
        return mine == Decimal(theirs)
    return mine == theirs
