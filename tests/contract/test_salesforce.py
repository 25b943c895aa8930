"""Salesforce against its sandbox: the whole contract suite."""

from __future__ import annotations

from connectors.salesforce import Salesforce
from connectors.sandbox.salesforce import serve
from connectors.sandbox.world import World
from connectors.testing import ContractSuite, WorldHarness
from tests.contract.quick import QuickBench

#: Pages this short, so that an account of a check has several.
PAGE = 8


class SalesforceHarness(WorldHarness):
    """Ids are Salesforce's, a stage's id is its API name, instants have whole seconds. Archived is not known: such deals are plainly there."""

    connector = Salesforce
    resolution_ms = 1000
    #: The vendor serves no smaller pages; the sandbox does.
    smallest_page = 200

    def build(self):
        world = World(seed=self.seed, deals=self.size)
        return world, serve(world, page_cap=PAGE)

    @property
    def settings(self):
        known = self.server.credentials
        return {
            "domain": known.domain,
            "consumer_key": known.consumer_key,
            "consumer_secret": known.consumer_secret,
            "endpoint_override": self.server.url,
        }

    @property
    def secrets(self):
        return list(self.server.org.sessions._live)

    def limit_pages(self, rows):
        self.server.org.page_cap = PAGE if rows is None else rows

    def deal_key(self, number):
        return self.server.record_id("Opportunity", number)

    def stage_key(self, stage):
        return self.server.record_id("BusinessProcess", stage.pipeline_id), stage.name

    def owner_key(self, number):
        return self.server.record_id("User", number + 1)

    def company_key(self, number):
        return self.server.record_id("Account", number)

    def field_code(self, key):
        return f"{key.title()}__c"

    def is_there(self, deal):
        return deal.presence in ("present", "archived")

    def fault_match(self, kind):
        return "[!t]*"  # whatever is no call for a token


class TestSalesforce(ContractSuite):
    harness = SalesforceHarness
    bench = QuickBench
