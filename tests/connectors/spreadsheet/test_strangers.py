"""Sheets as sales teams keep them, each the smallest one that shows a rule: what was misread once is read right here."""

from __future__ import annotations

import pytest

from connectors.sdk import records as rec
from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import flags
from connectors.spreadsheet.inspect import inspect
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsx_file


def statuses(got):
    return {deal.name: deal.status for deal in got.deals.values()}


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("Won?", "Yes", "won"),
        ("Won?", "No", None),
        ("Won?", "", None),
        ("Is Closed Won", "TRUE", "won"),
        ("Verloren", "ja", "lost"),
        ("Verloren", "nein", None),
        ("Gagné (O/N)", "oui", "won"),
        ("受注", "○", "won"),
        ("Closed", "0", "open"),
        ("Closed", "1", None),
    ],
)
def test_a_column_of_ticks_says_how_a_deal_ended(tmp_path, head, row, said):
    text = f"Deal,Stage,{head}\nA,Proposal,{row}\nB,Proposal,x\n"
    assert statuses(read(csv_file(tmp_path, text)))["A"] == said


def test_won_and_lost_beside_each_other_decide_together(tmp_path):
    text = "Deal,Stage,Closed,Won,Lost\nA,Demo,yes,yes,no\nB,Demo,yes,no,yes\nC,Demo,no,no,no\nD,Demo,no,yes,no\nE,Demo,yes,yes,yes\nF,Demo,yes,no,\n"
    got = read(csv_file(tmp_path, text))
    assert statuses(got) == {"A": "won", "B": "lost", "C": "open", "D": None, "E": None, "F": "lost"}
    assert got.deals["a"].custom_fields == {"Closed": "yes", "Won": "yes", "Lost": "no"}, (
        "what a tick means stays visible"
    )
    assert "status_stage_clash" in got.warnings


def test_ticks_yield_to_a_status_column_and_to_the_settings(tmp_path):
    path = csv_file(tmp_path, "Deal,Stage,Status,Won?\nA,Demo,Lost,yes\nB,Demo,Open,no\n")
    assert statuses(read(path)) == {"A": "lost", "B": "open"}
    path = csv_file(tmp_path, "Deal,Stage,Won?\nA,Demo,yes\n", "b.csv")
    assert statuses(read(path, columns={"status": None})) == {"A": None}


