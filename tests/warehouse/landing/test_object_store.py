"""Landing in a bucket: the promises of the folder, and one more, that of two machines one is refused. Against moto's S3 server on loopback."""

import logging
import os
import urllib.request

import pytest

from connectors.sdk.errors import ConfigError, TransientError
from connectors.sdk.records import Checkpoint, Seen
from tests.warehouse.scripted import INFO, Land, Scripted, change, deal, deals, history, sweep
from warehouse.home import Home
from warehouse.landing import compaction, object_store
from warehouse.landing.manifest import LandingError, read_manifest
from warehouse.landing.object_store import Bucket, ObjectStore
from warehouse.landing.schema import STREAMS
from warehouse.landing.store import ConflictError, Entry
from warehouse.replay import run_replay

server = pytest.importorskip("moto.server", reason="moto is part of the dev extra")
pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def endpoint():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    _, port = running.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def bucket(endpoint, request):
    name = f"b{abs(hash(request.node.name)) % 10**12}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"), timeout=10).close()
    options = {"endpoint": endpoint, "access_key_id": "key", "secret_access_key": "planted-s3-secret"}
    return Bucket(f"s3://{name}/crm/landing", options)


@pytest.fixture
def store(bucket, tmp_path):
    return ObjectStore(bucket, tmp_path / "local")


def machine(root, bucket):
    """A home of its own, as on another machine, with the bucket that both share."""
    land = Land(root)
    land.home = Home(root, bucket)
    return land


def content(land):
    """Every row of every stream."""
    return {stream: sorted(map(repr, land.query(f"select * from landing.{stream}"))) for stream in STREAMS}


def first(sync):
    yield INFO
    for record in deals(12):
        yield record
        yield history(record.deal_id, change(record.deal_id, "1"), change(record.deal_id, "2", "won"))
    yield Checkpoint(stream="deals", cursor={"page": 1})
    yield from (Seen(stream="deals", key=f"d{number:04d}") for number in range(6))
    yield sweep(complete=False)


def second(sync):
    yield deal("d0001", "won")
    yield history("d0002", change("d0002", "3", "lost"), complete=False)
    yield from (Seen(stream="deals", key=f"d{number:04d}") for number in range(6, 11))
    yield sweep()
    yield deal("d0020")


def test_what_is_put_is_got_and_listed_by_key(store):
    store.put("a/b/2.json", b"two")
    store.put("a/b/1.json", b"one")
    store.put("a/c.json", b"")
    assert store.get("a/b/1.json") == b"one"
    assert list(store.list("a/b/")) == [Entry("a/b/1.json", 3), Entry("a/b/2.json", 3)]
    assert [entry.key for entry in store.list("a/")] == ["a/b/1.json", "a/b/2.json", "a/c.json"]
    store.copy("a/b/1.json", "z/1.json")
    assert (store.get("z/1.json"), store.folders()) == (b"one", ("a", "z"))
    store.delete("a/c.json")
    store.delete("a/c.json")
    assert (store.get("a/c.json"), store.size("a/c.json"), list(store.list("nowhere/"))) == (None, None, [])


def test_a_conditional_put_refuses_what_somebody_else_has_changed(store):
    etag = store.put_if("s/state.json", b"1", None)
    etag = store.put_if("s/state.json", b"2", etag)
    store.put("s/state.json", b"3")
    for old in (etag, None):
        with pytest.raises(ConflictError, match=r"s3://.*/s/state\.json was changed by another machine"):
            store.put_if("s/state.json", b"4", old)
    assert store.get("s/state.json") == b"3"


def test_a_put_whose_answer_was_lost_is_not_taken_for_a_lost_race(store):
    """The library tries again, and finds its own bytes under a newer etag."""
    etag = store.put_if("s/state.json", b"1", None)
    store.put("s/state.json", b"2")
    assert store.put_if("s/state.json", b"2", etag) == store.get_tagged("s/state.json")[1]


def test_syncs_replay_and_compaction_leave_in_a_bucket_what_they_leave_in_a_folder(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "FAN_IN", 2)
    there, here = machine(tmp_path / "there", bucket), Land(tmp_path / "here")
    for land in (there, here):
        statuses = []
        for script in (first, second):
            statuses.append(land.sync(script=script).status)
            land.clock.advance(hours=1)
        run_replay(Scripted((), mapper_version=2), home=land.home, clock=land.clock)
        land.clock.advance(hours=30)
        statuses.append(land.sync(deal("d0001", "lost")).status)
        assert statuses == ["complete"] * 3
    assert content(there) == content(here)
    assert len(there.query("select * from landing.deals")) > 12
    assert [part.path for part in there.manifest().parts] == [part.path for part in here.manifest().parts]
    keys = [entry.key for entry in there.home.store().list("")]
    assert [key for key in keys if "held" in key or "lock" in key] == []


