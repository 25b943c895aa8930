"""`Held`: what landing holds of each key, as an SQLite file beside the parts. Derived data: caught up from committed parts when a sync starts,
rebuilt when it is missing, damaged or belongs to another landing folder. It is never written while records stream in.

Order of readings is (`_read_at`, `_sync_seq`, `_ordinal`); presence follows the same order and nothing else. Instants are kept as whole
microseconds since 1970 (UTC).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from connectors.sdk.connector import HeldDeal
from warehouse.landing.lines import instant
from warehouse.landing.manifest import Manifest, Part
from warehouse.landing.parts import readable, rows_of
from warehouse.landing.schema import STREAMS
from warehouse.landing.spool import Engine
from warehouse.landing.store import Store, fsync_file

_LAYOUT = 1
_CHUNK = 400

_TABLES = """
create table meta (name text primary key, value text) without rowid;
create table held (
    stream text not null, key text not null,
    hash text, version integer, read_at integer, seq integer, ordinal integer, first_read_at integer,
    own text, presence text, p_read_at integer, p_seq integer, p_ordinal integer, survivor text, gone_at integer,
    pipeline_id text, stage_id text, status text, stage_entered_at integer, moved_seq integer,
    primary key (stream, key)
) without rowid;
create table history (
    deal_id text primary key, hash text, complete integer, is_combined integer,
    read_at integer, seq integer, ordinal integer, complete_seq integer
) without rowid;
create table dated (
    stream text not null, key text not null, read_at integer not null, hash text, seq integer, ordinal integer,
    primary key (stream, key, read_at)
) without rowid;
"""

#: A version states the presence in `own` at its own read time; a presence row may overrule it later.
_PUT_VERSION = """
insert into held (stream, key, hash, version, read_at, seq, ordinal, first_read_at, own, presence, p_read_at, p_seq, p_ordinal,
                  pipeline_id, stage_id, status, stage_entered_at, moved_seq)
values (:stream, :key, :hash, :version, :read_at, :seq, :ordinal, :read_at, :own, :own, :read_at, :seq, :ordinal,
        :pipeline_id, :stage_id, :status, :stage_entered_at, :seq)
on conflict (stream, key) do update set
    moved_seq = case when (excluded.pipeline_id, excluded.stage_id, excluded.status) is (pipeline_id, stage_id, status)
                and hash is not null then moved_seq else excluded.seq end,
    first_read_at = coalesce(first_read_at, excluded.first_read_at),
    presence = case when {later} then excluded.own else presence end,
    survivor = case when {later} then null else survivor end,
    gone_at = case when {later} then null else gone_at end,
    p_seq = case when {later} then excluded.seq else p_seq end,
    p_ordinal = case when {later} then excluded.ordinal else p_ordinal end,
    p_read_at = case when {later} then excluded.read_at else p_read_at end,
    hash = excluded.hash, version = excluded.version, own = excluded.own,
    read_at = excluded.read_at, seq = excluded.seq, ordinal = excluded.ordinal,
    pipeline_id = excluded.pipeline_id, stage_id = excluded.stage_id, status = excluded.status,
    stage_entered_at = excluded.stage_entered_at
where hash is null or (excluded.read_at, excluded.seq, excluded.ordinal) > (read_at, seq, ordinal)
""".format(later="(excluded.read_at, excluded.seq, excluded.ordinal) > (p_read_at, p_seq, p_ordinal)")
_PUT_FIRST = (
    "update held set first_read_at = :read_at where stream = :stream and key = :key and first_read_at > :read_at"
)
_PUT_PRESENCE = """
insert into held (stream, key, presence, p_read_at, p_seq, p_ordinal, survivor, gone_at)
values (:stream, :key, :kind, :read_at, :seq, :ordinal, :survivor, :gone_at)
on conflict (stream, key) do update set
    presence = excluded.presence, p_read_at = excluded.p_read_at, p_seq = excluded.p_seq, p_ordinal = excluded.p_ordinal,
    survivor = excluded.survivor, gone_at = excluded.gone_at
where p_read_at is null or (excluded.p_read_at, excluded.p_seq, excluded.p_ordinal) > (p_read_at, p_seq, p_ordinal)
"""
_PUT_HISTORY = """
insert into history (deal_id, hash, complete, is_combined, read_at, seq, ordinal, complete_seq)
values (:key, :hash, :complete, :is_combined, :read_at, :seq, :ordinal, case when :complete then :seq end)
on conflict (deal_id) do update set
    hash = excluded.hash, complete = excluded.complete, is_combined = excluded.is_combined,
    read_at = excluded.read_at, seq = excluded.seq, ordinal = excluded.ordinal,
    complete_seq = coalesce(excluded.complete_seq, complete_seq)
