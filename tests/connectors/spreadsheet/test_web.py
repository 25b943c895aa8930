"""Sheets from the web: Google's API, its public export, and files behind addresses, all on this machine."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connectors.sdk import records as rec
from connectors.sdk.errors import ConfigError, QuotaError, TransientError
from tests.connectors.spreadsheet.google_fake import serving
from tests.connectors.spreadsheet.sheets import read

SHEET = "1AbC-d_E"


@pytest.fixture
def google():
    with serving() as fake:
        fake.sheets[SHEET] = {
            "title": "Sales",
            "locale": "id_ID",
            "timeZone": "Asia/Jakarta",
            "public": True,
            "shared_with": (fake.email,),
            "tabs": [
                (
                    "It's deals",
                    False,
                    [
                        ["Kode", "Tahap", "Nilai", "Perkiraan Closing", "Catatan"],
                        ["D1", "Prospek", 1500000.5, 45425, None],
                        ["D2", "Menang", 2000000, None, None],
                        [None, None, None, None, None],
                        ["D3", "Kalah", "Rp 5.000", 45426, "x"],
                        [None, None, None, None, None],
                    ],
                ),
                ("Lists", True, [["Prospek"], ["Menang"]]),
            ],
        }
        yield fake


def test_a_public_sheet_is_read_by_key_in_two_calls(google):
    """B24: far inside 60 reads a minute."""
    got = read(google_sheet_id=SHEET, api_key=google.api_key, base_url=google.url, default_currency="IDR")
    assert {key: deal.amount for key, deal in got.deals.items()} == {
        "D1": Decimal("1500000.5"),
        "D2": 2000000,
        "D3": 5000,
    }
    assert got.deals["D1"].expected_close_date == date(2024, 5, 13)
    assert got.deals["D2"].expected_close_date is None
    assert got.deals["D3"].url == "google-sheet#It's deals!A5"
    assert got.of(rec.SourceInfo)[0].time_zone == "Asia/Jakarta", "the sheet's own zone"
    assert got.deals["D1"].read_at is None
    assert google.requests == [f"GET /v4/spreadsheets/{SHEET}", f"GET /v4/spreadsheets/{SHEET}/values:batchGet"]
    assert got.again().of(rec.Deal) == [], "the same content yields nothing"


def test_a_service_account_reads_what_is_shared_with_it(google):
    google.sheets[SHEET]["public"] = False
    got = read(google_sheet_id=SHEET, service_account=google.service_account(), base_url=google.url)
    assert set(got.deals) == {"D1", "D2", "D3"}
    google.sheets[SHEET]["shared_with"] = ()
    with pytest.raises(ConfigError, match=r"Share it with reader@project\.iam\.gserviceaccount\.com"):
        read(google_sheet_id=SHEET, service_account=google.service_account(), base_url=google.url)


def test_credentials_that_do_not_work_are_named_and_never_shown(google):
    google.sheets[SHEET]["public"] = False
    with pytest.raises(ConfigError, match="An API key reads only sheets that anyone with the link may read") as error:
        read(google_sheet_id=SHEET, api_key=google.api_key, base_url=google.url)
    assert google.api_key not in str(error.value)
    with pytest.raises(ConfigError, match="neither the JSON key of a service account nor the path of one"):
        read(google_sheet_id=SHEET, service_account="{}", base_url=google.url)
    broken = google.service_account().replace("PRIVATE KEY", "PRIVATE CAKE")
    with pytest.raises(ConfigError, match="private key in it cannot be used"):
        read(google_sheet_id=SHEET, service_account=broken, base_url=google.url)


def test_an_unknown_sheet_is_named(google):
    with pytest.raises(ConfigError, match="Google knows no such sheet"):
        read(google_sheet_id="nope", api_key=google.api_key, base_url=google.url)


def test_being_busy_is_waited_out(google):
    google.busy = 2
    got = read(google_sheet_id=SHEET, api_key=google.api_key, base_url=google.url)
    assert len(got.deals) == 3


def test_a_quota_that_is_used_up_is_said_with_the_wait(google):
    """Google's minute is waited out; a longer wait that it asks for is not, and a sheet that stays busy is given up."""
    google.busy = 1000
    with pytest.raises(TransientError) as stays:
        read(google_sheet_id=SHEET, api_key=google.api_key, base_url=google.url)
    assert str(stays.value) == (
        "sheet: GET /v4/spreadsheets/{id}: too many requests (429); gave up after 9 tries in 100 s. "
        "If it stays, check the network and the source's status page."
    )
    google.retry_after_s = 3600
    with pytest.raises(QuotaError) as gone:
        read(google_sheet_id=SHEET, api_key=google.api_key, base_url=google.url)
    assert str(gone.value) == (
        "sheet: GET /v4/spreadsheets/{id}: too many requests (429), and the source asks to wait 3600 s. "
        "The next sync after that goes on."
    )
    assert google.api_key not in str(stays.value) + str(gone.value)


def test_the_public_export_needs_no_key(google):
    google.sheets[SHEET]["formatted"] = [
        ["Kode", "Tahap", "Nilai"],
        ["D1", "Prospek", "Rp1.500.000"],
        ["D2", "Menang", "Rp2.000.000"],
    ]
    got = read(google_sheet_id=SHEET, sheet="gid=0", base_url=google.url)
    assert [deal.amount for deal in got.deals.values()] == [1500000, 2000000]
    with pytest.raises(ConfigError, match="only one tab can be read, named by its number"):
        read(google_sheet_id=SHEET, sheet="Deals", base_url=google.url)
    google.sheets[SHEET]["public"] = False
    with pytest.raises(ConfigError, match=r"is a sign-in page \(HTML\), not a sheet"):
        read(google_sheet_id=SHEET, base_url=google.url)


def test_a_file_behind_an_address_is_read(google):
    google.files["/data/deals_2024-05-01.csv"] = (200, {}, b"Deal,Stage\nAlpha,Lead\n")
    deal = read(f"{google.url}/data/deals_2024-05-01.csv").deals["alpha"]
    assert (deal.source_file, deal.read_at) == ("deals_2024-05-01.csv", datetime(2024, 5, 1, tzinfo=UTC))


def test_addresses_that_give_no_table(google):
    google.files["/private.csv"] = (403, {}, b"")
    google.files["/page.csv"] = (200, {}, b"<html><body>hello</body></html>")
    google.files["/cut.csv"] = (200, {"Content-Length": "500"}, b"Deal,Stage\nAlpha,Lead\n")
    google.files["/large.csv"] = (200, {}, b"Deal,Stage\n" + b"Alpha,Lead\n" * 100_000)
    for path, message in [
        ("/none.csv", r"nothing at this address \(404\)"),
        ("/private.csv", r"refuses to show the sheet \(403\)"),
        ("/page.csv", "web page"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read(google.url + path)
    with pytest.raises(TransientError, match="broke off"):
        read(f"{google.url}/cut.csv")
    with pytest.raises(ConfigError, match="over the limit of 1 MB"):
        read(f"{google.url}/large.csv", size_limit_mb=1)


def test_plain_http_is_for_this_machine_only():
    with pytest.raises(ConfigError, match="Use https"):
        read("http://example.com/deals.csv")
    with pytest.raises(ConfigError, match="base_url"):
        read(google_sheet_id=SHEET, api_key="k", base_url="https://example.com")
