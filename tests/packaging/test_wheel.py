"""The wheel as a stranger gets it: installed beside somebody's plug-in, used from an empty folder. Keeps style and promise of one distribution.

No network: the wheels are built with the build backend of this environment and installed without dependencies, which come from here.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "sample_plugin"
SOURCES = """\
type: dagster_project.components.CrmSource
attributes:
  source: outside
  connector: sample
  config:
    token: {env: SAMPLE_TOKEN}
---
type: dagster_project.components.CrmSource
attributes:
  source: sheet
  connector: spreadsheet
  config: {path: deals.csv, key: id, snapshot_date: 2026-02-01, default_currency: USD}
"""


def call(*command, cwd=None, env=None):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wheel(project: Path, out: Path) -> Path:
    pytest.importorskip("hatchling")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=project)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def muara_wheel(tmp_path_factory):
    return wheel(REPO, tmp_path_factory.mktemp("muara"))


@pytest.fixture(scope="module")
def installed(muara_wheel, tmp_path_factory):
    """A fresh environment with both wheels; everything they depend on comes from the environment of the tests."""
    base = tmp_path_factory.mktemp("installed")
    plugin = Path(shutil.copytree(PLUGIN, base / "plugin"))
    plugin_wheel = wheel(plugin, base / "wheels")
    venv.create(base / "venv", with_pip=False)
    python = base / "venv" / "bin" / "python"
    # The pip of the tests installs into it: putting a pip of its own there would take longer than all the rest.
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        muara_wheel,
        plugin_wheel,
    )
    packages = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return base / "venv" / "bin"


@pytest.fixture
def clean_env(installed):
    """No variable that would help, and the fresh environment first on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUARA_", "DAGSTER_", "PYTHON", "VIRTUAL_ENV"))
    }
    return {
        **kept,
        "PATH": f"{installed}:{kept['PATH']}",
        "VIRTUAL_ENV": str(installed.parent),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def test_the_wheel_holds_the_four_packages_with_their_data_and_nothing_else(muara_wheel):
    names = zipfile.ZipFile(muara_wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"connectors", "assets", "warehouse", "dagster_project"}
    endings = {Path(name).suffix for name in names}
    assert {".sql", ".yml", ".py", ".typed"} <= endings
    assert not [name for name in names if "/tests/" in name or ".muara" in name or "__pycache__" in name]
    models = {Path(name).name for name in names if name.startswith("warehouse/models/") and name.endswith(".sql")}
    assert models == {path.name for path in (REPO / "warehouse" / "models").rglob("*.sql")}
    assert "dagster_project/templates/dagster.yaml" in names
    assert "dagster_project/examples/demo/defs/us_sales/defs.yaml" in names
    assert "connectors/py.typed" in names


@pytest.mark.slow
def test_both_run_from_an_empty_folder(installed, clean_env, tmp_path):
    """Plug-in and built-in, command line and Dagster (C1)."""
    where = call(
        installed / "python",
        "-c",
        "import dagster_project, muara_sample; print(dagster_project.__file__)",
        cwd=tmp_path,
        env=clean_env,
    )
    assert Path(where.strip()).is_relative_to(installed.parent)
    listed = {
        row["name"]: row
        for row in json.loads(
            call(installed / "muara", "connectors", "sample", "spreadsheet", "--json", cwd=tmp_path, env=clean_env)
        )
    }
    assert listed["sample"]["distribution"] == "muara-sample"
    assert listed["spreadsheet"]["distribution"] == "muara"
    call(installed / "muara", "init", "hub", cwd=tmp_path, env=clean_env)
    hub = tmp_path / "hub"
    (hub / "defs" / "sources").mkdir()
    (hub / "defs" / "sources" / "defs.yaml").write_text(SOURCES)
    (hub / "deals.csv").write_text("id,deal,stage,amount\n1,Alpha,Proposal,100\n")
    done = json.loads(call(installed / "muara", "run", "--json", cwd=hub, env={**clean_env, "SAMPLE_TOKEN": "abc-123"}))
    assert done["build"]["status"] == "published"
    assert done["build"]["tables"]["main.deals"] == 3
    dg = [installed / "python", "-c", "from dagster_dg_cli.cli import main; main()"]
    pytest.importorskip("dagster_dg_cli")
    assets = {
        asset["asset_key"]
        for asset in json.loads(call(*dg, "list", "defs", "--json", cwd=hub, env=clean_env))["assets"]
    }
    assert {"outside/deals", "sheet/deals", "warehouse/deals", "warehouse/stage_conversion"} <= assets


@pytest.mark.slow
def test_components_are_listed_with_what_they_are(installed, clean_env, tmp_path):
    pytest.importorskip("dagster_dg_cli")
    call(installed / "muara", "init", "hub", cwd=tmp_path, env=clean_env)
    text = call(
        installed / "python",
        "-c",
        "from dagster_dg_cli.cli import main; main()",
        "list",
        "components",
        "--json",
        cwd=tmp_path / "hub",
        env=clean_env,
    )
    found = {row["key"]: row for row in json.loads(text)["items"]}
    assert "CRM account" in found["dagster_project.components.CrmSource"]["summary"]
    assert "warehouse" in found["dagster_project.components.Warehouse"]["summary"]


@pytest.mark.slow
def test_a_folder_of_the_same_name_in_the_way_is_named(installed, clean_env, tmp_path):
    """Our import names are everyday words; a clash must be said, not suffered."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "__init__.py").touch()
    done = subprocess.run(
        [str(installed / "python"), "-m", "dagster_project.cli", "connectors"],
        cwd=tmp_path,
        env=clean_env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "package 'assets' comes from" in done.stderr
