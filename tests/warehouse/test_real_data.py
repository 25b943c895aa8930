"""Deal data that nobody here wrote, through a project folder and the command line, beside a calculation that uses no model.

The files are not part of the project; the tests skip where they are not beside the checkout.
"""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.cli import main

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MAVEN = DATA / "maven_crm_sales_opportunities" / "sales_pipeline.csv"
pytestmark = pytest.mark.skipif(not MAVEN.is_file(), reason="the real deal data is not beside this checkout")

PROJECT = f"""\
type: dagster_project.components.CrmSource
attributes:
  source: maven
  connector: spreadsheet
  config:
    path: {MAVEN}
    key: opportunity_id
    stage_dates: {{Engaging: engage_date}}
    zero_amount: unknown_if_lost
    snapshot_date: 2017-12-31
"""


class Published:
    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as con:
            return con.execute(sql).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        found = self.rows(sql)
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def maven(tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("hub")
    assert main(["init", str(folder), "--json"]) == 0
    for left in (folder / "defs").rglob("defs.yaml"):
        left.unlink()
    (folder / "defs" / "maven").mkdir(parents=True, exist_ok=True)
    (folder / "defs" / "maven" / "defs.yaml").write_text(PROJECT)
    assert main(["run", "--project", str(folder), "--as-of", "2018-01-01T00:00:00Z", "--json"]) == 0
    return Published(folder / ".muara" / "muara.duckdb")


@pytest.fixture(scope="module")
def raw() -> list[dict[str, str]]:
    with MAVEN.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_row_is_kept_or_rejected(maven: Published, raw: list[dict[str, str]]) -> None:
    kept = maven.row("select count(*) from deals")[0]
    rejected = maven.row("select count(*) from ops.rejected_rows")[0]
    assert kept + rejected == len(raw) == 8_800
    assert rejected == 0


def test_outcomes_and_the_win_rate_are_those_of_the_file(maven: Published) -> None:
    assert maven.rows("select outcome, count(*) from deals group by 1 order by 1") == [
        ("lost", 2_473),
        ("open", 2_089),
        ("won", 4_238),
    ]
    won, lost, rate = maven.row(
        "select won_count, lost_count, win_rate from win_rates where dimension = 'all' and period_grain = 'all'"
    )
    assert (won, lost) == (4_238, 2_473)
    assert rate == pytest.approx(4_238 / 6_711)


def test_a_lost_value_is_missing_and_not_zero(maven: Published, raw: list[dict[str, str]]) -> None:
    assert maven.row("select count(*), count(amount) from deals where outcome = 'lost'") == (2_473, 0)
    won = sum(int(row["close_value"]) for row in raw if row["deal_stage"] == "Won")
    total, lost = maven.row(
        "select won_amount, lost_amount from win_rates where dimension = 'all' and period_grain = 'all'"
    )
    assert total == won
    assert lost is None


def test_prospecting_has_no_invented_entry_dates(maven: Published) -> None:
    entries = maven.rows(
        "select distinct i.is_left_censored, c.evidence from stage_intervals as i "
        "inner join stage_changes as c on c.deal_key = i.deal_key and c.seq = i.seq "
        "inner join stages as s on s.stage_key = i.stage_key where s.stage = 'Prospecting'"
    )
    assert entries == [(True, "observed")]
    visits, median = maven.row(
        "select visits_count, dwell_median_days from stage_bottlenecks where stage = 'Prospecting'"
    )
    assert (visits, median) == (0, None)


def test_conversion_of_engaging_agrees_with_counting_in_the_file(maven: Published, raw: list[dict[str, str]]) -> None:
    engaged = [row for row in raw if row["engage_date"]]
    states = Counter(row["deal_stage"] for row in engaged)
    found = maven.row(
        "select reached_count, visited_count, advanced_count, lost_count, open_count, conversion_rate, conversion_rate_resolved "
        "from stage_conversion where stage = 'Engaging' and period_grain = 'all'"
    )
    assert found[:5] == (len(engaged), len(engaged), states["Won"], states["Lost"], states["Engaging"])
    assert found[5] == pytest.approx(states["Won"] / len(engaged))
    assert found[6] == pytest.approx(states["Won"] / (states["Won"] + states["Lost"]))


def test_monthly_cohorts_of_engaging_agree_with_counting_in_the_file(
    maven: Published, raw: list[dict[str, str]]
) -> None:
    expected: Counter[tuple[date, str]] = Counter()
    for row in raw:
        if row["engage_date"]:
            month = date.fromisoformat(row["engage_date"]).replace(day=1)
            expected[(month, "reached")] += 1
            expected[(month, row["deal_stage"])] += 1
    found = maven.rows(
        "select period_start, reached_count, advanced_count, lost_count, open_count from stage_conversion "
        "where stage = 'Engaging' and period_grain = 'month' order by 1"
    )
    assert len(found) == len({month for month, _ in expected})
    for month, *counts in found:
        assert counts == [expected[(month, key)] for key in ("reached", "Won", "Lost", "Engaging")], month


def dwell_by_hand(raw: list[dict[str, str]]) -> list[tuple[int, bool]]:
    """(days in Engaging, whether it ended) of every engaged deal; open ones wait until the snapshot of 2017-12-31."""
    found = []
    for row in raw:
        if row["engage_date"]:
            start = date.fromisoformat(row["engage_date"])
            end = date.fromisoformat(row["close_date"]) if row["close_date"] else date(2018, 1, 1)
            found.append(((end - start).days, bool(row["close_date"])))
    return found


def quantile_by_hand(visits: list[tuple[int, bool]], share_left: float) -> int | None:
    """The first day at which at most `share_left` are still waiting, counting those who wait (product-limit)."""
    survival = 1.0
    for day in sorted({days for days, ended in visits if ended}):
        at_risk = sum(1 for days, _ in visits if days >= day)
        leaving = sum(1 for days, ended in visits if ended and days == day)
        survival *= 1 - leaving / at_risk
        if survival <= share_left + 1e-9:
            return day
    return None


def test_dwell_of_engaging_agrees_with_a_product_limit_by_hand(maven: Published, raw: list[dict[str, str]]) -> None:
    visits = dwell_by_hand(raw)
    median, p75, p90, completed, censored, naive = maven.row(
        "select dwell_median_days, dwell_p75_days, dwell_p90_days, completed_count, censored_count, dwell_mean_completed_days "
        "from stage_bottlenecks where stage = 'Engaging'"
    )
    assert completed == sum(1 for _, ended in visits if ended)
    assert censored == sum(1 for _, ended in visits if not ended)
    for found, share in ((median, 0.5), (p75, 0.25), (p90, 0.1)):
        assert found == quantile_by_hand(visits, share)
    done = [days for days, ended in visits if ended]
    assert naive == pytest.approx(sum(done) / len(done))


def test_every_kept_row_can_be_traced_to_its_line(maven: Published, raw: list[dict[str, str]]) -> None:
    """Row 2 of the sheet is the first deal."""
    url = maven.row("select deal_url from deals where source_deal_id = '1C1I7A6R'")[0]
    assert "sales_pipeline.csv" in url
    assert url.endswith("A2")


def test_as_of_stands_in_every_mart(maven: Published) -> None:
    tables = [
        name
        for (name,) in maven.rows(
            "select table_name from duckdb_columns() where column_name = 'as_of_at' and schema_name = 'main'"
        )
    ]
    assert {"stage_conversion", "stage_bottlenecks", "win_rates", "transitions"} <= set(tables)
    for table in tables:
        assert maven.rows(f"select distinct as_of_at from {table}") in ([(datetime(2018, 1, 1),)], [])  # noqa: DTZ001  (TIMESTAMP in UTC)
