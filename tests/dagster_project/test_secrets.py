"""A planted secret appears in no output, no log, no Dagster event and no file, however the sync ends (A28)."""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import dagster as dg
import pytest

from connectors.sdk import registry
from dagster_project import definitions

SECRET = "planted/S3cret+value=="
YAML = """\
type: dagster_project.components.CrmSource
attributes:
  source: leaky
  connector: leaky
  config:
    token: {{env: PLANTED}}
    fail: "{fail}"
"""


@pytest.fixture
def leaky(shell, monkeypatch):
    """A project with the leaky connector, whose token is in the environment."""
    point = EntryPoint("leaky", "tests.dagster_project.leaky:Leaky", registry.GROUP)
    found = registry.Registry(lambda: [*entry_points(group=registry.GROUP), point])
    monkeypatch.setattr(registry, "_installed", found)

    def make(fail: str):
        shell.add("leaky", sheet="", yaml=YAML.format(fail=fail))
        shell.env["PLANTED"] = SECRET
        return shell

    return make


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder, and the Dagster instance that writes into it."""
    home = tmp_path_factory.mktemp("dagster")
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield home, instance


def hits(folder: Path) -> list[str]:
    """Files below a folder that hold the secret as it is, or in the forms in which URLs and JSON carry it."""
    forms = [SECRET, "planted%2FS3cret", "planted\\/S3cret", "S3cret"]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(form.encode() in path.read_bytes() for form in forms)
    ]


@pytest.mark.parametrize("fail", ["no", "vendor", "transient", "bug"])
def test_the_command_line_never_shows_it(leaky, fail, caplog, capfd):
    shell = leaky(fail)
    said = [
        shell("sync"),
        shell("sync", "--json"),
        shell("sync", "--debug"),
        shell("check"),
        shell("doctor"),
        # What a build could show comes from landing, whatever ended the sync.
        *([shell("build"), shell("show", "leaky:1")] if fail == "no" else []),
    ]
    text = "".join(one.out + one.err for one in said) + caplog.text + "".join(capfd.readouterr())
    assert "api_token=***" in text
    assert "S3cret" not in text
    assert hits(shell.root) == []


@pytest.mark.parametrize("fail", ["no", "vendor", "transient", "bug"])
def test_dagster_never_stores_it(leaky, fail, stored, monkeypatch, capfd):
    shell = leaky(fail)
    monkeypatch.setenv("PLANTED", SECRET)
    monkeypatch.setattr("assets.sync.DEFAULT_WAIT_S", 0)
    for name in ("MUARA_HOME", "MUARA_LANDING", "MUARA_PROJECT", "MUARA_AS_OF"):
        monkeypatch.delenv(name, raising=False)
    home, instance = stored
    job = definitions.load_project(shell.root).resolve_job_def("sync_leaky")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success == (fail == "no")
    told = "".join(str(event) for event in result.all_events)
    assert "S3cret" not in told
    assert "S3cret" not in "".join(capfd.readouterr())
    assert hits(home) == []
    assert hits(shell.root) == []


def test_the_test_would_notice(tmp_path):
    (tmp_path / "log").write_text(f"token {SECRET}")
    assert hits(tmp_path) == ["log"]
