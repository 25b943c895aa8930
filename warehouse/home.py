"""Where things lie under MUARA_HOME, and the locks that keep two processes from doing one thing.

    <home>/landing/<source>/     records of one source (`MUARA_LANDING` moves the folder, also into object storage)
    <home>/cache/<bucket>/       of landing on object storage: local copies of parts, scratch data, this machine's locks
    <home>/muara.duckdb          the published warehouse
    <home>/builds/               builds kept for rollback, and the one in the making
    <home>/dagster/              Dagster's own storage
    <home>/reports/              what `muara report` writes
    <home>/secrets/<source>.json rotated tokens, mode 0600
    <home>/budget.json           calls used by each account today

Nothing is written anywhere else. Folders are made when they are first asked for. Locks are OS locks (flock): a crash releases them; they hold on
local POSIX file systems.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.errors import ConfigError, MuaraError
from warehouse.landing.object_store import Bucket, ObjectStore
from warehouse.landing.store import LocalStore, Store

_SOURCE_KEY = re.compile(r"[a-z0-9_]+")


class LockedError(MuaraError):
    """Somebody else is doing this now. Nobody must act: wait until the holder that the message names has ended."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, as written into the lock file. `since` is UTC, None when the taker had no clock."""

    what: str
    pid: int
    host: str
    command: str
    since: datetime | None = None

    def __str__(self) -> str:
        started = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.what}, process {self.pid} on {self.host}{started} ({self.command})"


class Home:
    """The folder that holds everything Muara writes. `landing` may lie elsewhere: in another folder, or in a bucket."""

    def __init__(self, root: Path, landing: Path | Bucket | None = None) -> None:
        self.root = Path(root).absolute()
        self.bucket = landing if isinstance(landing, Bucket) else None
        if isinstance(landing, Bucket):
            self._landing = self.root / "cache" / landing.folder
        else:
            self._landing = Path(landing).absolute() if landing is not None else self.root / "landing"

    @property
    def landing(self) -> Path:
        """The landing zone: one folder per source. Where landing lies in a bucket, the local folder that goes with it."""
        return _made(self._landing)

    def store(self) -> Store:
        """The landing zone as code reads and writes it. Raises ConfigError where the library for object storage is missing."""
        return LocalStore(self.landing) if self.bucket is None else ObjectStore(self.bucket, self.landing)

    @property
    def published(self) -> Path:
        """The warehouse file that analysts open."""
        return _made(self.root) / "muara.duckdb"

    @property
    def builds(self) -> Path:
        """Builds kept for rollback."""
        return _made(self.root / "builds")

    @property
    def dagster(self) -> Path:
        """Dagster's own storage."""
        return _made(self.root / "dagster")

    @property
    def reports(self) -> Path:
        """Reports for people."""
        return _made(self.root / "reports")

    @property
    def budget(self) -> Path:
        """The file that counts calls per account and day."""
        return _made(self.root) / "budget.json"

    def secret(self, source_key: str) -> Path:
        """Where a source keeps rotated tokens: a file of mode 0600 in a folder of mode 0700."""
        folder = self.root / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{checked_source_key(source_key)}.json"

    def lock_source(self, source_key: str, what: str, *, clock: Clock | None = None) -> AbstractContextManager[Holder]:
        """Only one sync, replay or compaction of a source at a time. Raises LockedError naming the holder."""
        folder = _made(self.landing / checked_source_key(source_key))
        return lock(folder / "lock", f"{what} of {source_key}", clock=clock)

    def lock_builds(self, what: str, *, clock: Clock | None = None) -> AbstractContextManager[Holder]:
        """Only one build, publish or rollback at a time. Raises LockedError naming the holder."""
        return lock(self.builds / "lock", what, clock=clock)


@contextmanager
def lock(path: Path, what: str, *, clock: Clock | None = None) -> Iterator[Holder]:
    """Hold the lock file `path` while the block runs; never waits. Raises LockedError naming the present holder."""
    _made(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"{what} cannot start: held by {_holder_in(handle)}. Try again when it has ended."
            ) from None
        mine = Holder(
            what=what,
            pid=os.getpid(),
            host=socket.gethostname(),
            command=Path(sys.argv[0] or sys.executable).name,
            since=clock.now() if clock else None,
        )
        os.ftruncate(handle, 0)
        os.pwrite(handle, msgspec.json.encode(mine), 0)
        yield mine
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)  # gives the lock back


def checked_source_key(source_key: str) -> str:
    """The key itself. Raises ConfigError when it is not made of a-z, 0-9 and _ (it becomes a folder and an asset key)."""
    if not _SOURCE_KEY.fullmatch(source_key):
        raise ConfigError(
            f"source {source_key!r}: a source key is made of lower-case letters, digits and _ only. Rename it."
        )
    return source_key


def _holder_in(handle: int) -> str:
    try:
        return str(msgspec.json.decode(os.pread(handle, 4096, 0), type=Holder))
    except msgspec.MsgspecError:
        return "another process that has just started"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
