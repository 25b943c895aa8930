"""Every layout people use, each with the smallest sheet that shows it, and what a careful person reads out of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connectors.sdk import records as rec
from connectors.sdk.errors import ConfigError
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsx_file


def stages_by_name(got):
    return {deal.name: deal.stage_id for deal in got.deals.values()}


def test_a_current_state_sheet_has_no_history_of_its_own(tmp_path):
    got = read(csv_file(tmp_path, "Deal ID,Deal,Stage,Amount\nA1,Alpha,Proposal,100\nA2,Bravo,Won,250.50\n"))
    assert {key: deal.amount for key, deal in got.deals.items()} == {"A1": Decimal(100), "A2": Decimal("250.50")}
    assert got.history == {}


def test_dates_beside_a_stage_column_become_history_and_nothing_else_does(tmp_path):
    """The present stage without a date is left to the build, which marks it observed."""
    text = """
id,stage,engaged,close_date
1,Won,2024-01-02,2024-02-03
2,Engaging,2024-01-05,
3,Prospecting,,
4,Lost,,2024-03-01
5,Won,2024-01-02,2030-01-01
"""
    got = read(csv_file(tmp_path, text), stage_dates={"Engaging": "engaged"}, snapshot_date="2024-06-30")
    assert got.path_of == {
        "1": [("engaging", "2024-01-02"), ("won", "2024-02-03")],
        "2": [("engaging", "2024-01-05")],
        "3": [],
        "4": [("lost", "2024-03-01")],
        "5": [("engaging", "2024-01-02")],
    }
    assert got.deals["3"].stage_id == "prospecting"
    assert got.deals["3"].stage_entered_at is None
    assert got.deals["5"].closed_at is None, "a close date in the future is a plan"


def test_a_wide_sheet_goes_by_dates_and_flags_moves_back(tmp_path):
    text = """
Deal,Lead date,Qualified date,Proposal date,Won date
Alpha,2024-01-01,2024-01-10,2024-01-05,2024-02-01
Bravo,2024-01-01,,2024-01-09,
Charlie,,,,
Delta,2024-01-01,2024-01-01,,
"""
    got = read(csv_file(tmp_path, text))
    assert [stage for stage, _ in got.path_of["alpha"]] == ["lead", "proposal", "qualified", "won"]
    assert "row 2" in got.warnings["moves_back"]
    assert got.path_of["bravo"] == [("lead", "2024-01-01"), ("proposal", "2024-01-09")], "gaps are allowed"
    assert got.deals["charlie"].stage_id is None, "no dates: the deal is kept, its stage unknown"
    assert [stage for stage, _ in got.path_of["delta"]] == ["lead", "qualified"], "ties go by the order of columns"
    orders = [got.stages[key].display_order for key in ("lead", "qualified", "proposal", "won")]
    assert orders == sorted(orders)


def test_a_wide_sheet_whose_entry_is_after_the_close_stays_closed(tmp_path):
    text = (
        "Deal,Lead date,Meeting date,Won date\nAlpha,2024-03-01,,2024-02-01\nBravo,2024-01-01,2024-04-01,2024-02-01\n"
    )
    got = read(csv_file(tmp_path, text))
    assert got.path_of["alpha"] == [("won", "2024-02-01")]
    assert got.deals["alpha"].created_at == datetime(2024, 3, 1, tzinfo=UTC)
    assert [stage for stage, _ in got.path_of["bravo"]] == ["lead", "won", "meeting"], (
        "a later middle stage is a reopening"
    )
    assert got.deals["bravo"].stage_id == "meeting"


def test_planned_stage_dates_are_not_history(tmp_path):
    text = "Deal,Lead date,Proposal date,Won date\nAlpha,2024-01-01,2024-02-01,2024-12-01\n"
    got = read(csv_file(tmp_path, text), snapshot_date="2024-03-01")
    assert got.path_of["alpha"] == [("lead", "2024-01-01"), ("proposal", "2024-02-01")]
    assert got.deals["alpha"].stage_id == "proposal"
    assert "planned_dates" in got.warnings


def test_a_log_is_sorted_by_time_and_identical_rows_count_once(tmp_path):
    text = """
