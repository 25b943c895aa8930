"""Each check has a connector that it catches, and each broken connector is caught by the check that it is made for."""

import pytest

from connectors.testing import CHECKS
from tests.contract import matrix
from tests.contract.broken import BROKEN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text():
    return matrix.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def claimed(text):
    return matrix.claims(text)


@pytest.fixture(scope="module")
def caught(claimed):
    """Each against its own check, those that the page names, and the rest of its family; `python -m tests.contract.matrix` runs all pairs."""
    return matrix.run_all({one.name: {one.check, *claimed[one.name], *matrix.family(one.check)} for one in BROKEN})


def test_every_check_has_a_broken_connector():
    without = {check.name for check in CHECKS} - {one.check for one in BROKEN}
    assert without == set()


@pytest.mark.parametrize("one", BROKEN, ids=lambda one: one.name)
def test_the_broken_connector_is_caught_by_its_check_and_by_others_only_for_a_reason(caught, one):
    """C3: a check that cannot fail proves nothing."""
    found = caught[one.name]
    assert one.check in found, f"{one.name} ({one.what}) passes {one.check}"
    assert not found[one.check].startswith("crashed"), found[one.check]
    others = {name: text for name, text in found.items() if name != one.check}
    assert bool(others) == bool(one.also), f"caught by {others}, reason given: {one.also!r}"


def test_the_page_of_checks_is_true(text, claimed, caught):
    assert {name: set(found) for name, found in caught.items()} == {name: set(found) for name, found in claimed.items()}
    assert text == matrix.page(claimed), "run: python -m tests.contract.matrix"
