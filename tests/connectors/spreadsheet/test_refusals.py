"""What a person is told when a file cannot be read: file, sheet, row or cell, and what to do. Each with the smallest file that shows it."""

from __future__ import annotations

import zipfile
from datetime import date

import pytest

from connectors.sdk import records as rec
from connectors.sdk.errors import ConfigError
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsx_file


def refused(*args, **config):
    with pytest.raises(ConfigError) as error:
        read(*args, **config)
    return str(error.value)


TEXTS = {
    "an empty file": ("", {}, r"deals.csv: is empty"),
    "a header and no rows": ("Deal,Stage\n", {}, r"has a header \(row 1\) and no rows"),
    "no header": ("1,2,3\n4,5,6\n", {}, r"no header row found in rows 1 to 2.*header_row"),
    "no stage column": (
        "Deal,Amount,Owner\nA,1,ann\n",
        {},
        r"no stage column.*columns: \{stage.*'Deal', 'Amount', 'Owner'",
    ),
    "nothing names the deals": ("Stage,Amount\nLead,1\n", {}, r"no column names the deals.*'Stage', 'Amount'"),
    "an unclosed quote": ('Deal,Stage\nA,Lead\n"B,Lead\nC,Lead\n', {}, r"line 3: a quote opens here and never closes"),
    "text after a quote": ('Deal,Stage\n"A"x,Lead\n', {}, r"line 2: text follows a closing quote"),
    "ambiguous dates": (
        "Deal,Stage,Close date\nA,Lead,03/04/2024\nB,Lead,05/06/2024\n",
        {},
        r"column C 'Close date': every date may be day first or month first \(rows 2, 3\). Set `locale`",
    ),
    "dates in two orders": (
        "Deal,Stage,Close date\nA,Lead,13/04/2024\nB,Lead,04/13/2024\n",
        {"locale": "en_US"},
        r"change places inside the column: rows 2 are day first, rows 3 month first",
    ),
    "ambiguous amounts": (
        "Deal,Stage,Amount\nA,Lead,5.000\n",
        {},
        r"column C 'Amount': a number such as 5.000.*\(rows 2\). Set `locale`",
    ),
    "amounts with two marks": (
        'Deal,Stage,Amount\nA,Lead,"1,50"\nB,Lead,1.50\nC,Lead,1.500\n',
        {},
        r"the decimal mark changes inside the column: a point in rows 3, a comma in rows 2",
    ),
    "amounts against the locale": (
        "Deal,Stage,Amount\nA,Lead,1.50\nB,Lead,1.500\n",
        {"locale": "id_ID"},
        r"rows 2 use '.' as decimal mark against `locale: id_ID`",
    ),
    "a multiplier of two languages": (
        "Deal,Stage,Amount\nA,Lead,2 M\n",
        {},
        r"multipliers in rows 2 mean different numbers",
    ),
    "duplicate keys": (
        "Deal ID,Stage,Amount\nA,Lead,1\nA,Lead,2\nB,Lead,1\n",
        {"key": "Deal ID"},
        r"1 value\(s\) of the key 'Deal ID' stand in several different rows \(rows 2 and 3\)",
    ),
    "two amounts": (
        "Deal,Stage,Amount,Deal value\nA,Lead,1,2\n",
        {},
        r"columns 'Amount' and 'Deal value' may both be 'amount'. Say which",
    ),
    "a repeated header": (
        "Deal,Stage,Amount,Amount\nA,Lead,1,2\n",
        {},
        r"columns 'Amount' and 'Amount \(D\)' may both be 'amount'",
    ),
    "a configured header that repeats": (
        "Deal,Stage,Note,Note\nA,Lead,1,2\n",
        {"columns": {"amount": "Note"}},
        r"columns.amount names 'Note', which heads columns C and D",
    ),
    "a configured header that is not there": (
        "Deal,Stage\nA,Lead\n",
        {"columns": {"amount": "Nilai"}},
        r"`columns.amount` names 'Nilai', which is not a header here. Headers: 'Deal', 'Stage'",
    ),
    "a configured key that is not there": (
        "Deal,Stage\nA,Lead\n",
        {"key": "ID"},
        r"`key` names 'ID', which is not a header here",
    ),
    "a key that is empty": ("Deal,Stage,Code\nA,Lead,\n", {"key": "Code"}, r"the key 'Code' is empty in every row"),
    "a stage column of free text": (
        "ID,Stage\n" + "".join(f"{n},text {n}\n" for n in range(200)),
        {},
        r"'Stage' has more than 150 different values",
    ),
    "a header row that is empty": (
        "x\n\nDeal,Stage\nA,Lead\n",
        {"header_row": 2},
        r"`header_row` points to an empty row",
    ),
    "an unknown locale": ("Deal,Stage\nA,Lead\n", {"locale": "xx"}, r"locale 'xx' is not known"),
    "an unknown zone": ("Deal,Stage\nA,Lead\n", {"timezone": "Mars/Base"}, r"timezone 'Mars/Base' is not known"),
    "an unknown field": ("Deal,Stage\nA,Lead\n", {"columns": {"stagee": "x"}}, r"unknown field 'stagee'"),
    "an unknown setting": ("Deal,Stage\nA,Lead\n", {"colums": {}}, r"unknown setting 'colums'. Did you mean 'columns'"),
    "an unknown currency": (
        "Deal,Stage\nA,Lead\n",
        {"default_currency": "Rp"},
        r"default_currency 'Rp' is not a currency code",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_table_is_refused_in_words(tmp_path, case):
    text, config, message = TEXTS[case]
    import re

    assert re.search(message, refused(csv_file(tmp_path, text), **config), re.DOTALL), refused(
        csv_file(tmp_path, text), **config
    )


def test_messages_hold_no_path_of_the_machine(tmp_path):
    for text, config, _ in TEXTS.values():
        assert str(tmp_path) not in refused(csv_file(tmp_path, text), **config)


def test_a_damaged_workbook_is_named(tmp_path):
    whole = xlsx_file(tmp_path, {"Deals": [["Deal", "Stage"], ["A", "Lead"]]})
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(whole.read_bytes()[:900])
    assert "broken.xlsx: is damaged or incomplete" in refused(broken)
    document = tmp_path / "letter.xlsx"
    with zipfile.ZipFile(document, "w") as package:
        package.writestr("word/document.xml", "<w/>")
    assert "letter.xlsx: is damaged or incomplete" in refused(document)


def test_a_protected_workbook_is_named(tmp_path):
    path = tmp_path / "secret.xlsx"
    path.write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(512)
    )
    assert "secret.xlsx: is protected by a password. Save a copy without one." in refused(path)


def test_web_pages_that_call_themselves_sheets(tmp_path):
    page = tmp_path / "export.xls"
    page.write_text("<html><body><form action='login'><input type=\"password\"></form></body></html>", encoding="utf-8")
    assert "is a sign-in page (HTML)" in refused(page)
    page.write_text("<html><body><p>Nothing here</p></body></html>", encoding="utf-8")
    assert "is a web page (HTML) without a table" in refused(page)
    page.write_text(
        '<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>', encoding="utf-8"
    )
    assert "XML spreadsheet of 2003" in refused(page)
    page.write_text("<table><tr><th>Deal<th>Stage<tr><td>Alpha<td>Lead</table>", encoding="utf-8")
    assert set(read(page).deals) == {"alpha"}


def test_binary_that_is_no_text(tmp_path):
    path = tmp_path / "photo.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    assert "is not text" in refused(path)


def test_a_tab_that_is_not_there_lists_the_tabs(tmp_path):
    path = xlsx_file(tmp_path, {"Deals": [["Deal", "Stage"], ["A", "Lead"]], "Lists": [["x"]]})
    assert "has no sheet 'Pipeline'. Its sheets: 'Deals', 'Lists'" in refused(path, sheet="Pipeline")


def test_two_kinds_of_deal_tabs_are_asked_about(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Sales": [["Deal ID", "Deal", "Stage", "Amount", "Owner"], ["1", "A", "Lead", 1, "ann"]],
            "Projects": [["Project code", "Customer", "Phase", "Price", "Seller"], ["9", "B", "Proposal", 2, "bob"]],
        },
    )
    assert "may both hold deals" in refused(path)
    assert set(read(path, sheet="Sales").deals) == {"1"}


