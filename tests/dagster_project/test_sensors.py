"""What starts by itself: a new version of a file, a returned quota; and what each source and the warehouse may be called and asked."""

import os
from datetime import timedelta

import dagster as dg
import pytest

from dagster_project import sensors
from dagster_project.definitions import load_project
from dagster_project.operations import Hub
from dagster_project.wiring import default_freshness, longest_gap_hours
from tests.dagster_project.asset_keys import keys_of
from warehouse.landing.reports import SyncReport

pytestmark = pytest.mark.usefixtures("no_variables")


@pytest.fixture
def now(hub):
    """A hub whose clock stands a minute after the sheet was written."""
    written = (hub.root / "sheets" / "tracker.csv").stat().st_mtime
    hub.clock.advance(seconds=written + 60 - hub.clock.now().timestamp())
    return Hub(hub.root, {}, hub.clock)


def tick(definition: dg.SensorDefinition, cursor: str | None = None) -> dg.RunRequest | dg.SkipReason:
    found = definition(dg.build_sensor_context(cursor=cursor))
    return found.run_requests[0] if isinstance(found, dg.SensorResult) and found.run_requests else found


def test_a_sheet_is_synced_once_for_each_version(hub, now):
    """The cursor and the run key are the files' version."""
    sensor = sensors.file_sensor(lambda: now, now.project.source("tracker"), "sync_tracker")
    first = tick(sensor)
    version = first.run_key.removeprefix("tracker:")
    assert "No file has changed" in tick(sensor, cursor=version).skip_message
    path = hub.root / "sheets" / "tracker.csv"
    path.write_text(path.read_text() + "4,Delta,Hooli,Lead,5,2026-01-08,Bob\n")
    os.utime(path, (now.clock.now().timestamp() - 30,) * 2)
    third = tick(sensor, cursor=version)
    assert third.run_key != first.run_key


def test_files_that_a_sync_by_hand_has_read_start_nothing(hub, now):
    assert hub("sync").code == 0
    sensor = sensors.file_sensor(lambda: now, now.project.source("tracker"), "sync_tracker")
    first = tick(sensor)
    assert "has read these files" in first.skip_reason.skip_message
    path = hub.root / "sheets" / "tracker.csv"
    path.write_text(path.read_text().replace("Alpha", "Alfa"))
    os.utime(path, (now.clock.now().timestamp() - 30,) * 2)
    assert tick(sensor, cursor=first.cursor).run_key.startswith("tracker:")


def test_a_file_that_is_still_being_written_waits(hub, now):
    sensor = sensors.file_sensor(lambda: now, now.project.source("tracker"), "sync_tracker")
    path = hub.root / "sheets" / "tracker.csv"
    os.utime(path, (now.clock.now().timestamp() - 1,) * 2)
    assert "still be being written" in tick(sensor).skip_message
    path.unlink()
    assert "no such file" in tick(sensor).skip_message


def test_a_path_from_the_environment_is_watched_and_a_missing_variable_is_said(shell):
    yaml = (
        "type: dagster_project.components.CrmSource\nattributes:\n  source: tracker\n  connector: spreadsheet\n"
        "  config:\n    path: {env: TRACKER}\n    key: Deal ID\n"
    )
    shell.add("tracker", yaml=yaml)
    hub = Hub(shell.root, {}, shell.clock)
    sensor = sensors.file_sensor(lambda: hub, hub.project.source("tracker"), "sync_tracker")
    assert "TRACKER is not set" in tick(sensor).skip_message
    there = Hub(shell.root, {"TRACKER": "sheets/tracker.csv"}, shell.clock)
    assert sensors.files_version(there, there.project.source("tracker"))[2] == 1


def report(status: str, clock, **more) -> SyncReport:
    return SyncReport(
        sync_id="20260301T000000Z-000001",
        source_key="tracker",
        connector="hubspot",
        status=status,
        started_at=clock.now(),
        ended_at=clock.now(),
        **more,
    )


