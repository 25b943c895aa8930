"""Parts as SQL: one SELECT over the parts of a stream that gives today's columns, whatever schema each part was written with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import duckdb

from warehouse.landing.manifest import LandingError, Part
from warehouse.landing.schema import MUARA_SCHEMA, STREAMS, file_list, quoted, select_list
from warehouse.landing.store import Store


def rows_of(con: duckdb.DuckDBPyConnection, store: Store, source_key: str, stream: str, parts: Sequence[Part]) -> str:
    """A SELECT of all rows in `parts` with the declared columns of `stream`; an empty one of the same columns when there are no parts.

    Raises LandingError naming the file when one cannot be opened, NewerSchemaError for a part from a newer Muara.
    """
    store.fetch(f"{source_key}/{part.path}" for part in parts)
    selects = []
    for schema in sorted({part.schema for part in parts}):
        paths = [_located(store, f"{source_key}/{part.path}") for part in parts if part.schema == schema]
        source = f"read_parquet({file_list(paths)}" + (")" if schema == MUARA_SCHEMA else ", union_by_name = true)")
        found = None if schema == MUARA_SCHEMA else _columns(con, source, paths)
        selects.append(f"select {select_list(stream, schema, found)} from {source}")
    if not selects:
        return f"select {_empty(stream)} where false"
    return " union all ".join(selects)


def verified(store: Store, source_key: str, parts: Iterable[Part]) -> None:
    """Make sure that every part is there with the size and the digest that the manifest names. Raises LandingError naming the file."""
    parts = list(parts)
    store.fetch(f"{source_key}/{part.path}" for part in parts)
    for part in parts:
        key = f"{source_key}/{part.path}"
        size = store.size(key)
        where = store.where(key)
        if size is None:
            raise _missing(where)
        if size != part.bytes or store.sha256(key) != part.sha256:
            raise LandingError(f"landing part {where} is damaged. Restore it from a backup; nothing was published.")


@contextlib.contextmanager
def readable(source_key: str) -> Iterator[None]:
    """Turn what DuckDB says of a part that cannot be opened into a LandingError (its text names the file)."""
    try:
        yield
    except duckdb.Error as error:
        raise LandingError(
            f"landing of {source_key} cannot be read: {str(error).splitlines()[0]} Restore the folder from a backup."
        ) from error


def _located(store: Store, key: str) -> str:
    try:
        return store.locate(key)
    except FileNotFoundError:
        raise _missing(store.where(key)) from None


def _missing(where: str) -> LandingError:
    return LandingError(f"landing part {where} is missing. Restore it from a backup; nothing was published.")


def _columns(con: duckdb.DuckDBPyConnection, source: str, paths: Sequence[str]) -> list[str]:
    try:
        return [name for name, *_ in con.execute(f"describe select * from {source}").fetchall()]
    except duckdb.Error as error:
        raise LandingError(f"one of {', '.join(paths)} cannot be read: {str(error).splitlines()[0]}") from None


def _empty(stream: str) -> str:
    return ", ".join(f"cast(null as {kind}) as {quoted(name)}" for name, kind in STREAMS[stream].items())
