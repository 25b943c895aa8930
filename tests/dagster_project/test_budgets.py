"""Whose daily budget a sync uses: the account's, from its first call on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.sandbox.pipedrive import serve
from connectors.sandbox.world import World
from connectors.sdk.errors import QuotaError
from dagster_project.operations import Hub, call_policy, open_connector

YAML = """\
type: dagster_project.components.CrmSource
attributes:
  source: {source}
  connector: pipedrive
  config:
    api_token: {{env: TOKEN}}
    base_url: {url}
    daily_call_budget: {budget}
"""


def policy(shell, source):
    hub = Hub(shell.root, shell.env, shell.clock)
    return call_policy(hub, open_connector(hub, hub.project.source(source)))


def test_two_sources_of_one_account_share_its_budget_from_the_first_call(shell):
    with serve(World(seed=3, deals=12), burst=None) as company:
        shell.env["TOKEN"] = company.credentials.api_token
        for source in ("north", "south"):
            shell.add(source, yaml=YAML.format(source=source, url=company.url, budget=2_000))
        assert policy(shell, "north").account == "source:north"
        assert shell("sync").code == 0
        one, other = policy(shell, "north"), policy(shell, "south")
        assert one.account == other.account == f"pipedrive:{company.company.company_id}"
        assert one.report().budget_left == other.report().budget_left == 2_000 - company.tokens


def test_the_accounts_day_ends_where_the_account_is_and_others_keep_their_share(shell):
    with serve(World(seed=3, deals=12), burst=None, time_zone="Asia/Jakarta") as company:
        shell.env["TOKEN"] = company.credentials.api_token
        shell.add("north", yaml=YAML.format(source="north", url=company.url, budget=2_000))
        assert shell("sync").code == 0
        shell.clock.advance(days=2)
        found = policy(shell, "north")
        assert found.budget.state(found.account).resumes_at == datetime(
            2026, 3, 3, 17, tzinfo=UTC
        )  # midnight in Jakarta
        found.told_quota(1_001, 10_000)
        with pytest.raises(QuotaError, match="quota_reserve"):
            found.budget.spend(found.account, 2)
