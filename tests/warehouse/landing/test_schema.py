"""Landing of older releases stays readable."""

import json
import shutil
from decimal import Decimal

import duckdb
import msgspec
import pytest

from connectors.sdk.clock import FakeClock
from connectors.sdk.records import Deal
from tests.warehouse.landing.golden import GOLDEN, content
from tests.warehouse.scripted import START, Land, deal
from warehouse.build import BuildInputs, ConfiguredSource, run_build
from warehouse.landing import compaction, reading, schema
from warehouse.landing.manifest import Manifest, Part
from warehouse.landing.schema import MUARA_SCHEMA, STREAMS, NewerSchemaError, Upcast, select_list
from warehouse.landing.spool import fingerprint


def golden_versions():
    return sorted(path.name for path in GOLDEN.glob("landing_v*"))


@pytest.mark.parametrize("version", golden_versions())
def test_the_golden_landing_folder_of_each_release_reads_as_it_was_written(version, tmp_path):
    land = Land(tmp_path)
    shutil.copytree(GOLDEN / version, land.home.landing, dirs_exist_ok=True)
    expected = json.loads((GOLDEN / version / "expected.json").read_text(encoding="utf-8"))
    found = content(land)
    for stream, rows in expected.items():
        assert [{name: row[name] for name in rows[0]} for row in found[stream]] == rows, stream


def test_every_stream_and_every_field_of_a_deal_has_a_value_in_the_golden_folder():
    expected = json.loads((GOLDEN / f"landing_v{MUARA_SCHEMA}" / "expected.json").read_text(encoding="utf-8"))
    assert {stream for stream, rows in expected.items() if rows} == set(STREAMS)
    assert [name for name, value in expected["deals"][0].items() if value is None] == ["read_at"]


def test_a_sync_goes_on_in_a_golden_folder(tmp_path):
    land = Land(tmp_path)
    shutil.copytree(GOLDEN / "landing_v1", land.home.landing, dirs_exist_ok=True)
    land.clock = FakeClock(START)
    land.clock.advance(days=1)
    report = land.sync(deal("b", "won"), deal("c"))
    assert (report.rows["deals"].new, report.rows["deals"].changed) == (1, 0)


@pytest.fixture
def older(tmp_path):
    """A source whose deals were landed by a Muara that knew fewer fields (schema 0), with one more sync of today."""
    land = Land(tmp_path)
    folder = land.home.landing / "acme"
    (folder / "parts").mkdir(parents=True)
    path = folder / "parts" / "deals-00000001-0000.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select 'a' as deal_id, 'Alpha' as title, 'new' as stage_id, 12 as amount, 'present' as presence, '{}' as raw, "
            f"'a' as _key, timestamp '2026-02-01' as _read_at, 1 as _sync_seq, 1 as _ordinal, 1 as _mapper_version, '00' as _hash) "
            f"to '{path}' (format parquet)"
        )
    size, digest = fingerprint(path)
    part = Part(
        stream="deals",
        path="parts/deals-00000001-0000.parquet",
        rows=1,
        bytes=size,
        sha256=digest,
        schema=0,
        min_seq=1,
        max_seq=1,
        sync_id="x",
    )
    manifest = Manifest(landing_id="x", source_key="acme", connector="scripted", sequence=1, parts=(part,))
    (folder / "state.json").write_bytes(msgspec.json.encode(manifest))
    return land


def test_a_part_with_fewer_columns_still_reads_beside_a_part_of_today(older):
    older.sync(deal("a", "won", url="https://x"), deal("b"))
    rows = older.query("select deal_id, stage_id, name, amount, url from landing.deals order by _sync_seq, deal_id")
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [
        ("a", "new", None, None),
        ("a", "won", None, "https://x"),
        ("b", "new", None, None),
    ]
    assert str(rows[0][3]) == "12.0000"


def test_a_landing_folder_of_an_older_schema_still_builds(older):
    older.sync(deal("b", amount=Decimal(7)))
    older.clock.advance(days=1)
    inputs = BuildInputs(home=older.home, sources=(ConfiguredSource(source_key="acme", connector="scripted"),))
    result = run_build(inputs, clock=older.clock)
    assert result.status == "published", result.failed_checks
    with duckdb.connect(str(result.published), read_only=True) as con:
        assert con.execute("select source_deal_id, amount from deals order by 1").fetchall() == [("a", 12), ("b", 7)]


def test_a_renamed_column_is_read_through_its_upcast(older, monkeypatch):
    monkeypatch.setattr(schema, "UPCASTS", (Upcast("deals", 1, "name", "title"),))
    assert older.query("select name from landing.deals") == [("Alpha",)]


def test_compaction_writes_older_parts_anew_in_the_schema_of_today(older, monkeypatch):
    monkeypatch.setattr(schema, "UPCASTS", (Upcast("deals", 1, "name", "title"),))
    monkeypatch.setattr(compaction, "FAN_IN", 2)
    older.sync(deal("b"))
    (part,) = older.manifest().parts_of("deals")
    assert (part.schema, part.rows) == (MUARA_SCHEMA, 2)
    monkeypatch.setattr(schema, "UPCASTS", ())
    assert older.query("select name from landing.deals order by _sync_seq") == [("Alpha",), (None,)]


def test_a_part_of_a_newer_muara_is_refused_with_what_to_do():
    with pytest.raises(NewerSchemaError, match="Upgrade"):
        select_list("deals", MUARA_SCHEMA + 1)


def test_parts_carry_the_schema_number_in_their_own_metadata(tmp_path):
    land = Land(tmp_path)
    land.sync(deal("a"))
    (part,) = land.manifest().parts_of("deals")
    with duckdb.connect() as con:
        path = land.home.landing / "acme" / part.path
        assert con.execute(f"select decode(key), decode(value) from parquet_kv_metadata('{path}')").fetchall() == [
            ("muara_schema", str(MUARA_SCHEMA))
        ]


def test_every_field_of_a_record_is_a_column():
    assert set(Deal.__struct_fields__) < set(STREAMS["deals"])
    assert STREAMS["deals"]["amount"] == "DECIMAL(18,4)"
    assert STREAMS["currency_rates"]["rate"] == "DECIMAL(24,12)"
    assert next(iter(reading.VIEW_COLUMNS["deals"])) == "source_key"
