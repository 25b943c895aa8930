"""The sample sheets and the two real data sets beside the repository, read as a careful person reads them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connectors.sdk import records as rec
from tests.connectors.spreadsheet.sheets import SHARED, read

SHEETS = SHARED / "spreadsheets"
MAVEN = SHARED / "maven_crm_sales_opportunities" / "sales_pipeline.csv"
OLIST = SHARED / "olist_marketing_funnel"

pytestmark = pytest.mark.skipif(
    not SHEETS.exists(), reason="the sample data beside the repository (../shared/data) are not here"
)


@pytest.fixture(scope="module")
def expected():
    return json.loads((SHEETS / "expected.json").read_text(encoding="utf-8"))


def test_the_indonesian_tracker_reads_as_expected(expected):
    want = expected["pipeline_sederhana.csv"]
    got = read(SHEETS / "pipeline_sederhana.csv", **want["given"])
    assert len(got.deals) == want["n_deals"]
    assert sum(deal.amount for deal in got.deals.values()) == want["amount_sum"]
    assert {stage.name for stage in got.of(rec.Stage)} == set(want["stages"])
    training = got.deals["pt cahaya/pelatihan tim"]
    assert training.created_at == datetime(2024, 6, 12, tzinfo=UTC)
    assert training.expected_close_date == date(2024, 7, 31)
    assert training.probability == 0.4
    assert got.history == {}
    assert {deal.currency for deal in got.deals.values()} == {"IDR"}


def test_the_tracker_with_titles_and_a_total_reads_as_expected(expected):
    want = expected["sales_tracker.xlsx"]
    got = read(SHEETS / "sales_tracker.xlsx", **want["given"])
    assert len(got.deals) == want["n_deals"]
    assert sum(deal.amount for deal in got.deals.values()) == Decimal(str(want["amount_sum"]))
    assert {deal.source_sheet for deal in got.deals.values()} == {want["read"]["sheet"]}
    assert min(deal.source_row for deal in got.deals.values()) == want["read"]["header_row"] + 1
    assert [reject.raw["Deal ID"] for reject in got.rejects] == want["dropped_rows"]
    assert all(reject.is_dropped and reject.reason == "total" for reject in got.rejects)
    assert got.deals["D-1"].probability == 0.25
    assert got.history == {}


def test_the_wide_sheet_reads_as_expected(expected):
    want = expected["stage_dates_wide.csv"]
    got = read(SHEETS / "stage_dates_wide.csv", **want["given"])
    assert len(got.deals) == want["n_deals"]
    assert {deal.name: deal.stage_id for deal in got.deals.values()} == {
        "Alpha": "won",
        "Bravo": "lost",
        "Charlie": "meeting",
        "Delta": "lead",
    }
    changes = [change for history in got.history.values() for change in history.stage_changes]
    assert len(changes) == want["n_stage_changes"]
    example = want["example"][0]
    found = next(change for change in got.history["bravo"].stage_changes if change.to_stage_label == example["to"])
    assert (found.from_stage_id, found.changed_at.date().isoformat()) == (example["from"].lower(), example["at"])
    assert {change.precision for change in changes} == {"day"}
    assert {change.evidence for change in changes} == {"exact"}


def test_the_log_reads_as_expected(expected):
    want = expected["stage_log.csv"]
    got = read(SHEETS / "stage_log.csv", **want["given"])
    assert len(got.deals) == want["n_deals"]
    assert sum(len(history.stage_changes) for history in got.history.values()) == want["n_stage_changes"]
    assert [stage for stage, _ in got.path_of["17"]] == ["new", "discovery", "proposal", "closed won"]
    assert got.deals["18"].closed_at == datetime(2024, 3, 25, 11, 15, tzinfo=UTC)


def test_the_dated_snapshots_read_as_expected(expected):
    """B24: a sheet without a history gets one by comparing snapshots; the comparing is the build's, the dates are ours."""
    want = expected["snapshots/"]
    given = {key: value for key, value in want["given"].items() if key != "snapshot_at"}
    got = read(SHEETS / "snapshots", **given)
    rows = got.of(rec.Deal)
    assert len({deal.deal_id for deal in rows}) == want["n_deals"]
    seen: dict[str, str] = {}
    moves = []
    for deal in sorted(rows, key=lambda deal: deal.read_at):
        if seen.get(deal.deal_id) != deal.stage_id:
            moves.append((deal.deal_id, seen.get(deal.deal_id), deal.stage_id, deal.read_at.date().isoformat()))
        seen[deal.deal_id] = deal.stage_id
    assert sorted(moves, key=str) == sorted(
        ((m["deal"].lower(), m["from"] and m["from"].lower(), m["to"].lower(), m["at"]) for m in want["stage_changes"]),
        key=str,
    )
    ends = got.of(rec.SweepEnd)
    assert [end.read_at.date().isoformat() for end in ends] == ["2024-05-01", "2024-06-01"]
    assert {end.missing_as for end in ends} == {"absent"}


@pytest.mark.skipif(not MAVEN.exists(), reason="the Maven data set is not here")
def test_maven_has_dates_where_the_file_has_dates_and_nowhere_else():
    got = read(
        MAVEN,
        key="opportunity_id",
        stage_dates={"Engaging": "engage_date"},
        zero_amount="unknown_if_lost",
        snapshot_date="2017-12-31",
    )
    stages = Counter(deal.stage_id for deal in got.deals.values())
    assert stages == {"won": 4238, "lost": 2473, "engaging": 1589, "prospecting": 500}
    assert len(got.deals) + len(got.rejects) == 8800
    paths = Counter(tuple(stage for stage, _ in path) for path in got.path_of.values())
    assert paths == {("engaging", "won"): 4238, ("engaging", "lost"): 2473, ("engaging",): 1589, (): 500}
    history, deals = got.history, got.deals
    for deal in deals.values():
        raw = deal.raw
        days = [change.changed_at.date().isoformat() for change in history[deal.deal_id].stage_changes]
        assert days == [raw[name] for name in ("engage_date", "close_date") if raw.get(name)]
        if deal.stage_id == "lost":
            assert deal.amount is None
        assert deal.created_at is None
    assert sum(deal.amount for deal in got.deals.values() if deal.stage_id == "won") == sum(
        Decimal(deal.raw["close_value"]) for deal in got.deals.values() if deal.stage_id == "won"
    )
    orders = {key: stage.display_order for key, stage in got.stages.items()}
    assert orders["prospecting"] < orders["engaging"] < orders["won"] < orders["lost"]


@pytest.mark.skipif(not OLIST.exists(), reason="the Olist data set is not here")
def test_olist_joins_two_tables_by_their_key():
    got = read(
        tables=[
            {
                "path": str(OLIST / "olist_marketing_qualified_leads_dataset.csv"),
                "stage_dates": {"Lead": "first_contact_date"},
            },
            {"path": str(OLIST / "olist_closed_deals_dataset.csv"), "stage_dates": {"Won": "won_date"}},
        ],
        key="mql_id",
    )
    assert Counter(deal.stage_id for deal in got.deals.values()) == {"lead": 7158, "won": 842}
    assert "8000 rows read = 8000 kept" in next(w.message for w in got.of(rec.Warn) if "leads" in w.message)
    assert any("842 rows read = 842 kept" in w.message for w in got.of(rec.Warn))
    # One deal is won before its first contact: it stays won, and a person is told.
    assert "1 deal(s)" in got.warnings["entered_after_close"]
