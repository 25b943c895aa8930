"""Pipedrive's quirks against the sandbox, through the real sync loop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.pipedrive import Pipedrive, mapping
from connectors.pipedrive.history import replay, snapshot, without_call
from connectors.sandbox.pipedrive import PipedriveServer, serve
from connectors.sandbox.world import World
from connectors.sdk import ConfigError, FakeClock
from connectors.sdk.budget import DailyBudget
from connectors.sdk.client import CallPolicy
from connectors.sdk.settings import load
from tests.warehouse.quick import landed
from warehouse.home import Home
from warehouse.sync import SyncReport, run_sync


class Hub:
    def __init__(self, company: PipedriveServer, root: Path, **settings: Any) -> None:
        self.company, self.home = company, Home(root)
        self.clock = FakeClock(company.world.now)
        config = {"api_token": company.credentials.api_token, "base_url": company.url, **settings}
        self.settings = load(Pipedrive.Settings, config, where="test")

    def connector(self) -> Pipedrive:
        return Pipedrive(self.settings, source_key="pipedrive")

    def sync(self, **options: Any) -> SyncReport:
        self.company.reset_log()
        budget = DailyBudget(self.home.budget, clock=self.clock, ceiling=self.settings.daily_call_budget)
        policy = CallPolicy("pipedrive", clock=self.clock, rng=random.Random(1), budget=budget)
        return run_sync(self.connector(), home=self.home, clock=self.clock, calls=policy, **options)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return landed(self.home, "pipedrive", sql)

    def paths(self) -> dict[int, list[tuple[Any, str]]]:
        found: dict[int, list[tuple[Any, str]]] = {}
        for deal_id, at, stage in self.rows(
            "with newest as (select deal_id, max((_sync_seq, _ordinal)) as last from landing.history_reads group by 1) "
            "select c.deal_id, c.changed_at, c.to_stage_id from landing.stage_changes as c inner join newest as n "
            "on n.deal_id = c.deal_id and n.last = (c._sync_seq, c._read_ordinal) order by c.deal_id, c.changed_at, c.sequence"
        ):
            found.setdefault(int(deal_id), []).append((at, stage))
        return found

    def presence(self) -> dict[str, str]:
        return dict(
            self.rows(
                "select key, kind from landing.presence where stream = 'deals' order by _read_at, _sync_seq, _ordinal"
            )
        )


def truth(company: PipedriveServer) -> dict[int, list[tuple[Any, str]]]:
    """The world's own path with won and lost as stages, in whole seconds."""
    world = company.world
    found = {}
    for deal in world.live():
        first_open = str(world.pipeline_stages(_pipeline(deal))[0].id)
        path: list[tuple[Any, str]] = []
        for visit in world.stage_path(deal.id):
            stage = world.stages[visit.stage_id]
            name = str(stage.id) if stage.outcome == "open" else stage.outcome
            at = _whole_second(visit.at_ms)
            if not path and stage.outcome != "open":
                path.append((at, first_open))
            path.append((at, name))
        found[deal.id] = path
    return found


def _pipeline(deal: Any) -> int:
    return int(next(change.new for change in deal.events[0].changes if change.field == "pipeline"))


