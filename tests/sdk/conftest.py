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
def _as_in_a_fresh_process(_test_as_found: None) -> None:
    """Secrets known to the process-wide redactor, and loggers that a framework switched off, are none of these tests'."""
    shared = redaction.redactor
    shared._forms, shared._every, shared._pattern = {}, frozenset(), None
    logging.disable(logging.NOTSET)
    for found in list(logging.root.manager.loggerDict.values()):
        if isinstance(found, logging.Logger):
            found.disabled, found.propagate = False, True
            if found.level != logging.NOTSET:
                found.setLevel(logging.NOTSET)


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
