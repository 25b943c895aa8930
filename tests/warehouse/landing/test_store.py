"""Puts are whole or not at all."""

import pytest

from warehouse.landing.store import ConflictError, Entry, LocalStore


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def test_what_is_put_is_got_and_listed_by_key(store):
    store.put("a/b/2.json", b"two")
    store.put("a/b/1.json", b"one")
    store.put("a/c.json", b"")
    assert store.get("a/b/1.json") == b"one"
    assert list(store.list("a/b/")) == [Entry("a/b/1.json", 3), Entry("a/b/2.json", 3)]
    assert [entry.key for entry in store.list("a/")] == ["a/b/1.json", "a/b/2.json", "a/c.json"]
    assert store.size("a/c.json") == 0
    store.delete("a/c.json")
    store.delete("a/c.json")
    assert store.get("a/c.json") is None
    assert store.size("a/c.json") is None
    assert list(store.list("nowhere/")) == []


def test_a_conditional_put_refuses_what_somebody_else_has_changed(store):
    etag = store.put_if("s/state.json", b"1", None)
    store.put("s/state.json", b"2")
    with pytest.raises(ConflictError):
        store.put_if("s/state.json", b"3", etag)
    with pytest.raises(ConflictError):
        store.put_if("s/state.json", b"3", None)
    assert store.get("s/state.json") == b"2"


def test_a_put_that_is_cut_off_leaves_the_old_object_and_nothing_to_list(tmp_path):
    class CutError(Exception):
        pass

    def cut(what):
        if what.startswith("rename"):
            raise CutError

    LocalStore(tmp_path).put("a/x", b"old")
    with pytest.raises(CutError):
        LocalStore(tmp_path, cut).put("a/x", b"new")
    assert LocalStore(tmp_path).get("a/x") == b"old"
    assert [entry.key for entry in LocalStore(tmp_path).list("a/")] == ["a/x"]


def test_a_file_from_scratch_is_moved_into_place(store):
    path = store.scratch("a") / "part"
    path.write_bytes(b"data")
    store.put_file("a/parts/1", path)
    assert (store.get("a/parts/1"), path.exists()) == (b"data", False)
    assert store.sha256("a/parts/1").startswith("3a6eb0790f39ac87")
