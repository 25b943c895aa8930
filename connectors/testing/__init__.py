"""The contract suite: tells the author of a connector when it is right. What is not in `__all__` may change without notice.

from connectors.testing import ContractSuite

class TestAcme(ContractSuite):
    harness = AcmeHarness          # how to start, change and ask the fake Acme: connectors.testing.Harness
"""

from __future__ import annotations

from connectors.testing.bench import Bench, ContractError, must
from connectors.testing.check import Check, Result, check, run_check
from connectors.testing.checks import CHECKS
from connectors.testing.fixtures import save_fixture
from connectors.testing.harness import FaultKind, Harness, Impossible, NewField, TrueDeal, Truth
from connectors.testing.suite import ContractSuite, contract_suite, prove
from connectors.testing.worlds import WorldHarness

__all__ = [
    "CHECKS",
    "Bench",
    "Check",
    "ContractError",
    "ContractSuite",
    "FaultKind",
    "Harness",
    "Impossible",
    "NewField",
    "Result",
    "TrueDeal",
    "Truth",
    "WorldHarness",
    "check",
    "contract_suite",
    "must",
    "prove",
    "run_check",
    "save_fixture",
]
