"""Documentation that cannot rot: pages made from the code are up to date, and every command and setting is explained."""

import re
from pathlib import Path

import pytest

from connectors.sdk import registry
from dagster_project.cli import COMMANDS
from dagster_project.guard import DISTRIBUTION
from dagster_project.pages import commands_page, pages, settings_page
from warehouse.settings import Thresholds, WarehouseSettings

REPO = Path(__file__).parents[2]
DOCS = REPO / "docs"


def every_command() -> list[str]:
    names = []
    for name, command in COMMANDS.items():
        names += [f"{name} {child}" for child in command.children] if command.children else [name]
    return names


@pytest.mark.parametrize("name", sorted(pages()))
def test_pages_made_from_the_code_are_up_to_date(name):
    """When this fails: python -m dagster_project.pages docs"""
    assert (DOCS / name).read_text() == pages()[name]


@pytest.mark.parametrize("command", every_command())
def test_every_command_is_documented(command):
    assert f"## `muara {command}`" in commands_page()


def test_every_setting_is_documented_with_a_meaning():
    page = settings_page()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    explained = {row[0].strip("`") for row in rows if len(row[-1]) > 10}
    wanted = {*WarehouseSettings.__struct_fields__, *Thresholds.__struct_fields__}
    for row in registry.listed(load=True):
        if row.distribution == DISTRIBUTION and not row.problem:
            wanted |= set(registry.load(row.name).Settings.__struct_fields__)
    assert wanted - explained == set()


def test_commands_named_in_readme_and_docs_exist():
    """A page that tells people to run what is not there is worse than none."""
    known = {name.split()[0] for name in every_command()}
    for page in [REPO / "README.md", *DOCS.glob("*.md")]:
        for line in page.read_text().splitlines():
            for name in re.findall(r"`muara ([a-z]+)", line) + re.findall(r"^\s+muara ([a-z]+)", line):
                assert name in known, f"{page.name}: muara {name}"


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", (REPO / "README.md").read_text()))
    assert named <= targets
