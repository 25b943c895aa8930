"""Readings over time: what is read again, what is gone, what was renamed. Snapshots are compared by the build; dates and absences are ours."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from connectors.sdk import records as rec
from connectors.sdk.clock import FakeClock
from connectors.sdk.errors import ConfigError, TransientError
from connectors.sdk.standalone import StandaloneSync
from connectors.spreadsheet import Spreadsheet
from tests.connectors.spreadsheet.sheets import NOW, csv_file, read, xlsx_file

HEAD = "Deal ID,Company,Owner,Stage,Amount\n"


def data(got):
    return [record for record in got.all if not isinstance(record, rec.SourceInfo)]


def test_the_same_content_yields_nothing_and_new_content_everything(tmp_path):
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n")
    first = read(path)
    again = first.again()
    assert data(again) == []
    os.utime(path)
    assert data(again.again()) == [], "a touched file is no new content"
    csv_file(tmp_path, HEAD + "1,Acme,ann,Won,10\n")
    third = again.again()
    assert third.deals["1"].stage_id == "won"
    assert len(third.of(rec.SweepEnd)) == 1


def test_another_mapping_reads_the_same_file_anew(tmp_path):
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,0\n")
    first = read(path)
    told = read(path, cursors=first.sync.cursors, zero_amount="unknown")
    assert first.deals["1"].amount == 0
    assert told.deals["1"].amount is None


def test_full_reads_everything_again(tmp_path):
    first = read(csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n"))
    assert set(first.again(full=True).deals) == {"1"}


def test_a_row_that_is_gone_is_absent_not_deleted(tmp_path):
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n2,Beta,bob,Lead,20\n", "p_2024-01-31.csv")
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n", "p_2024-02-29.csv")
    ends = read(tmp_path).of(rec.SweepEnd)
    assert [(end.missing_as, end.complete, end.read_at) for end in ends] == [
        ("absent", True, datetime(2024, 1, 31, tzinfo=UTC)),
        ("absent", True, datetime(2024, 2, 29, tzinfo=UTC)),
    ]


def test_a_late_older_snapshot_takes_its_own_place(tmp_path):
    csv_file(tmp_path, HEAD + "1,Acme,ann,Won,10\n", "p_2024-03-31.csv")
    first = read(tmp_path)
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n", "p_2024-01-31.csv")
    late = first.again()
    assert [(deal.stage_id, deal.read_at) for deal in late.of(rec.Deal)] == [
        ("lead", datetime(2024, 1, 31, tzinfo=UTC))
    ]


def test_a_bad_file_changes_nothing_and_the_others_are_read(tmp_path):
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n", "p_2024-01-31.csv")
    csv_file(tmp_path, HEAD, "p_2024-02-29.csv")
    got = read(tmp_path)
    warn = next(w for w in got.of(rec.Warn) if w.code == "file_refused")
    assert warn.makes == "partial"
    assert "p_2024-02-29.csv" in warn.message
    assert [deal.read_at.month for deal in got.of(rec.Deal)] == [1]
    csv_file(tmp_path, HEAD + "1,Acme,ann,Won,10\n", "p_2024-02-29.csv")
    healed = got.again()
    assert [deal.stage_id for deal in healed.of(rec.Deal)] == ["won"], "only the file that was bad is read again"


def test_a_bad_row_in_the_middle_yields_no_half_of_a_file(tmp_path):
    path = csv_file(tmp_path, HEAD + "".join(f"{n},Acme,ann,Lead,10\n" for n in range(50)) + '51,"Acme,ann,Lead,10\n')
    with pytest.raises(ConfigError, match="line 52"):
        read(path)


def test_a_renamed_key_is_suggested_never_merged(tmp_path):
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n2,Beta,bob,Lead,20\n", "p_2024-01-31.csv")
    csv_file(tmp_path, HEAD + "1-new,Acme,ann,Proposal,10\n2,Beta,bob,Lead,20\n", "p_2024-02-29.csv")
    got = read(tmp_path)
    assert "deal '1' is gone and '1-new' is new" in got.warnings["key_renamed"]
    assert "Acme" not in str(got.sync.cursors), "customers do not stand in a cursor, which reports show"
    csv_file(tmp_path, HEAD + "1-new,Acme,ann,Proposal,10\n2b,Beta,bob,Lead,20\n", "p_2024-03-31.csv")
    assert "deal '2' is gone and '2b' is new" in got.again().warnings["key_renamed"], (
        "the old key is asked from what is held"
    )
    assert set(got.deals) == {"1", "2", "1-new"}


def test_a_known_new_header_is_mapped_and_reported_an_unknown_one_stops_the_load(tmp_path):
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n")
    first = read(path)
    csv_file(tmp_path, "Deal ID,Company,Owner,Tahap,Amount\n1,Acme,ann,Menang,10\n")
    known = first.again()
    assert known.deals["1"].stage_id == "menang"
    assert "stage is now read from column 'Tahap'; it was 'Stage' before" in known.warnings["column_renamed"]
    csv_file(tmp_path, "Deal ID,Company,Owner,Tahap,Worth of it\n1,Acme,ann,Menang,10\n")
    with pytest.raises(ConfigError, match=r"column 'Amount', read as amount so far, is gone.*'Worth of it'"):
        known.again()
    given_up = read(path, cursors=known.sync.cursors, columns={"amount": None})
    assert given_up.deals["1"].amount is None


def test_the_key_does_not_change_by_itself(tmp_path):
    path = csv_file(tmp_path, "Deal ID,Deal,Stage\n1,Alpha,Lead\n2,Bravo,Lead\n")
    first = read(path)
    csv_file(tmp_path, "Deal ID,Deal,Stage\n1,Alpha,Lead\n1,Bravo,Lead\n")
    with pytest.raises(ConfigError, match="rows 2 and 3"):
        first.again()
    csv_file(tmp_path, "Deal,Stage\nAlpha,Lead\nBravo,Lead\n")
    with pytest.raises(ConfigError, match="deals were identified by 'Deal ID' so far"):
        first.again()


def test_columns_may_move_and_new_ones_may_come(tmp_path):
    """B22: added and moved headers never shift values into wrong columns."""
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n")
    first = read(path)
    csv_file(tmp_path, "Note,Amount,Stage,Deal ID,Owner,Company\nhi,10,Lead,1,ann,Acme\n")
    moved = first.again()
    assert moved.deals["1"].amount == first.deals["1"].amount
    assert moved.deals["1"].stage_id == "lead"
    assert moved.deals["1"].custom_fields == {"Note": "hi"}


def test_the_day_comes_from_setting_name_as_of_line_or_the_file(tmp_path):
    text = "Status as of 31 May 2024\n\nDeal,Stage\nA,Lead\n"
    path = csv_file(tmp_path, text)
    assert read(path).deals["a"].read_at == datetime(2024, 5, 31, tzinfo=UTC)
    assert read(path, snapshot_date="2024-06-02").deals["a"].read_at == datetime(2024, 6, 2, tzinfo=UTC)
    plain = read(csv_file(tmp_path, "Deal,Stage\nA,Lead\n", "plain.csv"))
    assert plain.deals["a"].read_at is None, "an undated sheet is true when it is read"
    assert plain.of(rec.SweepEnd)[0].read_at is None
    future = read(csv_file(tmp_path, "Deal,Stage\nA,Lead\n", "p_2031-01-01.csv"))
    assert future.deals["a"].read_at == NOW, "no snapshot is true later than now"


@pytest.mark.parametrize(
    ("name", "locale", "day"),
    [
        ("pipeline_2024-06-03", None, "2024-06-03"),
        ("20240603 pipeline", None, "2024-06-03"),
        ("pipeline 13-06-2024", None, "2024-06-13"),
        ("pipeline 03-06-2024", "id_ID", "2024-06-03"),
        ("pipeline 03-06-2024", "en_US", "2024-03-06"),
        ("Pipeline Mei 2024", None, "2024-05-31"),
        ("Q3-2024", None, "2024-09-30"),
        ("2024-W34", None, "2024-08-25"),
        ("forecast_2024-02", None, "2024-02-29"),
        ("12 Juni 2024", None, "2024-06-12"),
    ],
)
def test_days_in_names(tmp_path, name, locale, day):
    path = csv_file(tmp_path, "Deal,Stage\nA,Lead\n", f"{name}.csv")
    assert read(path, locale=locale).deals["a"].read_at.date().isoformat() == day


def test_a_name_that_could_be_two_days_is_no_day(tmp_path):
    path = csv_file(tmp_path, "Deal,Stage\nA,Lead\n", "pipeline 03-06-2024.csv")
    assert read(path).deals["a"].read_at is None


def test_a_snapshot_whose_file_is_gone_is_mentioned(tmp_path):
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n", "p_2024-01-31.csv")
    old = csv_file(tmp_path, HEAD + "1,Acme,ann,Won,10\n", "p_2024-02-29.csv")
    first = read(tmp_path)
    old.unlink()
    assert "2024-02-29" in first.again().warnings["snapshot_gone"]


def test_dates_are_days_in_the_zone_of_the_sheet(tmp_path):
    text = "Deal,Lead date,Proposal date,Won date\nA,2024-01-01,2024-02-01 09:30,\n"
    got = read(csv_file(tmp_path, text), timezone="Asia/Jakarta")
    assert [change.changed_at.isoformat() for change in got.history["a"].stage_changes] == [
        "2023-12-31T17:00:00+00:00",
        "2024-02-01T02:30:00+00:00",
    ]
    assert not got.deals["a"].dates_only


def test_absences_that_landing_did_not_believe_come_again_though_the_file_is_the_same(tmp_path):
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n2,Beta,bob,Lead,20\n")
    first = read(path)
    csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n")
    first.sync.clock.advance(days=1)
    doubted = first.again()
    doubted.sync._swept = dict(first.sync._swept)  # as if the guard had tripped: the sweep is not recorded as done
    doubted.sync.clock.advance(days=1)
    again = doubted.again()
    assert set(again.deals) == {"1"}
    assert len(again.of(rec.SweepEnd)) == 1
    again.sync.clock.advance(days=1)
    assert data(again.again()) == [], "accepted this time"


def test_a_start_date_is_refused_because_a_sheet_cannot_keep_it(tmp_path):
    with pytest.raises(ConfigError, match="a sheet does not say when a deal was modified"):
        read(csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n"), start_date="2024-01-01")


def test_a_tab_that_vanished_is_mentioned(tmp_path):
    head = ["Deal", "Stage", "Amount"]
    first = read(xlsx_file(tmp_path, {"Ayu": [head, ["A", "Lead", 1]], "Budi": [head, ["B", "Lead", 1]]}))
    xlsx_file(tmp_path, {"Ayu": [head, ["A", "Lead", 1]], "Citra": [head, ["C", "Lead", 1]]})
    second = first.again()
    assert "not there or hold no deals: Budi" in second.warnings["tab_gone"]
    assert set(second.deals) == {"a", "c"}, "a new tab that fits is picked up"


def test_days_without_times_are_told_to_the_build(tmp_path):
    days = read(csv_file(tmp_path, "ID,Stage,Created\n1,Lead,2024-01-02\n2,Lead,\n")).deals
    assert (days["1"].dates_only, days["2"].dates_only) == (True, False)
    times = read(csv_file(tmp_path, "ID,Stage,Created\n1,Lead,2024-01-02 10:00\n"))
    assert not times.deals["1"].dates_only


def test_a_file_that_is_saved_while_it_is_read_is_not_half_taken_over(tmp_path):
    path = csv_file(tmp_path, HEAD + "1,Acme,ann,Lead,10\n")
    sync = StandaloneSync(Spreadsheet, {"path": str(path)}, source_key="sheet", clock=FakeClock(NOW))

    def read_while_somebody_saves() -> None:
        for record in sync.stream():
            if isinstance(record, rec.Deal):
                csv_file(tmp_path, HEAD + "1,Acme,ann,Won,10\n2,Beta,bob,Lead,5\n")

    with pytest.raises(TransientError, match="saved while it was being read"):
        read_while_somebody_saves()
    assert sync.committed == []
    assert sync.cursors == {}
