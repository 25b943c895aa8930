"""Sheets as they lie about in sales teams: what nobody cleaned up before sending them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from connectors.sdk import records as rec
from connectors.sdk.errors import ConfigError
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsx_file


def test_a_stage_of_unknown_words_among_stage_dates_is_history_too(tmp_path):
    head = "Deal,Company,Created,Qualified,POC,Security review,Proposal,Won,Lost,Expected close\n"
    rows = "Alpha,Acme,2024-01-03,2024-01-10,2024-01-20,2024-02-01,2024-02-10,2024-03-01,,2024-03-15\n"
    got = read(csv_file(tmp_path, head + rows))
    assert [stage for stage, _ in got.path_of["acme/alpha"]] == [
        "qualified",
        "poc",
        "security review",
        "proposal",
        "won",
    ]
    assert got.deals["acme/alpha"].created_at.date() == date(2024, 1, 3)
    assert got.deals["acme/alpha"].expected_close_date == date(2024, 3, 15)


def test_stage_dates_show_their_order_to_each_other(tmp_path):
    head = "Nama Proyek;Perusahaan;Tgl Prospek;Tgl Presentasi;Tgl Penawaran;Tgl Menang\n"
    got = read(csv_file(tmp_path, head + "ERP;PT A;03/01/2024;15/01/2024;20/01/2024;10/02/2024\n"))
    assert got.path_of["pt a/erp"] == [
        ("prospek", "2024-01-03"),
        ("presentasi", "2024-01-15"),
        ("penawaran", "2024-01-20"),
        ("menang", "2024-02-10"),
    ]
    alone = "Deal,Stage,Close date,Created\nA,Lead,03/04/2024,13/04/2024\n"
    with pytest.raises(ConfigError, match="'Close date': every date may be day first"):
        read(csv_file(tmp_path, alone, "alone.csv"))


def test_a_header_that_names_its_format_settles_the_order(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Stage,Close date (MM/DD/YYYY)\nA,Lead,03/04/2024\n"))
    assert got.deals["a"].expected_close_date == date(2024, 3, 4)


def test_counts_and_pictures_in_the_headers_of_a_board_are_no_part_of_a_stage(tmp_path):
    text = '"Lead (2)","🔥 Proposal (1)","✅ Closed Won (1)","❌ Lost"\n"Acme\n$5,000\nOwner: Bob","Beta","Delta",""\n"Foxtrot","","",""\n'
    got = read(csv_file(tmp_path, text))
    assert {key: deal.stage_id for key, deal in got.deals.items()} == {
        "acme": "lead",
        "foxtrot": "lead",
        "beta": "🔥 proposal",
        "delta": "✅ closed won",
    }
    again = got.again()
    later = read(csv_file(tmp_path, text.replace("(2)", "(3)"), "later.csv"))
    assert set(got.stages) == set(later.stages)
    assert again.deals == {}


def test_ticks_under_stages_are_refused_in_words(tmp_path):
    text = "Deal,Lead,Contacted,Proposal,Negotiation,Won\nA,x,x,x,,\nB,x,,,,\n"
    with pytest.raises(ConfigError, match=r"hold marks \('x'\), neither deals nor days"):
        read(csv_file(tmp_path, text))


def test_a_sheet_on_its_side_is_refused_in_words(tmp_path):
    text = "Deal,Alpha,Bravo,Charlie\nCompany,Acme,Beta,Corp\nStage,Lead,Won,Proposal\nAmount,100,200,300\n"
    with pytest.raises(ConfigError, match=r"run down the first column .*transpose"):
        read(csv_file(tmp_path, text))


def test_lists_beside_the_table_are_not_deals(tmp_path):
    rows = [
        ["Deal", "Company", "Stage", "Amount", None, "Stages"],
        ["A", "Acme", "Lead", 100, None, "Lead"],
        ["B", "Beta", "Proposal", 500, None, "Proposal"],
        [None, None, None, None, None, "Won"],
    ]
    got = read(xlsx_file(tmp_path, {"Pipeline": rows}))
    assert set(got.deals) == {"acme/a", "beta/b"}
    assert got.rejects == []
    assert "columns F to F are another table beside this one" in got.warnings["side_table"]
    assert "Stages" not in got.deals["acme/a"].custom_fields


def test_an_empty_column_inside_a_table_parts_nothing(tmp_path):
    text = "Deal,Company,,Stage,Amount\nA,Acme,,Lead,100\nB,,,Won,200\n"
    got = read(csv_file(tmp_path, text))
    assert {deal.name: deal.amount for deal in got.deals.values()} == {"A": Decimal(100), "B": Decimal(200)}


def test_blocks_under_titles_are_one_table(tmp_path):
    head = ["Deal", "Company", "Stage", "Amount"]
    rows = [["Open deals"], head, ["A", "Acme", "Lead", 100], ["Total", None, None, 100], []]
    rows += [["Closed deals"], head, ["C", "Corp", "Won", 900], ["Total", None, None, 900]]
    got = read(xlsx_file(tmp_path, {"Deals": rows}))
    assert set(got.deals) == {"acme/a", "corp/c"}
    assert [(one.reason, one.source_row) for one in got.rejects] == [
        ("total", 4),
        ("title", 6),
        ("repeated_header", 7),
        ("total", 9),
    ]


def test_a_dashboard_and_empty_tabs_beside_a_tab_for_each_person(tmp_path):
    head = ["Deal", "Company", "Stage", "Amount"]
    book = {
        "Dashboard": [["Sales dashboard"], [], ["Stage", "Deals", "Amount"], ["Lead", 2, 300], ["Total", 2, 300]],
        "Ann": [head, ["A", "Acme", "Lead", 100]],
        "Bob": [head, ["C", "Corp", "Lead", 200]],
        "Cara": [head],
    }
    path = xlsx_file(tmp_path, book)
    got = read(path)
    assert {deal.source_sheet for deal in got.deals.values()} == {"Ann", "Bob"}
    assert "Dashboard" in got.warnings["tabs_not_read"]
    assert "layout: sheet_per_owner" in got.warnings["tabs_read_together"]
    owned = read(path, layout="sheet_per_owner", sheet=["Ann", "Bob"])
    assert {deal.owner_id for deal in owned.deals.values()} == {"ann", "bob"}


def test_a_unit_in_the_header_multiplies_the_column(tmp_path):
    got = read(csv_file(tmp_path, "Projekt;Phase;Wert (T€)\nA;Angebot;75\nB;Gewonnen;1.250,5\n"))
    assert {key: deal.amount for key, deal in got.deals.items()} == {"a": Decimal(75000), "b": Decimal("1250500")}
    assert "multiplied by 1,000" in got.warnings["header_unit"]
    with pytest.raises(ConfigError, match="the unit 'm' in the header means different numbers"):
        read(csv_file(tmp_path, "Deal,Stage,Value (M)\nA,Lead,2\n", "m.csv"))
    assert read(tmp_path / "m.csv", locale="id_ID").deals["a"].amount == 2 * 10**9
    assert read(tmp_path / "m.csv", locale="en_US").deals["a"].amount == 2 * 10**6


def test_amounts_with_remarks_are_reported_cell_by_cell(tmp_path):
    text = 'Deal,Stage,Amount\nA,Lead,5000 + VAT\nB,Lead,~5000\nC,Lead,5-10k\nD,Lead,$8k\nE,Won,free\nF,Won,"$1,250.00 USD"\n'
    got = read(csv_file(tmp_path, text))
    assert {key: deal.amount for key, deal in got.deals.items() if deal.amount} == {"d": 8000, "f": Decimal("1250.00")}
    assert "C2, C3, C4, C6" in got.warnings["unreadable_cells"]
    assert got.deals["f"].currency == "USD"


def test_a_row_counter_is_no_key_but_an_odd_number_is(tmp_path):
    counted = read(csv_file(tmp_path, "No,Deal,Stage\n2,B,Lead\n1,A,Won\n"))
    assert set(counted.deals) == {"a", "b"}
    numbered = read(csv_file(tmp_path, "No,Deal,Stage\n20417,B,Lead\n20991,A,Won\n", "numbered.csv"))
    assert set(numbered.deals) == {"20417", "20991"}


def test_an_unclear_last_contact_does_not_stop_the_deals(tmp_path):
    text = "Deal,Stage,Close date,Last contact\nA,Lead,5/14/2024,4/1/2024\nB,Won,4/20/2024,4/2/2024\n"
    got = read(csv_file(tmp_path, text))
    assert got.deals["a"].expected_close_date == date(2024, 5, 14)
    assert got.deals["a"].last_activity_at is None
    assert "'Last contact': left empty, because every date may be" in got.warnings["dates_left_empty"]


def test_a_column_that_is_not_what_its_header_says_is_mentioned(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Stage,Close date,Amount\nA,Lead,soonish,free\nB,Won,later,cheap\n"))
    assert got.deals["a"].custom_fields == {"Close date": "soonish", "Amount": "free"}
    said = [warn.message for warn in got.of(rec.Warn) if warn.code == "columns_in_doubt"]
    assert any("'Close date' is named like 'expected_close_date' but holds something else" in text for text in said)
    assert any("'Amount' is named like 'amount' but holds something else" in text for text in said)


def test_an_owner_on_the_first_row_of_each_group_only_is_mentioned(tmp_path):
    got = read(csv_file(tmp_path, "Owner,Deal,Stage\nAnn,A,Lead\n,B,Won\nBob,C,Lead\n,D,Lost\n"))
    assert got.deals["b"].owner_id is None
    assert "Fill the column down" in got.warnings["owner_only_on_first_rows"]


def test_day_zero_of_a_workbook_is_no_day(tmp_path):
    rows = [["Deal", "Stage", "Close date"], ["A", "Lead", date(1900, 1, 1)], ["B", "Won", date(2024, 5, 14)]]
    got = read(xlsx_file(tmp_path, {"S": [*rows, ["C", "Lead", date(2024, 5, 15)]]}))
    assert got.deals["a"].expected_close_date is None
    assert got.deals["b"].expected_close_date == date(2024, 5, 14)
    assert "C2" in got.warnings["unreadable_cells"]


def test_a_log_of_all_fields_is_not_read_as_stages(tmp_path):
    text = "Timestamp,Record ID,Property,Old value,New value\n2024-01-05,11,dealstage,,Lead\n2024-01-16,11,amount,5,6\n"
    with pytest.raises(ConfigError, match=r"holds changes of several fields \('dealstage', 'amount'\)"):
        read(csv_file(tmp_path, text))
    only = text.replace("2024-01-16,11,amount,5,6\n", "2024-01-16,11,dealstage,Lead,Demo\n")
    assert [stage for stage, _ in read(csv_file(tmp_path, only, "only.csv")).path_of["11"]] == ["lead", "demo"]
