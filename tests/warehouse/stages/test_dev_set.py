"""The labelled stage names from public sources, when the reference data stands beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import stage_names as bench
from benchmarks import stage_names_held_out
from warehouse.stages import StageLabel, classify

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / ".." / "shared" / "data" / "stage_names_dev.csv"


pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="the labelled stage names are not part of the repository")


@pytest.mark.parametrize("flags", [True, False])
@pytest.mark.parametrize("half", [0, 1])
def test_the_aims_hold_on_either_half_of_the_repositories_with_and_without_flags(half: int, flags: bool) -> None:
    rows = bench.read(DATA, flags=flags)
    pairs = [
        (row, answer)
        for row, answer in zip(rows, classify([row.label for row in rows]), strict=True)
        if row.primary and bench.half_of(row.source) == half
    ]
    score = bench.score(pairs)
    assert score.rows > 200
    assert score.accuracy >= 0.88
    assert score.precision >= 0.96
    assert score.coverage >= 0.78
    assert score.confused / score.rows < 0.005


def test_the_aims_hold_when_each_repository_is_judged_without_the_phrases_that_it_alone_gave() -> None:
    pairs, taken = stage_names_held_out.judged(bench.read(DATA), "phrases")
    score = bench.score(pairs)
    assert taken > 100
    assert score.accuracy >= 0.85
    assert score.precision >= 0.95
    assert score.coverage >= 0.75
    assert score.confused / score.rows < 0.005


def test_a_wrong_normaliser_scores_badly() -> None:
    """The score can fail: everything called won is nearly always wrong, and confuses won and lost."""
    rows = [row for row in bench.read(DATA) if row.primary]
    won = classify([StageLabel("Closed Won", outcome="won", probability=1.0)])[0]
    score = bench.score([(row, won) for row in rows])
    assert score.accuracy < 0.3
    assert score.coverage == 1.0
    assert score.confused > len(rows) / 2
