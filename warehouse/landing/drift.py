"""Drift: fields that a source gained, lost, renamed or retyped since the sync before, from its FieldDefs or, where it gives none, from `raw`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sdk.records import FieldDef, joined_key
from warehouse.landing.manifest import Manifest
from warehouse.landing.parts import rows_of
from warehouse.landing.reports import DriftLine
from warehouse.landing.spool import Engine
from warehouse.landing.store import Store


class Drift:
    """Compares what this sync sees of the source's fields with what is held."""

    def __init__(self, store: Store, manifest: Manifest, engine: Engine, *, from_raw: bool) -> None:
        self._store = store
        self._manifest = manifest
        self._engine = engine
        #: `raw` is looked into because the connector declares no field definitions.
        self.from_raw = from_raw
        self._held: dict[tuple[str, str], tuple[str, str]] | None = None
        self._defined: dict[tuple[str, str], tuple[str, str]] = {}
        self._known = {stream: set(names) for stream, names in manifest.raw_fields.items()}
        self._seen: dict[str, set[str]] = {}

    def saw_definition(self, record: FieldDef) -> None:
        """Note a field definition."""
        self._defined[record.object_type, record.code] = (record.label, record.field_type)

    def saw_raw(self, stream: str, raw: Any) -> None:
        """Note the top-level keys of a record's raw. JSON text as it came is not looked into."""
        if isinstance(raw, Mapping):
            names = self._seen.get(stream)
            if names is None:
                names = self._seen[stream] = set()
            if not names.issuperset(raw):
                names.update(map(str, raw))

    def gone_definitions(self) -> Iterator[str]:
        """Keys of held field definitions whose object type was read now, but which did not come."""
        types = {object_type for object_type, _ in self._defined}
        for object_type, code in self._held_definitions():
            if object_type in types and (object_type, code) not in self._defined:
                yield joined_key(object_type, code)

    def lines(self, read_whole: set[str]) -> list[DriftLine]:
        """All changes, in a stable order. `read_whole`: streams that this sync read completely, whose raw may have lost fields."""
        held = self._held_definitions() if self._defined else {}
        return [*self._of_definitions(held), *self._of_raw(read_whole)]

    def raw_fields(self, read_whole: set[str]) -> dict[str, list[str]]:
        """What the manifest must remember of raw's fields."""
        fields = dict(self._manifest.raw_fields)
        for stream, names in self._seen.items():
            kept = names if stream in read_whole else names | self._known.get(stream, set())
            fields[stream] = sorted(kept)
        return fields

    def _of_definitions(self, held: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[DriftLine]:
        known_types = {object_type for object_type, _ in held}
        read_types = {object_type for object_type, _ in self._defined}
        for name in sorted({*held, *self._defined}):
            object_type = name[0]
            if object_type not in known_types or object_type not in read_types:
                continue
            before, now = held.get(name), self._defined.get(name)
            if before is None and now is not None:
                yield _line(name, "new", f"{now[0]} ({now[1]})")
            elif now is None and before is not None:
                yield _line(name, "gone", f"was {before[0]} ({before[1]})")
            elif before is not None and now is not None:
                if before[1] != now[1]:
                    yield _line(name, "retyped", f"{before[1]} -> {now[1]}")
                if before[0] != now[0]:
                    yield _line(name, "renamed", f"{before[0]} -> {now[0]}")

    def _of_raw(self, read_whole: set[str]) -> Iterator[DriftLine]:
        for stream, names in sorted(self._seen.items()):
            known = self._known.get(stream)
            if known is None:
                continue
            for code in sorted(names - known):
                yield _line((stream, code), "new", "a field that was not there before; its values are kept in raw")
            if stream in read_whole:
                for code in sorted(known - names):
                    yield _line((stream, code), "gone", "no row has this field any more")

    def _held_definitions(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(object type, code) -> (label, type) of the definitions held and live."""
        if self._held is None:
            parts, gone = self._manifest.parts_of("field_defs"), self._manifest.parts_of("presence")
            self._held = {}
            if parts:
                con, store, source = self._engine.con, self._store, self._manifest.source_key
                order = "(_read_at, _sync_seq, _ordinal)"
                rows = con.execute(
                    f"with said as (select _key as key, max({order}) as at, arg_max(struct_pack(object_type, code, label, field_type), {order}) "
                    f"as d from ({rows_of(con, store, source, 'field_defs', parts)}) group by _key), "
                    f"gone as (select key, arg_max(kind, {order}) as kind, max({order}) as at from "
                    f"({rows_of(con, store, source, 'presence', gone)}) where stream = 'field_defs' group by key) "
                    "select d.object_type, d.code, d.label, d.field_type from said left join gone using (key) "
                    "where gone.key is null or gone.kind = 'present' or gone.at < said.at"
                ).fetchall()
                self._held = {(row[0], row[1]): (row[2], row[3]) for row in rows}
        return self._held


def _line(name: tuple[str, str], change: Any, detail: str) -> DriftLine:
    return DriftLine(object_type=name[0], field_code=name[1], change=change, detail=detail)
