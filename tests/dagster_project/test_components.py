"""The YAML vocabulary: its schema knows the installed connectors, and the scaffolder writes a document that needs only secrets."""

import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
import dagster as dg
import jsonschema
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap

from connectors.sdk import registry
from dagster_project.components import CrmSource
from dagster_project.components.scaffolder import CrmSourceParams, CrmSourceScaffolder
from dagster_project.definitions import load_project
from dagster_project.project import SOURCE_TYPE
from tests.dagster_project.asset_keys import keys_of


@pytest.fixture(scope="module")
def schema():
    """As `dg` asks for it."""
    import dagster_dg_core  # noqa: F401

    return CrmSource.get_model_cls().model_json_schema()


def errors(schema, **attributes) -> list[str]:
    shape = {"source": "one", "connector": "hubspot", "config": {"access_token": {"env": "X"}}, **attributes}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(shape)]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({}, None),
        ({"connector": "hubspott"}, "'hubspott' is not one of"),
        ({"config": {"acces_token": "x"}}, "'acces_token' was unexpected"),
        ({"config": {"access_token": {"env": "X"}, "company_domain": "acme"}}, "'company_domain' was unexpected"),
        ({"shedule": "* * * * *"}, "'shedule' was unexpected"),
        ({"freshness": {"warn_hours": 1}}, "is not valid"),
    ],
)
def test_the_schema_that_dg_checks_knows_connectors_and_their_settings(schema, attributes, said):
    found = errors(schema, **attributes)
    assert (not found) if said is None else any(said in message for message in found), found


def test_the_schema_knows_plug_ins(monkeypatch):
    import dagster_dg_core  # noqa: F401

    point = EntryPoint("leaky", "tests.dagster_project.leaky:Leaky", registry.GROUP)
    found = registry.Registry(lambda: [*entry_points(group=registry.GROUP), point])
    monkeypatch.setattr(registry, "_installed", found)
    schema = CrmSource.get_model_cls().model_json_schema()
    assert errors(schema, connector="leaky", config={"token": {"env": "X"}}) == []
    assert any("'tokn' was unexpected" in said for said in errors(schema, connector="leaky", config={"tokn": "x"}))
    assert any("'token' is a required" in said for said in errors(schema, connector="leaky", config={}))


def scaffold(folder: Path, **params) -> str:
    request = dg.ScaffoldRequest(
        type_name=SOURCE_TYPE,
        target_path=folder,
        scaffold_format="yaml",
        project_root=folder.parents[1],
        params=CrmSourceParams(**params),
    )
    CrmSourceScaffolder().scaffold(request)
    return (folder / "defs.yaml").read_text()


@pytest.mark.parametrize("connector", sorted(registry.names()))
def test_what_is_scaffolded_loads_as_it_is(shell, connector):
    """No secret is set, and the names to fill in have the right shape."""
    text = scaffold(shell.root / "defs" / f"my-{connector}", connector=connector, schedule="0 6 * * *")
    written = yaml.safe_load(text)
    assert written["attributes"]["source"] == f"my_{connector}"
    assert written["attributes"]["schedule"] == "0 6 * * *"
    assert f"my_{connector}/deals" in keys_of(load_project(shell.root))


def test_secrets_are_scaffolded_as_variables(shell):
    text = scaffold(shell.root / "defs" / "eu", connector="hubspot")
    assert "access_token: {env: EU_ACCESS_TOKEN}" in text


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "Name the connector: --connector NAME. Installed: "),
        ({"connector": "hubspott"}, "Did you mean 'hubspot'"),
        ({"connector": "hubspot", "source": "Mine!"}, "use a-z, 0-9 and _"),
        ({"connector": "hubspot", "schedule": "daily"}, "cron line"),
    ],
)
def test_a_wrong_answer_is_a_sentence_and_writes_nothing(shell, params, said):
    folder = shell.root / "defs" / "eu"
    folder.mkdir()
    with pytest.raises(click.ClickException) as caught:
        scaffold(folder, **params)
    assert said in caught.value.message
    assert not folder.exists()


def test_what_the_pages_are_told_of_a_source_holds_no_secret(shell):
    """Not even one that somebody wrote into the YAML."""
    folder = shell.root / "defs" / "eu"
    folder.mkdir()
    (folder / "defs.yaml").write_text(
        f"type: {SOURCE_TYPE}\nattributes:\n  source: eu\n  connector: hubspot\n  config: {{access_token: planted-S3cret}}\n"
    )
    told = dg.serialize_value(RepositorySnap.from_def(load_project(shell.root).get_repository_def()))
    assert "go_on_eu" in told
    assert "S3cret" not in told


def test_loading_definitions_imports_no_client_that_no_source_uses(shell):
    """Ten sources of one kind must not pay for the others at every start of a run."""
    shell.add("tracker")
    code = (
        "import sys; from pathlib import Path; from dagster_project.definitions import load_project; "
        "load_project(Path.cwd()); print([name for name in ('simple_salesforce', 'hubspot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=shell.root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
