from __future__ import annotations

import json
import logging
import multiprocessing
import threading
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.sdk.budget import DailyBudget
from connectors.sdk.errors import ConfigError, QuotaError
from tests.sdk.conftest import Script, response


@pytest.fixture
def path(tmp_path):
    return tmp_path / "budget.json"


def test_the_budget_refuses_the_call_that_would_cross_it(path, clock):
    """A14."""
    budget = DailyBudget(path, clock=clock, ceiling=100)
    budget.spend("crm:1", 90)
    with pytest.raises(QuotaError, match=r"crm:1: the daily budget of 100 calls is used up \(90 used\)") as caught:
        budget.spend("crm:1", 20)
    assert caught.value.resumes_at == datetime(2026, 1, 2, tzinfo=UTC)
    budget.spend("crm:1", 10)
    budget.spend("crm:1", 0)
    state = budget.state("crm:1")
    assert (state.used, state.left) == (100, 0)


def test_accounts_have_budgets_of_their_own(path, clock):
    budget = DailyBudget(path, clock=clock, ceiling=10)
    budget.spend("crm:1", 10)
    budget.spend("crm:2", 10)


def test_the_day_ends_at_utc_midnight(path, clock):
    budget = DailyBudget(path, clock=clock, ceiling=10)
    clock.advance(hours=23, minutes=59)
    budget.spend("crm:1", 10)
    clock.advance(minutes=1)
    budget.spend("crm:1", 10)
    assert budget.state("crm:1").resumes_at == datetime(2026, 1, 3, tzinfo=UTC)


def test_the_day_may_end_in_the_vendors_zone(path, clock):
    """Pipedrive: midnight of the data centre."""
    budget = DailyBudget(path, clock=clock, zone=ZoneInfo("America/New_York"))
    assert budget.state("crm:1").resumes_at == datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_the_vendors_reset_instant_wins(path, clock):
    budget = DailyBudget(path, clock=clock, ceiling=10)
    budget.spend("crm:1", 10)
    reset = clock.now() + timedelta(hours=3)
    budget.told("crm:1", left=500, limit=1000, resets_at=reset)
    with pytest.raises(QuotaError) as caught:
        budget.spend("crm:1")
    assert caught.value.resumes_at == reset
    clock.advance(hours=3)
    budget.spend("crm:1")


def test_a_share_of_the_vendors_quota_is_left_to_others(path, clock):
    budget = DailyBudget(path, clock=clock, reserve_share=0.2)
    budget.told("crm:1", left=205, limit=1000)
    for _ in range(5):
        budget.spend("crm:1")
    with pytest.raises(QuotaError, match=r"200 are kept for the account's other apps"):
        budget.spend("crm:1")
    assert budget.state("crm:1").left == 0
    # A rolling quota refills: after a while one call may find out.
    clock.advance(minutes=20)
    budget.spend("crm:1")


def test_a_reserve_is_a_share(path, clock):
    with pytest.raises(ConfigError):
        DailyBudget(path, clock=clock, reserve_share=1.5)


def test_calls_made_before_the_account_was_known_are_counted_under_it(path, clock, make_policy):
    policy = make_policy(budget=DailyBudget(path, clock=clock, ceiling=100))
    policy.call("account", Script(response()), cost=5)
    policy.use_account("crm:1")
    policy.call("deals", Script(response()), cost=20)
    assert DailyBudget(path, clock=clock).state("crm:1").used == 25
    assert "source:acme" not in json.loads(path.read_text())
    assert policy.report().budget_left == 75


def test_at_the_budget_no_request_is_sent(path, clock, make_policy):
    policy = make_policy(budget=DailyBudget(path, clock=clock, ceiling=3))
    send = Script(response(503))
    with pytest.raises(QuotaError):
        policy.call("deals", send)
    assert send.sent == 3


def test_the_quota_told_by_the_vendor_is_in_the_report(path, clock, make_policy):
    policy = make_policy(budget=DailyBudget(path, clock=clock, reserve_share=0.1))
    assert policy.report().quota_left is None
    policy.told_quota(900, 1000)
    report = policy.report()
    assert (report.quota_left, report.quota_limit, report.budget_left) == (900, 1000, 800)


def test_an_unreadable_file_starts_again_and_says_so(path, clock, caplog):
    path.write_text('{"crm:1": {"used"')
    budget = DailyBudget(path, clock=clock, ceiling=10)
    with caplog.at_level(logging.WARNING):
        budget.spend("crm:1", 4)
    assert "start again from zero" in caplog.text
    assert json.loads(path.read_text())["crm:1"]["used"] == 4


def test_a_nonsense_reset_in_the_file_is_not_believed(path, clock):
    path.write_text('{"crm:1": {"used": 10, "resets_at": "2099-01-01T00:00:00Z"}}')
    DailyBudget(path, clock=clock, ceiling=10).spend("crm:1")


def test_threads_never_spend_more_than_the_budget(path, clock):
    budget = DailyBudget(path, clock=clock, ceiling=300)
    spent = []

    def work():
        for _ in range(100):
            try:
                budget.spend("crm:1")
                spent.append(1)
            except QuotaError:
                pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spent) == 300
    assert budget.state("crm:1").used == 300


def _spend_in_a_process(budget, start, results):
    made = 0
    start.wait(30)
    for _ in range(600):
        try:
            budget.spend("crm:1")
            made += 1
        except QuotaError:
            pass
    results.put(made)


@pytest.mark.parametrize("is_inherited", [True, False])
def test_processes_share_one_budget_also_one_inherited_by_fork(path, clock, is_inherited):
    """A14. A handle inherited by fork shares its lock with the parent: taking it would lock nobody out."""
    opened = DailyBudget(path, clock=clock, ceiling=2000)
    if is_inherited:
        opened.spend("crm:1", 100)
    else:
        DailyBudget(path, clock=clock).spend("crm:1", 100)
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_spend_in_a_process, args=(opened, start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert sum(results.get() for _ in processes) == 1900
    assert DailyBudget(path, clock=clock).state("crm:1").used == 2000


def test_spending_is_cheap(path, clock):
    budget = DailyBudget(path, clock=clock, ceiling=10**9)
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(200):
            budget.spend("crm:1")
        best = min(best, (time.perf_counter() - began) / 200)
    assert best < 0.000_5
