"""Time in stage against lifelines: the survival tables of random logs, ties and waits included."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import pytest

from tests.warehouse.independent.numbers import incidences, survival_quantiles
from tests.warehouse.marts.harness import load, model_sql, rows
from tests.warehouse.marts.harness import warehouse as build

QUANTILES = {"dwell_median_days": 0.5, "dwell_p75_days": 0.75, "dwell_p90_days": 0.9}
CAUSES = {"forward": "advanced", "won": "advanced", "lost": "lost", "backward": "other", "lateral": "other"}


@dataclass(frozen=True)
class Spell:
    days: float
    movement: str | None  # None: still there


def random_log(seed: int, stages: int = 14) -> dict[int, list[Spell]]:
    """Stage -> spells: short and long logs, times in whole days (ties) or milliseconds, none to all of them still waiting."""
    rng = random.Random(seed)
    log = defaultdict(list)
    for stage in range(1, stages + 1):
        waiting, is_coarse = rng.choice((0.0, 0.1, 0.4, 0.8, 1.0)), rng.random() < 0.6
        for _ in range(rng.choice((1, 2, 3, 4, 8, 30, 200))):
            days = float(rng.randint(0, 120)) if is_coarse else rng.randint(0, 120 * 86_400_000) / 86_400_000
            log[stage].append(Spell(days, None if rng.random() < waiting else rng.choice(list(CAUSES))))
    return log


def dwell_table(log: dict[int, list[Spell]]) -> dict[int, dict]:
    """The mart stage_dwell made from such a log, by stage number."""
    with build({}) as con:
        for table in ("mart_stages", "mart_visits"):
            types = {name: kind for name, kind, *_ in con.execute(f"describe main.{table}").fetchall()}
            con.execute(f"drop table main.{table}")
            load(con, f"main.{table}", types, _rows(log)[table])
        con.execute(f"create or replace table main.stage_dwell as {model_sql('stage_dwell')}")
        return {int(row["stage_key"]): row for row in rows(con, "select * from main.stage_dwell")}


def _rows(log: dict[int, list[Spell]]) -> dict[str, list[dict]]:
    return {
        "mart_stages": [{"stage_no": stage, "stage_key": str(stage), "outcome": "open"} for stage in log],
        "mart_visits": [
            {
                "stage_no": stage,
                "is_timed": True,
                "dwell_days": spell.days,
                "exited_at": "2025-01-01" if spell.movement else None,
                "exit_movement": spell.movement,
            }
            for stage, spells in log.items()
            for spell in spells
        ],
    }


@pytest.fixture(scope="module")
def log():
    return random_log(11)


@pytest.fixture(scope="module")
def table(log):
    return dwell_table(log)


def test_quantiles_equal_those_of_lifelines(log, table) -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines is an extra: pip install 'muara[stats]'")
    for stage, spells in log.items():
        curve = lifelines.KaplanMeierFitter().fit(
            [spell.days for spell in spells], [spell.movement is not None for spell in spells]
        )
        survival = curve.survival_function_["KM_estimate"]
        for column, q in QUANTILES.items():
            # lifelines' own percentile() compares without a tolerance and would answer the next event time at S = 0.25 exactly
            reached = survival.index[survival <= 1 - q + 1e-9]
            expected = None if len(reached) == 0 else reached[0]
            assert table[stage][column] == (expected if expected is None else pytest.approx(expected, abs=1e-9)), (
                stage,
                column,
            )


def test_incidences_equal_those_of_lifelines(log, table) -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines is an extra: pip install 'muara[stats]'")
    numbers = {"advanced": 1, "lost": 2, "other": 3}
    for stage, spells in log.items():
        # lifelines shakes ties at random and ignores an exit at time 0: spread them, exits before waits, by far less than a millisecond
        ordered = sorted(spells, key=lambda spell: (spell.days, spell.movement is None))
        days = [spell.days + place * 1e-11 for place, spell in enumerate(ordered, start=1)]
        causes = [numbers[CAUSES[spell.movement]] if spell.movement else 0 for spell in ordered]
        for cause, number in numbers.items():
            got = table[stage][f"cif_{cause}_90d"]
            if number not in causes:
                assert got == 0
                continue
            fitter = lifelines.AalenJohansenFitter(calculate_variance=False)
            curve = fitter.fit(days, causes, event_of_interest=number).cumulative_density_
            known = curve[curve.index <= 90 + 1e-6]
            assert got == pytest.approx(float(known.iloc[-1, 0]), abs=1e-9), (stage, cause)


def test_quantiles_and_incidences_equal_exact_fractions(log, table) -> None:
    from fractions import Fraction

    for stage, spells in log.items():
        lengths = [(round(spell.days * 86_400_000), spell.movement) for spell in spells]
        exact = survival_quantiles(
            [(ms, bool(m)) for ms, m in lengths], [Fraction(1, 2), Fraction(3, 4), Fraction(9, 10)]
        )
        assert [table[stage][column] for column in QUANTILES] == [
            pytest.approx(v, abs=1e-9) if v is not None else None for v in exact
        ]
        fates = incidences([(ms, m and CAUSES[m]) for ms, m in lengths], ("advanced", "lost", "other"), 90)
        for cause, value in fates.items():
            assert table[stage][f"cif_{cause}_90d"] == pytest.approx(value, abs=1e-9)


def test_a_survival_of_exactly_a_quarter_counts_as_reached() -> None:
    """0.75 x 2/3 x 1/2 is 0.25 by pencil and 0.2500000000000001 in floating point."""
    log = {1: [Spell(2, "won"), Spell(4, "won"), Spell(8, "won"), Spell(9, None)]}
    row = dwell_table(log)[1]
    assert (row["dwell_median_days"], row["dwell_p75_days"], row["dwell_p90_days"]) == (4, 8, None)


def test_exits_come_before_waits_of_the_same_length() -> None:
    log = {1: [Spell(5, None), Spell(5, "lost")]}
    row = dwell_table(log)[1]
    assert (row["dwell_median_days"], row["cif_lost_90d"]) == (5, 0.5)
