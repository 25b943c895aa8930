"""A connector that is right passes every check, in memory and over a real socket."""

from connectors.testing import ContractSuite
from tests.contract.acme.harness import AcmeHarness, AcmeOverHttp


class TestAcme(ContractSuite):
    harness = AcmeHarness


class TestAcmeOverHttp(ContractSuite):
    harness = AcmeOverHttp
