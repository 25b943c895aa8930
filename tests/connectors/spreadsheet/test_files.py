"""Kinds of files, encodings and delimiters: by their first bytes, never by their names, and without a detector that guesses."""

from __future__ import annotations

import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.sdk.errors import ConfigError
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsb_file, xlsx_file

TEXT = "Kunde;Projekt;Phase;Wert\nMüller & Söhne;Anbau;Angebot;1.234,50 €\nČesko;Žižkov;Gewonnen;99,00 €\n"
WEST = "Kunde;Projekt;Phase;Wert\nMüller & Söhne;Anbau – Süd;Angebot;1.234,50 €\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_files_are_read_as_they_are(tmp_path, encoding):
    got = read(csv_file(tmp_path, TEXT, encoding=encoding))
    assert {deal.company_name for deal in got.deals.values()} == {"Müller & Söhne", "Česko"}


@pytest.mark.parametrize(
    ("encoding", "locale", "name"),
    [
        ("cp1252", None, "Müller"),
        ("cp1252", "de_DE", "Müller"),
        ("cp1250", "cs_CZ", "Žižka"),
        ("cp1254", "tr_TR", "Işık"),
        ("cp932", "ja_JP", "山田"),
        ("gb18030", "zh_CN", "李"),
        ("cp1251", "ru_RU", "Иван"),
    ],
)
def test_old_code_pages_follow_the_language(tmp_path, encoding, locale, name):
    got = read(csv_file(tmp_path, f"Company,Deal,Stage\n{name},Alpha,Lead\n", encoding=encoding), locale=locale)
    assert {deal.company_name for deal in got.deals.values()} == {name}


@pytest.mark.parametrize(
    ("encoding", "header", "name"),
    [
        ("cp1250", "Společnost,Zakázka,Fáze", "Žižka"),
        ("cp1251", "Компания,Сделка,Этап", "Жук"),
        ("cp1253", "Πελάτης,Έργο,Στάδιο", "Νίκος"),
        ("cp1254", "Müşteri,Fırsat,Aşama", "Işık"),
        ("cp1255", "חברה,עסקה,שלב", "דנה"),
        ("cp1256", "العميل,الصفقة,المرحلة", "أحمد"),
        ("cp874", "บริษัท,ดีล,ขั้นตอน", "สมชาย"),
        ("cp932", "会社名,案件名,フェーズ", "山田"),
        ("gb18030", "客户,项目,阶段", "李"),
        ("cp949", "회사,프로젝트명,단계", "김철수"),
    ],
)
def test_the_words_of_the_header_tell_an_old_code_page(tmp_path, encoding, header, name):
    got = read(csv_file(tmp_path, f"{header}\n{name},Alpha,Lead\n", encoding=encoding))
    assert {deal.company_name for deal in got.deals.values()} == {name}
    assert "encoding_assumed" not in got.warnings


def test_an_encoding_that_nothing_tells_is_assumed_aloud(tmp_path):
    got = read(csv_file(tmp_path, "Company,Deal,Stage\nMüller,Alpha,Lead\n", encoding="cp1252"))
    assert "read as cp1252. If letters look wrong, set `encoding`" in got.warnings["encoding_assumed"]


def test_a_file_of_two_encodings_is_refused_with_the_line(tmp_path):
    path = tmp_path / "two.csv"
    path.write_bytes(
        "Company,Deal,Stage\nMüller Söhne Zürich,Alpha,Lead\n".encode() + "Jäger,Bravo,Lead\n".encode("cp1252")
    )
    with pytest.raises(ConfigError, match=r"two\.csv, line 3: a letter is not UTF-8, though the rest of the file is"):
        read(path)


def test_a_configured_encoding_goes_first(tmp_path):
    path = csv_file(tmp_path, "Company,Deal,Stage\nЖук,Alpha,Lead\n", encoding="cp1251")
    assert next(iter(read(path, encoding="cp1251").deals.values())).company_name == "Жук"
    with pytest.raises(ConfigError, match="encoding 'cp9999' is not known"):
        read(path, encoding="cp9999")


def test_bytes_that_are_no_text_of_the_code_page_are_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"Company,Deal,Stage\n\x81\x8d,Alpha,Lead\n")
    with pytest.raises(ConfigError, match=r"byte 19 is not text in cp1252\. Set `encoding`"):
        read(path)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters_are_found(tmp_path, mark):
    text = "Deal,Stage,Note\nAlpha,Lead,x\nBravo,Won,y\n".replace(",", mark)
    assert set(read(csv_file(tmp_path, text)).deals) == {"alpha", "bravo"}


def test_a_sep_line_of_excel_is_no_row(tmp_path):
    got = read(csv_file(tmp_path, "sep=;\nDeal;Stage;Note\nAlpha;Lead;a,b,c\n"))
    assert got.deals["alpha"].source_row == 2
    assert got.deals["alpha"].custom_fields == {"Note": "a,b,c"}


def test_quotes_line_breaks_and_trailing_commas(tmp_path):
    got = read(csv_file(tmp_path, 'Deal,Stage,Note,,\n"Alpha, Inc",Lead,"two\nlines, ""quoted""",,\nBravo,Won,,,\n'))
    assert got.deals["alpha, inc"].custom_fields == {"Note": 'two\nlines, "quoted"'}
    assert got.deals["bravo"].source_row == 3, "rows are numbered as a spreadsheet program shows them"


