"""Large reads: Bulk jobs instead of pages, with the same result, and gone on with after a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from connectors.salesforce import bulk, deals, people, run, shelf, sweep
from tests.connectors.salesforce.lab import config_of, lab


@pytest.fixture
def small_bulk(monkeypatch):
    """Bulk from 20 rows on, so that small orgs show it."""
    for module in (run, deals, people, sweep):
        monkeypatch.setattr(module, "BULK_FROM", 20)


def test_bulk_and_rest_land_the_same_rows(tmp_path, monkeypatch):
    """A7: text, numbers, instants and nulls of CSV and JSON become one form."""
    with lab(tmp_path / "rest", deals=90) as rest:
        rest.sync()
        for module in (run, deals, people, sweep):
            monkeypatch.setattr(module, "BULK_FROM", 20)
        with lab(tmp_path / "bulk", world=rest.world) as org:
            org.sync()
            assert org.calls["job_create"] == 3
            assert "queryAll" not in org.calls
            columns = "* exclude (_key, _read_at, _sync_seq, _ordinal, source_key)"
            for stream in ("deals", "companies"):
                assert org.latest(stream, columns) == rest.latest(stream, columns)
            for stream in ("stage_changes", "field_changes"):
                assert org.events(stream, "e.changed_at, e._hash") == rest.events(stream, "e.changed_at, e._hash")
            org.assert_true()


def test_result_pages_are_fetched_in_parallel_and_lose_nothing(tmp_path, small_bulk, monkeypatch):
    monkeypatch.setattr(bulk, "_MOST_ROWS", 50)
    with lab(tmp_path, deals=90, bulk_chunk=50) as org:
        org.sync()
        assert org.calls["job_pages"] >= 1
        org.assert_true()


def test_an_org_without_result_pages_is_read_by_locator(tmp_path, small_bulk, monkeypatch):
    monkeypatch.setattr(bulk, "_MOST_ROWS", 50)
    monkeypatch.setattr("connectors.sandbox.salesforce.bulk.RESULT_PAGES_SINCE", 99.0)
    with lab(tmp_path, deals=90, bulk_chunk=50) as org:
        org.sync()
        org.assert_true()


@pytest.mark.parametrize(
    "options",
    [
        {"bulk_enabled": False},
        {"bulk_refuses": ["Opportunity"]},
        {"bulk_refuses": ["OpportunityHistory"]},
        {"bulk_refuses": ["Opportunity", "OpportunityHistory", "Account"]},
        {"bulk_job_limit": 1},
    ],
    ids=str,
)
def test_where_bulk_is_refused_rest_reads_the_same(tmp_path, small_bulk, options):
    with lab(tmp_path, deals=60, **options) as org:
        assert org.sync().status == "complete"
        assert "no_bulk" in {warning.code for warning in org.report.warnings}
        org.assert_true()


@pytest.mark.parametrize("entity", ["Opportunity", "OpportunityHistory", "Account"])
def test_a_failed_job_is_replaced_by_rest(tmp_path, small_bulk, entity):
    with lab(tmp_path, deals=60) as org:
        org.org.fail_jobs(entity)
        assert org.sync().status == "complete"
        org.assert_true()


def test_a_field_that_goes_while_jobs_run_is_dropped_and_told(tmp_path, small_bulk):
    with lab(tmp_path, deals=60, bulk_late_errors=True) as org:
        org.org.faults.when(lambda: org.org.hide_field("Opportunity", "NextStep"), match="job_create")
        assert org.sync().status == "complete"
        assert "field_gone" in {warning.code for warning in org.report.warnings}
        org.assert_true()


def test_a_day_with_very_many_changes_is_read_by_bulk_with_histories_by_id(tmp_path, small_bulk):
    with lab(tmp_path, deals=90) as org:
        org.sync()
        org.minutes(30)
        org.world.tie_flood(40)
        before = set(org.org.org.bulk.jobs)
        org.sync()
        entities = [job.entity for key, job in org.org.org.bulk.jobs.items() if key not in before]
        assert entities.count("Opportunity") == 1
        assert "OpportunityHistory" not in entities
        org.assert_true()


def jobs_of_deals(org):
    """Small orgs have their accounts stamped alike, which here is enough for another job in each sync."""
    return {key for key, job in org.org.org.bulk.jobs.items() if job.entity != "Account"}


KILLED = """
import sys
from connectors.salesforce import Salesforce, deals, people, run, sweep
from connectors.sdk import CallPolicy, SystemClock
from connectors.sdk.settings import load
from pathlib import Path
from warehouse.home import Home
from warehouse.sync import run_sync
import json
for module in (run, deals, people, sweep):
    module.BULK_FROM = 20
