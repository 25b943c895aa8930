"""A connector that is right passes every check, in memory; over a real socket, those that are about the wire."""

import pytest

from connectors.testing import ContractSuite, run_check
from connectors.testing.checks.limits import LIMITS
from connectors.testing.checks.rows import every_page_size_gives_the_same
from tests.contract.acme.harness import AcmeHarness, AcmeOverHttp
from tests.contract.quick import QuickBench


class TestAcme(ContractSuite):
    harness = AcmeHarness
    bench = QuickBench


@pytest.mark.parametrize("check", [*LIMITS, every_page_size_gives_the_same], ids=lambda check: check.name)
def test_over_http(check):
    """The three CRMs prove the rest over HTTP."""
    result = run_check(check, AcmeOverHttp, bench=QuickBench)
    assert result.outcome == "kept", result.text
