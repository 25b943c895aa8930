"""Fixtures of the Salesforce sandbox's tests."""

import pytest

from connectors.sandbox.salesforce import serve
from connectors.sandbox.world import World
from tests.sandbox.salesforce_client import Raw, login, session_to


@pytest.fixture
def world():
    return World(seed=11, deals=150)


@pytest.fixture
def org(world):
    with serve(world) as running:
        yield running


@pytest.fixture
def session(org):
    with session_to(org) as one:
        yield one


@pytest.fixture
def sf(org, session):
    """simple-salesforce, logged in."""
    return login(org, session)


@pytest.fixture
def raw(org, session):
    return Raw(org, session)
