"""Pieces of SOQL: literals, SELECTs, and conditions by which a scan goes on after the last row read.

Source: vendor's SOQL reference, read 2026-11: datetimes are not quoted, AND and OR need parentheses between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from connectors.sdk import Window


def text(value: str) -> str:
    """A quoted literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def moment(at: datetime) -> str:
    """A datetime literal, cut to whole seconds, which is all that system times have."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def select(fields: Iterable[str], entity: str, *conditions: str, order: str = "") -> str:
    """A SELECT; empty conditions are left out."""
    kept = [condition for condition in conditions if condition]
    where = f" WHERE {' AND '.join(kept)}" if kept else ""
    return f"SELECT {', '.join(fields)} FROM {entity}{where}{f' ORDER BY {order}' if order else ''}"


def count(entity: str, *conditions: str) -> str:
    """A COUNT(): its answer has a total and no rows."""
    return select(["COUNT()"], entity, *conditions)


def inside(window: Window, field: str = "SystemModstamp") -> str:
    """The condition of a window, both ends included; "" for one that is open."""
    parts = []
    if window.start is not None:
        parts.append(f"{field} >= {moment(window.start)}")
    if window.end is not None:
        parts.append(f"{field} <= {moment(window.end)}")
    return " AND ".join(parts)


def after(stamp: datetime, row_id: str, field: str = "SystemModstamp") -> str:
    """Rows behind (stamp, id) in the order of both."""
    at = moment(stamp)
    return f"({field} > {at} OR ({field} = {at} AND Id > {text(row_id)}))"


def among(field: str, ids: Sequence[str]) -> str:
    """The condition that a field holds one of the ids."""
    return f"{field} IN ({','.join(text(value) for value in ids)})"


def portions(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The ids in pieces of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


_MISSING_COLUMN = re.compile(r"No such column '([\w.]+)'")


def missing_column(said: str) -> str | None:
    """The column that a refusal (INVALID_FIELD) names."""
    found = _MISSING_COLUMN.search(said)
    return found[1] if found else None