def test_a_column_named_won_that_holds_more_than_ticks_says_nothing(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Stage,Won\nA,Demo,yes\nB,Demo,maybe\n"))
    assert statuses(got) == {"A": None, "B": None}
    assert flags.meaning("Won by") is None
    assert flags.meaning("Demo") is None


def test_inspect_tells_what_a_column_of_ticks_is_taken_for(tmp_path):
    found = inspect(csv_file(tmp_path, "Deal,Stage,Won?\nA,Demo,yes\n"), {})
    assert found.sheets[0].columns[2].meaning == "whether it is won"


GROUPED = "Rep,Deal,Stage,Amount\nAnn,A,Lead,1\n,B,Demo,2\nAnn Total,,,3\nBen,C,Lead,4\n,D,Won,5\nBen Total,,,9\n"


def test_an_owner_over_a_group_that_a_sum_closes_owns_all_of_it(tmp_path):
    got = read(csv_file(tmp_path, GROUPED))
    assert {deal.name: deal.owner_id for deal in got.deals.values()} == {"A": "ann", "B": "ann", "C": "ben", "D": "ben"}
    assert "'Rep': stands only on the first row of each group" in got.warnings["owner_filled_down"]
    assert "6 rows read = 4 kept + 2 dropped (2 total) + 0 rejected" in got.warnings["rows_read"]


def test_an_owner_over_blocks_with_blank_rows_between_them_owns_the_block(tmp_path):
    blocks = "Ann,A,Lead\n,B,Demo\n,,\nBen,C,Lead\n,,\nCid,D,Won\n,E,Lost\n"
    got = read(csv_file(tmp_path, "Rep,Deal,Stage\n" + blocks))
    assert {deal.name: deal.owner_id for deal in got.deals.values()} == dict(
        zip("ABCDE", ["ann", "ann", "ben", "cid", "cid"], strict=True)
    )


@pytest.mark.parametrize(
    "rows",
    [
        "Ann,A,Lead\n,B,Demo\nBen,C,Lead\n,D,Won\n",
        "Ann,A,Lead\n,B,Demo\n,,\nBen,C,Lead\n",
        "Ann,A,Lead\n,B,Demo\n,,\n,C,Lead\n,,\nCid,D,Won\n",
    ],
)
def test_a_deal_without_an_owner_gets_none_where_no_group_shows(tmp_path, rows):
    assert read(csv_file(tmp_path, "Rep,Deal,Stage\n" + rows)).deals["b"].owner_id is None


def test_a_sum_named_after_its_group_is_no_stage_and_a_deal_may_be_called_so(tmp_path):
    text = "Stage,Deal,Amount\nLead,A,1\n,B,2\nLead Total,,3\nDemo,Acme Total,4\n,C,5\nDemo Total,,9\n"
    got = read(csv_file(tmp_path, text))
    assert set(got.stages) == {"lead", "demo"}
    assert {deal.name: deal.stage_id for deal in got.deals.values()} == {
        "A": "lead",
        "B": "lead",
        "Acme Total": "demo",
        "C": "demo",
    }


def test_another_table_below_the_deals_is_left_out_and_said(tmp_path):
    deals = "Deal,Company,Stage,Amount\nA,Acme,Lead,1\nB,Blue,Won,2\n"
    other = ",,,\nBy stage,,,\nStage,Deals,Value,\nLead,1,1,\nWon,1,2,\n"
    got = read(csv_file(tmp_path, deals + other + ",,,\nDeal,Company,Stage,Amount\nC,Coral,Demo,3\n"))
    assert {deal.name: deal.stage_id for deal in got.deals.values()} == {"A": "lead", "B": "won", "C": "demo"}
    assert got.warnings["table_below"] == (
        "deals.csv: rows 6 to 8 stand under another header and are not read. "
        "If they are deals, move them to a tab or file of their own."
    )
    assert "3 other_table" in got.warnings["rows_read"]
    assert "1 title" in got.warnings["rows_read"]


def test_key_figures_in_a_block_of_sums_are_no_deals(tmp_path):
    deals = "Deal,Company,Stage,Amount\nA,Acme,Lead,10\nB,Blue,Won,20\n,,,\n"
    sums = "Total pipeline,30,,\nWin rate,50%,,\nOpen deals,1,,\n"
    got = read(csv_file(tmp_path, deals + sums + ",,,\nC,,Lead,5\n"))
    assert {deal.name for deal in got.deals.values()} == {"A", "B", "C"}
    assert "3 total" in got.warnings["rows_read"]
    mixed = read(csv_file(tmp_path, deals + "Total,30,,\nWin rate,50%,,\nC,Coral,Demo,5\nD,,,7\n", "b.csv"))
    assert {deal.name for deal in mixed.deals.values()} == {"A", "B", "C", "D"}


def test_a_deal_after_a_blank_row_is_a_deal(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Company,Stage\nA,Acme,Lead\n,,\nProject,Nord,Demo\n,,\nB,Client,Won\n"))
    assert {deal.name for deal in got.deals.values()} == {"A", "Project", "B"}


def test_ids_that_a_program_wrote_as_floats_are_the_same_ids(tmp_path):
    csv_file(tmp_path, "Deal ID,Deal,Stage\n1001,A,Lead\n1002,B,Lead\n", "d_2026-01-01.csv")
    csv_file(tmp_path, "Deal ID,Deal,Stage\n1001.0,A,Won\n1002.0,B,Lead\n", "d_2026-02-01.csv")
    assert set(read(tmp_path).deals) == {"1001", "1002"}


def test_ids_with_a_point_that_are_no_floats_stay_as_they_are(tmp_path):
    assert set(read(csv_file(tmp_path, "Deal ID,Stage\n1.0,Lead\n1.1,Won\n")).deals) == {"1.0", "1.1"}


def test_a_stage_date_keeps_a_stage_whose_own_name_ends_in_a_small_word(tmp_path):
    text = "Deal,Lead In,Demo,Won on\nA,2026-01-05,2026-01-20,2026-02-01\n"
    assert [stage for stage, _ in read(csv_file(tmp_path, text)).path_of["a"]] == ["lead in", "demo", "won"]


def test_stage_dates_in_a_script_without_blanks(tmp_path):
    text = "案件名,初回商談日,提案日,受注日,失注日\n更改,2026/1/5,2026/1/20,2026/3/1,\n保守,2026/2/1,,,2026/3/10\n"
    got = read(csv_file(tmp_path, text))
    assert [stage for stage, _ in got.path_of["更改"]] == ["初回商談", "提案", "受注"]
    assert [stage for stage, _ in got.path_of["保守"]] == ["初回商談", "失注"]


def test_a_board_with_counts_in_its_headers(tmp_path):
    rows = [["Leads (3)", "Contacted (1)", "Won (1)"], ["Acme - $5k", "Blue", "Dune"], ["Echo", None, None]]
    got = read(xlsx_file(tmp_path, {"Board": [*rows, ["Total Energies", None, None]]}))
    assert {deal.name: deal.stage_id for deal in got.deals.values()}["Total Energies"] == "leads"
    assert len(got.deals) == 5


def test_ambiguous_dates_are_refused_with_the_order_of_the_column_beside(tmp_path):
    text = "Deal,Stage,Close date,Created\nA,Lead,12/31/2026,1/5/2026\nB,Won,2/20/2026,1/6/2026\n"
    with pytest.raises(ConfigError) as refusal:
        read(csv_file(tmp_path, text))
    assert str(refusal.value) == (
        "deals.csv, column D 'Created': every date may be day first or month first (rows 2, 3). "
        "Set `locale` (for example id_ID or en_US); column 'Close date' is month first (such as en_US)."
    )


def test_label_rows_of_a_report_name_the_field_and_count_their_records(tmp_path):
    """As Salesforce writes grouped reports."""
    rows = '"Stage: Prospecting (2 records)",,\nA,Acme,1\nB,Blue,2\n"Stage: Closed Won (1 record)",,\nC,Coral,3\n'
    got = read(csv_file(tmp_path, "Opportunity Name,Account Name,Amount\n" + rows + '"Grand Totals (3 records)",,\n'))
    assert {deal.name: deal.stage_id for deal in got.deals.values()} == {
        "A": "prospecting",
        "B": "prospecting",
        "C": "closed won",
    }


def test_a_header_for_a_deal_or_its_number_is_what_it_holds(tmp_path):
    numbers = read(csv_file(tmp_path, "Vorgang;Beschreibung;Phase\n0000123;Pumpe;Angebot\n0000124;Motor;Gewonnen\n"))
    assert {key: deal.name for key, deal in numbers.deals.items()} == {"0000123": "Pumpe", "0000124": "Motor"}
    names = read(csv_file(tmp_path, "Vorgang;Phase\nUmbau Halle 3;Angebot\nDach;Gewonnen\n", "b.csv"))
    assert {deal.name for deal in names.deals.values()} == {"Umbau Halle 3", "Dach"}


@pytest.mark.parametrize(
    "head",
    [
        "Nr szansy;Data kontaktu;Data oferty;Data wygranej;Data przegranej",
        "ID сделки;Дата контакта;Дата предложения;Дата выигрыша;Дата отказа",
        "ID;Datum kontaktu;Datum nabídky;Datum výhry;Datum prohry",
        "ID;Дата контакту;Дата пропозиції;Дата виграшу;Дата відмови",
    ],
)
def test_stage_dates_with_the_stage_in_the_genitive(tmp_path, head):
    got = read(csv_file(tmp_path, head + "\nS1;2026-01-05;2026-01-20;2026-03-01;\nS2;2026-02-01;;;2026-03-10\n"))
    assert [day for _, day in got.path_of["S1"]] == ["2026-01-05", "2026-01-20", "2026-03-01"]
    assert got.path_of["S2"][-1][1] == "2026-03-10"
    assert {key: deal.closed_at is not None for key, deal in got.deals.items()} == {"S1": True, "S2": True}


def test_a_dutch_chance_is_a_deal_or_a_probability(tmp_path):
    got = read(
        csv_file(tmp_path, "Klant;Kans;Fase;Slagingskans\nBakker;Website;Offerte;60%\nVisser;App;Gewonnen;100%\n")
    )
    assert {deal.name: deal.probability for deal in got.deals.values()} == {"Website": 0.6, "App": 1.0}


def test_two_probabilities_are_in_doubt_and_not_called_something_else(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Stage,Probability,Win probability\nA,Lead,10%,20%\nB,Won,100%,90%\n"))
    said = " ".join(warn.message for warn in got.of(rec.Warn) if warn.code == "columns_in_doubt")
    assert "may both be 'probability'" in said
    assert "holds something else" not in said
