"""Every request that the connector sends is one that the official OpenAPI files describe."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.pipedrive import serve
from connectors.sandbox.world import World
from connectors.sdk import StandaloneSync
from tests.connectors.pipedrive.test_pipedrive import Hub
from tests.sandbox.test_pipedrive import SPECS, _spec

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="the official documents are not here")

#: In the documents one status or field is named; several, joined with commas, are described in words.
_JOINED = {"status", "include_fields", "ids"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def problem(target: str) -> str | None:
    """What the documents do not know of a request, None when they know all."""
    path, _, query = target.partition("?")
    found = re.fullmatch(r"/api/(v1|v2)(/.*)", path)
    if found is None:
        return f"{path}: neither v1 nor v2"
    place = re.sub(r"/\d+(?=/|$)", "/{id}", found[2])
    operation = _spec(found[1])["paths"].get(place, {}).get("get")
    if operation is None:
        return f"{path}: not documented"
    known = {item["name"]: item["schema"] for item in operation.get("parameters", []) if item["in"] == "query"}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name not in known:
            return f"{path}: no parameter {name}"
        if (wrong := _wrong(name, value, known[name])) is not None:
            return f"{path}: {name}: {wrong}"
    return None


def _wrong(name: str, value: str, schema: dict[str, Any]) -> str | None:
    values = value.split(",") if name in _JOINED else [value]
    if "enum" in schema and not set(values) <= set(map(str, schema["enum"])):
        return f"{value!r} is not among {schema['enum']}"
    if schema["type"] == "integer" and not value.isdigit():
        return f"{value!r} is no integer"
    if name in ("updated_since", "updated_until") and not _INSTANT.fullmatch(value):
        return f"{value!r} is no RFC 3339 time with whole seconds"
    return "empty" if not value else None


def test_a_first_sync_an_increment_a_sweep_check_and_plan_send_only_documented_requests(tmp_path: Path) -> None:
    with serve(World(seed=3, deals=60), burst=None) as company:
        targets: set[str] = set()
        hub = Hub(company, tmp_path, page_size=20)
        for days in (0, 1, 8):
            company.world.advance(days=days, changes=12)
            hub.clock.advance(days=days)
            if days < 8:  # broken off, so that the next one has a backlog
                company.faults.add("daily_limit", match="changelog", after=3, times=1)
            hub.sync()
            targets |= {call.target for call in company.log}
        connector = hub.connector()
        sync = StandaloneSync(type(connector), hub.settings, clock=hub.clock)
        assert [*connector.check(sync), *connector.plan(sync)]
        targets |= {call.target for call in company.log}
    endpoints = {re.sub(r"\d+", "N", target.partition("?")[0]) for target in targets}
    assert len(endpoints) == 10
    assert [found for target in sorted(targets) if (found := problem(target)) is not None] == []


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/deals",
        "/api/v2/stages?updated_since=2026-01-01T00:00:00Z",
        "/api/v2/deals?status=all_not_deleted",
        "/api/v2/deals?updated_since=2026-01-01T00:00:00.000Z",
        "/api/v2/deals?limit=all",
        "/api/v1/deals/1/changelog?start=0",
    ],
)
def test_a_request_that_is_not_documented_is_noticed(target: str) -> None:
    assert problem(target) is not None
