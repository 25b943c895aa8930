"""The landing writer of one sync: takes records, lands what is new, and commits it with the manifest.

Nothing is visible before `commit`, and a commit is one atomic replacement of the manifest, made when its parts are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.errors import ConfigError, VendorError
from connectors.sdk.records import Record, Reject, SourceInfo, SweepEnd
from warehouse.landing.drift import Drift
from warehouse.landing.guard import suspicion
from warehouse.landing.history import HeldEvents
from warehouse.landing.index import Index
from warehouse.landing.intake import Intake, checked
from warehouse.landing.lines import KEYED_STREAMS, PRESENCE, BadRecordError, PresenceRow
from warehouse.landing.manifest import Account, Committed, Manifest, commit
from warehouse.landing.reports import RowCounts
from warehouse.landing.spool import Engine, Spools
from warehouse.landing.stamps import Stamper
from warehouse.landing.store import Store
from warehouse.landing.sweeps import Sweeps

_UNUSUAL = frozenset({SourceInfo, Reject})


class WrongAccountError(ConfigError):
    """The connector reads another account than the one that landing holds. The user must give it a source key of its own."""


class Writer:
    """Lands the records of one sync of one source. Use it under the source lock; call `discard` at the end."""

    def __init__(
        self,
        store: Store,
        committed: Committed,
        index: Index,
        engine: Engine,
        *,
        drift: Drift,
        clock: Clock,
        sync_id: str,
        mapper_version: int,
        accept_deletes: bool = False,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.manifest = committed.manifest
        self._etag = committed.etag
        self._store = store
        self._index = index
        self._clock = clock
        self.drift = drift
        self._redact = redact
        self._accept_deletes = accept_deletes
        self._stamper = Stamper(clock, mapper_version, self.manifest.last_read_at)
        self._stamper.reset(self.manifest.sequence + 1)
        self._spools = Spools(store, self.manifest.source_key, sync_id, engine, self._refused)
        self.sweeps = Sweeps(store, self.manifest, index, engine, clock.now())
        events = HeldEvents(store, self.manifest, engine)
        self._intake = Intake(
            index, events, stamper=self._stamper, spools=self._spools, sweeps=self.sweeps, drift=drift
        )
        self._account: Account | None = None
        self._swept_at: dict[str, datetime] = {}
        self._ended: set[str] = set()
        self.read_whole: set[str] = set()
        #: Streams whose full read was not believed, and why.
        self.suspicions: list[str] = []
        self.parts = 0

    @property
    def rows(self) -> dict[str, RowCounts]:
        """Counts by stream so far."""
        return self._intake.rows

    @property
    def sequence(self) -> int:
        """The sequence of the next commit."""
        return self._stamper.sequence

    @property
    def pending(self) -> int:
        """Rows and records that await the next commit."""
        return self._spools.rows + self._intake.waiting

    def add(self, record: Record) -> None:
        """Take one record. Raises VendorError for a type that cannot be landed, ConfigError when the account is another than before."""
        if self._stamper.is_old():
            self.flush()
            self._stamper.renew()
        if isinstance(record, SweepEnd):
            self.flush()
            self._end_sweep(record)
            return
        checked(record)
        if type(record) in _UNUSUAL:
            record = self._looked_at(record)
        if self._intake.take(record):
            self.flush()

    def _looked_at(self, record: Record) -> Record:
        if isinstance(record, SourceInfo):
            self._check_account(record)
        elif isinstance(record, Reject) and isinstance(record.detail, str):
            return msgspec.structs.replace(record, detail=self._redact(record.detail))
        return record

    def flush(self) -> None:
        """Handle everything taken so far."""
        if self._intake.waiting:
            self._intake.handle()

    def settle(self) -> None:
        """The last records have come: settle what can only be judged now."""
        self.flush()
        self._intake.settle_rejects()
        gone = [key for key in self.drift.gone_definitions() if "field_defs" not in self.read_whole]
        if gone:
            self._intake.mark_missing("field_defs", gone, "absent", None)

    def commit(
        self,
        cursors: Mapping[str, Mapping[str, Any]],
        *,
        last_report: Callable[[int], msgspec.Raw] | None = None,
        **facts: Any,
    ) -> None:
        """Make everything so far, `cursors` and other `facts` of the manifest the truth.

        `last_report` is asked for the sync's final report with the number of parts that it made.
        """
        self.flush()
        sequence = self._stamper.sequence
        parts = self._spools.finish(sequence)
        self.parts += len(parts)
        if last_report is not None:
            facts["last_report"] = last_report(self.parts)
        manifest = msgspec.structs.replace(
            self.manifest,
            sequence=sequence,
            cursors={stream: dict(cursor) for stream, cursor in cursors.items()},
            parts=(*self.manifest.parts, *parts),
            sweeps=self.sweeps.durable(sequence),
            swept_at={**self.manifest.swept_at, **self._swept_at},
            account=self._account or self.manifest.account,
            last_read_at=self._stamper.last,
            **facts,
        )
        self._put(manifest)

    def replace_manifest(self, manifest: Manifest) -> None:
        """Commit a manifest made by compaction or clean-up; it must have the next sequence. No records may be pending."""
        assert not self.pending
        self._put(manifest)

    def was_swept(self, stream: str) -> bool:
        """True when a sweep of `stream` ended in this sync, believed or not."""
        return stream in self._ended

    def discard(self) -> None:
        """Remove local files of this sync; what was not committed is given up."""
        self._spools.discard()
        self.sweeps.discard()

    def _put(self, manifest: Manifest) -> None:
        self._etag = commit(self._store, manifest, self._etag)
        self.manifest = manifest
        self._stamper.reset(manifest.sequence + 1)

    def _refused(self, stream: str, key: str, column: str, kind: str) -> None:
        self._intake.refused(stream, key, column, kind)

    def _check_account(self, info: SourceInfo) -> None:
        before = self._account or self.manifest.account
        if before is not None and before.account_id != info.account_id:
            raise WrongAccountError(
                f"{self.manifest.source_key}: landing holds account {before.account_id}, the connector now reads {info.account_id}. Two accounts "
                "must not be mixed: give the new one a source key of its own."
            )
        self._account = Account(
            account_id=info.account_id,
            name=info.name,
            deep_link=info.deep_link,
            time_zone=info.time_zone,
            home_currency=info.home_currency,
            history_starts_at=info.history_starts_at,
        )

    def _end_sweep(self, end: SweepEnd) -> None:
        stream = end.stream
        if stream not in KEYED_STREAMS:
            raise VendorError(f"a SweepEnd names {stream!r}, which is no stream with keys in landing.")
        try:
            PRESENCE.encode(PresenceRow(stream=stream, key="-", kind=end.missing_as))
            self._stamper.of(end.read_at)
        except BadRecordError as error:
            raise VendorError(f"a SweepEnd of {stream} cannot be understood: {error.detail}") from None
        if not end.complete:
            self.sweeps.leave_open(stream)
            return
        self._ended.add(stream)
        if end.read_at is not None and self._spools.rows:
            # A dated sweep may miss keys that this same sync has landed under an earlier date.
            self.commit(self.manifest.cursors)
            self._index.refresh(self.manifest)
        began = self.sweeps.began_at(stream)
        missing = self.sweeps.missing(stream, end.read_at)
        count = missing.count
        if end.read_at is not None and count:
            count -= self._intake.already_missing(stream, missing.keys(), end.missing_as, end.read_at)
        doubt = suspicion(stream, live=self._index.live_count(stream), missing=count, seen=self.sweeps.count(stream))
        if doubt and not self._accept_deletes:
            self.suspicions.append(doubt)
        else:
            self._intake.mark_missing(stream, missing.keys(), end.missing_as, end.read_at)
            gone = self.sweeps.missing_rejects(stream, end.read_at)
            self._intake.mark_missing("rejects", gone.keys(), "absent", end.read_at)
            self._swept_at[stream] = began
            self.read_whole.add(stream)
        self.sweeps.close(stream, self._clock.now())
