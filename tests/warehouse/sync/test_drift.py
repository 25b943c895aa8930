"""Fields that a source gains, loses, renames or retypes are listed; old values stay."""

import pytest

from connectors.sdk.connector import stream
from connectors.sdk.records import Deal, FieldDef
from tests.warehouse.scripted import Land, Scripted, sweep
from warehouse.landing import reading
from warehouse.sync import run_sync


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


class WithFields(Scripted):
    """Declares field definitions, so `raw` is not looked into."""

    @stream(FieldDef)
    def fields(self, sync):
        """Fields."""


def field(code, label=None, kind="text", object_type="deal"):
    return FieldDef(object_type=object_type, code=code, label=label or code, field_type=kind)


def lines(report):
    return [(line.change, line.object_type, line.field_code, line.detail) for line in report.drift]


def test_definitions_are_compared_with_those_held(land):
    def sync(*records):
        land.clock.advance(hours=1)
        return run_sync(WithFields(records), home=land.home, clock=land.clock)

    assert lines(sync(field("a"), field("b"), field("c"), field("o", object_type="owner"))) == []
    changed = sync(field("a", kind="number"), field("b", label="Bee"), field("d"))
    assert lines(changed) == [
        ("retyped", "deal", "a", "text -> number"),
        ("renamed", "deal", "b", "b -> Bee"),
        ("gone", "deal", "c", "was c (text)"),
        ("new", "deal", "d", "d (text)"),
    ]
    quiet = sync(field("a", kind="number"), field("b", label="Bee"), field("d"))
    assert (lines(quiet), quiet.parts) == ([], 0)
    assert lines(sync(field("a", kind="number"), field("b", label="Bee"), field("c"), field("d"))) == [
        ("new", "deal", "c", "c (text)")
    ]
    rows = reading.snapshot(land.home, ["acme"]).drift_rows()
    assert [(row["change"], row["field_code"]) for row in rows][:2] == [("retyped", "a"), ("renamed", "b")]


def test_without_definitions_the_keys_of_raw_are_compared(land):
    def row(**raw):
        return Deal(deal_id="a", raw=raw)

    assert lines(land.sync(row(x=1, y=2))) == []
    assert [line[:3] for line in lines(land.sync(row(x=1, z=2)))] == [("new", "deals", "z")]
    assert lines(land.sync(row(x=1))) == []
    assert [line[:3] for line in lines(land.sync(row(x=1), sweep()))] == [
        ("gone", "deals", "y"),
        ("gone", "deals", "z"),
    ]
    assert lines(land.sync(row(x=1), sweep())) == []


def test_unknown_fields_stay_in_raw(land):
    land.sync(Deal(deal_id="a", raw={"brand_new": {"deep": [1]}}))
    assert land.query("select raw from landing.deals") == [('{"brand_new":{"deep":[1]}}',)]
