"""The index of what is held: derived, rebuilt when missing, behind or damaged."""

from datetime import timedelta

import pytest

from connectors.sdk.records import Tombstone
from tests.warehouse.scripted import START, Land, change, deal, deals, history, sweep
from warehouse.landing.store import LocalStore


@pytest.fixture
def land(tmp_path):
    return Land(tmp_path)


def held(land, ask):
    """What a connector is told by `sync.held` at the start of the next sync."""
    found = []

    def script(sync):
        found.append(ask(sync.held))
        return ()

    land.sync(script=script)
    return found[0]


def index_file(land):
    return LocalStore(land.home.landing).scratch("acme") / "held.sqlite"


def test_held_deals_tell_version_stage_presence_and_history(land):
    at = START - timedelta(days=1)
    land.sync(
        deal("a", "won", pipeline_id="p", status="won", updated_at=at, stage_entered_at=at),
        history("a", change("a", "1")),
        deal("b"),
        history("b", change("b", "1"), complete=False),
        deal("c"),
        Tombstone(stream="deals", key="c", kind="deleted"),
    )
    found = held(land, lambda index: index.deals(["a", "b", "c", "nobody"]))
    a, b, c = found["a"], found["b"], found["c"]
    assert (a.version, a.pipeline_id, a.stage_id, a.status, a.stage_entered_at) == (
        at.isoformat(),
        "p",
        "won",
        "won",
        at.isoformat(),
    )
    assert (a.presence, a.has_history, a.history_complete) == ("present", True, True)
    assert (b.version, b.has_history, b.history_complete) == ("", True, False)
    assert (c.presence, c.has_history) == ("deleted", False)
    assert set(found) == {"a", "b", "c"}


def test_live_keys_are_counted_and_listed_in_order(land):
    land.sync(deal("b"), deal("a"), deal("z", presence="deleted"), deal("y", presence="archived"))
    assert held(land, lambda index: (index.live_count("deals"), list(index.live_keys("deals")))) == (2, ["a", "b"])
    assert held(land, lambda index: index.versions("deals", ["a", "x"])) == {"a": ""}


def test_deals_without_history_come_open_and_recently_moved_first(land):
    land.sync(deal("old"), deal("won", "won", status="won"), deal("read"), history("read", change("read", "1")))
    land.clock.advance(hours=1)
    land.sync(deal("fresh"), deal("gone"), Tombstone(stream="deals", key="gone", kind="purged"))
    assert held(land, lambda index: list(index.live_deals_without_history())) == ["fresh", "old", "won"]
    assert held(land, lambda index: list(index.live_deals_without_history(1))) == ["fresh"]


def test_more_keys_than_one_query_takes_are_looked_up(land):
    land.sync(*deals(1500))
    keys = [f"d{number:04d}" for number in range(3000)]
    assert held(land, lambda index: len(index.deals(keys))) == 1500


@pytest.mark.parametrize("damage", ["missing", "garbage", "behind", "torn", "foreign"])
def test_a_missing_damaged_or_foreign_index_is_rebuilt_from_the_parts(land, damage, tmp_path):
    everything = [*deals(400), history("d0001", change("d0001", "1")), sweep()]
    land.sync(*everything)
    land.sync(Tombstone(stream="deals", key="d0002", kind="deleted"))
    old = index_file(land).read_bytes()
    land.sync(deal("d0003", "won"))
    path = index_file(land)
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"no database" * 100)
    elif damage == "behind":
        path.write_bytes(old)
    elif damage == "torn":
        data = bytearray(path.read_bytes())
        data[4096:12000] = b"\x07" * (12000 - 4096)
        path.write_bytes(bytes(data))
    else:
        other = Land(tmp_path / "other")
        other.clock.advance(days=1)
        other.sync(*deals(3))
        other.sync()
        path.write_bytes(index_file(other).read_bytes())
    unchanged = [record for record in everything[:-1] if getattr(record, "deal_id", "") not in ("d0002", "d0003")]
    assert land.sync(*unchanged, deal("d0003", "won")).parts == 0
    assert held(land, lambda index: index.deals(["d0002"])["d0002"].presence) == "deleted"


def test_a_landing_folder_set_back_to_an_older_state_gets_an_index_of_that_state(land):
    state = land.home.landing / "acme" / "state.json"
    land.sync(deal("a"))
    older = state.read_bytes()
    land.sync(deal("a", "won"))
    land.sync()
    state.write_bytes(older)
    land.sync(deal("a", "won"))
    assert land.query("select stage_id from landing.deals order by _sync_seq") == [("new",), ("won",)]


def test_the_index_is_what_compaction_leaves_it_too(land, monkeypatch):
    from warehouse.landing import compaction

    monkeypatch.setattr(compaction, "FAN_IN", 2)
    for stage in ("new", "won", "lost"):
        land.sync(deal("a", stage))
    index_file(land).unlink()
    assert land.sync(deal("a", "lost")).parts == 0
