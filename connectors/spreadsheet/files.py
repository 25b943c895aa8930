"""From a setting to tables on disk: which files a path means, and what a file really is, by its first bytes and not by its suffix."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import google
from connectors.spreadsheet.delimited import TextGrid
from connectors.spreadsheet.grid import Grid
from connectors.spreadsheet.markup import read_markup
from connectors.spreadsheet.package import open_package, unpacked_size
from connectors.spreadsheet.settings import Table
from connectors.spreadsheet.workbook import Workbook

#: Text in a zip shrinks to a tenth or so; what unpacks to far more than that is no sheet of people.
_MOST_SHRUNK = 20
SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})


class FileRef(msgspec.Struct, frozen=True):
    """A file to read: where it is, and the name under which people are told of it (never a whole machine path)."""

    path: Path
    name: str
    #: When it was last changed, seconds since 1970.
    modified_s: float

    @property
    def stamp(self) -> tuple[int, int]:
        """What changes when somebody saves the file: its time in nanoseconds and its size."""
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size


def local(path: Path, name: str) -> FileRef:
    """A file of this machine."""
    return FileRef(path, name, path.stat().st_mtime)


def resolve(pattern: str) -> list[FileRef]:
    """Files that a path, folder or glob means, by name. Raises ConfigError when there are none."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [
            child
            for child in sorted(path.iterdir())
            if child.is_file() and child.suffix.lower() in SUFFIXES and _is_real(child)
        ]
        if not found:
            raise ConfigError(
                f"path {_shown(pattern)!r}: the folder holds no table (.csv, .xlsx, .ods ...). Earlier data stay as they are."
            )
        return [local(child, child.name) for child in found]
    if path.is_file():
        return [local(path, path.name)]
    if glob.has_magic(pattern):
        hits = [
            Path(hit)
            for hit in sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (patterns may be absolute)
            if Path(hit).is_file() and _is_real(Path(hit))
        ]
        if hits:
            root = _common(hits)
            return [local(hit, hit.relative_to(root).as_posix()) for hit in hits]
        raise ConfigError(f"path {_shown(pattern)!r}: no file fits the pattern. Earlier data stay as they are.")
    raise ConfigError(
        f"path {_shown(pattern)!r}: there is no such file or folder. Correct `path` (relative paths start at the project folder)."
    )


def _is_real(path: Path) -> bool:
    """Not a lock file of an office program, nor a hidden file."""
    return not path.name.startswith(("~$", ".", ".~lock"))


def _shown(pattern: str) -> str:
    return "/".join(Path(pattern).parts[-2:])


def _common(paths: Sequence[Path]) -> Path:
    parents = [path.parent for path in paths]
    root = parents[0]
    while not all(parent == root or root in parent.parents for parent in parents):
        root = root.parent
    return root


def digest(files: Sequence[FileRef], extra: str = "") -> str:
    """SHA-256 over names and bytes of files, and over what else decides how they are read."""
    total = hashlib.sha256(extra.encode())
    for ref in files:
        total.update(ref.name.encode() + b"\0")
        with ref.path.open("rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def grids(ref: FileRef, table: Table, *, size_limit_mb: int) -> list[Grid]:
    """The tabs of a file (one for text). Raises ConfigError in a person's words for files that cannot be read."""
    size = ref.path.stat().st_size
    if size == 0:
        raise ConfigError(f"{ref.name}: is empty. Nothing was read; earlier data stay as they are.")
    if size > size_limit_mb * 1_000_000:
        raise ConfigError(
            f"{ref.name}: has {size / 1e6:.0f} MB, over the limit of {size_limit_mb} MB. Raise `size_limit_mb` or split the file."
        )
    if ref.path.suffix == google.SUFFIX:
        return list(google.grids(ref.path, ref.name))
    with ref.path.open("rb") as handle:
        head = handle.read(4096)
    kind = kind_of(head)
    language = table.locale.language if table.locale else None
    if kind == "markup":
        return [read_markup(ref.path, ref.name, language)]
    if kind == "text":
        return [TextGrid(ref.path, ref.name, encoding=table.encoding, language=language)]
    if kind == "ole" and is_locked(ref.path):
        raise ConfigError(f"{ref.name}: is protected by a password. Save a copy without one.")
    if kind == "zip" and (unpacked := unpacked_size(ref.path)) > size_limit_mb * _MOST_SHRUNK * 1_000_000:
        raise ConfigError(
            f"{ref.name}: unpacks to {unpacked / 1e6:.0f} MB, far over the limit of {size_limit_mb} MB. Raise `size_limit_mb`."
        )
    package = open_package(ref.path) if kind == "zip" else None
    return list(Workbook(ref.path, ref.name, package).grids())


def is_locked(path: Path) -> bool:
    """Whether an OLE file is an encrypted workbook (its directory names the stream that holds it)."""
    return "EncryptedPackage".encode("utf-16-le") in path.read_bytes()


def kind_of(head: bytes) -> str:
    """Zip (xlsx, xlsm, xlsb, ods), ole (xls, or a protected workbook), markup (HTML or XML), or text."""
    if head.startswith(b"PK"):
        return "zip"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "ole"
    start = head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").lower().replace(b"\0", b"")
    return "markup" if start.startswith(b"<") else "text"
