"""Declared columns of every landed stream, derived from the record structs; and how a part of an older schema is read.

Types are never inferred. A release that adds a field to a record raises `MUARA_SCHEMA`; older parts then read as NULL in the new column.
A rename or a change of meaning adds an `Upcast` besides.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from datetime import date, datetime
from decimal import Decimal

import msgspec

from connectors.sdk import records
from connectors.sdk.errors import MuaraError
from connectors.sdk.records import Record

#: Number of the schema that parts are written with.
MUARA_SCHEMA = 1

#: What landing adds to each row; see docs/architecture.md, "Landing".
STAMPS = {
    "_key": "VARCHAR",
    "_read_at": "TIMESTAMP",
    "_sync_seq": "BIGINT",
    "_ordinal": "BIGINT",
    "_mapper_version": "BIGINT",
    "_hash": "VARCHAR",
}

_PLAIN = {
    str: "VARCHAR",
    datetime: "TIMESTAMP",
    date: "DATE",
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    Decimal: "DECIMAL(18,4)",
}
_RATE = "DECIMAL(24,12)"


class NewerSchemaError(MuaraError):
    """Landing was written by a newer Muara. The user must upgrade this one."""


class Upcast(typing.NamedTuple):
    """Column `column` of `stream` was introduced by schema `since`; a part from before reads it as `expression` over its old columns."""

    stream: str
    since: int
    column: str
    expression: str


#: Renames and changes of meaning, oldest first. None so far.
UPCASTS: tuple[Upcast, ...] = ()


def column_type(stream: str, name: str, kind: typing.Any) -> str:
    """The DuckDB type of a record field. Mappings and `raw` are VARCHAR holding JSON."""
    if stream == "currency_rates" and name == "rate":
        return _RATE
    options = [kind]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        options = [arg for arg in typing.get_args(kind) if arg is not type(None)]
    first = options[0]
    if typing.get_origin(first) is typing.Literal:
        return "VARCHAR"
    return _PLAIN.get(first, "VARCHAR")


def _columns(
    stream: str, record: type[Record], extra: Mapping[str, str], without: Collection[str] = ()
) -> dict[str, str]:
    hints = typing.get_type_hints(record)
    own = {
        field.name: column_type(stream, field.name, hints[field.name])
        for field in msgspec.structs.fields(record)
        if field.name not in without
    }
    return {**own, **STAMPS, **extra}


_OF_READING = {"_read_ordinal": "BIGINT"}

#: Columns of every stream, in order: stream -> {column: DuckDB type}.
STREAMS: dict[str, dict[str, str]] = {
    **{stream: _columns(stream, record, {}) for record, (stream, _) in records.KEYS.items()},
    "history_reads": _columns("history_reads", records.HistoryRead, {}, without=("stage_changes", "field_changes")),
    "stage_changes": _columns("stage_changes", records.StageChange, _OF_READING),
    "field_changes": _columns("field_changes", records.FieldChange, _OF_READING),
    "presence": _columns("presence", records.Tombstone, {}),
    "rejects": _columns("rejects", records.Reject, {}),
}


def select_list(
    stream: str, schema: int, found: Collection[str] | None = None, upcasts: tuple[Upcast, ...] | None = None
) -> str:
    """The SELECT list that turns a part of `schema` into today's columns of `stream`. `found`: the columns that the part has.

    Raises NewerSchemaError for a part from the future.
    """
    if schema > MUARA_SCHEMA:
        raise NewerSchemaError(
            f"landing was written with schema {schema}, this Muara knows {MUARA_SCHEMA}. Upgrade Muara on this machine."
        )
    wanted = STREAMS[stream]
    if found is None:
        return ", ".join(quoted(name) for name in wanted)
    newer = {
        cast.column: cast.expression
        for cast in (UPCASTS if upcasts is None else upcasts)
        if cast.stream == stream and schema < cast.since
    }
    have = set(found)
    parts = []
    for name, kind in wanted.items():
        source = newer.get(name) or (quoted(name) if name in have else "NULL")
        parts.append(f"CAST({source} AS {kind}) AS {quoted(name)}")
    return ", ".join(parts)


def quoted(name: str) -> str:
    """A column name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def file_list(paths: Collection[str]) -> str:
    """Paths as the list that read_parquet and read_json take; characters that DuckDB would take for a pattern are escaped."""
    return "[" + ", ".join(literal(_no_pattern(path)) for path in paths) + "]"


def _no_pattern(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
