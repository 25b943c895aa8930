"""What makes tests of many small syncs quick without changing what a sync does."""

import os
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from warehouse.home import Home
from warehouse.landing import reading
from warehouse.landing.spool import Engine

_kept: list[duckdb.DuckDBPyConnection] = []


def kept_connection() -> duckdb.DuckDBPyConnection:
    """One DuckDB for all syncs and questions of a test process: to open one costs more than a small sync. Nothing is ever left in it that
    a sync would read."""
    if not _kept:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": 1,
            "memory_limit": "256MB",
            "enable_external_file_cache": False,
        }
        _kept.append(duckdb.connect(config=config))
        _kept[0].execute("set TimeZone = 'UTC'")
    return _kept[0]


def landed(home: Home, source_key: str, sql: str, at_sequence: dict[str, int] | None = None) -> list[tuple[Any, ...]]:
    """Rows of a question to the `landing` views of one source."""
    with kept_connection().cursor() as con:
        reading.snapshot(home, [source_key]).create_views(con, at_sequence=at_sequence)
        return con.execute(sql).fetchall()


@pytest.fixture(autouse=True)
def quick_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written and renamed as ever; only the wait for the disk is left out, which nothing but a power cut could tell apart."""
    make_quick(monkeypatch.setattr)


def make_quick(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """What `quick_syncs` does, for a process that is no test."""
    put(os, "fsync", lambda handle: None)
    put(Engine, "con", property(lambda engine: kept_connection()))
    put(Engine, "close", lambda engine: None)
