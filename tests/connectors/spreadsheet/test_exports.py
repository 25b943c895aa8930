"""Exports of the CRMs and sheets as people really keep them, written from general knowledge of their shape: recognised without a setting."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.connectors.spreadsheet.sheets import csv_file, read

SALESFORCE = """
Report Name:,Open pipeline
Generated:,2024-05-01

Opportunity Owner,Account Name,Opportunity Name,Stage,Fiscal Period,Amount Currency,Amount,Expected Revenue,Probability (%),Close Date,Created Date,\
Type
Ann,Acme,Alpha,Proposal/Price Quote,Q2-2024,USD,"12,000.00","6,000.00",50,5/31/2024,4/19/2024,New Business
Bob,Beta,Bravo,Closed Won,Q2-2024,USD,"2,500.50","2,500.50",100,5/13/2024,3/2/2024,Existing Business
Total,,,,,,"14,500.50",,,,,
Confidential Information - Do Not Distribute
"Copyright © 2000-2024 salesforce.com, inc. All rights reserved."
"""

HUBSPOT = """
Record ID,Deal Name,Pipeline,Deal Stage,Amount,Close Date,Deal owner,Create Date,Associated Company,Deal probability
9001,Alpha,Sales Pipeline,Appointment Scheduled,1000.00,2024-05-31 10:00,Ann Lee,2024-04-01 09:00,Acme,0.2
9002,Bravo,Sales Pipeline,Closed Won,2500.00,2024-05-13 10:00,Bob,2024-03-01 09:00,Beta,1.0
"""

PIPEDRIVE = """
Deal - ID,Deal - Title,Deal - Value,Deal - Currency,Deal - Stage,Deal - Status,Deal - Owner,\
Deal - Deal created,Deal - Won time,Organization - Name,Person - Name
1,Alpha,1000,EUR,Qualified,Open,Ann,2024-04-01 09:00:00,,Acme,Joe
2,Bravo,2000,EUR,Proposal Made,Won,Bob,2024-03-01 09:00:00,2024-05-10 12:00:00,Beta,Jim
"""

INDONESIAN = """
No,Tgl Input,Nama Prospek,Nama Proyek,Nilai Proyek (Rp),Peluang (%),Status,Tgl Closing,PIC,Keterangan
1,05/01/2024,PT Maju,ERP,1.250.000.000,50,Penawaran,20/06/2024,Ayu,menunggu
2,17/01/2024,CV Jaya,CRM,350 jt,75,Negosiasi,15/07/2024,Budi,
3,20/02/2024,PT Abadi,Web,75.000.000,100,Deal,10/03/2024,Ayu,selesai
,,,Total,1.675.000.000,,,,,
"""

TEMPLATE = """
SALES PIPELINE MANAGEMENT TEMPLATE,,,,,,,
,,,,,,,
DATE,OPPORTUNITY NAME,CONTACT NAME,SALES PHASE,DEAL VALUE,CLOSURE PROBABILITY,WEIGHTED VALUE,EXPECTED CLOSE
01/15/2024,Opp A,Al,Lead,"$10,000.00",Low,"$2,000",03/30/2024
01/18/2024,Opp B,Bo,Proposal,"$25,000.00",High,"$20,000",04/12/2024
,,,,,,,
TOTAL,,,,"$35,000.00",,"$22,000",
"""


def test_a_salesforce_report(tmp_path):
    got = read(csv_file(tmp_path, SALESFORCE))
    deal = got.deals["acme/alpha"]
    assert (deal.amount, deal.currency, deal.probability, deal.owner_id) == (Decimal(12000), "USD", 0.5, "ann")
    assert (deal.expected_close_date, deal.created_at) == (date(2024, 5, 31), datetime(2024, 4, 19, tzinfo=UTC))
    assert deal.custom_fields["Expected Revenue"] == "6,000.00", "the weighted sum is never the amount"
    assert [reject.reason for reject in got.rejects] == ["total", "note", "note"]
    assert got.stages["proposal/price quote"].display_order < got.stages["closed won"].display_order


def test_a_hubspot_export(tmp_path):
    got = read(csv_file(tmp_path, HUBSPOT), timezone="Europe/Berlin")
    deal = got.deals["9001"]
    assert (deal.pipeline_id, deal.stage_id, deal.company_name) == ("sales pipeline", "appointment scheduled", "Acme")
    assert deal.created_at == datetime(2024, 4, 1, 7, tzinfo=UTC)
    assert deal.expected_close_date == date(2024, 5, 31)


def test_a_pipedrive_export(tmp_path):
    got = read(csv_file(tmp_path, PIPEDRIVE))
    won = got.deals["2"]
    assert (won.stage_id, won.status, won.closed_at) == ("proposal made", "won", datetime(2024, 5, 10, 12, tzinfo=UTC))
    assert (won.company_name, won.custom_fields["Person - Name"]) == ("Beta", "Jim")
    assert got.stages["qualified"].display_order < got.stages["proposal made"].display_order


def test_an_indonesian_tracker(tmp_path):
    got = read(csv_file(tmp_path, INDONESIAN))
    assert {key: (deal.stage_id, deal.amount, deal.currency) for key, deal in got.deals.items()} == {
        "pt maju/erp": ("penawaran", Decimal(1_250_000_000), "IDR"),
        "cv jaya/crm": ("negosiasi", Decimal(350_000_000), "IDR"),
        "pt abadi/web": ("deal", Decimal(75_000_000), "IDR"),
    }
    deal = got.deals["pt maju/erp"]
    assert (deal.probability, deal.owner_id, deal.expected_close_date) == (0.5, "ayu", date(2024, 6, 20))
    assert deal.custom_fields == {"No": "1", "Keterangan": "menunggu"}, "a running number is no key"
    assert [reject.source_row for reject in got.rejects] == [5]


def test_a_downloaded_template(tmp_path):
    got = read(csv_file(tmp_path, TEMPLATE))
    deal = got.deals["opp b"]
    assert (deal.stage_id, deal.amount, deal.currency, deal.probability) == ("proposal", Decimal(25000), None, None)
    assert deal.custom_fields["CLOSURE PROBABILITY"] == "High"
    assert "may mean USD, CAD" in got.warnings["currency_sign_unclear"]
    assert read(tmp_path / "deals.csv", default_currency="USD").deals["opp b"].currency == "USD"


def test_camel_case_headers_of_a_database_export(tmp_path):
    text = "OpportunityID,AccountName,StageName,Amount,CloseDate,OwnerName\n006A,Acme,Prospecting,1000,2024-05-31,Ann\n"
    deal = read(csv_file(tmp_path, text)).deals["006A"]
    assert (deal.company_name, deal.stage_id, deal.owner_id, deal.amount) == ("Acme", "prospecting", "ann", 1000)


def test_headers_that_only_look_like_fields_are_left_alone(tmp_path):
    text = "Deal ID,Stage,Owner email,Company ID,Has company,Stage count,Lead type,Average stock\n1,Lead,a@b.c,77,True,3,online,5\n"
    deal = read(csv_file(tmp_path, text)).deals["1"]
    assert (deal.owner_id, deal.company_id, deal.amount) == (None, None, None)
    assert set(deal.custom_fields) == {
        "Owner email",
        "Company ID",
        "Has company",
        "Stage count",
        "Lead type",
        "Average stock",
    }
