"""Where landing keeps its bytes: a flat key space with durable, atomic puts. Callers know this protocol only: a folder here, a bucket in
`object_store`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from connectors.sdk.errors import MuaraError


class ConflictError(MuaraError):
    """A conditional put found another content than expected: somebody wrote in between. Start again from a fresh read."""


class Entry(msgspec.Struct, frozen=True):
    """One stored object."""

    key: str
    size: int


class Store(Protocol):
    """Objects by key (`source/parts/x.parquet`). A put is atomic and durable when it returns; a reader sees the old or the new object."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes, None when there is none."""

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and etag, None when there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Create or replace."""

    def put_if(self, key: str, data: bytes, etag: str | None) -> str:
        """Replace only what still has `etag` (None: only when absent); returns the new etag. Raises ConflictError."""

    def put_file(self, key: str, path: Path) -> None:
        """Create or replace from a local file in `scratch`, which is consumed."""

    def delete(self, key: str) -> None:
        """Remove; nothing happens when it is not there."""

    def copy(self, key: str, to: str) -> None:
        """Create or replace `to` with the bytes of `key`, without reading them here. Raises FileNotFoundError."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects whose key begins with `prefix`, in the order of their keys."""

    def folders(self) -> tuple[str, ...]:
        """First parts of the keys, sorted: the sources."""

    def size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""

    def sha256(self, key: str) -> str:
        """Hex digest of an object's bytes. Raises FileNotFoundError."""

    def fetch(self, keys: Iterable[str]) -> None:
        """These will be located: bring them near together. A missing one is no error here."""

    def locate(self, key: str) -> str:
        """Path under which DuckDB opens the object."""

    def where(self, key: str) -> str:
        """How a person is told of the object; it need not exist."""

    def scratch(self, source_key: str) -> Path:
        """A local folder for spools and derived data of one source; its content may be lost at any time."""

    def step(self, what: str) -> None:
        """Called before each write that a crash could cut off; tests use it to crash there."""


class LocalStore:
    """A folder. A put writes beside, fsyncs, renames and fsyncs the folder. `on_step` is told every write before it happens."""

    def __init__(self, root: Path, on_step: Callable[[str], None] | None = None) -> None:
        self.root = Path(root)
        self._on_step = on_step
        self._known: set[Path] = set()

    def get(self, key: str) -> bytes | None:
        """The object's bytes, None when there is none."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and etag (a digest of them)."""
        data = self.get(key)
        return None if data is None else (data, _etag(data))

    def put(self, key: str, data: bytes) -> None:
        """Create or replace, durably."""
        path = self._target(key)
        beside = path.with_name(f".{path.name}.tmp")
        self.step(f"write {key}")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._rename(beside, path, key)

    def put_if(self, key: str, data: bytes, etag: str | None) -> str:
        """Compare and replace. Two writers in the same instant are kept apart by the source lock, not by the file system."""
        found = self.get_tagged(key)
        if (found[1] if found else None) != etag:
            raise ConflictError(f"{key} was changed by somebody else in the meantime. Run it again.")
        self.put(key, data)
        return _etag(data)

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file into place, durably."""
        target = self._target(key)
        self.step(f"fsync {key}")
        fsync_file(path)
        self._rename(path, target, key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.step(f"delete {key}")
        (self.root / key).unlink(missing_ok=True)

    def copy(self, key: str, to: str) -> None:
        """A hard link where the file system has them: parts are never written again."""
        target = self._target(to)
        beside = target.with_name(f".{target.name}.tmp")
        beside.unlink(missing_ok=True)
        self.step(f"copy {key}")
        try:
            os.link(self.root / key, beside)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(self.root / key, beside)
            fsync_file(beside)
        self._rename(beside, target, to)

    def folders(self) -> tuple[str, ...]:
        """Folders by name; those that begin with a dot are none."""
        if not self.root.is_dir():
            return ()
        return tuple(
            sorted(item.name for item in self.root.iterdir() if item.is_dir() and not item.name.startswith("."))
        )

    def list(self, prefix: str) -> Iterator[Entry]:
        """Objects by key; files in the making and folders that begin with a dot are none."""
        yield from _entries(os.path.join(self.root, prefix.rpartition("/")[0]), prefix.rpartition("/")[0], prefix)  # noqa: PTH118

    def size(self, key: str) -> int | None:
        """Bytes of an object."""
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            return None

    def sha256(self, key: str) -> str:
        """Hex digest of the file, read in pieces."""
        with (self.root / key).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def fetch(self, keys: Iterable[str]) -> None:
        """They are here."""

    def locate(self, key: str) -> str:
        """Absolute path of the object."""
        return str((self.root / key).absolute())

    def where(self, key: str) -> str:
        """The same."""
        return self.locate(key)

    def scratch(self, source_key: str) -> Path:
        """`<source>/.work`, on the same file system as the parts, so that a put is a rename."""
        folder = self.root / source_key / ".work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def step(self, what: str) -> None:
        """Tell the hook."""
        if self._on_step is not None:
            self._on_step(what)

    def _target(self, key: str) -> Path:
        path = self.root / key
        if path.parent not in self._known:
            for folder in reversed([path.parent, *path.parent.parents]):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)
                    fsync_file(folder.parent)
            self._known.add(path.parent)
        return path

    def _rename(self, beside: Path, path: Path, key: str) -> None:
        self.step(f"rename {key}")
        beside.replace(path)
        self.step(f"fsync folder of {key}")
        fsync_file(path.parent)


def _entries(folder: str, above: str, prefix: str) -> Iterator[Entry]:
    try:
        found = sorted(os.scandir(folder), key=lambda item: item.name)
    except FileNotFoundError:
        return
    for item in found:
        key = f"{above}/{item.name}" if above else item.name
        if item.name.startswith("."):
            continue
        if item.is_dir():
            yield from _entries(item.path, key, prefix)
        elif key.startswith(prefix):
            yield Entry(key, item.stat().st_size)


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def fsync_file(path: Path) -> None:
    """Make a file, or a folder's list of names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
