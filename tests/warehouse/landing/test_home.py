"""Where things lie, and one holder of a lock at a time."""

import os
import stat

import pytest

from connectors.sdk.clock import FakeClock
from connectors.sdk.errors import ConfigError
from tests.warehouse.scripted import START
from warehouse.home import Home, LockedError, lock


def test_everything_lies_under_one_folder_and_landing_may_lie_elsewhere(tmp_path):
    home = Home(tmp_path / "home")
    assert home.landing == tmp_path / "home" / "landing"
    assert home.published == tmp_path / "home" / "muara.duckdb"
    assert home.budget == tmp_path / "home" / "budget.json"
    assert home.secret("acme") == tmp_path / "home" / "secrets" / "acme.json"
    assert Home(tmp_path / "home", landing=tmp_path / "lake").landing == tmp_path / "lake"


def test_nothing_is_written_before_it_is_asked_for(tmp_path):
    Home(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_secrets_is_closed_to_others(tmp_path):
    folder = Home(tmp_path).secret("acme").parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("key", ["", "Acme", "a-b", "../x", "a/b", "a b"])
def test_a_source_key_that_is_no_folder_name_is_refused(tmp_path, key):
    with pytest.raises(ConfigError, match="lower-case"):
        Home(tmp_path).lock_source(key, "sync")


def test_a_second_taker_is_told_who_holds_the_lock_and_since_when(tmp_path):
    clock = FakeClock(START)
    with (
        lock(tmp_path / "x" / "lock", "build", clock=clock),
        pytest.raises(
            LockedError, match=rf"publish cannot start: held by build, process {os.getpid()} .* since 2026-03-01 08:00"
        ),
        lock(tmp_path / "x" / "lock", "publish", clock=clock),
    ):
        pass
    with lock(tmp_path / "x" / "lock", "publish") as mine:
        assert mine.what == "publish"


def test_a_lock_file_left_by_a_dead_process_does_not_hold_anything(tmp_path):
    (tmp_path / "lock").write_text('{"what":"sync","pid":1,"host":"gone","command":"muara"}')
    with lock(tmp_path / "lock", "sync"):
        pass
