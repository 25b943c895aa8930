"""Map what is stored again: typed columns re-derived from `raw` after a mapping fix, without a single call to the source.

Every stored version is mapped at its own read time and, where the result differs, landed again with the higher mapper version; nothing is
overwritten. Progress is committed as it goes, so an interrupted replay goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.connector import Connector, ReplayContext
from connectors.sdk.errors import DataError, VendorError
from connectors.sdk.records import FieldDef, Record, Reject, SourceInfo
from warehouse.home import Home
from warehouse.landing.history import Event, reading_digest
from warehouse.landing.lines import CODECS, READING, BadRecordError, Codec, ReadingRow, stamp
from warehouse.landing.manifest import Committed, Manifest, ReplayProgress, commit
from warehouse.landing.parts import rows_of
from warehouse.landing.reports import Notice, RowCounts, SyncReport, new_sync_id, write_report
from warehouse.landing.spool import Engine, Spools
from warehouse.landing.store import Store
from warehouse.sync import Progress, open_landing

_COMMIT_ROWS = 50_000
_FETCHED_BYTES = 8_000_000
_CODECS = {codec.stream: codec for codec in CODECS.values()}
_HISTORY = "history_reads"
#: Streams in the order in which they are mapped again.
STREAMS = (
    "sources",
    "field_defs",
    "owners",
    "companies",
    "pipelines",
    "stages",
    "currency_rates",
    "deals",
    _HISTORY,
)


def run_replay(
    connector: Connector,
    *,
    home: Home,
    clock: Clock,
    source_key: str | None = None,
    on_progress: Progress | None = None,
    store: Store | None = None,
) -> SyncReport:
    """Replay one source; returns a report of kind `replay` (`read`: rows mapped again, `changed`: rows that came out differently).

    Raises LockedError when a sync is running, ConfigError when the folder belongs to another connector, LandingError for damaged parts.
    """
    key = source_key or connector.source_key
    with home.lock_source(key, "replay", clock=clock):
        place = store or home.store()
        committed = open_landing(place, key, connector, clock)
        engine = Engine(place.scratch(key))
        try:
            return _Replay(connector, place, committed, engine, clock=clock, on_progress=on_progress).run()
        finally:
            engine.close()


class _Row(NamedTuple):
    """A stored version: where it stands, when it was read, and what it was made of."""

    stream: str
    key: str
    raw: str
    digest: str
    read_at: datetime
    dated: bool
    seq: int
    ordinal: int


class _Replay:
    def __init__(
        self,
        connector: Connector,
        store: Store,
        committed: Committed,
        engine: Engine,
        *,
        clock: Clock,
        on_progress: Progress | None,
    ) -> None:
        self.connector = connector
        self.store = store
        self.engine = engine
        self.clock = clock
        self.start: Manifest = committed.manifest
        self.manifest = committed.manifest
        self.etag = committed.etag
        self.on_progress = on_progress or (lambda done, total, what: None)
        self.rows: dict[str, RowCounts] = {}
        self.warnings: dict[str, str] = {}
        self.parts = 0
        self.ordinal = 0
        started = clock.now()
        self.report = SyncReport(
            sync_id=new_sync_id(store, self.start.source_key, started, self.start.sequence),
            source_key=self.start.source_key,
            connector=self.start.connector,
            kind="replay",
            started_at=started,
            mapper_version=connector.mapper_version,
            sequence=self.start.sequence,
            data_through_at=self.start.data_through_at,
            cursors_before=dict(self.start.cursors),
            cursors_after=dict(self.start.cursors),
        )
        self.spools = Spools(store, self.start.source_key, self.report.sync_id, engine, _refused)

    def run(self) -> SyncReport:
        """Map all streams, beginning where an interrupted replay of the same mapper version stopped."""
        report = self.report
        write_report(self.store, report)
        progress = self._progress()
        try:
            if not progress.is_done:
                context = self._context()
                for stream in STREAMS[STREAMS.index(progress.stream) :]:
                    if stream != progress.stream:
                        progress = ReplayProgress(
                            mapper_version=progress.mapper_version, until_seq=progress.until_seq, stream=stream
                        )
                    self._stream(progress, context)
                progress = msgspec.structs.replace(progress, is_done=True)
            report.status = "complete"
        except BaseException as error:
            report.status = "failed"
            report.reasons = [f"{type(error).__name__}; run it again, it goes on where it stopped"]
            write_report(self.store, report)
            self.spools.discard()
            raise
        report.rows = self.rows
        report.warnings = [Notice(code, message) for code, message in self.warnings.items()]
        report.ended_at = self.clock.now()
        self._commit(progress, final=True)
        write_report(self.store, report)
        return report

    def _progress(self) -> ReplayProgress:
        before = self.manifest.replay
        version = self.connector.mapper_version
        if before is not None and before.mapper_version == version:
            return before
        return ReplayProgress(mapper_version=version, until_seq=self.manifest.sequence, stream=STREAMS[0])

    # --- one stream ------------------------------------------------------------------------------------------------------------------

    def _stream(self, progress: ReplayProgress, context: ReplayContext) -> None:
        if not self.start.parts_of(progress.stream):
            return
        units = self._readings(progress) if progress.stream == _HISTORY else self._versions(progress)
        done = 0
        for seq, ordinal, rows in units:
            mapped = [self._mapped(row, context) for row in rows]
            if any(item is None for item in mapped):
                return  # the connector does not map this stream again
            if progress.stream == _HISTORY:
                self._put_reading((seq, ordinal), rows, [item for item in mapped if item is not None])
            else:
                for row, item in zip(rows, mapped, strict=True):
                    self._put_version(row, item)
            done += len(rows)
            self.on_progress(done, None, f"replay {progress.stream}")
            if self.spools.rows >= _COMMIT_ROWS:
                self._commit(msgspec.structs.replace(progress, after_seq=seq, after_ordinal=ordinal))

    def _mapped(self, row: _Row, context: ReplayContext) -> Record | None:
        """The record that the connector makes of the stored raw; a Reject when it cannot."""
        counts = self.rows.setdefault(row.stream, RowCounts())
        counts.read += 1
        try:
            record = self.connector.remap(row.stream, msgspec.json.decode(row.raw), context)
            if record is None:
                counts.read -= 1
                return None
            codec = CODECS.get(type(record))
            if codec is None or codec.stream != row.stream:
                raise VendorError(f"remap of {row.stream} gives a {type(record).__name__}")
            if codec.key(record) != row.key:
                raise BadRecordError(
                    "key_changed", "the new mapping gives this row another key; it keeps its old form."
                )
            return msgspec.structs.replace(record, raw=msgspec.Raw(row.raw.encode()))
        except BadRecordError as error:
            return self._reject(row, error.reason, error.detail)
        except DataError as error:
            return self._reject(row, "replay", str(error))

    def _reject(self, row: _Row, reason: str, detail: str) -> Reject:
        self.rows[row.stream].rejected += 1
        self.warnings.setdefault(f"replay.{row.stream}.{reason}", f"a stored row keeps its old form: {detail}")
        return Reject(stream=row.stream, key=row.key, reason=reason, detail=detail)

    def _put_version(self, row: _Row, record: Record | None) -> None:
        if record is None or isinstance(record, Reject):
            return
        codec = CODECS[type(record)]
        try:
            content = codec.encode(record)
        except BadRecordError as error:
            self._reject(row, error.reason, error.detail)
            return
        if content.digest == row.digest:
            return
        self.rows[row.stream].changed += 1
        self._put(codec, row.stream, codec.line(content, row.key, self._next(), self._stamp(row)))

    def _put_reading(self, place: tuple[int, int], rows: list[_Row], records: list[Record]) -> None:
        """A reading is landed again as a whole when one of its events came out differently."""
        events: list[Event] = []
        differs = False
        for row, record in zip(rows, records, strict=True):
            if isinstance(record, Reject):
                return
            codec = CODECS[type(record)]
            try:
                content = codec.encode(record)
            except BadRecordError as error:
                self._reject(row, error.reason, error.detail)
                return
            differs = differs or content.digest != row.digest
            events.append(Event(row.stream, getattr(record, "event_id"), row.key, content))  # noqa: B009
        if not differs:
            return
        reading, read_at, dated = self._reading_at(place)
        at = stamp(
            read_at, dated=dated, sequence=self.manifest.sequence + 1, mapper_version=self.connector.mapper_version
        )
        ordinal = self._next()
        digest = reading_digest(events, complete=reading.complete, is_combined=reading.is_combined, note=reading.note)
        content = READING.encode(reading)._replace(digest=digest)
        self._put(READING, _HISTORY, READING.line(content, reading.deal_id, ordinal, at))
        own = at._replace(shared=b',"_read_ordinal":%d%b' % (ordinal, at.shared))
        for event in events:
            codec = _CODECS[event.stream]
            self.rows[event.stream].changed += 1
            self._put(codec, event.stream, codec.line(event.content, event.key, self._next(), own))

    # --- what is stored --------------------------------------------------------------------------------------------------------------

    def _versions(self, progress: ReplayProgress) -> Iterator[tuple[int, int, list[_Row]]]:
        """Stored versions of a stream, oldest commit first: of each key and read time the last one, unless it is mapped by this version."""
        columns = _columns(progress.stream)
        rows = self._query(
            f"with r as ({self._rows(progress.stream)}), "
            f"last as (select max((_sync_seq, _ordinal)) as place from r where _sync_seq <= {progress.until_seq} group by _key, _read_at) "
            f"select {columns} from r where _mapper_version < {progress.mapper_version} and (_sync_seq, _ordinal) in (select place from last) "
            f"and (_sync_seq, _ordinal) > ({progress.after_seq}, {progress.after_ordinal}) order by _sync_seq, _ordinal"
        )
        for values in rows:
            row = _Row(progress.stream, *values)
            yield row.seq, row.ordinal, [row]

    def _readings(self, progress: ReplayProgress) -> Iterator[tuple[int, int, list[_Row]]]:
        """Events of the readings in force, reading by reading: the last complete one of each deal, and what came after it."""
        parts = []
        for stream in ("stage_changes", "field_changes"):
            columns = f"'{stream}' as stream, {_columns(stream)}, _read_ordinal"
            parts.append(f"select {columns} from ({self._rows(stream)})")
        rows = self._query(
            f"with h as (select *, max((_read_at, _sync_seq, _ordinal)) filter (where complete) over (partition by deal_id) as since "
            f"from ({self._rows(_HISTORY)}) where _sync_seq <= {progress.until_seq}), "
            "force as (select _sync_seq, _ordinal from h where (since is null or (_read_at, _sync_seq, _ordinal) >= since) "
            f"and _mapper_version < {progress.mapper_version} "
            f"and (_sync_seq, _ordinal) > ({progress.after_seq}, {progress.after_ordinal})) "
            f"select e.* from ({' union all '.join(parts)}) as e semi join force as f "
            "on f._sync_seq = e._sync_seq and f._ordinal = e._read_ordinal order by e._sync_seq, e._read_ordinal, e._ordinal"
        )
        for (seq, ordinal), group in groupby(rows, key=lambda values: (values[6], values[8])):
            yield seq, ordinal, [_Row(*values[:8]) for values in group]

    def _reading_at(self, place: tuple[int, int]) -> tuple[ReadingRow, datetime, bool]:
        if place not in self._known_readings:
            self._known_readings = {
                (seq, ordinal): (
                    ReadingRow(deal_id=deal, complete=complete, is_combined=combined, note=note, read_at=None),
                    read_at.replace(tzinfo=UTC),
                    dated,
                )
                for seq, ordinal, deal, complete, combined, note, read_at, dated in self.engine.con.execute(
                    "select _sync_seq, _ordinal, deal_id, complete, is_combined, note, _read_at, read_at is not null "
                    f"from ({self._rows(_HISTORY)}) where (_sync_seq, _ordinal) >= {place} order by _sync_seq, _ordinal limit 5000"
                ).fetchall()
            }
        return self._known_readings[place]

    _known_readings: Mapping[tuple[int, int], tuple[ReadingRow, datetime, bool]] = {}

    def _context(self) -> ReplayContext:
        """The latest SourceInfo and field definitions held."""
        account = self.start.account
        info = None
        if account is not None:
            info = SourceInfo(**{name: getattr(account, name) for name in account.__struct_fields__})
        found = self._latest(
            "field_defs", "object_type, code, label, field_type, is_custom, is_calculated, is_read, raw"
        )
        defs = tuple(
            FieldDef(
                object_type=row[0],
                code=row[1],
                label=row[2],
                field_type=row[3],
                is_custom=row[4],
                is_calculated=row[5],
                is_read=row[6],
                raw=msgspec.json.decode(row[7] or "{}"),
            )
            for row in found
        )
        return ReplayContext(settings=self.connector.settings, info=info, field_defs=defs)

    def _latest(self, stream: str, columns: str) -> list[tuple[Any, ...]]:
        return self.engine.con.execute(
            f"select {columns} from ({self._rows(stream)}) "
            "qualify row_number() over (partition by _key order by _read_at desc, _sync_seq desc, _ordinal desc) = 1 order by _key"
        ).fetchall()

    def _rows(self, stream: str) -> str:
        """Rows as of the start; a part made by this replay is none of its business."""
        return rows_of(self.engine.con, self.store, self.start.source_key, stream, self.start.parts_of(stream))

    def _query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows from a cursor of their own, because parts are written in between."""
        cursor = self.engine.con.cursor().execute(sql)
        widest = max((part.width for part in self.start.parts), default=0)
        while rows := cursor.fetchmany(max(1, min(2_000, _FETCHED_BYTES // max(widest, 1)))):
            yield from rows

    # --- out -------------------------------------------------------------------------------------------------------------------------

    def _stamp(self, row: _Row) -> Any:
        return stamp(
            row.read_at.replace(tzinfo=UTC),
            dated=row.dated,
            sequence=self.manifest.sequence + 1,
            mapper_version=self.connector.mapper_version,
        )

    def _next(self) -> int:
        self.ordinal += 1
        return self.ordinal

    def _put(self, codec: Codec, stream: str, line: bytes) -> None:
        assert codec.stream == stream
        self.spools.add(stream, [line], self.manifest.sequence + 1)

    def _commit(self, progress: ReplayProgress, *, final: bool = False) -> None:
        sequence = self.manifest.sequence + 1
        parts = self.spools.finish(sequence)
        self.parts += len(parts)
        manifest = msgspec.structs.replace(
            self.manifest, sequence=sequence, parts=(*self.manifest.parts, *parts), replay=progress
        )
        if final:
            self.report.parts, self.report.sequence = self.parts, sequence
            manifest = msgspec.structs.replace(manifest, last_report=msgspec.Raw(msgspec.json.encode(self.report)))
        self.etag = commit(self.store, manifest, self.etag)
        self.manifest = manifest


def _columns(stream: str) -> str:
    dated = "read_at is not null" if _CODECS[stream].has_read_at else "false"
    return f"_key, raw, _hash, _read_at, {dated} as dated, _sync_seq, _ordinal"


def _refused(stream: str, key: str, column: str, kind: str) -> None:
    """Checked values always fit; a row that does not is reported by the sync that lands it."""
