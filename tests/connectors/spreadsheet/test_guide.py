"""The tables of the connector's page: each layout is recognised for the reason that is printed, each error is said in these very words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors.sdk.clock import FakeClock
from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import Spreadsheet
from connectors.spreadsheet.inspect import inspect
from tests.connectors.spreadsheet.google_fake import serving
from tests.connectors.spreadsheet.sheets import NOW, csv_file, read, xlsx_file

HEAD = ["Deal", "Stage", "Amount"]
ROW = ["A", "Lead", 1]


def table(title: str) -> list[list[str]]:
    """The rows of a table in the guide, below its head."""
    part = Spreadsheet.setup_guide.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def text(content: str, **config):
    return lambda folder: (csv_file(folder, content), config)


def book(sheets, **config):
    return lambda folder: (xlsx_file(folder, sheets, "deals.xlsx"), config)


def raw(name: str, data: bytes, **config):
    def write(folder: Path):
        path = folder / name
        path.write_bytes(data)
        return path, config

    return write


def cut(folder: Path):
    whole = xlsx_file(folder, {"Deals": [HEAD, ROW]}, "whole.xlsx").read_bytes()
    return raw("deals.xlsx", whole[: len(whole) // 2])(folder)


def never_calculated(folder: Path):
    return book({"Deals": [HEAD, ["A", "Lead", "=1+1"]]})(folder)


LAYOUTS = [
    text("Deal,Stage\nA,Lead\nB,Won\n"),
    text("Deal,Lead date,Proposal date,Won date\nA,2024-01-01,2024-02-01,\n"),
    text("Deal ID,Changed at,New stage\n1,2024-01-01,Lead\n1,2024-02-01,Won\n"),
    text("Stage,Deal,Owner\nLead (2),A,ann\n,B,bob\nWon (2),C,ann\n,D,bob\n"),
    text("Deal,Owner,Amount\nLead,,\nA,ann,1\nB,bob,2\nWon,,\nC,ann,3\n"),
    text("Lead,Proposal,Won\nA,B,C\nD,,\n"),
    book({"Jan 2024": [HEAD, ROW], "Feb 2024": [HEAD, ROW]}),
    book({"Lead": [["Deal", "Amount"], ["A", 1]], "Proposal": [["Deal", "Amount"], ["B", 1]]}),
    book({"Ann": [HEAD, ROW], "Bob": [HEAD, ["B", "Won", 2]]}, layout="sheet_per_owner"),
]

ERRORS = {
    "damaged workbook": cut,
    "password": raw("deals.xlsx", b"\xd0\xcf\x11\xe0" + bytes(508) + "EncryptedPackage".encode("utf-16-le")),
    "sign-in page": raw("deals.xls", b'<html><form action=login><input type="password"></form></html>'),
    "web page": raw("deals.xls", b"<html><body><p>hello</p></body></html>"),
    "binary content": raw("deals.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4),
    "unknown encoding": raw("deals.csv", b"Deal,Stage\n\x81,Lead\n"),
    "two encodings": raw("deals.csv", "Deal,Stage\nMüßig Öl,Lead\n".encode() + b"M\xfcller,Lead\n"),
    "empty file": raw("deals.csv", b""),
    "header only": text("Deal,Stage\n"),
    "no header": text("1,2,3\n4,5,6\n"),
    "on its side": text("Deal,A,B\nCompany,Acme,Beta\nStage,Lead,Won\nAmount,1,2\n"),
    "no stage": text("Deal,Amount\nA,1\n"),
    "no name": text("Stage,Amount\nLead,1\n"),
    "two amounts": text("Deal,Stage,Amount,Deal value\nA,Lead,1,2\n"),
    "tab not found": book({"Deals": [HEAD, ROW], "Lists": [["x"]]}, sheet="Pipeline"),
    "two kinds of tabs": book(
        {
            "Sales": [["Deal ID", "Deal", "Stage", "Amount", "Owner"], ["1", "A", "Lead", 1, "ann"]],
            "Projects": [["Project code", "Customer", "Phase", "Price", "Seller"], ["P9", "B", "Proposal", 2, "bob"]],
        }
    ),
    "duplicate keys": text("Deal ID,Stage,Amount\nA,Lead,1\nA,Won,2\nB,Lead,1\n", key="Deal ID"),
    "ticks instead of days": text("Deal,Lead,Proposal,Negotiation,Won\nA,x,x,,\nB,x,,,\n"),
    "unclosed quote": text('Deal,Stage\nA,Lead\n"B,Lead\nC,Lead\n'),
    "ambiguous dates": text("Deal,Stage,Close date\nA,Lead,03/04/2024\nB,Lead,05/06/2024\n"),
    "dates in two orders": text("Deal,Stage,Close date\nA,Lead,13/04/2024\nB,Lead,04/13/2024\n"),
    "ambiguous numbers": text("Deal,Stage,Amount\nA,Lead,5.000\n"),
    "ambiguous multipliers": text("Deal,Stage,Amount\nA,Lead,2 M\n"),
    "formulas never calculated": never_calculated,
    "over the limit": text("Deal,Stage\n" + "A,Lead\n" * 150_000, size_limit_mb=1),
}


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_each_layout_of_the_guide_is_recognised_for_the_reason_it_gives(tmp_path, number):
    path, config = LAYOUTS[number](tmp_path)
    layout, _, reason, _ = table("Layouts")[number]
    found = inspect(path, config, clock=FakeClock(NOW))
    assert found.errors == ()
    assert {(sheet.layout, sheet.reason) for sheet in found.sheets} == {(layout, reason)}


@pytest.mark.parametrize(
    "case", [row[0] for row in table("What is said when a file cannot be read") if row[0] != "not shared"]
)
def test_each_error_of_the_guide_is_said_in_these_words(tmp_path, case):
    said = dict(table("What is said when a file cannot be read"))[case]
    path, config = ERRORS[case](tmp_path)
    with pytest.raises(ConfigError) as refusal:
        read(path, **config)
    assert str(refusal.value) == said


def test_a_sheet_that_is_not_shared_names_who_must_be_let_in():
    said = dict(table("What is said when a file cannot be read"))["not shared"]
    with serving() as google:
        google.sheets["abc"] = {"title": "S", "locale": "en_US", "timeZone": "UTC", "public": False, "tabs": []}
        google.sheets["abc"]["shared_with"] = ()
        with pytest.raises(ConfigError, match=re.escape(said)):
            read(google_sheet_id="abc", service_account=google.service_account(), base_url=google.url)


def test_the_guide_names_every_case():
    assert len(table("Layouts")) == len(LAYOUTS)
    assert {row[0] for row in table("What is said when a file cannot be read")} == {*ERRORS, "not shared"}
