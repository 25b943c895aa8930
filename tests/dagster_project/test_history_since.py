"""History back to a date: deals from before the source's start_date come in once and stay, and a full read still reads."""

from datetime import datetime

import pytest

from connectors.sandbox import hubspot
from connectors.sandbox.world import World
from dagster_project.operations import Hub, sync_source

NOW = "2026-03-01T00:00:00Z"
YAML = """\
type: dagster_project.components.CrmSource
attributes:
  source: portal
  connector: hubspot
  config:
    access_token: {env: TOKEN}
    base_url: {env: URL}
    start_date: "2025-09-01"
"""


@pytest.fixture
def portal(shell):
    """A hub on a small sandbox portal."""
    with hubspot.serve(World(seed=5, now=datetime.fromisoformat(NOW), deals=25)) as server:
        shell.add("portal", sheet="", yaml=YAML)
        yield Hub(shell.root, {"TOKEN": server.credentials.access_token, "URL": server.url}, shell.clock)


def test_older_deals_come_once_and_stay(portal):
    spec = portal.project.source("portal")
    first = sync_source(portal, spec)
    recent = first.rows["deals"].new
    older = sync_source(portal, spec, history_since="2015-01-01")
    assert older.full
    assert older.rows["deals"].new > 0
    assert recent + older.rows["deals"].new >= 25
    again = [sync_source(portal, spec), sync_source(portal, spec, full=True)]
    assert [report.status for report in (first, older, *again)] == ["complete"] * 4
    assert again[1].rows["deals"].read >= recent, "a full read reads what start_date lets in, although it is held"
    assert sum(report.rows["deals"].deleted for report in again if "deals" in report.rows) == 0
