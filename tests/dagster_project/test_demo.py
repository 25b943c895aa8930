"""The demo, as `make demo` runs it: six sources through Dagster, tables that hold together, queries that run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from connectors.sdk.clock import SystemClock
from dagster_project import demo as demo_module
from dagster_project import headlines
from dagster_project.cli import Context, main
from warehouse.published import query


@pytest.fixture(scope="module")
def stores():
    """Dagster homes that the demo asked for."""
    return []


@pytest.fixture(scope="module")
def demo(tmp_path_factory, stores):
    """The folder of a finished demo and what it printed as JSON. Its runs are kept in memory: to write their 600 events takes Dagster ten
    CPU seconds. Runs on the store that dagster.yaml describes are in test_cancelled.py."""
    in_memory = dg.DagsterInstance.ephemeral

    def asked(home):
        stores.append(Path(home))
        return in_memory()

    folder = tmp_path_factory.mktemp("demo") / "run"
    out = tmp_path_factory.mktemp("out") / "said.json"
    with out.open("w") as stream:
        context = Context(
            env=os.environ, cwd=Path.cwd(), clock=SystemClock(), stdin=sys.stdin, stdout=stream, stderr=stream
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dg.DagsterInstance, "from_config", asked)
            assert main(["demo", "--dir", str(folder), "--json"], context) == 0, out.read_text()
    return folder, json.loads(out.read_text())


@pytest.mark.slow
def test_six_sources_come_together(demo):
    folder, said = demo
    published = folder / ".muara" / "muara.duckdb"
    counted = dict(query(published, "select source_key, count(*) from deals group by 1").rows)
    assert set(counted) == {"salesforce_emea", "hubspot_us", "pipedrive_apac", "us_sales", "id_penjualan", "partners"}
    assert (counted["us_sales"], counted["id_penjualan"], counted["partners"]) == (96, 88, 73)
    assert said["totals"]["deals"] - said["totals"]["counted_once"] >= 5


@pytest.mark.slow
def test_every_headline_row_adds_up(demo):
    for row in demo[1]["conversion"]:
        parts = row["advanced_count"] + row["lost_count"] + row["open_count"] + row["moved_count"]
        assert row["reached_count"] == parts, row


@pytest.mark.slow
def test_every_step_says_how_it_is_known(demo):
    trust = {row["source_key"]: row for row in demo[1]["trust"]}
    assert len(trust) == 6
    for row in trust.values():
        assert row["steps"] == row["exact_steps"] + row["created_steps"] + row["inferred_steps"], row
    assert trust["salesforce_emea"]["exact_steps"] == trust["salesforce_emea"]["steps"]
    assert trust["us_sales"]["exact_steps"] == 0
    assert trust["us_sales"]["inferred_steps"] > 100
    assert trust["partners"]["unmapped_deals"] == 3


@pytest.mark.slow
def test_only_what_was_put_there_is_complained_of(demo):
    assert [check["check_name"] for check in demo[1]["failing_checks"]] == ["unmapped_stages"]


@pytest.mark.slow
@pytest.mark.parametrize("question", list(headlines.QUERIES))
def test_the_queries_to_try_run_and_answer(demo, question):
    assert query(demo[0] / ".muara" / "muara.duckdb", headlines.QUERIES[question]).rows


@pytest.mark.slow
def test_its_runs_are_stored_where_the_pages_look_for_them(demo, stores):
    assert stores == [demo[0] / ".muara" / "dagster"]
    assert (stores[0] / "dagster.yaml").is_file()


@pytest.mark.slow
def test_the_demos_sandboxes_are_gone_afterwards(demo):
    assert not [name for name in os.environ if name.startswith("DEMO_")]


def test_a_folder_with_something_else_is_left_alone(shell):
    done = shell("demo", "--dir", ".")
    assert done.code == 1
    assert "holds something else than a demo" in done.err


def test_unknown_is_a_dash_in_headline_tables():
    row = {
        "canonical_stage": "proposal",
        "source_key": "a",
        "reached_count": 2,
        "advanced_count": 0,
        "lost_count": 0,
        "conversion_rate_resolved": None,
        "conversion_low": None,
        "conversion_high": None,
        "dwell_median_days": None,
        "differs": False,
        "is_small_sample": True,
    }
    text = headlines._systems([row])
    assert text.splitlines()[-1].split() == ["proposal", "a", "2", "0", "0", "-", "*", "-", "-"]


def test_a_stop_from_outside_takes_dagster_along(tmp_path, monkeypatch):
    """SIGTERM reaches `muara demo --ui` alone; Dagster's services must not go on without it."""
    started = []

    class Stub(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"])
            started.append(self)

        def wait(self, timeout=None):
            if timeout is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().wait(timeout)

    monkeypatch.setattr(demo_module, "served", contextlib.nullcontext)
    monkeypatch.setattr(demo_module.subprocess, "Popen", Stub)
    with pytest.raises(SystemExit):
        demo_module.show_ui(tmp_path, port=1)
    assert started[0].poll() is not None