@pytest.mark.parametrize("resumes_in", [timedelta(hours=2), None])
def test_a_partial_sync_goes_on_once_when_its_quota_returns(hub, monkeypatch, resumes_in):
    resumes_at = hub.clock.now() + resumes_in if resumes_in else None
    last = report("partial", hub.clock, resumes_at=resumes_at)
    monkeypatch.setattr("dagster_project.operations.last_sync", lambda hub, source: last)
    project = Hub(hub.root, {}, hub.clock)
    sensor = sensors.quota_sensor(lambda: project, project.project.source("tracker"), "sync_tracker")
    assert "it goes on at" in tick(sensor).skip_message
    hub.clock.advance(seconds=(resumes_in or sensors.UNKNOWN_WAIT).total_seconds() + 1)
    assert tick(sensor).run_key == tick(sensor).run_key == f"tracker:{last.sync_id}"


@pytest.mark.parametrize("status", ["complete", "suspicious", "failed"])
def test_only_a_partial_sync_goes_on_by_itself(hub, monkeypatch, status):
    monkeypatch.setattr("dagster_project.operations.last_sync", lambda hub_, source: report(status, hub.clock))
    project = Hub(hub.root, {}, hub.clock)
    sensor = sensors.quota_sensor(lambda: project, project.project.source("tracker"), "sync_tracker")
    assert "not partial" in tick(sensor).skip_message


def test_every_source_has_its_jobs_and_one_sensor_that_is_on(hub):
    yaml = (
        "type: dagster_project.components.CrmSource\nattributes:\n  source: portal\n  connector: hubspot\n"
        "  config:\n    access_token: {env: TOKEN}\n"
    )
    hub.add("portal", sheet="", yaml=yaml)
    repository = load_project(hub.root).get_repository_def()
    assert {"sync_portal", "full_refresh_portal", "sync_tracker", "full_refresh_tracker"} <= set(repository.job_names)
    for name in ("go_on_portal", "new_files_of_tracker", "rebuild_after_syncs"):
        assert repository.get_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_a_full_refresh_reads_everything_again(hub):
    found = load_project(hub.root)
    with dg.DagsterInstance.ephemeral() as instance:
        read = [
            found.resolve_job_def(job).execute_in_process(instance=instance).get_asset_materialization_events()
            for job in ("sync_tracker", "sync_tracker", "full_refresh_tracker")
        ]
    deals = [next(e for e in events if e.asset_key.path[-1] == "deals").materialization for events in read]
    assert [deal.metadata["is_full"].value for deal in deals] == [False, False, True]
    versions = {deal.tags["dagster/data_version"] for deal in deals}
    assert len(versions) == 1, "nothing changed, so nothing downstream may look stale"


@pytest.mark.parametrize(
    ("cron", "hours"), [("*/30 * * * *", 0.5), ("0 6 * * *", 24), ("0 6 * * 1-5", 72), ("0 6 * * 1", 168)]
)
def test_freshness_follows_the_schedule(hub, cron, hours):
    assert longest_gap_hours(cron) == hours
    path = hub.root / "defs" / "tracker" / "defs.yaml"
    path.write_text(path.read_text().replace("  config:", f'  schedule: "{cron}"\n  config:'))
    found = default_freshness(Hub(hub.root, {}, hub.clock).project.source("tracker"))
    assert hours < found.warn_hours < found.fail_hours <= 2 * hours + 1


def test_freshness_may_be_written(hub):
    path = hub.root / "defs" / "tracker" / "defs.yaml"
    text = path.read_text()
    path.write_text(text.replace("  config:", "  freshness: {warn_hours: 5, fail_hours: 9}\n  config:"))
    graph = load_project(hub.root).resolve_asset_graph()
    policy = graph.get(dg.AssetKey(["tracker", "deals"])).freshness_policy
    assert policy.fail_window.to_timedelta() == timedelta(hours=9)


def test_the_warehouse_may_be_renamed(hub):
    path = hub.root / "defs" / "warehouse" / "defs.yaml"
    names = "  translation: {key_prefix: [crm, hub], group: pipeline, owners: ['team:data'], tags: {tier: '1'}}\n"
    path.write_text(path.read_text() + names)
    found = load_project(hub.root)
    assert "crm/hub/deals" in keys_of(found)
    assert not [key for key in keys_of(found) if key.startswith("warehouse/")]
    node = found.resolve_asset_graph().get(dg.AssetKey(["crm", "hub", "deals"]))
    assert (node.group_name, list(node.owners), node.tags["tier"]) == ("pipeline_core", ["team:data"], "1")
