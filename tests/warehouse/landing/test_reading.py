"""What a build sees of landing."""

import duckdb
import pytest

from connectors.sdk.records import Stage
from tests.warehouse.scripted import INFO, START, Land, deal, deals
from warehouse.landing import reading
from warehouse.landing.manifest import LandingError
from warehouse.landing.schema import STREAMS


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def test_every_stream_has_a_view_with_its_declared_columns_also_without_any_data(land):
    with duckdb.connect() as con:
        reading.snapshot(land.home, ["never_synced"]).create_views(con)
        for stream, columns in STREAMS.items():
            found = {name: kind for name, kind, *_ in con.execute(f"describe landing.{stream}").fetchall()}
            assert found == {"source_key": "VARCHAR", **columns}


def test_sources_lie_in_one_view_with_their_key_in_front_and_equal_ids_do_not_collide(land, tmp_path):
    other = Land(tmp_path, source_key="beta")
    land.sync(INFO, deal("a"), Stage(pipeline_id="p", stage_id="s", name="S"))
    other.sync(INFO, deal("a", "won"))
    with duckdb.connect() as con:
        reading.snapshot(land.home, ["acme", "beta"]).create_views(con)
        rows = con.execute("select source_key, deal_id, stage_id from landing.deals order by all").fetchall()
        assert rows == [("acme", "a", "new"), ("beta", "a", "won")]
        assert {name: kind for name, kind, *_ in con.execute("describe landing.stages").fetchall()} == {
            "source_key": "VARCHAR",
            **STREAMS["stages"],
        }
    assert reading.unconfigured(land.home, ["acme"]) == ["beta"]


def test_a_source_can_be_seen_as_it_was_at_an_earlier_commit(land):
    land.sync(deal("a"))
    land.clock.advance(days=1)
    then = land.manifest().sequence
    land.sync(deal("a", "won"), deal("b"))
    assert land.query("select deal_id, stage_id from landing.deals", {"acme": then}) == [("a", "new")]
    facts = reading.snapshot(land.home, ["acme"])
    assert facts.sequence("acme") > then
    assert facts.source_facts({"acme": then})[0]["data_through_at"] == START.replace(tzinfo=None)
    assert facts.source_facts()[0]["data_through_at"] > START.replace(tzinfo=None)


def test_an_earlier_commit_can_be_seen_after_compaction_too(land, monkeypatch):
    from warehouse.landing import compaction

    monkeypatch.setattr(compaction, "FAN_IN", 2)
    stages = ("new", "won", "lost")
    for stage in stages:
        land.sync(deal("a", stage))
    (part,) = land.manifest().parts_of("deals")
    seen = [
        land.query("select stage_id from landing.deals order by _sync_seq", {"acme": n})
        for n in range(part.max_seq + 1)
    ]
    assert [len(rows) for rows in seen] == sorted(len(rows) for rows in seen)
    assert seen[0] == []
    assert seen[-1] == [(stage,) for stage in stages]


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_or_missing_part_stops_the_build_and_is_named(land, damage):
    """E2: a broken file must not become a wrong number."""
    land.sync(*deals(500))
    (part,) = land.manifest().parts_of("deals")
    path = land.home.landing / "acme" / part.path
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:60] + bytes([data[60] ^ 1]) + data[61:])
    with duckdb.connect() as con, pytest.raises(LandingError, match=part.path.rpartition("/")[2]):
        reading.snapshot(land.home, ["acme"]).create_views(con)


def test_a_part_that_the_manifest_does_not_name_does_not_exist(land):
    land.sync(deal("a"))
    (part,) = land.manifest().parts_of("deals")
    path = land.home.landing / "acme" / part.path
    (path.parent / "deals-00000099-0000.parquet").write_bytes(path.read_bytes())
    assert land.query("select count(*) from landing.deals") == [(1,)]


def test_a_manifest_that_cannot_be_understood_is_named(land):
    land.sync(deal("a"))
    path = land.home.landing / "acme" / "state.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LandingError, match=r"state\.json"):
        reading.snapshot(land.home, ["acme"])
    path.write_bytes(b'{"format": 99}')
    with pytest.raises(LandingError, match="newer Muara"):
        reading.snapshot(land.home, ["acme"])


def test_a_folder_whose_name_looks_like_a_pattern_is_read_all_the_same(tmp_path):
    land = Land(tmp_path / "odd [name]*?{x} 'quoted'")
    land.sync(deal("a"))
    land.sync(deal("a", "won"))
    assert land.query("select count(*) from landing.deals") == [(2,)]


def test_rows_for_ops_come_from_the_reports(land):
    land.sync(INFO, deal("a"))
    rows = reading.snapshot(land.home, ["acme"]).sync_rows()
    assert [(row["status"], row["rows_read"], row["rows_new"], row["is_full"]) for row in rows] == [
        ("complete", 2, 2, False)
    ]
    assert rows[0]["started_at"] == START.replace(tzinfo=None)