Date changed,Deal ID,Old stage,New stage
2024-01-05 10:00,7,Lead,Proposal
2024-01-01 09:00,7,,Lead
2024-01-05 10:00,7,Lead,Proposal
2024-01-09,7,Qualified,Won
"""
    got = read(csv_file(tmp_path, text))
    assert got.path_of["7"] == [
        ("lead", "2024-01-01T09:00:00+00:00"),
        ("proposal", "2024-01-05T10:00:00+00:00"),
        ("won", "2024-01-09"),
    ]
    assert [change.precision for change in got.history["7"].stage_changes] == ["instant", "instant", "day"]
    assert "log_gap" in got.warnings
    assert got.history["7"].complete
    assert "4 rows read = 3 kept + 1 dropped (1 duplicate_row) + 0 rejected" in got.warnings["rows_read"]


def test_a_log_row_that_cannot_be_read_makes_the_history_incomplete(tmp_path):
    text = "changed_at,deal_id,to_stage\n2024-01-01,7,Lead\nsoon,7,Proposal\n2024-01-02,8,Lead\n"
    got = read(csv_file(tmp_path, text), layout="log")
    assert not got.history["7"].complete
    assert got.history["8"].complete
    assert [(reject.reason, reject.source_row) for reject in got.rejects] == [("no_change_date", 3)]


def test_a_log_and_a_sheet_of_deals_share_a_key(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Deals": [["Deal ID", "Deal", "Stage", "Amount"], ["1", "Alpha", "Won", 10], ["2", "Bravo", "Lead", 20]],
            "History": [
                ["Deal ID", "Changed at", "New stage"],
                ["1", "2024-01-01", "Lead"],
                ["1", "2024-02-01", "Won"],
                ["3", "2024-01-01", "Lead"],
            ],
        },
    )
    got = read(tables=[{"path": str(path), "sheet": "Deals"}, {"path": str(path), "sheet": "History"}], key="Deal ID")
    assert got.path_of == {"1": [("lead", "2024-01-01"), ("won", "2024-02-01")], "3": [("lead", "2024-01-01")]}
    assert got.deals["1"].name == "Alpha"
    assert got.deals["2"].stage_id == "lead"
    assert got.deals["3"].stage_id == "lead", "a deal that only the log knows is kept"
    assert "1 deal(s)" in got.warnings["not_in_first_table"]
    found = read(path)
    assert found.path_of == got.path_of, "a change log in the same workbook is joined without being asked"
    assert "read as the change log of 'Deals'" in found.warnings["log_read"]
    assert read(path, sheet="Deals").history == {}


def test_what_two_tables_say_differently_is_counted(tmp_path):
    csv_file(tmp_path, "ID,Stage,Amount\n1,Lead,10\n2,Won,20\n", "a.csv")
    csv_file(tmp_path, "ID,Stage,Amount,Owner\n1,Lead,10,ann\n2,Lost,25,bob\n", "b.csv")
    got = read(tables=[{"path": str(tmp_path / "a.csv")}, {"path": str(tmp_path / "b.csv")}], key="ID")
    assert (got.deals["2"].stage_id, got.deals["2"].amount, got.deals["2"].owner_id) == ("won", 20, "bob")
    assert "1 deal(s)" in got.warnings["tables_disagree"]


def test_tabs_named_after_months_are_snapshots_in_order(tmp_path):
    head = ["Deal", "Stage"]
    path = xlsx_file(
        tmp_path,
        {"Mei 2024": [head, ["Alpha", "Proposal"]], "Apr 2024": [head, ["Alpha", "Lead"], ["Bravo", "Lead"]]},
    )
    got = read(path)
    seen = [(deal.deal_id, deal.stage_id, deal.read_at.date().isoformat()) for deal in got.of(rec.Deal)]
    assert seen == [
        ("alpha", "lead", "2024-04-30"),
        ("bravo", "lead", "2024-04-30"),
        ("alpha", "proposal", "2024-05-31"),
    ]
    assert [end.read_at.date() for end in got.of(rec.SweepEnd)] == [date(2024, 4, 30), date(2024, 5, 31)]


def test_tabs_named_after_months_take_the_year_of_the_file(tmp_path):
    sheets = {"Jan": [["Deal", "Stage"], ["Alpha", "Lead"]], "Feb": [["Deal", "Stage"], ["Alpha", "Won"]]}
    got = read(xlsx_file(tmp_path, sheets, name="Pipeline 2024.xlsx"))
    assert [deal.read_at.date() for deal in got.of(rec.Deal)] == [date(2024, 1, 31), date(2024, 2, 29)]
    with pytest.raises(ConfigError, match="no period with a year"):
        read(xlsx_file(tmp_path, sheets, name="Pipeline.xlsx"))


def test_tabs_named_after_stages_give_the_stage(tmp_path):
    head = ["Deal name", "Company", "Amount"]
    path = xlsx_file(
        tmp_path,
        {
            "Prospek": [head, ["Alpha", "PT A", 10]],
            "Penawaran": [head, ["Bravo", "PT B", 20]],
            "Menang": [head, ["Charlie", "PT C", 30]],
            "Dashboard": [["Ringkasan", None], ["Jumlah deal", 3]],
        },
    )
    got = read(path)
    assert stages_by_name(got) == {"Alpha": "prospek", "Bravo": "penawaran", "Charlie": "menang"}
    assert got.stages["prospek"].display_order < got.stages["penawaran"].display_order
    assert "Dashboard" in got.warnings["tabs_not_read"]


def test_tabs_of_the_same_columns_are_read_together_and_may_name_the_owner(tmp_path):
    head = ["Deal", "Stage", "Amount"]
    sheets = {"Ayu": [head, ["Alpha", "Lead", 1]], "Budi": [head, ["Bravo", "Won", 2]]}
    got = read(xlsx_file(tmp_path, sheets))
    assert {deal.source_sheet for deal in got.deals.values()} == {"Ayu", "Budi"}
    owned = read(xlsx_file(tmp_path, sheets), layout="sheet_per_owner")
    assert {deal.name: deal.owner_id for deal in owned.deals.values()} == {"Alpha": "ayu", "Bravo": "budi"}
    assert {owner.name for owner in owned.of(rec.Owner)} == {"Ayu", "Budi"}


def test_a_board_gives_every_card_the_stage_it_stands_under(tmp_path):
    text = "Lead,Proposal,Won\nAlpha,Bravo,Charlie\nDelta,,\n"
    got = read(csv_file(tmp_path, text))
    assert stages_by_name(got) == {"Alpha": "lead", "Delta": "lead", "Bravo": "proposal", "Charlie": "won"}
    assert got.deals["bravo"].url == "deals.csv#B2"
    with pytest.raises(ConfigError, match=r"stand twice on the board \(A2 and B3\)"):
        read(csv_file(tmp_path, "Lead,Proposal,Won\nAlpha,Bravo,Charlie\n,Alpha,\n"))


def test_a_grouped_report_fills_the_stage_down_inside_its_group(tmp_path):
    text = """
