"""How a sync ends and what it says of itself."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from connectors.sdk.client import CallPolicy
from connectors.sdk.errors import ConfigError, DataError, QuotaError, TransientError, VendorError
from connectors.sdk.records import Checkpoint, HistoryRead, Owner, Record, Reject, Seen, SourceInfo, Tombstone, Warn
from connectors.sdk.settings import ConnectorSettings, Secret
from tests.warehouse.scripted import INFO, START, Land, Scripted, change, deal, sweep
from warehouse.home import LockedError
from warehouse.landing import reading
from warehouse.landing.reports import read_reports
from warehouse.landing.store import LocalStore
from warehouse.sync import exit_code, run_sync


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def held_deals(land):
    return [row[0] for row in land.query("select deal_id from landing.deals order by all")]


def reports(land):
    return read_reports(LocalStore(land.home.landing), land.source_key)


def test_a_complete_sync_moves_data_through_to_its_start(land):
    def script(sync):
        yield INFO
        land.clock.advance(minutes=10)
        yield deal("a")

    report = land.sync(script=script)
    assert (report.status, exit_code(report)) == ("complete", 0)
    assert (report.started_at, report.ended_at) == (START, START + timedelta(minutes=10))
    facts = reading.snapshot(land.home, ["acme"]).source_facts()[0]
    assert facts["data_through_at"] == START.replace(tzinfo=None)
    assert facts["account_id"] == "acc-1"
    assert land.query("select _read_at from landing.deals") == [((START + timedelta(minutes=10)).replace(tzinfo=None),)]


def test_a_quota_ends_the_sync_as_partial_with_its_state_saved(land):
    """C1: a sync that stops at a limit is not a success, and nothing of it is lost."""
    resumes = START + timedelta(hours=4)
    report = land.sync(
        deal("a"),
        Checkpoint(stream="deals", cursor={"page": 2}),
        deal("b"),
        QuotaError("10,000 calls used", resumes_at=resumes),
    )
    assert (report.status, exit_code(report), report.resumes_at) == ("partial", 3, resumes)
    assert report.reasons == ["10,000 calls used"]
    assert held_deals(land) == ["a", "b"]
    assert land.manifest().cursors == {"deals": {"page": 2}}
    assert land.manifest().data_through_at is None
    assert land.manifest().last_synced_at == START


@pytest.mark.parametrize("error", [TransientError("down"), VendorError("odd answer"), ConfigError("bad key")])
def test_an_error_fails_the_sync_and_what_was_committed_stays(land, error):
    report = land.sync(deal("a"), Checkpoint(stream="deals", cursor={"page": 2}), deal("b"), error)
    assert (report.status, exit_code(report)) == ("failed", 1)
    assert report.reasons == [f"{type(error).__name__}: {error}"]
    assert "a" in held_deals(land)
    assert land.manifest().cursors == {"deals": {"page": 2}}
    assert land.manifest().last_synced_at is None
    again = land.sync(deal("a"), deal("b"))
    assert again.status == "complete"
    assert held_deals(land) == ["a", "b"]


def test_a_bug_is_raised_and_the_report_does_not_stay_running(land):
    with pytest.raises(KeyError):
        land.sync(deal("a"), KeyError("oops"))
    (report,) = reports(land)
    assert report.status == "failed"
    assert report.reasons[0].startswith("KeyError")


def test_a_cursor_is_read_back_dropped_and_hidden_from_a_full_sync(land):
    seen = []

    def script(sync):
        seen.append((dict(sync.cursor("deals")), dict(sync.cursors)))
        yield deal("a")
        yield Checkpoint(stream="deals", cursor={"updated_at": "2026"} if len(seen) < 5 else None)
        seen.append(dict(sync.cursors))

    for full in (False, True, False):
        land.sync(script=script, full=full)
    cursor = {"updated_at": "2026"}
    assert seen == [
        ({}, {}),
        {"deals": cursor},
        ({}, {"deals": cursor}),
        {"deals": cursor},
        (cursor, {"deals": cursor}),
        {},
    ]
    assert land.manifest().cursors == {}


def test_warnings_can_make_a_sync_partial_or_suspicious(land):
    assert land.sync(Warn(code="x", message="look"), Warn(code="x", message="look")).status == "complete"
    partial = land.sync(Warn(code="x", message="half", makes="partial"))
    assert (partial.status, partial.reasons) == ("partial", ["half"])
    odd = land.sync(Warn(code="x", message="half", makes="partial"), Warn(code="y", message="odd", makes="suspicious"))
    assert (odd.status, odd.reasons, exit_code(odd)) == ("suspicious", ["half", "odd"], 3)


def test_bad_records_go_to_the_rejects_with_reasons_and_never_end_the_sync(land):
    """D4: a row that cannot be read is put aside and shown, and the others are kept."""
    ok = deal("ok")
    bad = {
        "naive_instant": {"created_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        "bad_decimal": {"amount": Decimal("NaN")},
        "bad_value": {"status": "Won"},
        "not_encodable": {"raw": {"x": object()}},
        "bad_key": {"deal_id": ""},
    }
    records = [msgspec.structs.replace(ok, **{"deal_id": reason, **values}) for reason, values in bad.items()]
    records += [msgspec.structs.replace(ok, deal_id="too_large", name="x" * 9_000_000)]
    records += [msgspec.structs.replace(ok, deal_id="surrogate", name="\ud800"), Owner(owner_id=5)]
    records += [Reject(stream="deals", reason="no_date", detail="row has no date", source_file="a.csv", source_row=4)]
    records += [
        Reject(stream="deals", reason="total", detail="a sum", source_file="a.csv", source_row=9, is_dropped=True)
    ]
    report = land.sync(*records, ok)
    assert report.status == "complete"
    assert held_deals(land) == ["ok"]
    counts = report.rows["deals"]
    assert (counts.read, counts.new, counts.rejected, counts.dropped) == (10, 1, 8, 1)
    reasons = [row[0] for row in land.query("select reason from landing.rejects order by all")]
    assert reasons == sorted([*bad, "too_large", "not_encodable", "bad_key", "no_date", "total"])
    assert land.sync(*records, ok).parts == 0


def test_a_repaired_row_is_no_longer_among_the_live_rejects(land):
    live = (
        "select r.reason from landing.rejects as r where coalesce((select arg_max(p.kind, (p._read_at, p._sync_seq, p._ordinal)) "
        "from landing.presence as p where p.stream = 'rejects' and p.key = r._key), 'present') = 'present' order by all"
    )
    by_key = Reject(stream="deals", key="a", reason="bad_date", detail="x")
    by_row = Reject(stream="deals", reason="no_key", detail="x", source_file="f.csv", source_row=3)
    land.sync(deal("b"), by_key, by_row, sweep())
    assert land.query(live) == [("bad_date",), ("no_key",)]
    land.sync(deal("a"))
    assert land.query(live) == [("no_key",)]
    land.sync(deal("a"), deal("b"), sweep())
    assert land.query(live) == []
    land.sync(deal("a"), deal("b"), by_row, sweep())
    assert land.query(live) == [("no_key",)]


def test_a_data_error_that_escapes_the_connector_is_a_reject_and_a_partial_sync(land):
    report = land.sync(deal("a"), DataError("deals: amount is not a number", key="b"))
    assert report.status == "partial"
    assert held_deals(land) == ["a"]
    assert land.query("select key, reason from landing.rejects") == [("b", "data_error")]


@pytest.mark.parametrize(
    "record",
    [
        change("a", "1"),
        Record(),
        Tombstone(stream="dealz", key="a", kind="deleted"),
        Seen(stream="stage_changes", key="a"),
        sweep("dealz"),
        sweep(missing_as="lost"),
        {"deal_id": "a"},
    ],
)
def test_a_record_of_the_wrong_type_is_the_connectors_fault_and_says_so(land, record):
    report = land.sync(deal("a"), record)
    assert report.status == "failed"
    assert report.reasons[0].startswith("VendorError")


def test_another_account_under_the_same_source_key_is_refused_before_anything_is_mixed(land):
    land.sync(INFO, deal("a"))
    with pytest.raises(ConfigError, match="source key of its own"):
        land.sync(SourceInfo(account_id="acc-2", name="Other"), deal("b"))
    assert held_deals(land) == ["a"]
    assert reports(land)[-1].status == "failed"


def test_another_connector_under_the_same_source_key_is_refused(land):
    land.sync(INFO)

    class Other(Scripted):
        name = "other"

    with pytest.raises(ConfigError, match="scripted"):
        run_sync(Other([]), home=land.home, clock=land.clock)


def test_two_syncs_of_one_source_at_once_the_second_is_refused_by_name(land):
    """C6: two schedulers must not write one source at the same time."""

    def script(sync):
        yield deal("a")
        with pytest.raises(LockedError, match=r"sync of acme, process \d+ on .+ since 2026-03-01 08:00:00 UTC"):
            Land.sync(land, deal("b"))

    assert land.sync(script=script).status == "complete"
    assert held_deals(land) == ["a"]


def test_secrets_stand_in_no_file_that_a_sync_writes(land):
    class WithSecret(ConnectorSettings, frozen=True, kw_only=True):
        token: Secret = Secret("tok-sekret-123")

    class Leaky(Scripted):
        def __init__(self, script):
            super().__init__(script)
            self.settings = WithSecret()

    url = "https://x/?token=tok-sekret-123"
    calls = CallPolicy("acme", clock=land.clock)
    connector = Leaky(
        [
            Warn(code="w", message=f"odd answer from {url}"),
            Reject(stream="deals", key="a", reason="r", detail=f"see {url}"),
            Checkpoint(stream="deals", cursor={"next": url}),
            TransientError(f"GET {url} failed"),
        ]
    )
    report = run_sync(connector, home=land.home, clock=land.clock, calls=calls)
    assert "***" in report.reasons[0]
    for path in land.home.landing.rglob("*"):
        if path.is_file() and path.name != "state.json":
            assert b"tok-sekret-123" not in path.read_bytes(), path
    assert land.query("select detail from landing.rejects") == [("see https://x/?token=***",)]


def test_calls_of_the_policy_stand_in_the_report(land):
    calls = CallPolicy("acme", clock=land.clock)

    def script(sync):
        yield INFO
        sync.calls.call(lambda: None, endpoint="GET /deals", judge=None) if False else None
        sync.calls.told_quota(77, 100)
        yield deal("a")

    report = land.sync(script=script, calls=calls)
    assert report.quota_left == 77
    assert calls.account == "scripted:acc-1"


def test_progress_reaches_the_person_watching(land):
    told = []
    land.sync(script=lambda sync: sync.progress(1, 2, "deals") or [], on_progress=lambda *args: told.append(args))
    assert told == [(1, 2, "deals")]


def test_a_year_of_reports_lies_in_a_few_files_and_none_is_lost(land):
    for _ in range(150):
        land.sync(deal("a"))
        land.clock.advance(hours=6)
    found = reports(land)
    assert len(found) == 150
    assert [report.started_at for report in found] == [START + timedelta(hours=6 * number) for number in range(150)]
    assert len(list((land.home.landing / "acme" / "syncs").iterdir())) < 80
    rows = reading.snapshot(land.home, ["acme"]).sync_rows()
    assert (rows[0]["rows_new"], rows[149]["rows_new"], rows[149]["status"]) == (1, 0, "complete")


def test_a_report_left_running_by_a_killed_process_is_marked_when_the_next_sync_starts(land):
    land.sync(deal("a"))
    folder = land.home.landing / "acme" / "syncs"
    (path,) = folder.glob("*.json")
    data = msgspec.json.decode(path.read_bytes())
    dead = data | {"sync_id": "20260301T083000Z-000001", "status": "running", "ended_at": None}
    (folder / "20260301T083000Z-000001.json").write_bytes(msgspec.json.encode(dead))
    land.sync(deal("a"))
    found = {report.sync_id: report for report in reports(land)}["20260301T083000Z-000001"]
    assert found.status == "failed"
    assert "interrupted" in found.reasons[0]


def test_utc_is_the_only_zone_in_reports(land):
    land.sync(deal("a"))
    assert reports(land)[0].started_at.tzinfo == UTC


def test_a_history_read_with_a_bad_deal_id_is_a_reject(land):
    report = land.sync(HistoryRead(deal_id="", complete=True))
    assert report.status == "complete"
    assert land.query("select stream, reason from landing.rejects") == [("stage_changes", "bad_key")]
