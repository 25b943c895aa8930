"""What Dagster loads: with no secret and no network, the keys that others rely on, and one thread run through it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from connectors.sdk.errors import ConfigError
from dagster_project import definitions
from dagster_project.definitions import load_project
from tests.dagster_project.asset_keys import DEMO, FILE, keys_of

pytestmark = pytest.mark.usefixtures("no_variables")


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to connect fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("definitions must load without the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def demo(tmp_path):
    """A copy of the demo project."""
    return Path(shutil.copytree(DEMO, tmp_path / "demo"))


@pytest.fixture(scope="module")
def loaded_demo(tmp_path_factory):
    """The demo's definitions, for tests that only look."""
    return load_project(Path(shutil.copytree(DEMO, tmp_path_factory.mktemp("loaded") / "demo")))


def test_asset_keys_of_the_demo_are_as_published(demo, no_network):
    """Others rely on these names; a change belongs into the changelog. Write the list: python -m tests.dagster_project.asset_keys"""
    assert keys_of(load_project(demo)) == FILE.read_text().split()


def test_definitions_load_without_secrets_and_network(shell, no_network):
    for name, secret in (("hubspot", "access_token"), ("pipedrive", "api_token")):
        yaml = (
            "type: dagster_project.components.CrmSource\nattributes:\n"
            f"  source: {name}_eu\n  connector: {name}\n  config:\n    {secret}: {{env: NOT_SET_ANYWHERE}}\n"
        )
        shell.add(f"{name}_eu", sheet="", yaml=yaml)
    assert {"hubspot_eu/deals", "pipedrive_eu/deals", "warehouse/deals"} <= set(keys_of(load_project(shell.root)))


def test_a_plug_in_that_does_not_load_hurts_only_itself(hub, monkeypatch):
    """Its assets are there; its sync says why it cannot run."""
    from importlib.metadata import EntryPoint, entry_points

    from connectors.sdk import registry

    point = EntryPoint("broken", "no_such_module:Broken", registry.GROUP)
    monkeypatch.setattr(registry, "_installed", registry.Registry(lambda: [*entry_points(group=registry.GROUP), point]))
    yaml = "type: dagster_project.components.CrmSource\nattributes:\n  source: other\n  connector: broken\n"
    hub.add("other", sheet="", yaml=yaml)
    found = load_project(hub.root)
    assert {"other/deals", "tracker/deals"} <= set(keys_of(found))
    result = found.resolve_job_def("sync_other").execute_in_process(raise_on_error=False)
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "no_such_module" in failure.user_failure_data.description


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    key: Deal ID", "    ky: Deal ID", "unknown setting 'ky'. Did you mean 'key'?"),
        ("    key: Deal ID", "    header_row: many", "header_row"),
        (
            "connector: spreadsheet",
            "connector: spredsheet",
            "connector 'spredsheet' is not installed. Did you mean 'spreadsheet'?",
        ),
        ("source: tracker", "source: Tracker", "source 'Tracker': use a-z"),
    ],
)
def test_a_wrong_setting_is_found_when_definitions_load(hub, old, new, said):
    path = hub.root / "defs" / "tracker" / "defs.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_project(hub.root)
    assert said in str(caught.value)
    assert str(caught.value).startswith("defs/tracker/defs.yaml line ")


def test_a_project_without_a_warehouse_document_has_the_warehouse_all_the_same(hub):
    shutil.rmtree(hub.root / "defs" / "warehouse")
    found = load_project(hub.root)
    assert "warehouse/deals" in keys_of(found)
    assert {"rebuild", "sync_all", "sync_tracker"} <= {job.name for job in found.resolve_all_job_defs()}


def test_two_projects_in_one_process_do_not_mix(hub, demo):
    assert "tracker/deals" in keys_of(load_project(hub.root))
    assert "tracker/deals" not in keys_of(load_project(demo))
    assert "tracker/deals" in keys_of(load_project(hub.root))


