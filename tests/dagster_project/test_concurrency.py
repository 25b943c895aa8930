"""Sources sync while the warehouse is built and read (A30, A31). In full: `python -m benchmarks.concurrency`."""

import pytest

from benchmarks.concurrency import measure


@pytest.mark.slow
def test_syncs_builds_and_readers_never_meet_a_lock_and_no_row_is_lost(tmp_path):
    found = measure(tmp_path / "hub", sources=2, builds=2, readers=1, most_syncs=4)
    assert found["errors"] == []
    assert found["lost_rows"] == {}
    assert (found["builds"], found["last_build"]) == ({"published": 2}, "published")
    assert found["readers"]["reader 0"]["reads"] > 0
    assert all(facts["syncs"] >= 1 for facts in found["syncs"].values())
