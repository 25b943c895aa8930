"""Lines to parts: newline JSON on disk, rotated when it is large, turned into one Parquet file with declared columns by DuckDB."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import msgspec

from connectors.sdk.errors import MuaraError
from warehouse.landing.manifest import Part
from warehouse.landing.schema import MUARA_SCHEMA, STREAMS, file_list, literal, quoted
from warehouse.landing.store import Store

#: A spool becomes a part at this many rows or bytes; both bound the memory that COPY needs. Wide rows need more of it for their bytes: a
#: whole vector of them is in memory several times.
MOST_ROWS = 50_000
MOST_SPOOL_BYTES = 48_000_000
WIDE_SPOOL_BYTES = 16_000_000
WIDE = 8_000
#: A row group holds this many rows, fewer when they are wide: writer and reader keep a whole group in memory.
_ROW_GROUP = 10_000
_ROW_GROUP_BYTES = 20_000_000
#: What DuckDB's reader of JSON sets aside for a line, several times over, unless it knows that lines are short.
_LINE_BYTES = 1_000_000

#: Called for a row that DuckDB refuses: (stream, key, column, type).
OnRefused = Callable[[str, str, str, str], None]


class Engine:
    """One DuckDB connection for landing work, opened on first use. One thread and little memory: a sync shares its machine."""

    def __init__(self, scratch: Path, memory_limit: str = "256MB") -> None:
        self._scratch = scratch
        self._memory_limit = memory_limit
        self._con: duckdb.DuckDBPyConnection | None = None

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection."""
        if self._con is None:
            self._con = duckdb.connect(
                ":memory:",
                config={
                    "threads": 1,
                    "memory_limit": self._memory_limit,
                    "temp_directory": str(self._scratch / "spill"),
                    "autoinstall_known_extensions": False,
                },
            )
            self._con.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        return self._con

    def close(self) -> None:
        """Let go of memory and spill files."""
        if self._con is not None:
            self._con.close()
            self._con = None


class Spools:
    """One spool per stream; `finish` turns all of them into durable parts of the commit `sequence`."""

    def __init__(self, store: Store, source_key: str, sync_id: str, engine: Engine, on_refused: OnRefused) -> None:
        self._store = store
        self._source_key = source_key
        self._sync_id = sync_id
        self._engine = engine
        self._on_refused = on_refused
        self._spools: dict[str, _Spool] = {}
        self._parts: list[Part] = []
        self._numbered = 0

    @property
    def rows(self) -> int:
        """Rows that await the next commit."""
        return sum(spool.rows for spool in self._spools.values()) + sum(part.rows for part in self._parts)

    def add(self, stream: str, lines: Sequence[bytes], sequence: int) -> None:
        """Append lines to the stream's spool. A full spool becomes a part (which no manifest names yet)."""
        spool = self._spools.get(stream)
        if spool is None:
            spool = self._spools[stream] = _Spool(self._store.scratch(self._source_key) / f"{stream}.ndjson")
        spool.add(lines)
        if spool.is_full:
            self._close(stream, sequence)

    def finish(self, sequence: int) -> list[Part]:
        """Close all spools; returns the parts made since the last call, durable. Rejects come last: closing others may add some."""
        while self._spools:
            for stream in sorted(self._spools, key=lambda name: (name == "rejects", name)):
                self._close(stream, sequence)
        parts, self._parts = self._parts, []
        self._numbered = 0
        return parts

    def discard(self) -> None:
        """Give up what was not finished."""
        for spool in self._spools.values():
            spool.close()
            spool.path.unlink(missing_ok=True)
        self._spools.clear()

    def _close(self, stream: str, sequence: int) -> None:
        spool = self._spools.pop(stream)
        spool.close()
        key = f"{self._source_key}/parts/{stream}-{sequence:08d}-{self._numbered:04d}.parquet"
        self._numbered += 1
        target = spool.path.with_suffix(".parquet")
        self._store.step(f"copy {key}")
        width = spool.bytes // max(spool.rows, 1)
        rows = self._copy(stream, spool, target, width)
        if rows:
            origin = Origin(sequence, sequence, self._sync_id)
            self._parts.append(put_part(self._store, key, target, stream=stream, rows=rows, width=width, origin=origin))
        spool.path.unlink()

    def _copy(self, stream: str, spool: _Spool, target: Path, width: int) -> int:
        source = _json_source(stream, spool)
        try:
            return copy_to(self._engine, f"select * from {source}", target, width=width)
        except duckdb.Error as error:
            kept = _without_refused(self._engine, stream, spool, self._on_refused)
            if kept is None:
                words = str(error).splitlines()[0]
                raise MuaraError(f"landing: {stream} cannot be written: {words}") from error
            return copy_to(self._engine, kept, target, width=width)