def test_outside_a_project_there_is_a_hint_and_no_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = definitions.defs()
    assert keys_of(found) == []
    assert "muara init" in str(found.metadata["hint"])


def test_a_wrong_project_folder_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MUARA_PROJECT", str(tmp_path / "nowhere"))
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="is no Muara project"):
        definitions.defs()


def test_schedules_jobs_and_automation_are_on(loaded_demo):
    repository = loaded_demo.get_repository_def()
    assert {"sync_all", "rebuild", "sync_us_sales", "sync_partners", "sync_id_penjualan"} <= set(repository.job_names)
    schedule = repository.get_schedule_def("sync_us_sales_schedule")
    assert schedule.cron_schedule == "0 6 * * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert repository.get_sensor_def("rebuild_after_syncs").default_status == dg.DefaultSensorStatus.RUNNING


def test_syncs_and_builds_are_pooled(loaded_demo):
    """One sync per source at a time, one build at a time (A30)."""
    graph = loaded_demo.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["us_sales", "deals"])).assets_def.op.pool == "api_us_sales"
    assert graph.get(dg.AssetKey(["warehouse", "deals"])).assets_def.op.pool == "warehouse_writer"


def test_every_asset_says_what_it_is(loaded_demo):
    graph = loaded_demo.resolve_asset_graph()
    silent = [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).description]
    assert silent == []


def test_one_sheet_through_dagster_in_process(hub):
    """Sync, build, checks and the published file, without a run-worker process."""
    found = load_project(hub.root)
    with dg.DagsterInstance.ephemeral() as instance:
        synced = found.resolve_job_def("sync_all").execute_in_process(instance=instance)
        config = {"ops": {"build_warehouse": {"config": {"as_of": "2026-03-01T00:00:00Z"}}}}
        built = found.resolve_job_def("rebuild").execute_in_process(run_config=config, instance=instance)
    deals = next(e for e in synced.get_asset_materialization_events() if e.asset_key.path == ["tracker", "deals"])
    assert deals.materialization.metadata["rows_new"].value == 3
    table = next(e for e in built.get_asset_materialization_events() if e.asset_key.path == ["warehouse", "deals"])
    shown = table.materialization.metadata
    assert shown["dagster/row_count"].value == 3
    assert "deal_key" in {column.name for column in shown["dagster/column_schema"].schema.columns}
    lineage = shown["dagster/column_lineage"].lineage.deps_by_column
    assert dg.TableColumnDep(dg.AssetKey(["tracker", "deals"]), "name") in lineage["name"]
    mart = next(e for e in built.get_asset_materialization_events() if e.asset_key.path[-1] == "stage_bottlenecks")
    assert mart.materialization.metadata["picture"].value.startswith("![Where deals get stuck")
    assert mart.materialization.metadata["preview"].records
    assert table.materialization.tags["dagster/data_version"]
    assert all(
        evaluation.passed or evaluation.severity == dg.AssetCheckSeverity.WARN
        for evaluation in built.get_asset_check_evaluations()
    )
    assert (hub.root / ".muara" / "muara.duckdb").is_file()


def test_part_of_the_warehouse_may_be_asked_for(hub):
    hub("sync")
    found = load_project(hub.root)
    selection = [dg.AssetKey(["warehouse", "deals"])]
    result = found.resolve_implicit_global_asset_job_def().execute_in_process(asset_selection=selection)
    assert [e.asset_key.path for e in result.get_asset_materialization_events()] == [["warehouse", "deals"]]


@pytest.mark.slow
def test_dg_works_in_a_project_folder(hub):
    """`dg check defs` and `dg list defs --json`, as a person calls them in the folder that init made."""
    env = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "1"}
    tool = Path(sys.executable).parent / "dg"
    if not tool.exists():
        pytest.skip("dg is not installed beside this Python")
    listed = subprocess.run(
        [tool, "list", "defs", "--json"], cwd=hub.root, env=env, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, listed.stderr
    assert "tracker/deals" in {asset["asset_key"] for asset in json.loads(listed.stdout)["assets"]}
