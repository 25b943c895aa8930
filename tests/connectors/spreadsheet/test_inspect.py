"""`muara sheets inspect`: what was understood, in words, and a source that loads exactly that."""

from __future__ import annotations

import pytest
import yaml

from connectors.sdk.clock import FakeClock
from connectors.spreadsheet.inspect import inspect
from tests.connectors.spreadsheet.sheets import NOW, SHARED, csv_file, read, xlsx_file


def look(path, settings=None):
    return inspect(path, settings, clock=FakeClock(NOW))


def config_of(found):
    return yaml.safe_load(found.to_yaml())["attributes"]["config"]


SHEETS = {
    "current state": "ID,Deal,Stage,Amount,Close date,Next step\n1,Alpha,Lead,100.50,2024-05-13,call\n2,Bravo,Won,20.25,2024-05-14,\n",
    "wide": "Deal,Lead date,Proposal date,Won date\nAlpha,2024-01-01,2024-02-01,\nBravo,2024-01-05,,2024-03-01\n",
    "log": "deal_id,changed_at,from_stage,to_stage\n7,2024-01-01,,Lead\n7,2024-02-01,Lead,Won\n",
    "board": "Lead,Proposal,Won\nAlpha,Bravo,Charlie\n",
    "grouped": "Stage,Deal,Company\nLead,Alpha,Acme\n,Bravo,Beta\nProposal,Charlie,Corp\n,Delta,Dell\n",
    "odd headers": 'ID,Stage,"Value: net ""best""",yes\n1,Lead,5,a\n2,Won,6,b\n',
    "Indonesian": "Nama Deal,Perusahaan,Tahap,Nilai\nA,PT A,Prospek,Rp 1.500.000\nB,PT B,Menang,Rp 2.000.000\n",
}


@pytest.mark.parametrize("name", SHEETS)
def test_the_proposed_source_reads_the_same_deals(tmp_path, name):
    path = csv_file(tmp_path, SHEETS[name])
    found = look(path)
    assert found.errors == ()
    before, after = read(path), read(**config_of(found))
    assert [(deal.deal_id, deal.stage_id, deal.amount, deal.currency, deal.raw) for deal in after.deals.values()] == [
        (deal.deal_id, deal.stage_id, deal.amount, deal.currency, deal.raw) for deal in before.deals.values()
    ]
    assert after.path_of == before.path_of
    assert found.deal_count == len(before.deals)


def test_the_text_says_what_a_sales_operations_person_wants_to_see(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Pipeline": [
                ["Sales tracker"],
                [],
                ["Deal ID", "Deal", "Stage", "Deal value (EUR)", "Weighted value", "Contact"],
                ["D1", "Alpha", "Lead", 100, 10, "x"],
                ["D2", "Bravo", "Offer", 200, 20, "y"],
                ["TOTAL", None, None, 300, 30, None],
            ],
            "Dashboard": [["Total", 300]],
        },
    )
    text = look(path).to_text()
    for line in (
        "book.xlsx: 2 deals; 1 thing is worth a look.",
        "layout     current_state (each row is a deal as it stands now): a stage column, one row for each deal",
        "header     row 3; above it: Sales tracker",
        "key        Deal ID: an id column, filled and unique",
        "rows       3 below the header = 2 kept + 1 left out + 0 rejected",
        "total: row 6",
        "stages     Lead > Offer",
        "weighted: never the amount",
        "(custom field)",
        "tabs without deals not read: Dashboard",
        "Alpha  lead   100     EUR  book.xlsx#Pipeline!A4",
        "connector: spreadsheet",
    ):
        assert line in text, line


def test_an_ambiguous_sheet_is_shown_with_a_locale_to_agree_to(tmp_path):
    found = look(csv_file(tmp_path, "Nama Deal,Tahap,Perkiraan Closing\nA,Prospek,03/04/2024\n"))
    assert found.errors == ()
    assert config_of(found)["locale"] == "id_ID"
    assert "CHECK" in found.to_yaml()
    assert "without `locale` this is refused" in found.to_text()


def test_a_sheet_that_cannot_be_read_shows_its_first_rows_and_why(tmp_path):
    found = look(csv_file(tmp_path, "1,2,3\n4,5,6\n"))
    assert "no header row found" in found.to_text()
    assert "deals.csv 1: 1 | 2 | 3" in found.to_text()
    columns = look(csv_file(tmp_path, "Deal ID,Stage,Amount\nA,Lead,1\nA,Lead,2\n"), {"key": "Deal ID"})
    assert "rows 2 and 3" in columns.to_text()
    assert "Amount" in columns.to_text(), "columns are shown even when the key is refused"


def test_a_hint_names_the_date_that_could_be_history(tmp_path):
    found = look(csv_file(tmp_path, "ID,Stage,Won date\n1,Won,2024-01-02\n2,Lead,\n"))
    assert "'Won date' is the day a deal entered a stage" in found.to_yaml()


def test_a_folder_of_snapshots_shows_each_day(tmp_path):
    for day in ("2024-01-31", "2024-02-29"):
        csv_file(tmp_path, "Deal,Stage\nA,Lead\n", f"p_{day}.csv")
    text = look(tmp_path).to_text()
    assert "p_2024-01-31.csv: 2024-01-31, from the file's name" in text
    assert "layout, columns and key as before" in text


@pytest.mark.skipif(
    not (SHARED / "spreadsheets").exists(), reason="the sample sheets beside the repository are not here"
)
@pytest.mark.parametrize(
    "name", ["pipeline_sederhana.csv", "sales_tracker.xlsx", "stage_dates_wide.csv", "stage_log.csv", "snapshots"]
)
def test_every_sample_is_understood_without_a_word(name):
    found = look(SHARED / "spreadsheets" / name)
    assert found.errors == ()
    assert found.deal_count == len(read(**config_of(found)).deals)


def test_a_workbook_with_its_own_change_log_is_proposed_whole(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Deals": [["Deal ID", "Deal", "Stage"], ["1", "Alpha", "Won"]],
            "History": [
                ["Deal ID", "Changed at", "New stage"],
                ["1", "2024-01-01", "Lead"],
                ["1", "2024-02-01", "Won"],
            ],
        },
    )
    found = look(path)
    assert [sheet.layout for sheet in found.sheets] == ["current_state", "log"]
    assert read(**config_of(found)).path_of == {"1": [("lead", "2024-01-01"), ("won", "2024-02-01")]}


def test_settings_may_come_as_text_from_a_command_line(tmp_path):
    path = csv_file(tmp_path, "x\ny\nDeal,Stage\nA,Lead\n")
    found = look(path, {"header_row": "3", "snapshot_date": "2024-05-01", "key": "Deal"})
    assert found.errors == ()
    assert found.snapshots[0][0] == "2024-05-01"