def test_short_and_long_rows_do_not_shift_values(tmp_path):
    got = read(csv_file(tmp_path, "Deal,Stage,Amount\nAlpha,Lead\nBravo,Won,5,surplus\n"))
    assert got.deals["alpha"].amount is None
    assert got.deals["bravo"].amount == 5


def test_the_suffix_does_not_matter(tmp_path):
    book = xlsx_file(tmp_path, {"Deals": [["Deal", "Stage"], ["Alpha", "Lead"]]}, name="really.csv")
    assert set(read(book).deals) == {"alpha"}
    tabbed = csv_file(tmp_path, "Deal\tStage\nAlpha\tLead\n", name="report.xls")
    assert set(read(tabbed).deals) == {"alpha"}


def test_a_folder_is_read_without_lock_files_and_other_things(tmp_path):
    csv_file(tmp_path, "Deal,Stage\nAlpha,Lead\n", "north.csv")
    csv_file(tmp_path, "Deal,Stage\nBravo,Lead\n", "south.csv")
    csv_file(tmp_path, "x", "~$north.csv")
    csv_file(tmp_path, "x", "notes.md")
    got = read(tmp_path)
    assert {deal.source_file for deal in got.deals.values()} == {"north.csv", "south.csv"}
    assert set(read(f"{tmp_path}/n*.csv").deals) == {"alpha"}


def test_the_same_deal_in_two_files_of_one_reading_is_an_error(tmp_path):
    csv_file(tmp_path, "Deal,Stage\nAlpha,Lead\n", "north.csv")
    csv_file(tmp_path, "Deal,Stage\nAlpha,Won\n", "south.csv")
    with pytest.raises(ConfigError, match=r"north\.csv, row 2 and south\.csv, row 2"):
        read(tmp_path)


def test_open_document_sheets_are_read(tmp_path):
    def cell(value):
        if isinstance(value, date):
            return f'<table:table-cell office:value-type="date" office:date-value="{value.isoformat()}"/>'
        if isinstance(value, int | float):
            return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    rows = [["Deal", "Stage", "Amount", "Close date"], ["Alpha", "Lead", 12.5, date(2024, 5, 13)]]
    body = "".join("<table:table-row>" + "".join(map(cell, row)) + "</table:table-row>" for row in rows)
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text", "style")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="Deals">{body}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    path = tmp_path / "deals.ods"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
        package.writestr("META-INF/manifest.xml", manifest)
        package.writestr("content.xml", content)
    deal = read(path).deals["alpha"]
    assert (deal.amount, deal.expected_close_date, deal.source_sheet) == (12.5, date(2024, 5, 13), "Deals")


def test_a_1904_workbook_counts_its_serials_from_1904(tmp_path):
    import openpyxl
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    for row in [["Deal", "Stage", "Close date"], ["Alpha", "Lead", 43538], ["Bravo", "Lead", date(2023, 3, 15)]]:
        sheet.append(row)
    path = tmp_path / "mac.xlsx"
    book.save(path)
    assert {deal.expected_close_date for deal in read(path).deals.values()} == {date(2023, 3, 15)}


def test_hidden_rows_are_deals_and_hidden_tabs_are_not(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Deals"
    for row in [["Deal", "Stage"], ["Alpha", "Lead"], ["Bravo", "Lead"]]:
        sheet.append(row)
    sheet.row_dimensions[3].hidden = True
    old = book.create_sheet("Old deals")
    for row in [["Deal", "Stage"], ["Charlie", "Lead"]]:
        old.append(row)
    old.sheet_state = "veryHidden"
    path = tmp_path / "hidden.xlsx"
    book.save(path)
    assert set(read(path).deals) == {"alpha", "bravo"}
    assert set(read(path, sheet="Old deals").deals) == {"charlie"}
    assert set(read(path, sheet="*eals").deals) == {"alpha", "bravo", "charlie"}


def _is_the_tracker(got):
    deals = got.deals
    assert set(deals) == {"D-1", "D-2"}
    assert (deals["D-1"].name, deals["D-1"].amount) == ("Ünïcode 東京", Decimal("1250.5"))
    assert deals["D-2"].expected_close_date == date(2024, 6, 1)
    assert [reject.reason for reject in got.rejects] == ["total"]
    assert "Lists" in got.warnings["tabs_not_read"]


TRACKER = [
    ["SALES TRACKER"],
    ["Deal ID", "Deal Name", "Stage", "Amount", "Close Date", "Owner"],
    ["D-1", "Ünïcode 東京", "Proposal", 1250.5, date(2024, 5, 14), "ann"],
    ["D-2", "Anbau", "Won", 8000, date(2024, 6, 1), "bob"],
    ["TOTAL", None, None, 9250.5],
]


def test_an_old_binary_workbook_is_read():
    """fixtures/tracker.xls was written once with xlwt 1.3; its tab Lists is hidden."""
    _is_the_tracker(read(Path(__file__).with_name("fixtures") / "tracker.xls"))


def test_a_new_binary_workbook_is_read(tmp_path):
    _is_the_tracker(read(xlsb_file(tmp_path, {"Pipeline": TRACKER, "Lists": [["Proposal"], ["Won"]]})))


def test_a_workbook_with_macros_is_read_and_its_macros_are_not(tmp_path):
    path = xlsx_file(tmp_path, {"Pipeline": TRACKER, "Lists": [["Proposal"], ["Won"]]}, "book.xlsm", hidden=["Lists"])
    with zipfile.ZipFile(path, "a") as package:
        package.writestr("xl/vbaProject.bin", b"\xd0\xcf\x11\xe0 not even a project")
    _is_the_tracker(read(path))
