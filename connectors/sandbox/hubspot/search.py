"""The search endpoint: its own index that lags, filters, one sort, 10,000 results at most.

Vendor docs and public threads, read 2026-11. Ties come in no particular order, differently for each call.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from connectors.sandbox.hubspot.errors import validation
from connectors.sandbox.hubspot.render import Row
from connectors.sandbox.server import Response

MOST_RESULTS = 10_000
MOST_PER_PAGE = 200
_DATES = ("createdate", "hs_createdate", "hs_lastmodifieddate", "closedate", "notes_last_updated")
_NUMBERS = ("hs_object_id", "amount", "amount_in_home_currency")


def comparable(name: str, value: str | None) -> Any:
    """A property value as something that can be ordered: instants as epoch ms, numbers as numbers."""
    if value is None or value == "":
        return None
    if name in _DATES or name.startswith("hs_v2_date_"):
        return _epoch_ms(value)
    if name in _NUMBERS:
        return float(value) if "." in value else int(value)
    return value.lower()


def _epoch_ms(value: str) -> int:
    if value.lstrip("-").isdigit():
        return int(value)
    return round(dt.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)


def search(
    rows: Iterable[Row], known: set[str], body: bytes, number: int, render: Callable[[Row, list[str]], dict[str, Any]]
) -> Response:
    """Answer one search over the rows that the index shows now."""
    if len(body) > 3_000:
        return validation("The request body is too large; it may have 3000 characters at most.", number)
    try:
        wish = json.loads(body or b"{}")
    except ValueError:
        return validation("Invalid input JSON", number)
    limit, after = int(wish.get("limit", 10)), int(wish.get("after") or 0)
    groups = list(wish.get("filterGroups") or [])
    if wish.get("filters"):
        groups.append({"filters": wish["filters"]})
    wrong = _refusal(wish, groups, limit, after, known)
    if wrong:
        return validation(wrong, number)
    tests = [[_test(item) for item in group.get("filters", [])] for group in groups]
    found = [row for row in rows if not tests or any(all(test(row) for test in group) for group in tests)]
    random.Random(number).shuffle(found)  # noqa: S311  (ties come in no order)
    name, descending = _sort(wish)
    none_last = [row for row in found if comparable(name, row.properties.get(name)) is None]
    ordered = [row for row in found if comparable(name, row.properties.get(name)) is not None]
    ordered.sort(key=lambda row: comparable(name, row.properties.get(name)), reverse=descending)
    ordered += none_last
    page = ordered[after : after + limit]
    answer: dict[str, Any] = {
        "total": len(ordered),
        "results": [render(row, wish.get("properties") or []) for row in page],
    }
    if after + limit < len(ordered):
        # Still offered at 10,000, where following it is refused.
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return Response(200, json.dumps(answer, separators=(",", ":")).encode())


def _refusal(wish: dict[str, Any], groups: list[dict[str, Any]], limit: int, after: int, known: set[str]) -> str | None:
    filters = [item for group in groups for item in group.get("filters", [])]
    if not 1 <= limit <= MOST_PER_PAGE:
        return f"limit must be between 1 and {MOST_PER_PAGE}"
    if after + limit > MOST_RESULTS:
        return f"There was a problem with the request: offset + limit must not exceed {MOST_RESULTS}"
    if len(groups) > 5 or any(len(group.get("filters", [])) > 6 for group in groups) or len(filters) > 18:
        return "Too many filters: at most 5 groups, 6 filters a group and 18 in all"
    for item in filters:
        if item.get("propertyName") not in known:
            return f"Property {item.get('propertyName')!r} does not exist"
        if item.get("operator") not in _OPERATORS:
            return f"Invalid operator {item.get('operator')!r}"
    return None


def _sort(wish: dict[str, Any]) -> tuple[str, bool]:
    sorts = wish.get("sorts") or []
    if not sorts:
        return "createdate", False
    first = sorts[0]
    if isinstance(first, str):
        return first.lstrip("-"), first.startswith("-")
    return first["propertyName"], first.get("direction", "ASCENDING") == "DESCENDING"


def _test(item: dict[str, Any]) -> Callable[[Row], bool]:
    name, operator = item["propertyName"], item["operator"]
    low = comparable(name, str(item["value"])) if item.get("value") is not None else None
    high = comparable(name, str(item["highValue"])) if item.get("highValue") is not None else None
    values = {comparable(name, str(value)) for value in item.get("values") or []}
    compare = _OPERATORS[operator]
    if name == "hs_lastmodifieddate":
        return lambda row: compare(row.modified_ms, low, high, values)
    if name == "hs_object_id":
        return lambda row: compare(row.id, low, high, values)
    return lambda row: compare(comparable(name, row.properties.get(name)), low, high, values)


_OPERATORS: dict[str, Callable[[Any, Any, Any, set[Any]], bool]] = {
    "EQ": lambda value, low, high, values: value is not None and value == low,
    "NEQ": lambda value, low, high, values: value is not None and value != low,
    "LT": lambda value, low, high, values: value is not None and value < low,
    "LTE": lambda value, low, high, values: value is not None and value <= low,
    "GT": lambda value, low, high, values: value is not None and value > low,
    "GTE": lambda value, low, high, values: value is not None and value >= low,
    "BETWEEN": lambda value, low, high, values: value is not None and low <= value <= high,
    "IN": lambda value, low, high, values: value in values,
    "NOT_IN": lambda value, low, high, values: value is not None and value not in values,
    "HAS_PROPERTY": lambda value, low, high, values: value is not None,
    "NOT_HAS_PROPERTY": lambda value, low, high, values: value is None,
    "CONTAINS_TOKEN": lambda value, low, high, values: value is not None and str(low).strip("*") in str(value),
    "NOT_CONTAINS_TOKEN": lambda value, low, high, values: value is None or str(low).strip("*") not in str(value),
}