def test_formulas_that_were_never_calculated_are_not_read_as_blanks(tmp_path):
    path = xlsx_file(tmp_path, {"Deals": [["Deal", "Stage", "Amount"], ["A", "Lead", "=1+1"], ["B", "Lead", 5]]})
    assert "column C 'Amount': 1 formula(s) without a stored result (C2)" in refused(path)
    extra = xlsx_file(
        tmp_path, {"Deals": [["Deal", "Stage", "Extra"], ["A", "Lead", "=1+1"], ["B", "Lead", 5]]}, name="b.xlsx"
    )
    got = read(extra)
    assert len(got.deals) == 2
    assert "C2" in got.warnings["formulas_without_result"]


def test_error_cells_are_named_not_lost(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in [["Deal", "Stage", "Amount"], ["A", "Lead", "#REF!"], ["B", "Lead", 5]]:
        sheet.append(row)
    sheet["C2"].data_type = "e"
    path = tmp_path / "errors.xlsx"
    book.save(path)
    got = read(path)
    assert got.deals["a"].amount is None
    assert "error value #REF!: C2" in got.warnings["unreadable_cells"]
    text = read(csv_file(tmp_path, "Deal,Stage,Amount,Note\nA,Lead,#REF!,#N/A\nB,Lead,5,x\n"))
    assert text.deals["a"].amount is None
    shown = sorted(w.message.split("error value ")[1] for w in text.of(rec.Warn) if w.code == "unreadable_cells")
    assert shown == ["#N/A: D2.", "#REF!: C2."]


def test_a_file_over_the_limit_is_refused(tmp_path):
    path = csv_file(tmp_path, "Deal,Stage\n" + "A,Lead\n" * 200_000)
    assert "over the limit of 1 MB. Raise `size_limit_mb`" in refused(path, size_limit_mb=1)


def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path):
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/workbook.xml", b" " * 30_000_000)
    assert "unpacks to 30 MB" in refused(path, size_limit_mb=1)


def test_paths_that_lead_nowhere(tmp_path):
    assert "there is no such file or folder" in refused(tmp_path / "none.csv")
    assert "the folder holds no table" in refused(tmp_path)
    assert "no file fits the pattern" in refused(f"{tmp_path}/x_*.csv")
    assert "needs `path` or `google_sheet_id`" in refused()


def test_dated_and_undated_files_are_not_mixed(tmp_path):
    csv_file(tmp_path, "Deal,Stage\nA,Lead\n", "pipeline_2024-01-01.csv")
    csv_file(tmp_path, "Deal,Stage\nA,Lead\n", "readme.csv")
    assert "readme.csv: has no date in its name" in refused(tmp_path)


def test_dates_that_a_program_may_have_swapped_are_pointed_out(tmp_path):
    rows = [["Deal", "Stage", "Close date"], ["A", "Lead", date(2024, 3, 6)], ["B", "Lead", "25/06/2024"]]
    got = read(xlsx_file(tmp_path, {"Deals": rows}))
    assert "dates_may_be_swapped" in got.warnings