config, home = json.loads(sys.argv[1]), Path(sys.argv[2])
settings = load(Salesforce.Settings, config, where="sf")
clock = SystemClock()
run_sync(Salesforce(settings, source_key="sf"), home=Home(home), clock=clock, calls=CallPolicy("sf", clock=clock))
"""


@pytest.mark.parametrize(
    ("match", "after"), [("job_status", 0), ("job_results", 0), ("job_results", 1), ("job_results", 3)]
)
def test_a_sync_killed_in_mid_bulk_goes_on_with_the_same_jobs(tmp_path, small_bulk, match, after):
    """A10: nothing is asked for again, nothing is missing, nothing is there twice."""
    with lab(tmp_path, deals=90, bulk_chunk=40) as org:
        command = [sys.executable, "-c", KILLED, json.dumps(config_of(org.org, page_size=200)), str(tmp_path)]
        root = Path(__file__).parents[3]
        child = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        org.org.faults.when(lambda: os.kill(child.pid, signal.SIGKILL), match=match, after=after)
        assert child.wait(timeout=60) == -signal.SIGKILL
        jobs = jobs_of_deals(org)
        assert len(jobs) == 2
        report = org.sync()
        assert report.status == "complete"
        assert jobs_of_deals(org) == jobs
        org.assert_true()
        org.minutes(20)
        assert org.sync().parts == 0


def test_a_job_that_salesforce_has_forgotten_is_started_anew(tmp_path, small_bulk):
    with lab(tmp_path, deals=60) as org:
        org.org.faults.add("daily_limit", match="job_results")
        assert org.sync().status == "partial"
        org.org.faults.clear()
        org.org.org.bulk.jobs.clear()
        assert org.sync().status == "complete"
        org.assert_true()


def test_a_quota_that_ends_in_mid_bulk_is_partial_and_the_next_sync_goes_on(tmp_path, small_bulk):
    """A14."""
    with lab(tmp_path, deals=60) as org:
        org.org.faults.add("daily_limit", match="job_results", after=1)
        report = org.sync()
        assert report.status == "partial"
        assert "24 hours" in report.reasons[0]
        org.org.faults.clear()
        assert org.sync().status == "complete"
        assert "job_create" not in org.calls
        org.assert_true()


def test_a_chunk_with_lines_missing_is_not_taken_for_a_whole_one(tmp_path, small_bulk, monkeypatch):
    from connectors.sandbox.salesforce.bulk import Bulk

    results = Bulk._results

    def short(self, parts, request):
        response = results(self, parts, request)
        response.body = b"\n".join(response.body.split(b"\n")[:-2]) + b"\n"
        return response

    monkeypatch.setattr(Bulk, "_results", short)
    with lab(tmp_path, deals=60) as org:
        report = org.sync()
        assert report.status == "failed"
        assert "VendorError" in report.reasons[0]


def test_items_beyond_the_memory_limit_lie_in_files_and_come_back(monkeypatch):
    monkeypatch.setattr(shelf, "_MOST_BYTES", 5_000)
    monkeypatch.setattr(shelf, "_HEAP_ITEMS", 100)
    kept = shelf.Shelf(expected=900)
    for number in range(2_000):
        kept.add(f"deal {number % 300}", b"%d" % number)
    heaps = list(kept.heaps())
    assert len(heaps) == 10
    assert sorted(int(item) for heap in heaps for item in heap) == list(range(2_000))
    place = {int(item) % 300: number for number, heap in enumerate(heaps) for item in heap}
    assert all(place[int(item) % 300] == number for number, heap in enumerate(heaps) for item in heap)
    for heap in heaps:
        of_one = [int(item) for item in heap if int(item) % 300 == int(heap[0]) % 300]
        assert of_one == sorted(of_one)


def test_the_first_chunk_is_fetched_ahead_and_its_trouble_shows_when_it_is_wanted():
    began = threading.Event()

    def found(trouble=None):
        began.set()
        if trouble:
            raise trouble
        yield from (1, 2, 3)

    ahead = bulk.Ahead(found())
    assert began.wait(5)
    assert list(ahead) == [1, 2, 3]
    ahead.close()
    unwanted = bulk.Ahead(found(ValueError("not wanted")))
    unwanted.close()
    wanted = bulk.Ahead(found(ValueError("wanted")))
    with pytest.raises(ValueError, match="wanted"):
        list(wanted)
    wanted.close()
