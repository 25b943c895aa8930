"""Sweeps: which keys were seen, and on their end which held keys were not. Keys lie on disk; the anti-join runs in DuckDB.

Every key that a sync yields is written down, because a SweepEnd may follow. A sweep that stays open keeps its keys in durable files that the manifest
names, so it can go on in the next sync.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from connectors.sdk.records import joined_key
from warehouse.landing.index import Index
from warehouse.landing.lines import micros
from warehouse.landing.manifest import KeysFile, Manifest, OpenSweep
from warehouse.landing.schema import file_list
from warehouse.landing.spool import Engine, fingerprint, named_by_content
from warehouse.landing.store import Store

_BUFFERED = 20_000
_encode = msgspec.json.Encoder().encode


class Sweeps:
    """The seen keys of one sync, by stream, and the open sweeps that it found and leaves."""

    def __init__(self, store: Store, manifest: Manifest, index: Index, engine: Engine, started_at: datetime) -> None:
        self._store = store
        self._source_key = manifest.source_key
        self._index = index
        self._engine = engine
        self._began: dict[str, datetime] = {}
        self._started_at = started_at
        self._keys: dict[str, Keys] = {}
        self.open: dict[str, OpenSweep] = dict(manifest.sweeps)

    def saw(self, stream: str, seen: Sequence[str]) -> None:
        """Account for keys: they were yielded, seen, rejected or named in a tombstone."""
        keys = self._keys.get(stream)
        if keys is None:
            keys = self._keys[stream] = Keys(self._store.scratch(self._source_key) / f"seen-{stream}.ndjson")
        keys.extend(seen)

    def count(self, stream: str) -> int:
        """How many keys were noted since the sweep of `stream` began; one that was yielded twice counts twice."""
        noted = self._keys.get(stream)
        return (noted.rows if noted else 0) + sum(file.rows for file in self._open_files(stream))

    def began_at(self, stream: str) -> datetime:
        """When the present sweep of `stream` began: with this sync, or with the one that left it open."""
        sweep = self.open.get(stream)
        return sweep.began_at if sweep else self._began.get(stream, self._started_at)

    def leave_open(self, stream: str) -> None:
        """The sweep goes on in the next sync: from the next commit on its keys are durable."""
        for name in (stream, rejects_of(stream)):
            if name not in self.open:
                self.open[name] = OpenSweep(began_at=self.began_at(name))

    def missing(self, stream: str, read_at: datetime | None) -> Missing:
        """Held keys of `stream` that the sweep did not see. `read_at`: the instant of a dated sweep."""
        began = micros(read_at or self.began_at(stream))
        return self._missing(stream, self._index.judged_keys(stream, began, dated=read_at is not None))

    def missing_rejects(self, stream: str, read_at: datetime | None) -> Missing:
        """Rejects of `stream` that did not come again: those rows are repaired or gone."""
        began = micros(read_at or self.began_at(stream))
        prefix = joined_key(stream) + ":"
        judged = self._index.judged_keys("rejects", began, dated=read_at is not None, prefix=prefix)
        return self._missing(rejects_of(stream), judged)

    def _missing(self, name: str, judged: Iterator[str]) -> Missing:
        noted, files = self._keys.get(name), [file.path for file in self._open_files(name)]
        few = list(itertools.islice(judged, _BUFFERED + 1))
        if len(few) <= _BUFFERED and not files and (noted is None or noted.in_memory is not None):
            seen = set(noted.in_memory or ()) if noted else set()
            return Missing([key for key in few if key not in seen])
        scratch = self._store.scratch(self._source_key)
        held = Keys(scratch / "judged.ndjson")
        held.extend(few)
        while more := list(itertools.islice(judged, _BUFFERED)):
            held.extend(more)
        paths = [self._store.locate(f"{self._source_key}/{path}") for path in files]
        if noted is not None:
            paths.append(str(noted.flushed()))
        return MissingOnDisk(self._engine, held.flushed(), paths)

    def close(self, stream: str, at: datetime) -> None:
        """The sweep has ended: what was seen is forgotten; a next one of this stream begins `at`."""
        self._began[stream] = at
        for name in (stream, rejects_of(stream)):
            self.open.pop(name, None)
            noted = self._keys.pop(name, None)
            if noted is not None:
                noted.discard()

    def durable(self, sequence: int) -> dict[str, OpenSweep]:
        """Make the keys of open sweeps durable; returns what the manifest of commit `sequence` must name."""
        for stream, sweep in self.open.items():
            noted = self._keys.pop(stream, None)
            if noted is None or noted.rows == 0:
                continue
            keys = noted.flushed()
            path = named_by_content(f"sweeps/{stream}-{sequence:08d}.ndjson", fingerprint(keys)[1])
            file = KeysFile(path=path, rows=noted.rows)
            self._store.put_file(f"{self._source_key}/{path}", keys)
            self.open[stream] = OpenSweep(began_at=sweep.began_at, files=(*sweep.files, file))
        return dict(self.open)

    def discard(self) -> None:
        """Remove local files."""
        for keys in self._keys.values():
            keys.discard()

    def _open_files(self, stream: str) -> Iterable[KeysFile]:
        sweep = self.open.get(stream)
        return sweep.files if sweep else ()


def rejects_of(stream: str) -> str:
    """Name under which the rejects of a stream are noted as seen."""
    return f"rejects.{stream}"


class Missing:
    """Held keys that were not seen, ascending; few enough to be a list."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self.count = len(keys)

    def keys(self) -> Iterator[str]:
        """The keys, ascending."""
        return iter(self._keys)


class MissingOnDisk(Missing):
    """The same in a DuckDB table, streamed: a whole account may be among them."""

    def __init__(self, engine: Engine, held: Path, seen: list[str]) -> None:
        self._con = engine.con
        without = f"anti join {keys_of(seen)} as s using (k)" if seen else ""
        self._con.execute(
            f"create or replace table missing as select distinct h.k from {keys_of([str(held)])} as h {without}"
        )
        found = self._con.execute("select count(*) from missing").fetchone()
        super().__init__([])
        self.count = int(found[0]) if found else 0
        held.unlink()

    def keys(self) -> Iterator[str]:
        """The keys, ascending, from a cursor of their own: rows are landed in between."""
        cursor = self._con.cursor().execute("select k from missing order by k")
        while rows := cursor.fetchmany(5000):
            for (key,) in rows:
                yield key


class Keys:
    """Keys of one stream: in memory while they are few, then in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer: list[str] = []
        self._began = False
        self.rows = 0

    def extend(self, keys: Sequence[str]) -> None:
        """Note more keys."""
        self._buffer += keys
        self.rows += len(keys)
        if len(self._buffer) >= _BUFFERED:
            self._flush()

    @property
    def in_memory(self) -> list[str] | None:
        """All keys so far, when none had to be written down."""
        return None if self._began else self._buffer

    def flushed(self) -> Path:
        """The file with all keys so far."""
        self._flush()
        return self._path

    def discard(self) -> None:
        """Forget the keys and remove the file."""
        self._buffer.clear()
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        with self._path.open("ab" if self._began else "wb") as file:
            file.write(b"".join([b'{"k":%b}\n' % _encode(key) for key in self._buffer]))
        self._began = True
        self._buffer.clear()


def keys_of(paths: list[str]) -> str:
    """A table function over files of keys, one column `k`."""
    return f"read_json({file_list(paths)}, format = 'newline_delimited', columns = {{k: 'VARCHAR'}})"
