"""Many small parts become few large ones, and nobody loses a row over it."""

from datetime import timedelta

import duckdb
import pytest

from connectors.sdk.records import Deal, Seen
from tests.warehouse.scripted import START, Land, change, deal, deals, history, sweep
from warehouse.landing import compaction, reading
from warehouse.landing.manifest import LandingError


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def files(land):
    return {path.name for path in (land.home.landing / "acme" / "parts").iterdir()}


def small_syncs(land, count, first=0):
    for number in range(first, first + count):
        land.sync(
            deal(f"d{number % 7}", f"s{number}"),
            history(f"d{number % 7}", change(f"d{number % 7}", f"e{number}"), complete=False),
        )
        land.clock.advance(minutes=30)


def test_live_parts_stay_few_and_no_version_is_lost(land):
    small_syncs(land, 30)
    assert len(land.manifest().parts_of("deals")) < compaction.FAN_IN
    assert land.query("select count(*), count(distinct stage_id) from landing.deals") == [(30, 30)]
    assert land.query("select count(*) from landing.stage_changes") == [(30,)]


def test_a_build_that_read_an_older_manifest_finishes_while_syncs_compact(land, monkeypatch):
    monkeypatch.setattr(compaction, "FAN_IN", 3)
    small_syncs(land, 5)
    with duckdb.connect() as con:
        reading.snapshot(land.home, ["acme"]).create_views(con)
        for number in range(5):
            small_syncs(land, 2, first=5 + number * 2)
            assert con.execute("select count(*) from landing.deals").fetchall() == [(5,)]
    assert land.query("select count(*) from landing.deals") == [(15,)]


def test_replaced_parts_go_after_24_hours_by_the_injected_clock(land):
    small_syncs(land, compaction.FAN_IN)
    retired = land.manifest().retired
    assert retired
    land.clock.advance(hours=23)
    land.sync()
    assert {path.rpartition("/")[2] for path in retired} <= files(land)
    land.clock.advance(hours=2)
    land.sync()
    assert not {path.rpartition("/")[2] for path in retired} & files(land)
    assert land.manifest().retired == {}
    assert land.query("select count(*) from landing.deals") == [(compaction.FAN_IN,)]


def test_orphans_of_a_killed_sync_go_24_hours_after_they_were_noticed(land):
    land.sync(deal("a"))
    orphan = land.home.landing / "acme" / "parts" / "deals-00000077-0000.parquet"
    orphan.write_bytes(b"left over")
    for hours, is_there in ((7, True), (20, True), (8, False)):
        land.clock.advance(hours=hours)
        land.sync()
        assert orphan.exists() is is_there
    assert land.query("select count(*) from landing.deals") == [(1,)]


def test_keys_of_an_open_sweep_are_no_orphans(land):
    land.sync(*deals(4))
    land.sync(Seen(stream="deals", key="d0000"), Seen(stream="deals", key="d0001"), sweep(complete=False))
    for _ in range(10):
        land.clock.advance(hours=12)
        land.sync()
    land.sync(Seen(stream="deals", key="d0002"), sweep())
    assert land.presence() == [("d0003", "purged")]


def test_a_damaged_part_is_not_merged_into_a_sound_looking_one(land):
    small_syncs(land, compaction.FAN_IN - 1)
    part = land.manifest().parts_of("deals")[2]
    path = land.home.landing / "acme" / part.path
    data = bytearray(path.read_bytes())
    data[70] ^= 255
    path.write_bytes(bytes(data))
    report = land.sync(deal("x"))
    assert report.status == "complete"
    assert "compaction" in [notice.code for notice in report.warnings]
    assert len(land.manifest().parts_of("deals")) == compaction.FAN_IN
    with pytest.raises(LandingError, match=path.name):
        land.query("select 1")


def test_tiers_grow_so_that_a_row_is_rewritten_a_few_times_only(land, monkeypatch):
    monkeypatch.setattr(compaction, "_TIERS", ((3, 10**9), (9, 10**9), (27, 10**9)))
    monkeypatch.setattr(compaction, "FAN_IN", 3)
    small_syncs(land, 30)
    parts = land.manifest().parts_of("deals")
    assert sum(part.rows for part in parts) == 30
    assert max(part.rows for part in parts) >= 9
    assert land.query("select count(distinct stage_id) from landing.deals") == [(30,)]
    assert land.manifest().parts_of("deals")[0].min_seq < START.year  # the sequence range of a merged part is kept
    assert START + timedelta(minutes=30 * 30) == land.clock.now()


def test_parts_of_wide_rows_are_merged_too_until_they_are_large_in_bytes(land, monkeypatch):
    monkeypatch.setattr(compaction, "_TIERS", ((1_000, 50_000), (10_000, 120_000)))
    monkeypatch.setattr(compaction, "FAN_IN", 3)
    for number in range(14):
        land.sync(Deal(deal_id="a", raw={"x": f"{number:02d}" * 10_000}))
    parts = land.manifest().parts_of("deals")
    assert sum(part.rows for part in parts) == 14
    assert len(parts) < 6
    assert max(part.rows for part in parts) < 14
    assert land.query("select count(distinct raw), min(length(raw)) > 20000 from landing.deals") == [(14, True)]
