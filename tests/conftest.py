"""What one process keeps for all tests is put back after each test and each module, so that no test depends on those before it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.sdk import redaction


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test go first: a worker takes whole files, and a long one that begins last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@contextmanager
def _process_put_back() -> Iterator[None]:
    shared = redaction.redactor
    secrets = dict(shared._forms), shared._every, shared._pattern
    root = logging.root
    loggers = [found for found in root.manager.loggerDict.values() if isinstance(found, logging.Logger)]
    states = [(found, found.disabled, found.propagate, found.level) for found in (root, *loggers)]
    disabled = root.manager.disable
    yield
    shared._forms, shared._every, shared._pattern = secrets
    logging.disable(disabled)
    for found, was_disabled, propagated, level in states:
        found.disabled, found.propagate = was_disabled, propagated
        if found.level != level:
            found.setLevel(level)


@pytest.fixture(autouse=True, scope="module")
def _module_as_found() -> Iterator[None]:
    """Secrets and logger settings of a module's own fixtures end with the module."""
    with _process_put_back():
        yield


@pytest.fixture(autouse=True)
def _test_as_found() -> Iterator[None]:
    """Secrets that a test taught the process-wide redactor, and loggers it (or a framework inside it) switched off, end with the test."""
    with _process_put_back():
        yield