def test_of_two_machines_the_second_to_commit_is_refused_and_nothing_is_lost(bucket, tmp_path):
    """Each machine has its own locks, so both syncs run; only the manifest can tell."""
    one, two = machine(tmp_path / "one", bucket), machine(tmp_path / "two", bucket)
    one.sync(*deals(3))

    def slow(sync):
        yield deal("d0007", "from two")
        # The same sequence and the same stream: without the digest both parts would have one name.
        assert one.sync(deal("d0008", "from one")).status == "complete"

    with pytest.raises(ConflictError, match="changed by another machine"):
        two.sync(script=slow)
    held = "select deal_id, stage_id from landing.deals order by all"
    assert one.query(held)[-1] == ("d0008", "from one")
    assert two.query(held) == one.query(held)
    assert two.sync(deal("d0007", "from two")).status == "complete"
    assert [row[0] for row in one.query(held)] == ["d0000", "d0001", "d0002", "d0007", "d0008"]


def test_a_machine_that_was_away_goes_on_from_what_the_other_committed(bucket, tmp_path):
    one, two = machine(tmp_path / "one", bucket), machine(tmp_path / "two", bucket)
    one.sync(*deals(3))
    two.sync(*deals(3), deal("d0005"))
    report = one.sync(*deals(3), deal("d0005"))
    assert report.rows["deals"].new == report.rows["deals"].changed == 0


def test_parts_are_downloaded_once_and_again_when_the_copy_is_damaged(bucket, tmp_path):
    machine(tmp_path / "one", bucket).sync(*deals(3))
    reader = machine(tmp_path / "two", bucket)
    assert reader.query("select count(*) from landing.deals") == [(3,)]
    copies = sorted((tmp_path / "two" / "cache").rglob("*.parquet.*"))
    before = [path.stat().st_ino for path in copies]
    reader.query("select count(*) from landing.deals")
    assert before == [path.stat().st_ino for path in copies]
    size = copies[0].stat().st_size
    copies[0].write_bytes(b"x" * size)
    assert reader.query("select count(*) from landing.deals") == [(3,)]
    assert copies[0].read_bytes()[:4] == b"PAR1"


def test_a_part_that_is_gone_from_the_bucket_is_named(bucket, tmp_path):
    land = machine(tmp_path / "one", bucket)
    land.sync(*deals(3))
    part = land.manifest().parts[0]
    land.home.store().delete(f"acme/{part.path}")
    with pytest.raises(LandingError, match=rf"s3://.*{part.path} is missing"):
        land.query("select 1")


def test_copies_that_nobody_needed_for_long_make_room(bucket, tmp_path):
    land = machine(tmp_path / "one", bucket)
    for number in range(3):
        land.sync(*deals(1 + number))
    bucket.cache_bytes = 1
    land.query("select 1")
    copies = list((tmp_path / "one" / "cache").rglob("*.parquet.*"))
    for path in copies:
        os.utime(path, (0, 0))
    copies[0].unlink()
    land.query("select 1")
    # Every copy was asked for just now: a bound must not take what a build is about to open.
    assert len(list((tmp_path / "one" / "cache").rglob("*.parquet.*"))) == len(copies)
    for path in copies[1:]:
        os.utime(path, (0, 0))
    land.home.store()._trim()
    assert [path for path in copies if path.exists()] == [copies[0]]


def test_errors_say_what_to_do_and_carry_no_secret(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(object_store, "_RETRIES", {"max_retries": 0})
    options = dict(bucket.options)
    nowhere = Bucket("s3://there-is-none", options)
    with pytest.raises(ConfigError, match="there is no bucket 'there-is-none'"):
        machine(tmp_path / "a", nowhere).sync(*deals(1))
    dead = ObjectStore(Bucket(bucket.url, options | {"endpoint": "http://127.0.0.1:9"}), tmp_path / "b")
    with pytest.raises(TransientError, match=r"s3://.*cannot be reached") as caught:
        dead.put("a", b"1")
    assert "planted" not in str(caught.value)
    assert read_manifest(ObjectStore(bucket, tmp_path / "c"), "acme") is None