def _whole_second(at_ms: int) -> Any:
    import datetime as dt

    return dt.datetime.fromtimestamp(at_ms // 1000, tz=dt.UTC).replace(tzinfo=None)


@pytest.fixture
def company() -> Iterator[PipedriveServer]:
    with serve(World(seed=3, deals=160), burst=None) as running:
        yield running


def test_a_first_sync_tells_every_deals_true_path_with_every_reopening(
    company: PipedriveServer, tmp_path: Path
) -> None:
    """A1, A4."""
    hub = Hub(company, tmp_path)
    assert hub.sync().status == "complete"
    told = hub.paths()
    assert told | truth(company) == told


def test_only_deals_that_moved_cost_a_changelog(company: PipedriveServer, tmp_path: Path) -> None:
    """A11."""
    hub = Hub(company, tmp_path)
    hub.sync()
    world = company.world
    world.tick(86_400)
    hub.clock.advance(days=1)
    for name in ("open", "never_moved"):
        assert world.move(world.cases[name], "Negotiation") is not None
    world.edit(world.cases["edited"], amount=None)
    hub.sync()
    assert company.calls["changelog"] == 2
    hub.sync()
    assert company.calls["changelog"] == 0


def test_a_quiet_company_writes_no_row(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path)
    hub.sync()
    assert hub.rows("select count(*) from landing.stages where is_archived") == [(1,)]
    hub.clock.advance(hours=1)
    company.world.tick(3600)
    assert hub.sync().parts == 0, "also for a stage that only histories name"


def test_open_and_recent_deals_come_first_in_a_backfill(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path, daily_call_budget=500)
    assert hub.sync().status == "partial"
    read = [int(key) for (key,) in hub.rows("select deal_id from landing.history_reads")]
    paid = [key for key in read if without_call(snapshot(company.company.rows[key])) is None]
    assert paid
    assert {company.company.rows[key]["status"] for key in paid} == {"open"}


def test_deleted_archived_and_purged_deals_are_marked(company: PipedriveServer, tmp_path: Path) -> None:
    """A12, A13."""
    hub, world = Hub(company, tmp_path), company.world
    hub.sync()
    deleted, archived, merged, purged = (world.cases[name] for name in ("won", "lost", "open", "edited"))
    world.tick(3600)
    hub.clock.advance(hours=1)
    world.delete(deleted)
    world.archive(archived)
    world.merge(merged, world.cases["skipped"])
    world.purge(purged)
    hub.sync()
    assert hub.presence()[str(deleted)] == hub.presence()[str(merged)] == "deleted"
    assert ("archived",) in hub.rows(f"select presence from landing.deals where deal_id = '{archived}'")
    world.tick(8 * 86_400)
    hub.clock.advance(days=8)
    assert hub.sync().status == "complete"
    assert hub.presence()[str(purged)] == "purged"


def test_losing_sight_of_half_the_deals_marks_none(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path)
    hub.sync()
    before = hub.presence()
    company.world.hide([deal.id for deal in company.world.live() if deal.id % 2])
    assert hub.sync(full=True).status == "suspicious"
    assert hub.presence() == before


def test_bursts_are_waited_for_and_a_daily_budget_ends_the_sync_as_partial(tmp_path: Path) -> None:
    """A15."""
    world = World(seed=3, deals=60)
    with serve(world, burst=None, daily_tokens=400) as company:
        company.faults.add("rate_limited", every=5, times=3)
        hub = Hub(company, tmp_path)
        report = hub.sync()
        assert report.status == "partial"
        assert any("daily" in reason for reason in report.reasons)
        assert company.faults.done["rate_limited"] == 3


def test_trouble_of_all_kinds_ends_complete_with_equal_paths(company: PipedriveServer, tmp_path: Path) -> None:
    calm = Hub(company, tmp_path / "calm")
    calm.sync()
    company.faults.storm(0.05)
    stormy = Hub(company, tmp_path / "storm")
    assert stormy.sync().status == "complete"
    assert stormy.paths() == calm.paths()


def test_oauth_keeps_the_newest_refresh_token(company: PipedriveServer, tmp_path: Path) -> None:
    """A26, A27."""
    known = company.credentials
    hub = Hub(company, tmp_path)
    config = {"client_id": known.client_id, "client_secret": known.client_secret, "refresh_token": known.refresh_token}
    hub.settings = load(
        Pipedrive.Settings, {**config, "base_url": company.url, "oauth_url": company.url + "/oauth/token"}, where="test"
    )
    company.faults.when(company.expire_tokens, match="changelog", after=5)
    assert hub.sync().status == "complete"
    assert company.calls["oauth"] == 2


def test_a_token_of_no_admin_is_warned_about(tmp_path: Path) -> None:
    with serve(World(seed=3, deals=60), burst=None, admin=False) as company:
        report = Hub(company, tmp_path).sync()
        assert any(warning.code == "not_admin" for warning in report.warnings)


def test_an_html_403_stops_the_sync_as_partial(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path)
    company.faults.when(
        lambda: setattr(company.company.limits, "_block_after", -1) or setattr(company.company.limits, "daily", 0),
        match="users",
        after=0,
    )
    report = hub.sync()
    assert report.status == "partial"
    assert company.calls["changelog"] == 0


def test_a_value_of_zero_is_unknown_unless_said_otherwise(company: PipedriveServer, tmp_path: Path) -> None:
    hub = Hub(company, tmp_path)
    hub.sync()
    zero, unknown = company.world.cases["zero_amount"], company.world.cases["unknown_amount"]
    assert hub.rows(f"select distinct amount from landing.deals where deal_id in ('{zero}', '{unknown}')") == [(None,)]


def test_custom_fields_stand_under_their_labels_with_labels_of_options(
    company: PipedriveServer, tmp_path: Path
) -> None:
    """B5."""
    hub = Hub(company, tmp_path)
    hub.sync()
    found = " ".join(text for (text,) in hub.rows("select custom_fields from landing.deals"))
    assert '"Lead Score"' in found
    assert "EMEA" in found


ROW = {
    "id": 1,
    "pipeline_id": 1,
    "stage_id": 3,
    "status": "open",
    "add_time": "2026-01-01T00:00:00Z",
    "stage_change_time": "2026-01-03T00:00:00Z",
}


def line(key: str, old: str | None, new: str | None, time: str) -> dict[str, Any]:
    return {"field_key": key, "old_value": old, "new_value": new, "time": time, "actor_user_id": 5}


def test_a_changelog_that_lacks_a_move_is_never_called_complete() -> None:
    """A2."""
    found = replay(snapshot(ROW), [line("stage_id", "1", "2", "2026-01-02 00:00:00")], {})
    assert not found.complete
    assert found.note is not None


def test_the_creation_may_or_may_not_be_an_entry() -> None:
    move = line("stage_id", "1", "3", "2026-01-03 00:00:00")
    created = line("stage_id", None, "1", "2026-01-01 00:00:00")
    with_entry, without = replay(snapshot(ROW), [move, created], {}), replay(snapshot(ROW), [move], {})
    assert [(c.changed_at, c.to_stage_id) for c in with_entry.stage_changes] == [
        (c.changed_at, c.to_stage_id) for c in without.stage_changes
    ]
    assert [c.evidence for c in without.stage_changes] == ["created", "exact"]


def test_a_reopening_and_a_move_in_one_second_is_one_entry() -> None:
    lines = [
        line("stage_id", "1", "3", "2026-01-03 00:00:00"),
        line("status", "lost", "open", "2026-01-03 00:00:00"),
        line("status", "open", "lost", "2026-01-02 00:00:00"),
    ]
    found = replay(snapshot(ROW), lines, {})
    assert [c.to_stage_id for c in found.stage_changes] == ["1", "lost", "3"]
    assert found.complete


def test_times_of_both_versions_are_understood() -> None:
    assert (
        mapping.instant("2026-01-02 03:04:05")
        == mapping.instant("2026-01-02T03:04:05Z")
        == mapping.instant("2026-01-02T03:04:05.000Z")
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"api_token": "t"},
        {"api_token": "t", "company_domain": "a", "base_url": "https://x"},
        {"client_id": "x", "company_domain": "a"},
    ],
)
def test_settings_that_cannot_work_are_refused(config: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        load(Pipedrive.Settings, config, where="test")
