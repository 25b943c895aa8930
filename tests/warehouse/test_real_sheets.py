"""Olist as one source of two tables and Maven beside it, through `muara run` into one warehouse, counted again without any of our code."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from dagster_project.cli import main
from tests.connectors.spreadsheet.sheets import SHARED

MAVEN = SHARED / "maven_crm_sales_opportunities" / "sales_pipeline.csv"
LEADS = SHARED / "olist_marketing_funnel" / "olist_marketing_qualified_leads_dataset.csv"
WINS = SHARED / "olist_marketing_funnel" / "olist_closed_deals_dataset.csv"

pytestmark = pytest.mark.skipif(
    not (MAVEN.is_file() and LEADS.is_file() and WINS.is_file()),
    reason="the Maven and Olist data sets (../shared/data) are not beside this checkout",
)

SOURCES = {
    "olist": f"""
    key: mql_id
    snapshot_date: 2018-12-31
    tables:
      - {{path: {LEADS}, stage_dates: {{Lead: first_contact_date}}}}
      - {{path: {WINS}, stage_dates: {{Won: won_date}}}}
""",
    "maven": f"""
    path: {MAVEN}
    key: opportunity_id
    stage_dates: {{Engaging: engage_date}}
    zero_amount: unknown_if_lost
    snapshot_date: 2018-12-31
""",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_two_sources_of_sheets_make_one_warehouse(tmp_path):
    assert main(["init", str(tmp_path), "--json"]) == 0
    for left in (tmp_path / "defs").rglob("defs.yaml"):
        left.unlink()
    for name, config in SOURCES.items():
        folder = tmp_path / "defs" / name
        folder.mkdir(parents=True, exist_ok=True)
        head = f"type: dagster_project.components.CrmSource\nattributes:\n  source: {name}\n  connector: spreadsheet\n  config:"
        (folder / "defs.yaml").write_text(head + config, encoding="utf-8")
    assert main(["run", "--project", str(tmp_path), "--as-of", "2019-01-01T00:00:00Z", "--json"]) == 0

    leads, wins, maven = rows_of(LEADS), rows_of(WINS), rows_of(MAVEN)
    with duckdb.connect(str(tmp_path / ".muara" / "muara.duckdb"), read_only=True) as base:
        counted = base.execute("select source_key, outcome, count(*) from main.deals group by all").fetchall()
        wins_dated = base.execute(
            "select count(*) from main.stage_changes where source_key = 'olist' and to_canonical_stage = 'won'"
        ).fetchone()
    outcomes = {(source, outcome): count for source, outcome, count in counted}
    assert len({row["mql_id"] for row in leads}) == len(leads) == 8000
    assert {row["mql_id"] for row in wins} <= {row["mql_id"] for row in leads}
    assert outcomes[("olist", "won")] == len(wins) == 842
    assert sum(count for (source, _), count in outcomes.items() if source == "olist") == len(leads)
    assert wins_dated == (842,)
    by_stage = Counter(row["deal_stage"] for row in maven)
    assert outcomes[("maven", "won")] == by_stage["Won"]
    assert outcomes[("maven", "lost")] == by_stage["Lost"]
    assert sum(count for (source, _), count in outcomes.items() if source == "maven") == len(maven)
