"""Typed columns re-derived from stored raw after a mapping fix."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from connectors.sdk.errors import DataError
from connectors.sdk.records import Deal, Owner, SourceInfo, StageChange
from tests.warehouse.scripted import START, Land, Scripted, history
from warehouse import replay
from warehouse.replay import run_replay
from warehouse.sync import run_sync


class Mapper(Scripted):
    """Version 1 reads the amount as units, version 2 as cents; version 2 also spells stages out."""

    def deal(self, raw):
        amount = Decimal(str(raw["amount"]))
        return Deal(deal_id=raw["id"], amount=amount / 100 if self.mapper_version > 1 else amount, raw=raw)

    def change(self, raw):
        stage = raw["to"].upper() if self.mapper_version > 1 else raw["to"]
        return StageChange(event_id=raw["e"], deal_id=raw["deal"], changed_at=START, to_stage_id=stage, raw=raw)

    def remap(self, stream_name, raw, context):
        if stream_name == "deals":
            if raw.get("broken"):
                raise DataError("deals: amount cannot be read")
            assert context.info.name == "Acme"
            return self.deal(raw)
        return self.change(raw) if stream_name == "stage_changes" else None


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def sync(land, version, *raws, read=(), at=None):
    connector = Mapper([], mapper_version=version)
    records = [SourceInfo(account_id="1", name="Acme"), Owner(owner_id="o")]
    records += [msgspec.structs.replace(connector.deal(raw), read_at=at) for raw in raws]
    for deal_id, events in read:
        records.append(history(deal_id, *[connector.change(event) for event in events]))
    connector._script = records
    return run_sync(connector, home=land.home, clock=land.clock)


def again(land, version=2, **options):
    return run_replay(Mapper([], mapper_version=version), home=land.home, clock=land.clock, **options)


CONTENT = (
    "select deal_id, amount::double from landing.deals "
    "qualify row_number() over (partition by deal_id order by _read_at desc, _mapper_version desc, _sync_seq desc) = 1 order by all"
)


def test_every_version_is_mapped_again_at_its_own_read_time(land):
    sync(land, 1, {"id": "a", "amount": 100})
    land.clock.advance(days=1)
    sync(land, 1, {"id": "a", "amount": 200}, {"id": "b", "amount": 0})
    land.clock.advance(days=1)
    report = again(land)
    assert (report.kind, report.status, report.rows["deals"].read, report.rows["deals"].changed) == (
        "replay",
        "complete",
        3,
        2,
    )
    assert land.query(CONTENT) == [("a", 2.0), ("b", 0.0)]
    assert land.query(
        "select _read_at, _mapper_version, amount::double from landing.deals where deal_id = 'a' order by all"
    ) == [
        (START.replace(tzinfo=None), 1, 100.0),
        (START.replace(tzinfo=None), 2, 1.0),
        ((START + timedelta(days=1)).replace(tzinfo=None), 1, 200.0),
        ((START + timedelta(days=1)).replace(tzinfo=None), 2, 2.0),
    ]


def test_a_sync_with_the_new_mapping_finds_the_replayed_versions_unchanged(land):
    raws = [{"id": "a", "amount": 1.10}, {"id": "b", "amount": 7}]
    events = [("a", [{"e": "1", "deal": "a", "to": "new"}])]
    sync(land, 1, *raws, read=events)
    again(land)
    assert sync(land, 2, *raws, read=events).parts == 0


def test_a_second_replay_does_nothing(land):
    sync(land, 1, {"id": "a", "amount": 100})
    again(land)
    report = again(land)
    assert (report.parts, report.total("changed")) == (0, 0)


def test_history_is_landed_again_reading_by_reading(land):
    sync(land, 1, read=[("a", [{"e": "1", "deal": "a", "to": "new"}, {"e": "2", "deal": "a", "to": "won"}])])
    land.clock.advance(days=1)
    report = again(land)
    assert report.rows["stage_changes"].changed == 2
    rows = land.query(
        "select e.to_stage_id from landing.stage_changes as e inner join landing.history_reads as h on h._sync_seq = e._sync_seq "
        "and h._ordinal = e._read_ordinal where h._mapper_version = 2 and h.complete and h._read_at = e._read_at order by all"
    )
    assert rows == [("NEW",), ("WON",)]


def test_a_row_that_cannot_be_mapped_keeps_its_old_form_and_is_told(land):
    sync(land, 1, {"id": "a", "amount": 100}, {"id": "b", "amount": 5, "broken": True})
    report = again(land)
    assert (report.rows["deals"].rejected, report.rows["deals"].changed) == (1, 1)
    assert land.query(CONTENT) == [("a", 1.0), ("b", 5.0)]
    assert "keeps its old form" in report.warnings[0].message


def test_a_dated_snapshot_stays_dated(land):
    at = START - timedelta(days=9)
    sync(land, 1, {"id": "a", "amount": 100}, at=at)
    again(land)
    assert land.query("select read_at, _read_at, amount::double from landing.deals where _mapper_version = 2") == [
        (at.replace(tzinfo=None), at.replace(tzinfo=None), 1.0)
    ]
    assert sync(land, 2, {"id": "a", "amount": 100}, at=at).parts == 0


def test_an_interrupted_replay_goes_on_where_it_stopped(land, monkeypatch):
    monkeypatch.setattr(replay, "_COMMIT_ROWS", 3)
    raws = [{"id": f"d{number}", "amount": 100} for number in range(10)]
    sync(land, 1, *raws)
    mapped = []

    class Stopping(Mapper):
        def remap(self, stream_name, raw, context):
            if stream_name == "deals":
                mapped.append(raw["id"])
                if len(mapped) == 8:
                    raise KeyboardInterrupt
            return super().remap(stream_name, raw, context)

    with pytest.raises(KeyboardInterrupt):
        run_replay(Stopping([], mapper_version=2), home=land.home, clock=land.clock)
    report = run_replay(Stopping([], mapper_version=2), home=land.home, clock=land.clock)
    assert report.status == "complete"
    assert mapped[8:] == ["d6", "d7", "d8", "d9"]
    assert land.query("select count(*), count(distinct deal_id) from landing.deals where _mapper_version = 2") == [
        (10, 10)
    ]
