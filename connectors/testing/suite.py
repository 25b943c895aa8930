"""The suite as pytest sees it: one class, one line for the author of a connector.

    class TestAcme(ContractSuite):
        harness = AcmeHarness

Each check is a test of its own. What cannot be asked is skipped as "... is declared impossible: ..." (`pytest -rs` lists it), never passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from connectors.sdk import Connector
from connectors.testing.bench import Bench, ContractError
from connectors.testing.check import Check, Result, run_check
from connectors.testing.checks import CHECKS
from connectors.testing.harness import Harness


class ContractSuite:
    """Every promise of a connector, proved against its fake CRM. Subclass it and name the harness."""

    harness: ClassVar[type[Harness]]
    #: The workbench of each check; one of your own may start your fake CRM more quickly.
    bench: ClassVar[type[Bench]] = Bench


def contract_suite(harness: type[Harness]) -> type[ContractSuite]:
    """The suite for one harness. Give it a name that pytest collects, such as `TestAcme`."""
    return type(f"Test{harness.connector.__name__}", (ContractSuite,), {"harness": harness})


def prove(harness: type[Harness], connector: type[Connector] | None = None) -> list[Result]:
    """Run every check and say what came out, without pytest. `connector` stands in for the harness's own."""
    return [run_check(one, harness, connector) for one in CHECKS]


def _test(one: Check) -> Callable[[Any], None]:
    def test(self: ContractSuite) -> None:
        import pytest  # noqa: PLC0415 - the skeleton's writer lives in this package and needs none

        result = run_check(one, self.harness, bench=self.bench)
        if result.outcome == "impossible":
            # With the check's name: pytest folds skips of one reason into one line.
            pytest.skip(f"{one.name} is declared impossible: {result.text}")
        if result.outcome == "broken":
            cause = result.error.__cause__ if isinstance(result.error, ContractError) else result.error
            if cause is not None:
                raise ContractError(f"{one.promise}\nBut: {result.text}") from cause
            pytest.fail(f"{one.promise}\nBut: {result.text}", pytrace=False)

    test.__doc__ = one.promise
    test.__name__ = f"test_{one.name}"
    return test


for _one in CHECKS:
    setattr(ContractSuite, f"test_{_one.name}", _test(_one))