Stage,Opportunity Name,Account Name,Amount
Proposal (2),Alpha,Acme,100
,Bravo,Beta,200
Subtotal,,,300
Negotiation (1),Charlie,Corp,50
Subtotal,,,50
Grand Total,,,350
"Confidential Information - Do Not Distribute",,,
"""
    got = read(csv_file(tmp_path, text))
    assert stages_by_name(got) == {"Alpha": "proposal", "Bravo": "proposal", "Charlie": "negotiation"}
    assert [(reject.source_row, reject.reason) for reject in got.rejects] == [
        (4, "total"),
        (6, "total"),
        (7, "total"),
        (8, "note"),
    ]


def test_rows_that_hold_only_a_stage_head_the_deals_below(tmp_path):
    text = "Deal,Company,Amount\nLead\nAlpha,Acme,1\nBravo,Beta,2\nProposal\nCharlie,Corp,3\n"
    got = read(csv_file(tmp_path, text))
    assert stages_by_name(got) == {"Alpha": "lead", "Bravo": "lead", "Charlie": "proposal"}
    assert [reject.reason for reject in got.rejects] == ["group_label", "group_label"]


def test_two_header_rows_are_joined(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in [
        ["Deal", "Stage", "Forecast", None, "Owner"],
        [None, None, "Amount", "Close date", None],
        ["Alpha", "Lead", 100, date(2024, 5, 1), "ann"],
    ]:
        sheet.append(row)
    sheet.merge_cells("C1:D1")
    for column in "ABE":
        sheet.merge_cells(f"{column}1:{column}2")
    path = tmp_path / "two.xlsx"
    book.save(path)
    deal = read(path).deals["alpha"]
    assert (deal.amount, deal.expected_close_date, deal.owner_id) == (Decimal(100), date(2024, 5, 1), "ann")


def test_group_names_over_the_header_are_joined(tmp_path):
    text = "Deal info,,Stage dates,,\nDeal,Owner,Lead,Proposal,Won\nAlpha,ann,2024-01-01,2024-02-01,\n"
    got = read(csv_file(tmp_path, text))
    assert got.path_of["alpha"] == [("lead", "2024-01-01"), ("proposal", "2024-02-01")]
    assert got.deals["alpha"].owner_id == "ann"


def test_status_beside_stage_decides_the_outcome_and_leaves_the_stage(tmp_path):
    text = "ID,Stage,Status\n1,New lead,Won\n2,Proposal,Open\n3,Won,Won\n4,Negotiation,Lost\n"
    got = read(csv_file(tmp_path, text))
    assert {key: (deal.stage_id, deal.status) for key, deal in got.deals.items()} == {
        "1": ("new lead", "won"),
        "2": ("proposal", "open"),
        "3": ("won", "won"),
        "4": ("negotiation", "lost"),
    }
    assert "2 deal(s)" in got.warnings["status_stage_clash"]


def test_a_status_of_remarks_is_no_outcome(tmp_path):
    got = read(csv_file(tmp_path, "ID,Stage,Status\n1,Lead,On track\n2,Proposal,At risk\n"))
    assert {deal.status for deal in got.deals.values()} == {None}
    assert got.deals["2"].custom_fields == {"Status": "At risk"}
    assert "status_is_a_remark" in got.warnings


def test_a_status_column_alone_is_the_stage(tmp_path):
    got = read(csv_file(tmp_path, "ID,Status\n1,Prospek\n2,Penawaran\n3,Menang\n"))
    assert [deal.stage_id for deal in got.deals.values()] == ["prospek", "penawaran", "menang"]


def test_a_list_of_stages_in_another_tab_gives_their_order(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Deals": [["ID", "Stage"], [1, "Third step"], [2, "First step"], [3, "Second step"]],
            "Lists": [["First step"], ["Second step"], ["Third step"]],
        },
        hidden=["Lists"],
    )
    got = read(path)
    assert [key for key, _ in sorted(got.stages.items(), key=lambda item: item[1].display_order)] == [
        "first step",
        "second step",
        "third step",
    ]


def test_unknown_stages_have_no_place_until_the_settings_give_one(tmp_path):
    path = csv_file(tmp_path, "ID,Stage\n1,Proposal\n2,Coffee chat\n")
    got = read(path)
    assert got.stages["coffee chat"].display_order is None
    assert set(got.deals) == {"1", "2"}, "deals of stages that nobody knows are kept"
    assert got.warnings["stage_order_unknown"] == (
        "deals.csv: the place of stage(s) 'Coffee chat' in the funnel is not known from the sheet. "
        "List all stages in order in `stages`."
    )
    told = read(path, stages=["Coffee chat", "Proposal"])
    assert told.stages["coffee chat"].display_order < told.stages["proposal"].display_order
    assert "stage_order_unknown" not in told.warnings


def test_a_pipeline_column_makes_pipelines(tmp_path):
    got = read(csv_file(tmp_path, "ID,Pipeline,Stage\n1,New business,Lead\n2,Renewal,Lead\n"))
    assert {pipeline.pipeline_id for pipeline in got.of(rec.Pipeline)} == {"new business", "renewal"}
    assert {(stage.pipeline_id, stage.stage_id) for stage in got.of(rec.Stage)} == {
        ("new business", "lead"),
        ("renewal", "lead"),
    }


def test_a_sheet_without_header_is_read_by_letters(tmp_path):
    path = csv_file(tmp_path, "1001,Alpha,Lead,500\n1002,Bravo,Won,700\n")
    with pytest.raises(ConfigError, match="no header row found"):
        read(path)
    got = read(path, header_row=0, key="A", columns={"name": "B", "stage": "C", "amount": "D"})
    assert {key: (deal.name, deal.amount) for key, deal in got.deals.items()} == {
        "1001": ("Alpha", Decimal(500)),
        "1002": ("Bravo", Decimal(700)),
    }


def test_total_energies_is_a_customer_and_total_is_a_sum(tmp_path):
    text = "Deal,Company,Stage,Amount\nAlpha,Total,Lead,100\nTotal Energies depot,Total,Lead,50\nTotal,,,150\n"
    got = read(csv_file(tmp_path, text))
    assert set(got.deals) == {"total/alpha", "total/total energies depot"}
    assert [reject.source_row for reject in got.rejects] == [4]


def test_repeated_headers_and_blank_rows_in_the_middle_are_no_end(tmp_path):
    text = "Deal,Stage,Amount\nAlpha,Lead,1\n\n,,\nDeal,Stage,Amount\nBravo,Won,2\n"
    got = read(csv_file(tmp_path, text))
    assert set(got.deals) == {"alpha", "bravo"}
    assert [(reject.reason, reject.source_row) for reject in got.rejects] == [("repeated_header", 5)]


def test_every_row_is_kept_dropped_or_rejected(tmp_path):
    text = "Deal ID,Stage,Amount\nA,Lead,1\n,Lead,2\nTotal,,3\nA,Lead,1\nB,Won,x\n"
    got = read(csv_file(tmp_path, text), key="Deal ID")
    assert "5 rows read = 2 kept + 2 dropped (1 total, 1 duplicate_row) + 1 rejected" in got.warnings["rows_read"]
    assert len(got.deals) + len(got.rejects) == 5
    assert "C6" in got.warnings["unreadable_cells"]


def test_where_a_deal_stands_can_be_found_again(tmp_path):
    """B23: file, tab and row of every deal."""
    path = xlsx_file(
        tmp_path, {"Deals": [["My deals"], [], ["x", "Deal", "Stage"], [None, "Alpha", "Lead"]]}, name="tracker.xlsx"
    )
    deal = read(path).deals["alpha"]
    assert (deal.source_file, deal.source_sheet, deal.source_row, deal.url) == (
        "tracker.xlsx",
        "Deals",
        4,
        "tracker.xlsx#Deals!B4",
    )
    assert deal.raw == {"Deal": "Alpha", "Stage": "Lead"}


def test_cells_merged_downwards_count_for_every_row(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in [
        ["Company", "Deal", "Stage"],
        ["Acme", "Alpha", "Lead"],
        [None, "Bravo", "Won"],
        ["Beta", "Charlie", "Lead"],
    ]:
        sheet.append(row)
    sheet.merge_cells("A2:A3")
    path = tmp_path / "merged.xlsx"
    book.save(path)
    assert set(read(path).deals) == {"acme/alpha", "acme/bravo", "beta/charlie"}


def test_a_close_date_beside_an_open_stage_is_no_close(tmp_path):
    got = read(csv_file(tmp_path, "ID,Stage,Won date\n1,Proposal,2024-01-02\n2,Won,2024-01-03\n3,Won,2031-01-03\n"))
    assert [deal.closed_at and deal.closed_at.date().isoformat() for deal in got.deals.values()] == [
        None,
        "2024-01-03",
        None,
    ]


def test_a_next_stage_beside_the_stage_is_no_log(tmp_path):
    got = read(csv_file(tmp_path, "ID,Stage,Next stage,Created\n1,Lead,Proposal,2024-01-02\n"))
    assert got.history == {}
    assert got.deals["1"].stage_id == "lead"


def test_a_log_may_call_its_time_just_date(tmp_path):
    got = read(csv_file(tmp_path, "Date,ID,Old stage,New stage\n2024-01-02,1,,Lead\n2024-02-02,1,Lead,Won\n"))
    assert [stage for stage, _ in got.path_of["1"]] == ["lead", "won"]
    with pytest.raises(ConfigError, match="a log needs the time of each change and the new stage"):
        read(csv_file(tmp_path, "ID,Stage,Note\n1,Lead,x\n"), layout="log")


def test_a_deal_without_a_company_yet_is_a_deal(tmp_path):
    path = csv_file(tmp_path, "Company,Deal,Stage\nAcme,Alpha,Lead\n,Bravo,Lead\n,,Lead\n")
    for config in ({}, {"key": ["Company", "Deal"]}):
        got = read(path, **config)
        assert set(got.deals) == {"acme/alpha", "/bravo"}
        assert [reject.reason for reject in got.rejects] == ["no_key"]


def test_tabs_that_are_left_out_are_named_with_the_reason(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Deals": [["Deal ID", "Deal", "Company", "Stage", "Amount", "Owner"], ["1", "A", "Acme", "Lead", 1, "ann"]],
            "Contacts": [["Name", "Company", "Phone", "Status"], ["Joe", "Acme", "1", "Active"]],
            "Notes": [["How to use this sheet"], ["Fill in every Friday."]],
        },
    )
    got = read(path)
    assert set(got.deals) == {"1"}
    messages = [warn.message for warn in got.of(rec.Warn) if warn.code == "tabs_not_read"]
    assert any("tabs with other columns not read: Contacts" in message for message in messages)
    assert any("tabs without deals not read: Notes" in message for message in messages)
