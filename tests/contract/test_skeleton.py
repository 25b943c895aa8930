"""`muara connector new`: what it writes works as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sdk import ConfigError
from connectors.testing import CHECKS
from connectors.testing.skeleton import FILES, template, write_skeleton
from dagster_project.cli import main

#: What the skeleton leaves to its author.
MISSING = {
    "field_history",
    "reports_archives",
    "reports_merges",
    "custom_fields",
    "owners",
    "companies",
    "renews_tokens",
}
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tests_of_a_new_connector_pass_at_once_and_say_what_is_missing(tmp_path, monkeypatch, capsys):
    """C2."""
    monkeypatch.chdir(tmp_path)
    assert main(["connector", "new", "tiny_crm"]) == 0
    assert "`pytest` runs the contract suite" in capsys.readouterr().out
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "muara-tiny-crm",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    missing = re.findall(r"(\w+) is declared impossible: (\w+): not written yet", done.stdout)
    assert missing == [(check.name, need) for check in CHECKS for need in check.needs if need in MISSING]


def test_the_name_goes_everywhere(tmp_path):
    files = write_skeleton("tiny_crm", tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in files] == [
        place.replace("acme", "tiny_crm") for place in FILES.values()
    ]
    assert not [path for path in files if "acme" in path.read_text().lower()]
    assert 'tiny_crm = "muara_tiny_crm:TinyCrm"' in files[0].read_text()


@pytest.mark.parametrize("name", ["", "Acme", "9lives", "a-b", "../x", "class"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="lower-case"):
        write_skeleton(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mine.py").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        write_skeleton("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tests"]


@pytest.mark.parametrize("source", [name for name in FILES if not name.startswith("docs")])
def test_the_tutorial_shows_the_files_as_they_are_written(source):
    """A tutorial that nobody runs is wrong sooner or later."""
    assert template(source).rstrip() in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