class _Spool:
    """Lines of one stream on disk, buffered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.bytes = 0
        self.longest = 0
        self._file = path.open("wb")

    def add(self, lines: Sequence[bytes]) -> None:
        data = b"".join(lines)
        self._file.write(data)
        self.rows += len(lines)
        self.bytes += len(data)
        self.longest = max(self.longest, *map(len, lines))

    @property
    def is_full(self) -> bool:
        """True when it must become a part before more is added."""
        if self.bytes >= MOST_SPOOL_BYTES or self.rows >= MOST_ROWS:
            return True
        return self.bytes >= WIDE_SPOOL_BYTES and self.bytes > WIDE * self.rows

    def close(self) -> None:
        self._file.close()


class Origin(msgspec.Struct, frozen=True):
    """Which commits and which sync the rows of a part come from."""

    min_seq: int
    max_seq: int
    sync_id: str


def put_part(store: Store, key: str, target: Path, *, stream: str, rows: int, width: int, origin: Origin) -> Part:
    """Move a finished Parquet file into place, durably; returns its entry for the manifest. `width`: bytes of a row as text.

    The name ends in the content's digest: where two machines write to one store, neither can put its rows under a name that the other's
    manifest gives.
    """
    size, digest = fingerprint(target)
    key = named_by_content(key, digest)
    store.put_file(key, target)
    return Part(
        stream=stream,
        path=key.partition("/")[2],
        rows=rows,
        width=width,
        bytes=size,
        sha256=digest,
        schema=MUARA_SCHEMA,
        min_seq=origin.min_seq,
        max_seq=origin.max_seq,
        sync_id=origin.sync_id,
    )


def copy_to(engine: Engine, select: str, target: Path, *, width: int) -> int:
    """COPY a query to a Parquet file with the schema number in its metadata; returns the rows written. `width`: bytes of a row as text."""
    group = max(1, min(_ROW_GROUP, _ROW_GROUP_BYTES // max(width, 1)))
    found = engine.con.execute(
        f"COPY ({select}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
        f"ROW_GROUP_SIZE {group}, KV_METADATA {{muara_schema: '{MUARA_SCHEMA}'}})"
    ).fetchone()
    return int(found[0]) if found else 0


def fingerprint(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def named_by_content(key: str, digest: str) -> str:
    """`deals-00000001-0000.parquet` with the digest's beginning before the ending."""
    stem, dot, ending = key.rpartition(".")
    return f"{stem}-{digest[:12]}{dot}{ending}"


def _json_source(stream: str, spool: _Spool, kinds: dict[str, str] | None = None) -> str:
    columns = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in (kinds or STREAMS[stream]).items())
    most = max(spool.longest + 1, _LINE_BYTES)
    return (
        f"read_json({file_list([str(spool.path)])}, format = 'newline_delimited', maximum_object_size = {most}, "
        f"columns = {{{columns}}})"
    )


def _without_refused(engine: Engine, stream: str, spool: _Spool, on_refused: OnRefused) -> str | None:
    """Find rows with a value that does not fit its column, report them, and return a query for the others. None: it was something else.

    The codec checks what it can cheaply; a plug-in that puts text into a number ends up here, and loses that row only.
    """
    columns = STREAMS[stream]
    engine.con.execute(
        f"create or replace temp table refused as select * from "
        f"{_json_source(stream, spool, dict.fromkeys(columns, 'VARCHAR'))}"
    )
    bad: set[int] = set()
    for name, kind in columns.items():
        if kind == "VARCHAR":
            continue
        rows = engine.con.execute(
            f"select _ordinal, _key from refused where {quoted(name)} is not null "
            f"and try_cast({quoted(name)} as {kind}) is null"
        ).fetchall()
        for ordinal, key in rows:
            if int(ordinal) not in bad:
                bad.add(int(ordinal))
                on_refused(stream, key, name, kind)
    if not bad:
        return None
    casts = ", ".join(f"cast({quoted(name)} as {kind}) as {quoted(name)}" for name, kind in columns.items())
    return f"select {casts} from refused where cast(_ordinal as bigint) not in ({', '.join(map(str, sorted(bad)))})"
