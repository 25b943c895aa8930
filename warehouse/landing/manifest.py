"""The manifest of one source, `<source>/state.json`: the only commit point. A part that it does not name does not exist."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from connectors.sdk.errors import MuaraError
from warehouse.landing.store import Store

#: Version of the manifest's own format.
FORMAT = 1


class LandingError(MuaraError):
    """Landing cannot be read: a part is missing, damaged or from a newer Muara. The message names the file and what to do."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of one stream. `path` is relative to the source's folder; `min_seq`..`max_seq` are the commits whose rows it holds.

    `width`: bytes of a row as text, on average; how many of them a writer and a reader hold at once follows from it.
    """

    stream: str
    path: str
    rows: int
    width: int = 0
    bytes: int
    sha256: str
    schema: int
    min_seq: int
    max_seq: int
    sync_id: str


class KeysFile(msgspec.Struct, frozen=True, kw_only=True):
    """Keys seen so far by an open sweep: newline JSON objects `{"k": key}`."""

    path: str
    rows: int


class OpenSweep(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep that goes on in the next sync. `began_at`: UTC."""

    began_at: datetime
    files: tuple[KeysFile, ...] = ()


class ReplayProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far `muara replay` came: rows of `stream` up to (`after_seq`, `after_ordinal`) are done; rows beyond `until_seq` are none of its."""

    mapper_version: int
    until_seq: int
    stream: str
    after_seq: int = -1
    after_ordinal: int = -1
    is_done: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who the source is, from the latest SourceInfo. Instants UTC."""

    account_id: str
    name: str
    deep_link: str | None = None
    time_zone: str | None = None
    home_currency: str | None = None
    history_starts_at: datetime | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is committed of one source. Instants are UTC.

    `sequence` counts commits. `retired`: parts replaced by compaction and when; they stay 24 hours for builds that read an older manifest.
    `orphans`: files that no manifest names and when they were first noticed. `swept_at`: start of the last complete sweep by stream.
    `last_read_at`: latest read time handed out; a clock set back a little does not go behind it. `data_through_at`: start of the
    last complete sync. `raw_fields`: top-level keys of `raw` by stream, where the connector defines no fields. `last_report`: the
    final report of the last finished sync, so that a crash right after the commit loses nothing.
    """

    landing_id: str
    source_key: str
    connector: str
    format: int = FORMAT
    sequence: int = 0
    cursors: dict[str, dict[str, Any]] = {}
    parts: tuple[Part, ...] = ()
    retired: dict[str, datetime] = {}
    orphans: dict[str, datetime] = {}
    orphans_checked_at: datetime | None = None
    sweeps: dict[str, OpenSweep] = {}
    swept_at: dict[str, datetime] = {}
    account: Account | None = None
    last_read_at: datetime | None = None
    last_synced_at: datetime | None = None
    data_through_at: datetime | None = None
    raw_fields: dict[str, list[str]] = {}
    replay: ReplayProgress | None = None
    last_report: msgspec.Raw = msgspec.Raw(b"null")

    def parts_of(self, stream: str) -> list[Part]:
        """Live parts of a stream, in the order in which they were committed."""
        return [part for part in self.parts if part.stream == stream]


class Committed(msgspec.Struct, frozen=True):
    """A manifest as read, with the etag that the next commit must find."""

    manifest: Manifest
    etag: str | None


def manifest_key(source_key: str) -> str:
    """Key of a source's manifest in the store."""
    return f"{source_key}/state.json"


def read_manifest(store: Store, source_key: str) -> Committed | None:
    """The manifest of a source, None when nothing was ever landed. Raises LandingError when it cannot be understood."""
    found = store.get_tagged(manifest_key(source_key))
    if found is None:
        return None
    data, etag = found
    where = store.where(manifest_key(source_key))
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise LandingError(
                f"{where} was written by a newer Muara (format {head.format}). Upgrade Muara on this machine."
            )
        return Committed(msgspec.json.decode(data, type=Manifest), etag)
    except msgspec.MsgspecError as error:
        raise LandingError(f"{where} is damaged: {error}. Restore the landing folder from a backup.") from None


def commit(store: Store, manifest: Manifest, etag: str | None) -> str:
    """Make `manifest` the truth; returns the new etag. Its parts must be durable before. Raises ConflictError."""
    return store.put_if(manifest_key(manifest.source_key), msgspec.json.encode(manifest), etag)


class _Head(msgspec.Struct):
    format: int
