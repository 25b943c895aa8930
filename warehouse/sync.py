"""The sync loop: one connector into its landing folder. The command line and Dagster call `run_sync`; neither has logic of its own.

A sync ends as
    complete     everything was read; `data_through_at` moves to its start
    partial      a quota ended it, or the connector said so: what was read is kept, the next sync goes on from the saved cursors
    suspicious   a full read lacked too much of what is held: nothing was marked as gone
    failed       an error ended it: what was read is kept, cursors stand where the connector last put them
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.connector import Connector, Held
from connectors.sdk.errors import ConfigError, DataError, MuaraError, QuotaError
from connectors.sdk.records import KEYS, Checkpoint, FieldDef, Record, Reject, SourceInfo, Warn
from connectors.sdk.redaction import Redactor, redactor
from connectors.sdk.settings import secrets_of
from warehouse.home import Home
from warehouse.landing.compaction import cleaned, compacted
from warehouse.landing.drift import Drift
from warehouse.landing.guard import suspicion
from warehouse.landing.index import Index
from warehouse.landing.manifest import Committed, LandingError, Manifest, read_manifest
from warehouse.landing.reports import (
    DriftLine,
    Notice,
    SyncReport,
    exit_code,
    new_sync_id,
    tidy_reports,
    write_report,
)
from warehouse.landing.spool import Engine
from warehouse.landing.store import Store
from warehouse.landing.writer import Writer, WrongAccountError

__all__ = ["SyncReport", "exit_code", "run_sync"]

Progress = Callable[[int, int | None, str], None]

#: A checkpoint with rows before it is committed at once when the last commit is this long ago, or this share of the sync's time.
CHECKPOINT_S = 1.0
_CHECKPOINT_SHARE = 0.02
_CHECKPOINT_ROWS = 50_000
_MOST_WARNINGS = 200


def run_sync(
    connector: Connector,
    *,
    home: Home,
    clock: Clock,
    source_key: str | None = None,
    calls: Any = None,
    full: bool = False,
    accept_deletes: bool = False,
    on_progress: Progress | None = None,
    store: Store | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> SyncReport:
    """Sync one source; returns its report, which is also stored under `<landing>/<source>/syncs/`. `exit_code(report)` is 0, 1 or 3.

    `calls`: the call policy handed to the connector. `store`: another place for landing than the home's folder. Errors of the source end
    up in the report (`failed`, `partial`). Raises LockedError when a sync of this source is running, ConfigError when the folder belongs to another
    connector, LandingError when the manifest or a part is damaged; a bug in a connector is raised as it is, after the report says so.
    """
    key = source_key or connector.source_key
    with home.lock_source(key, "sync", clock=clock):
        place = store or home.store()
        committed = open_landing(place, key, connector, clock)
        run = _Run(connector, place, committed, clock=clock, calls=calls, on_progress=on_progress or _silent)
        return run.run(full=full, accept_deletes=accept_deletes, checkpoint_s=checkpoint_s)


def open_landing(store: Store, source_key: str, connector: Connector, clock: Clock) -> Committed:
    """The manifest of a source, a new one when it never synced; use it under the source lock.

    Settles reports that a killed process left and removes its local files. Raises ConfigError when the folder belongs to another connector.
    """
    committed = read_manifest(store, source_key)
    if committed is None:
        # Derived data carries this id; a folder that was emptied and filled again must not be taken for the old one.
        started = clock.now()
        manifest = Manifest(
            landing_id=f"{source_key}-{started:%Y%m%dT%H%M%S%f}", source_key=source_key, connector=connector.name
        )
        committed = Committed(manifest, None)
    manifest = committed.manifest
    if manifest.connector != connector.name:
        raise ConfigError(
            f"{source_key}: its landing folder was filled by connector {manifest.connector!r}, the project now says {connector.name!r}. "
            "Give the new source a key of its own."
        )
    last = msgspec.json.decode(manifest.last_report, type=SyncReport | None)
    tidy_reports(store, source_key, last)
    for left in store.scratch(source_key).iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif not left.name.startswith("held.sqlite"):
            left.unlink()
    return committed


class SyncContext:
    """What a connector is handed for one sync; implements `connectors.sdk.connector.Sync`."""

    def __init__(
        self,
        connector: Connector,
        *,
        source_key: str,
        clock: Clock,
        calls: Any,
        held: Held,
        manifest: Manifest,
        full: bool,
        on_progress: Progress,
    ) -> None:
        self.source_key = source_key
        self.settings = connector.settings
        self.clock = clock
        self.calls = calls
        self.held = held
        self.full = full
        self.page_size: int | None = getattr(connector.settings, "page_size", None)
        self._started = clock.now()
        self._on_progress = on_progress
        self._manifest = manifest
        self.cursors: Mapping[str, Mapping[str, Any]] = manifest.cursors

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """The committed cursor of `stream`, or {} (also {} under `--full`)."""
        return {} if self.full else self._manifest.cursors.get(stream, {})

    def sweep_is_due(self, stream: str, every_days: float) -> bool:
        """True when no complete sweep of `stream` was recorded within `every_days`, one is open, or `--full` is given."""
        last = self._manifest.swept_at.get(stream)
        if self.full or last is None or stream in self._manifest.sweeps:
            return True
        return self._started - last >= timedelta(days=every_days)

    def progress(self, done: int, total: int | None, what: str) -> None:
        """Tell the person watching."""
        self._on_progress(done, total, what)

    def committed(self, manifest: Manifest) -> None:
        """A commit is done."""
        self._manifest = manifest
        self.cursors = manifest.cursors


class _Run:
    """One call of `run_sync`, under the source lock."""

    def __init__(
        self,
        connector: Connector,
        store: Store,
        committed: Committed,
        *,
        clock: Clock,
        calls: Any,
        on_progress: Progress,
    ) -> None:
        self.connector = connector
        self.store = store
        self.committed = committed
        self.clock = clock
        self.calls = calls
        self.on_progress = on_progress
        self.redactor: Redactor = getattr(calls, "redactor", None) or redactor
        self.redactor.add(*secrets_of(connector.settings))

    def run(self, *, full: bool, accept_deletes: bool, checkpoint_s: float) -> SyncReport:
        """Read, land, commit, report."""
        manifest = self.committed.manifest
        started = self.clock.now()
        report = SyncReport(
            sync_id=new_sync_id(self.store, manifest.source_key, started, manifest.sequence),
            source_key=manifest.source_key,
            connector=manifest.connector,
            started_at=started,
            full=full,
            accept_deletes=accept_deletes,
            mapper_version=self.connector.mapper_version,
            sequence=manifest.sequence,
            cursors_before=dict(manifest.cursors),
            data_through_at=manifest.data_through_at,
        )
        report = self._cleaned(report)
        write_report(self.store, report)
        engine = Engine(self.store.scratch(manifest.source_key))
        try:
            return self._read_all(report, engine, checkpoint_s)
        except BaseException as error:
            self._say_failed(report, error)
            raise
        finally:
            engine.close()

    def _read_all(self, report: SyncReport, engine: Engine, checkpoint_s: float) -> SyncReport:
        manifest = self.committed.manifest
        index = Index(self.store, manifest, engine)
        declared = {record for decl in self.connector.streams() for record in decl.records}
        drift = Drift(self.store, manifest, engine, from_raw=FieldDef not in declared)
        writer = Writer(
            self.store,
            self.committed,
            index,
            engine,
            drift=drift,
            clock=self.clock,
            sync_id=report.sync_id,
            mapper_version=self.connector.mapper_version,
            accept_deletes=report.accept_deletes,
            redact=self.redactor.redact,
        )
        context = SyncContext(
            self.connector,
            source_key=manifest.source_key,
            clock=self.clock,
            calls=self.calls,
            held=index,
            manifest=manifest,
            full=report.full,
            on_progress=self.on_progress,
        )
        try:
            loop = _Loop(self.connector, writer, context, report, checkpoint_s)
            loop.run()
            return self._finish(report, loop, engine, index, declared)
        finally:
            writer.discard()
            index.close()

    def _finish(
        self, report: SyncReport, loop: _Loop, engine: Engine, index: Index, declared: set[type[Record]]
    ) -> SyncReport:
        writer = loop.writer
        if loop.is_whole:
            writer.settle()
            if report.full:
                writer.suspicions.extend(_unswept_doubts(writer, index, declared))
        writer.flush()
        report.reasons += writer.suspicions
        if writer.suspicions and report.status in ("running", "partial"):
            report.status = "suspicious"
        if report.status == "running":
            report.status = "complete"
        whole = {*writer.read_whole, *_full_streams(report, declared)} if loop.is_whole else set(writer.read_whole)
        report.drift = [*loop.drift_lines(whole)] if report.status != "failed" else []
        report.rows = dict(writer.rows)
        report.cursors_after = {stream: dict(cursor) for stream, cursor in loop.cursors.items()}
        self._add_calls(report)
        now = self.clock.now()
        report.ended_at = now
        report.sequence = writer.sequence
        facts: dict[str, Any] = cleaned(self.store, writer.manifest, now)
        if report.status == "complete":
            report.data_through_at = facts["data_through_at"] = report.started_at
        if report.status != "failed":
            facts["last_synced_at"] = now
            facts["raw_fields"] = loop.writer.drift.raw_fields(whole)
        report = self._cleaned(report)
        writer.commit(loop.cursors, last_report=lambda parts: _encoded(report, parts), **facts)
        report.parts = writer.parts
        self._compact(report, writer, engine, now)
        write_report(self.store, report)
        return report

    def _compact(self, report: SyncReport, writer: Writer, engine: Engine, now: datetime) -> None:
        """Compaction is upkeep: when it cannot be done the sync is still what it is, and says so."""
        try:
            smaller = compacted(self.store, writer.manifest, engine, now)
        except LandingError as error:
            report.warnings.append(Notice("compaction", str(error)))
            return
        if smaller is not None:
            writer.replace_manifest(smaller)

    def _say_failed(self, report: SyncReport, error: BaseException) -> None:
        """A bug, a damaged landing folder or an interrupt: not handled here, but the report must not stay `running`."""
        report.status = "failed"
        words = str(error) if isinstance(error, MuaraError | OSError) else "this is a bug, or the process was stopped"
        report.reasons = [f"{type(error).__name__}: {words}"]
        report.ended_at = self.clock.now()
        with contextlib.suppress(
            OSError, MuaraError
        ):  # a full disk must not hide what filled it, nor a bucket out of reach why
            write_report(self.store, self._cleaned(report))

    def _add_calls(self, report: SyncReport) -> None:
        tell = getattr(self.calls, "report", None)
        if tell is None:
            return
        made = tell()
        report.calls = dict(made.calls)
        report.quota_left = made.quota_left
        report.warnings += [Notice("calls", text) for text in made.notices]

    def _cleaned(self, report: SyncReport) -> SyncReport:
        """The report without secrets: every text that a source or an error could have put into it."""
        clean = self.redactor.redact
        report.reasons = [clean(reason) for reason in report.reasons]
        report.warnings = [Notice(notice.code, clean(notice.message)) for notice in report.warnings]
        report.calls = {clean(endpoint): count for endpoint, count in report.calls.items()}
        report.cursors_before = _redacted(report.cursors_before, clean)
        report.cursors_after = _redacted(report.cursors_after, clean)
        report.drift = [
            DriftLine(
                object_type=line.object_type,
                field_code=clean(line.field_code),
                change=line.change,
                detail=clean(line.detail),
            )
            for line in report.drift
        ]
        return report


class _Loop:
    """Takes the connector's records one by one until it ends or gives up."""

    def __init__(
        self, connector: Connector, writer: Writer, context: SyncContext, report: SyncReport, checkpoint_s: float
    ) -> None:
        self._connector = connector
        self.writer = writer
        self._context = context
        self._report = report
        self._checkpoint_s = checkpoint_s
        self.cursors: dict[str, Mapping[str, Any]] = dict(writer.manifest.cursors)
        self._began_s = self._committed_s = context.clock.monotonic()
        self._has_committed = False
        self._since_checkpoint = 0
        #: The connector came to its end.
        self.is_whole = False

    def run(self) -> None:
        """Read until the end. Errors that the source is to blame for end up in the report; bugs are raised."""
        report = self._report
        try:
            records = self._connector.read(self._context)
            try:
                for record in records:
                    self._take(record)
            finally:
                # Not only when it is forgotten: a connector may have workers to stop.
                getattr(records, "close", lambda: None)()
            self.is_whole = True
        except QuotaError as error:
            report.status = "partial"
            report.reasons.append(str(error))
            report.resumes_at = error.resumes_at
        except DataError as error:
            self.writer.add(Reject(stream="deals", reason="data_error", detail=str(error), key=error.key))
            report.status = "partial"
            report.reasons.append(f"one record stopped the connector, what would have followed was not read: {error}")
        except (WrongAccountError, LandingError):
            raise
        except MuaraError as error:
            report.status = "failed"
            report.reasons.append(f"{type(error).__name__}: {error}")

    def drift_lines(self, read_whole: set[str]) -> list[DriftLine]:
        """Changes of the source's fields; "gone" is only said of what was read whole."""
        return self.writer.drift.lines(read_whole)

    def _take(self, record: Any) -> None:
        kind = type(record)
        if kind is Checkpoint:
            self._checkpoint(record)
            return
        self._since_checkpoint += 1
        if kind is Warn:
            self._warn(record)
            return
        if kind is SourceInfo:
            self._use_account(record)
        self.writer.add(record)

    def _use_account(self, info: SourceInfo) -> None:
        """Budgets are kept per account, so the call policy must know it."""
        use_account = getattr(self._context.calls, "use_account", None)
        if use_account is not None:
            use_account(f"{self._connector.name}:{info.account_id}")

    def _warn(self, warn: Warn) -> None:
        report = self._report
        notice = Notice(warn.code, warn.message)
        if notice not in report.warnings and len(report.warnings) < _MOST_WARNINGS:
            report.warnings.append(notice)
        if warn.makes == "partial":
            report.reasons.append(warn.message)
            report.status = "partial" if report.status == "running" else report.status
        elif warn.makes == "suspicious":
            self.writer.suspicions.append(warn.message)

    def _checkpoint(self, mark: Checkpoint) -> None:
        """Note the cursor, and commit when that is due.

        A checkpoint without records since the last one is pure state (a job that was started, say) and is committed at once. Between others
        some time must pass, so that a page-by-page cursor does not make a part of each page.
        """
        if mark.cursor is None:
            self.cursors.pop(mark.stream, None)
        else:
            self.cursors[mark.stream] = mark.cursor
        now_s = self._context.clock.monotonic()
        pause = max(self._checkpoint_s, (now_s - self._began_s) * _CHECKPOINT_SHARE)
        is_state = self._since_checkpoint == 0 or not self._has_committed
        self._since_checkpoint = 0
        if is_state or now_s - self._committed_s >= pause or self.writer.pending >= _CHECKPOINT_ROWS:
            self.writer.commit(self.cursors)
            self._context.committed(self.writer.manifest)
            self._committed_s = self._context.clock.monotonic()
            self._has_committed = True


def _full_streams(report: SyncReport, declared: set[type[Record]]) -> set[str]:
    """Streams that a whole `--full` read has read completely, as the connector declares them."""
    return {stream for record, (stream, _) in KEYS.items() if report.full and record in declared}


def _unswept_doubts(writer: Writer, index: Index, declared: set[type[Record]]) -> list[str]:
    """A whole `--full` read that did not end in sweeps is judged by volume all the same; it marks nothing as gone."""
    doubts = []
    for record in declared & KEYS.keys() - {SourceInfo}:
        stream = KEYS[record][0]
        live = index.live_count(stream)
        if live and not writer.was_swept(stream):
            missing = writer.sweeps.missing(stream, None).count
            doubt = suspicion(stream, live=live, missing=missing, seen=writer.sweeps.count(stream))
            if doubt:
                doubts.append(doubt)
    return sorted(doubts)


def _encoded(report: SyncReport, parts: int) -> msgspec.Raw:
    report.parts = parts
    return msgspec.Raw(msgspec.json.encode(report))


def _redacted(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {name: _redacted(inner, clean) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(inner, clean) for inner in value]
    return value


def _silent(done: int, total: int | None, what: str) -> None:
    """Nobody is watching."""
