from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from connectors.sdk import redaction
from connectors.sdk.client import CallPolicy
from connectors.sdk.clock import FakeClock
from connectors.sdk.redaction import Redactor


@pytest.fixture(autouse=True)
def _as_in_a_fresh_process() -> Iterator[None]:
    """Secrets that other tests taught the process-wide redactor, and loggers that a framework switched off, are none of these tests'."""
    shared = redaction.redactor
    kept = shared._forms, shared._every, shared._pattern
    shared._forms, shared._every, shared._pattern = {}, frozenset(), None
    loggers = [found for found in logging.root.manager.loggerDict.values() if isinstance(found, logging.Logger)]
    states = [(found, found.disabled, found.propagate, found.level) for found in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for found in loggers:
        found.disabled, found.propagate = False, True
    yield
    logging.disable(disabled)
    for found, was_disabled, propagated, level in states:
        found.disabled, found.propagate = was_disabled, propagated
        found.setLevel(level)
    shared._forms, shared._every, shared._pattern = kept


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def redactor() -> Iterator[Redactor]:
    own = Redactor()
    yield own
    own.uninstall()


@pytest.fixture
def make_policy(clock: FakeClock, redactor: Redactor) -> Callable[..., CallPolicy]:
    def make(source_key: str = "acme", **settings: Any) -> CallPolicy:
        return CallPolicy(source_key, **{"clock": clock, "rng": random.Random(1), "redactor": redactor, **settings})

    return make


@pytest.fixture
def policy(make_policy: Callable[..., CallPolicy]) -> CallPolicy:
    return make_policy()


def response(status: int = 200, body: bytes = b"{}", **headers: str) -> requests.Response:
    """A `requests.Response` as if it had come."""
    made = requests.Response()
    made.status_code = status
    made._content = body
    made._content_consumed = True
    made.headers["Content-Length"] = str(len(body))
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    return made


class Script:
    """A `send` that gives one outcome per call; exceptions are raised."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.sent = 0

    def __call__(self) -> Any:
        self.sent += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
