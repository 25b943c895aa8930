"""Money, dates and shares: every way of writing them that was seen, and the ones that are not guessed."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import pytest

from connectors.spreadsheet import columns, dates, money, words
from tests.connectors.spreadsheet.sheets import csv_file, read, xlsx_file


def amount(text, locale=None):
    column = columns.MoneyColumn()
    column.see(1, text)
    parsed = money.parse(text)
    refusal = column.decide(words.locale(locale) if locale else None, frozenset({"IDR"} if locale == "id_ID" else ()))
    return refusal or column.value(parsed)


@pytest.mark.parametrize(
    ("text", "locale", "value"),
    [
        ("Rp 2.750.000,00", None, "2750000.00"),
        ("Rp. 3.000.000,-", None, "3000000"),
        ("IDR 2,5 M", "id_ID", "2500000000"),
        ("40 jt", None, "40000000"),
        ("50rb", None, "50000"),
        ("1,5 juta", None, "1500000"),
        ("2 miliar", None, "2000000000"),
        ("3 triliun", None, "3000000000000"),
        ("$8k", None, "8000"),
        ("$2.5M", "en_US", "2500000"),
        ("US$ 3.2bn", None, "3200000000"),
        ("2.5 mm", "en_US", "2500000"),
        ("(950.00)", None, "-950.00"),
        ("-1.100", "id_ID", "-1100"),
        ("5-", None, "-5"),
        ("2,4 Mio. €", None, "2400000"),
        ("3 Mrd", None, "3000000000"),
        ("75 Tsd. €", None, "75000"),
        ("TEUR 75", None, "75000"),
        ("75 T€", "de_DE", "75000"),
        ("75 k€", None, "75000"),
        ("CHF 1'250.50", None, "1250.50"),
        ("250.-", None, "250"),
        ("1 234,56 €", None, "1234.56"),
        ("1\u00a0234,56 €", None, "1234.56"),
        ("1\u202f234\u202f567", None, "1234567"),
        ("₹ 1,50,000", None, "150000"),
        ("₹ 2 lakh", None, "200000"),
        ("2 crore", None, "20000000"),
        ("80万", None, "800000"),
        ("1.5億", None, "150000000"),
        ("5.000", "id_ID", "5000"),
        ("5.000", "en_US", "5.000"),
        ("5,000", "en_US", "5000"),
        ("1.234.567", None, "1234567"),
        ("1,234.56", None, "1234.56"),
        ("1.234,56", None, "1234.56"),
        ("0.500", None, "0.500"),
        ("1234.567", None, "1234.567"),
        ("'100", None, "100"),
        ("30 000 руб.", None, "30000"),
        ("1 тыс.", None, "1000"),
        ("-$5.00", None, "-5.00"),
        ("−5", None, "-5"),
        (12000.5, None, "12000.5"),
        (3, None, "3"),
    ],
)
def test_amounts_as_people_write_them(text, locale, value):
    assert amount(text, locale) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-", "n/a", "TBD", "?", "—", "null", None])
def test_nothing_is_not_zero(text):
    assert amount(text) is None


@pytest.mark.parametrize(
    "text", ["abc", "5 apples", "1.23.45", "1,2,3", "12,34,56.7.8", "5.000,", "1 2", True, "10 20", "1e5x"]
)
def test_what_is_no_amount_is_not_made_one(text):
    column = columns.MoneyColumn()
    column.see(1, text)
    parsed = money.parse(text)
    column.decide(words.locale("en_US"))
    assert column.value(parsed) is None
    assert parsed.kind == "unreadable"


@pytest.mark.parametrize("text", ["5.000", "5,000", "12.345", "-1.100", "2 M", "3 T", "1,234"])
def test_what_two_countries_read_differently_is_refused(text):
    assert "Set `locale`" in amount(text)


def test_one_clear_value_decides_for_its_column(tmp_path):
    got = read(csv_file(tmp_path, 'ID,Stage,Amount\n1,Lead,5.000\n2,Lead,"1.234,56"\n'))
    assert {deal.deal_id: deal.amount for deal in got.deals.values()} == {"1": Decimal(5000), "2": Decimal("1234.56")}


@pytest.mark.parametrize(
    ("header", "cell", "config", "currency"),
    [
        ("Amount", "Rp 5.000.000", {}, "IDR"),
        ("Amount", "$5.50", {"default_currency": "CAD"}, "CAD"),
        ("Amount", "$5.50", {"locale": "en_US"}, "USD"),
        ("Amount", "$5.50", {}, None),
        ("Amount", "EUR 5.50", {"default_currency": "USD"}, "EUR"),
        ("Amount (EUR)", "5.50", {"default_currency": "USD"}, "EUR"),
        ("Nilai (Rp)", "5", {}, "IDR"),
        ("Amount in GBP", "5.50", {}, "GBP"),
        ("Amount", "5.50", {"default_currency": "usd"}, "USD"),
        ("Amount", "5.50", {}, None),
        ("Amount", "¥500", {"locale": "ja_JP"}, "JPY"),
        ("Amount", "¥500", {"locale": "zh_CN"}, "CNY"),
    ],
)
def test_the_currency_comes_from_the_cell_then_the_header_then_the_setting(tmp_path, header, cell, config, currency):
    got = read(csv_file(tmp_path, f"ID,Stage,{header}\n1,Lead,{cell}\n"), **config)
    assert got.deals["1"].currency == currency
    assert ("currency_unknown" in got.warnings) == (currency is None)


def test_a_currency_column_and_number_formats_name_currencies(tmp_path):
    import openpyxl

    column = read(csv_file(tmp_path, "ID,Stage,Amount,Currency\n1,Lead,5,EUR\n2,Lead,6,Rp\n"), default_currency="USD")
    assert {deal.currency for deal in column.deals.values()} == {"EUR", "IDR"}
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [["ID", "Stage", "Amount"], [1, "Lead", 5], [2, "Lead", 6], [3, "Lead", 7], [4, "Lead", 8]]:
        sheet.append(row)
    sheet["C2"].number_format = "[$€-407] #,##0.00"
    sheet["C3"].number_format = '"Rp"#,##0'
    sheet["C4"].number_format = "$#,##0.00"
    path = tmp_path / "formats.xlsx"
    book.save(path)
    got = read(path, default_currency="SGD")
    assert {key: deal.currency for key, deal in got.deals.items()} == {"1": "EUR", "2": "IDR", "3": "SGD", "4": "SGD"}


def day(text, locale=None, **how):
    column = columns.DateColumn()
    column.see(1, text)
    parsed = dates.parse(text)
    refusal = column.decide(words.locale(locale) if locale else None)
    return refusal or column.value(parsed, **how)


@pytest.mark.parametrize(
    ("text", "locale", "value"),
    [
        ("2024-03-01", None, date(2024, 3, 1)),
        ("2024/3/1", None, date(2024, 3, 1)),
        ("20240301", None, date(2024, 3, 1)),
        ("13/02/2024", None, date(2024, 2, 13)),
        ("02/13/2024", None, date(2024, 2, 13)),
        ("03/04/2024", "id_ID", date(2024, 4, 3)),
        ("03/04/2024", "en_US", date(2024, 3, 4)),
        ("3.4.24", "de_DE", date(2024, 4, 3)),
        ("05/05/2024", None, date(2024, 5, 5)),
        ("12 Juni 2024", None, date(2024, 6, 12)),
        ("12 Agt 2024", None, date(2024, 8, 12)),
        ("3 Pebruari 2024", None, date(2024, 2, 3)),
        ("17 Nopember 2023", None, date(2023, 11, 17)),
        ("Rabu, 12 Juni 2024", None, date(2024, 6, 12)),
        ("June 12, 2024", None, date(2024, 6, 12)),
        ("June 12th 2024", None, date(2024, 6, 12)),
        ("12-Jun-24", None, date(2024, 6, 12)),
        ("12. März 2024", None, date(2024, 3, 12)),
        ("12 de junio de 2024", None, date(2024, 6, 12)),
        ("12 de março de 2024", None, date(2024, 3, 12)),
        ("1er août 2024", None, date(2024, 8, 1)),
        ("12 maggio 2024", None, date(2024, 5, 12)),
        ("2024年6月12日", None, date(2024, 6, 12)),
        ("31/12/68", None, date(2068, 12, 31)),
        ("31/12/69", None, date(1969, 12, 31)),
        ("45000", None, date(2023, 3, 15)),
        (45000.0, None, date(2023, 3, 15)),
        (date(2024, 1, 2), None, date(2024, 1, 2)),
        (datetime(2024, 1, 2), None, date(2024, 1, 2)),  # noqa: DTZ001  (cells have no zone)
    ],
)
def test_days_as_people_write_them(text, locale, value):
    assert day(text, locale) == (value, None, None)


def test_days_of_an_old_mac_workbook():
    assert day(43538, date1904=True)[0] == date(2023, 3, 15)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("2024-03-01 09:05", time(9, 5)),
        ("2024-03-01T09:05:06.5", time(9, 5, 6, 500000)),
        ("13/02/2024 2:30 PM", time(14, 30)),
        ("13.02.2024 12:00 am", time(0)),
        ("12 Juni 2024 14:30", time(14, 30)),
        (45000.25, time(6)),
    ],
)
def test_times_of_day(text, clock):
    assert day(text)[1] == clock


def test_a_stated_offset_is_kept():
    assert day("2024-03-01T09:00:00+07:00")[2] == 420
    assert day("2024-03-01T09:00:00Z")[2] == 0


@pytest.mark.parametrize(
    "text",
    [
        "Oct 3",
        "Agustus 2024",
        "Q3",
        "Q3 2024",
        "KW 12",
        "awal bulan depan",
        "2024",
        "03/2024",
        "end of May",
        "W34",
        "Juni '24",
    ],
)
def test_less_than_a_day_is_no_day(text):
    assert dates.parse(text).kind == "partial"
    assert day(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "31/02/2024",
        "30 Februari 2024",
        "2024-13-01",
        "32/01/2024",
        "0202-03-04",
        "3/4/0024",
        True,
        time(3),
        5,
        "1",
        "25:00",
    ],
)
def test_what_is_no_day_is_not_made_one(text):
    assert day(text) is None
    assert dates.parse(text).kind in ("unreadable", "ordered", "partial")


@pytest.mark.parametrize("text", ["03/04/2024", "3-4-24", "01.02.2024"])
def test_a_day_that_could_be_two_is_refused(text):
    assert "Set `locale`" in day(text)
    assert "Set `locale`" in day(text, "en"), "English alone says nothing of the order"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["10%", "25 %", "100%"], [0.1, 0.25, 1.0]),
        (["10", "25", "100"], [0.1, 0.25, 1.0]),
        (["0.1", "0.25", "1"], [0.1, 0.25, 1.0]),
        (['"0,1"', '"0,25"', "1"], [0.1, 0.25, 1.0]),
        (["50%", "5", "20"], [0.5, 0.05, 0.2]),
        (["High", "50%", ""], [None, 0.5, None]),
        (["150", "50", "0"], [None, 0.5, 0.0]),
    ],
)
def test_shares_and_percent_points_are_told_apart_by_their_column(tmp_path, cells, values):
    text = "ID,Stage,Probability\n" + "".join(f"{n},Lead,{cell}\n" for n, cell in enumerate(cells))
    got = read(csv_file(tmp_path, text))
    assert [deal.probability for deal in got.deals.values()] == values


def test_zero_amounts_mean_what_the_setting_says(tmp_path):
    path = csv_file(tmp_path, "ID,Stage,Amount\n1,Lead,0\n2,Kalah,0\n3,Won,0\n")

    def known(setting):
        return [deal.amount for deal in read(path, zero_amount=setting).deals.values()]

    assert known("zero") == [0, 0, 0]
    assert known("unknown_if_lost") == [0, None, 0]
    assert known("unknown") == [None, None, None]


def test_text_stays_text(tmp_path):
    path = xlsx_file(
        tmp_path,
        {
            "Deals": [
                ["Deal ID", "Deal", "Stage", "Note"],
                ["007", " A\u00a0 b ", "Lead", "=formula-like"],
                [8.0, "C", "Lead", "line\nbreak"],
            ]
        },
    )
    got = read(path)
    assert set(got.deals) == {"007", "8"}, "leading zeros stay, 8.0 is 8"
    assert got.deals["007"].name == "A b"
    assert got.deals["8"].custom_fields == {"Note": "line\nbreak"}


def test_float_noise_does_not_reach_the_amount(tmp_path):
    got = read(xlsx_file(tmp_path, {"D": [["ID", "Stage", "Amount"], [1, "Lead", 0.1 + 0.2], [2, "Lead", 100 / 3]]}))
    assert [deal.amount for deal in got.deals.values()] == [Decimal("0.3000"), Decimal("33.3333")]


def test_ids_are_never_folded_names_are(tmp_path):
    got = read(csv_file(tmp_path, "Deal ID,Stage\nAbC,Lead\naBc,Won\n"))
    assert set(got.deals) == {"AbC", "aBc"}
    named = read(csv_file(tmp_path, "Company,Deal,Stage\nACME  Ltd,Ａlpha,Lead\nA/b,c,Lead\n"))
    assert set(named.deals) == {"acme ltd/alpha", "a\\/b/c"}