where (excluded.read_at, excluded.seq, excluded.ordinal) > (read_at, seq, ordinal)
"""
_PUT_DATED = """
insert into dated (stream, key, read_at, hash, seq, ordinal) values (:stream, :key, :read_at, :hash, :seq, :ordinal)
on conflict (stream, key, read_at) do update set hash = excluded.hash, seq = excluded.seq, ordinal = excluded.ordinal
where (excluded.seq, excluded.ordinal) > (seq, ordinal)
"""


class HeldRow(NamedTuple):
    """What is held of one key. `hash` is None when only its presence is known. `own`: the presence that its latest version states."""

    hash: str | None
    own: str | None
    presence: str
    presence_read_at: int
    survivor: str | None
    gone_at: int | None
    pipeline_id: str | None
    stage_id: str | None
    status: str | None


class HeldHistory(NamedTuple):
    """The last reading held of one deal's history. `is_current`: a complete reading came with or after the deal's last move."""

    hash: str
    complete: bool
    is_combined: bool
    read_at: int
    is_current: bool


class Index:
    """The index of one source as of its manifest; implements `connectors.sdk.connector.Held`. Use it under the source lock only."""

    def __init__(self, store: Store, manifest: Manifest, engine: Engine) -> None:
        self._store = store
        self._manifest = manifest
        self._engine = engine
        self._path = store.scratch(manifest.source_key) / "held.sqlite"
        self._counts: dict[str, int] = {}
        # A connector may ask from its workers.
        self._lock = threading.RLock()
        self._db = self._caught_up()

    # --- what connectors ask ---------------------------------------------------------------------------------------------------------

    def deals(self, keys: Sequence[str]) -> dict[str, HeldDeal]:
        """Held deals among `keys`."""
        found: dict[str, HeldDeal] = {}
        sql = (
            "select h.key, h.version, h.pipeline_id, h.stage_id, h.status, h.stage_entered_at, h.presence, y.deal_id is not null, "
            "coalesce(y.complete_seq >= h.moved_seq, 0) from held as h left join history as y on y.deal_id = h.key "
            "where h.stream = 'deals' and h.hash is not null and h.key in ({marks})"
        )
        for row in self._many(sql, (), keys):
            key, version, pipeline, stage, status, entered, presence, has_history, complete = row
            found[key] = HeldDeal(
                version=_text(version) or "",
                pipeline_id=pipeline,
                stage_id=stage,
                status=status,
                stage_entered_at=_text(entered),
                presence=presence,
                has_history=bool(has_history),
                history_complete=bool(complete),
            )
        return found

    def versions(self, stream: str, keys: Sequence[str]) -> dict[str, str]:
        """Version text by key of held records; "" where the source gives no version."""
        sql = "select key, version from held where stream = ? and hash is not null and key in ({marks})"
        return {key: _text(version) or "" for key, version in self._many(sql, (stream,), keys)}

    def live_count(self, stream: str) -> int:
        """How many keys of `stream` are held and not gone."""
        if stream not in self._counts:
            sql = "select count(*) from held where stream = ? and hash is not null and presence = 'present'"
            self._counts[stream] = self._all(sql, (stream,))[0][0]
        return self._counts[stream]

    def live_keys(self, stream: str) -> Iterator[str]:
        """All live keys of `stream`, ascending by their UTF-8 bytes, streamed from disk."""
        sql = "select key from held where stream = ? and hash is not null and presence = 'present' order by key"
        for (key,) in self._stream(sql, (stream,)):
            yield key

    def live_deals_without_history(self, limit: int = 1_000_000) -> Iterator[str]:
        """Live deals whose history was never read completely since they last moved; open and recently moved first."""
        sql = (
            "select h.key from held as h left join history as y on y.deal_id = h.key where h.stream = 'deals' and h.hash is not null "
            "and h.presence in ('present', 'archived') and coalesce(y.complete_seq < h.moved_seq, 1) "
            "order by coalesce(h.status, 'open') <> 'open', h.moved_seq desc, h.stage_entered_at desc, h.key limit ?"
        )
        for (key,) in self._stream(sql, (limit,)):
            yield key

    # --- what the writer asks --------------------------------------------------------------------------------------------------------

    def is_empty(self, stream: str) -> bool:
        """True when nothing was ever landed of `stream`, not even presence, so that lookups can be spared."""
        return not any(part.stream in (stream, "presence") for part in self._manifest.parts)

    def rows(self, stream: str, keys: Sequence[str]) -> dict[str, HeldRow]:
        """What is held of `keys`."""
        sql = (
            "select key, hash, own, presence, p_read_at, survivor, gone_at, pipeline_id, stage_id, status from held "
            "where stream = ? and key in ({marks})"
        )
        return {row[0]: HeldRow._make(row[1:]) for row in self._many(sql, (stream,), keys)}

    def dated(self, stream: str, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """(key, read_at) -> content hash landed for exactly that instant."""
        pairs = set(wanted)
        sql = "select key, read_at, hash from dated where stream = ? and key in ({marks})"
        keys = list(dict.fromkeys(key for key, _ in pairs))
        return {(k, at): digest for k, at, digest in self._many(sql, (stream,), keys) if (k, at) in pairs}

    def histories(self, deal_ids: Sequence[str]) -> dict[str, HeldHistory]:
        """The last reading held of each deal's history."""
        sql = (
            "select y.deal_id, y.hash, y.complete, y.is_combined, y.read_at, coalesce(y.complete_seq >= h.moved_seq, 1) "
            "from history as y left join held as h on h.stream = 'deals' and h.key = y.deal_id where y.deal_id in ({marks})"
        )
        return {
            row[0]: HeldHistory(row[1], bool(row[2]), bool(row[3]), row[4], bool(row[5]))
            for row in self._many(sql, (), deal_ids)
        }

    def judged_keys(self, stream: str, began_at: int, *, dated: bool, prefix: str = "") -> Iterator[str]:
        """Keys that a sweep which began then may find missing: live and first read by then.

        A dated sweep also judges keys that went later: they may have been away at its instant already.
        """
        live = "(presence = 'present' or p_read_at > :began)" if dated else "presence = 'present'"
        sql = (
            f"select key from held where stream = :stream and hash is not null and {live} and first_read_at <= :began "
            "and key >= :prefix and key < :after order by key"
        )
        after = prefix + "\U0010ffff"
        for (key,) in self._stream(sql, {"stream": stream, "began": began_at, "prefix": prefix, "after": after}):
            yield key

    def refresh(self, manifest: Manifest) -> None:
        """Take in what was committed since."""
        done, self._manifest = self._manifest.sequence, manifest
        self._counts.clear()
        with self._lock, _transaction(self._db):
            self._absorb(self._db, done)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- queries ---------------------------------------------------------------------------------------------------------------------

    def _many(self, sql: str, before: tuple[Any, ...], keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Run `sql` for `keys` in chunks of one size, so that SQLite prepares it once."""
        text = sql.format(marks=", ".join("?" * _CHUNK))
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            yield from self._all(text, (*before, *chunk, *(None,) * (_CHUNK - len(chunk))))

    def _all(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.DatabaseError:
                self._db = self._rebuilt()
                return self._db.execute(sql, values).fetchall()

    def _stream(self, sql: str, values: Any) -> Iterator[tuple[Any, ...]]:
        """Rows in pieces; a file found damaged is rebuilt before the first row, later the error stands (the next sync rebuilds it)."""
        with self._lock:
            try:
                cursor = self._db.execute(sql, values)
                rows = cursor.fetchmany(5000)
            except sqlite3.DatabaseError:
                self._db = self._rebuilt()
                cursor = self._db.execute(sql, values)
                rows = cursor.fetchmany(5000)
        while rows:
            yield from rows
            with self._lock:
                rows = cursor.fetchmany(5000)

    # --- catching up -----------------------------------------------------------------------------------------------------------------

    def _caught_up(self) -> sqlite3.Connection:
        if not self._path.exists():
            return self._rebuilt()
        db: sqlite3.Connection | None = None
        try:
            db = _opened(self._path)
            meta = dict(db.execute("select name, value from meta").fetchall())
            done = int(meta.get("sequence", -1))
            mine = meta.get("layout") == str(_LAYOUT) and meta.get("landing_id") == self._manifest.landing_id
            if mine and 0 < done <= self._manifest.sequence:
                if any(part.max_seq > done for part in self._manifest.parts):
                    with _transaction(db):
                        self._absorb(db, done)
                        self._store.step("index commit")
                return db
            if mine and done == self._manifest.sequence:
                return db
        except (sqlite3.DatabaseError, ValueError):
            pass  # damaged: derived data is made anew
        if db is not None:
            db.close()
        return self._rebuilt()

    def _rebuilt(self) -> sqlite3.Connection:
        """Make the file anew beside the old one; all or nothing."""
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        beside = self._path.with_suffix(".new")
        for old in (beside, self._path, *self._path.parent.glob("held.sqlite-*")):
            old.unlink(missing_ok=True)
        db = sqlite3.connect(beside, isolation_level=None)
        db.execute("pragma journal_mode = off")
        db.execute("pragma synchronous = off")
        db.execute("pragma cache_size = -32000")
        db.executescript(_TABLES)
        with _transaction(db):
            self._absorb(db, 0)
        db.close()
        fsync_file(beside)
        self._store.step("index rename")
        beside.replace(self._path)
        return _opened(self._path)

    def _absorb(self, db: sqlite3.Connection, done: int) -> None:
        """Take in all rows committed after `done`."""
        for stream in STREAMS:
            parts = [part for part in self._manifest.parts_of(stream) if part.max_seq > done]
            if not parts or stream in ("stage_changes", "field_changes"):
                continue
            self._absorb_stream(db, stream, parts, done)
        facts = {
            "layout": str(_LAYOUT),
            "landing_id": self._manifest.landing_id,
            "sequence": str(self._manifest.sequence),
        }
        db.executemany("insert or replace into meta (name, value) values (?, ?)", facts.items())

    def _absorb_stream(self, db: sqlite3.Connection, stream: str, parts: list[Part], done: int) -> None:
        con, source_key = self._engine.con, self._manifest.source_key
        with readable(source_key):
            source = rows_of(con, self._store, source_key, stream, parts)
            cursor = con.execute(
                f"{_ABSORBED[stream]} from ({source}) where _sync_seq > {done} order by _key, _sync_seq, _ordinal"
            )
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(5000):
                _put(db, stream, [dict(zip(names, row, strict=True)) for row in rows])


_STAMPED = "_key as key, _hash as hash, epoch_us(_read_at) as read_at, _sync_seq as seq, _ordinal as ordinal"


def _absorbed(stream: str) -> str:
    """The SELECT that gives the index its columns of a stream."""
    columns = STREAMS[stream]
    if stream == "presence":
        return (
            "select stream, key, kind, epoch_us(gone_at) as gone_at, survivor, read_at is not null as dated, _key as dated_key, "
            "_hash as hash, epoch_us(_read_at) as read_at, _sync_seq as seq, _ordinal as ordinal"
        )
    dated = "read_at is not null as dated" if "read_at" in columns else "false as dated"
    if stream == "history_reads":
        return f"select {_STAMPED}, {dated}, complete, is_combined"
    version = "epoch_us(updated_at) as version" if "updated_at" in columns else "cast(null as bigint) as version"
    deal = (
        "presence as own, pipeline_id, stage_id, status, epoch_us(stage_entered_at) as stage_entered_at"
        if stream == "deals"
        else "'present' as own, null as pipeline_id, null as stage_id, null as status, null as stage_entered_at"
    )
    return f"select '{stream}' as stream, {_STAMPED}, {dated}, {version}, {deal}"


_ABSORBED = {stream: _absorbed(stream) for stream in STREAMS if stream not in ("stage_changes", "field_changes")}


def _put(db: sqlite3.Connection, stream: str, rows: list[dict[str, Any]]) -> None:
    if stream == "presence":
        db.executemany(_PUT_PRESENCE, rows)
        dated = [{**row, "stream": "presence", "key": row["dated_key"]} for row in rows if row["dated"]]
    elif stream == "history_reads":
        db.executemany(_PUT_HISTORY, rows)
        dated = [{**row, "stream": stream} for row in rows if row["dated"]]
    else:
        db.executemany(_PUT_VERSION, rows)
        dated = [row for row in rows if row["dated"]]
        if dated:
            db.executemany(_PUT_FIRST, dated)
    if dated:
        db.executemany(_PUT_DATED, dated)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # The source lock keeps others out, so no shared memory file is needed.
    db.execute("pragma locking_mode = exclusive")
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    db.execute("pragma cache_size = -32000")
    return db


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("rollback")
        raise
    db.execute("commit")


def _text(micros: int | None) -> str | None:
    return None if micros is None else instant(micros).isoformat()
