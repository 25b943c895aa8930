"""From a setting to tables on disk: which files a path means, and what a file really is, by its first bytes and not by its suffix."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet.delimited import TextGrid
from connectors.spreadsheet.grid import Grid
from connectors.spreadsheet.settings import Table
from connectors.spreadsheet.workbook import Workbook

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})


class FileRef(msgspec.Struct, frozen=True):
    """A file to read: where it is, and the name under which people are told of it (never a whole machine path)."""

    path: Path
    name: str

    @property
    def modified_s(self) -> float:
        """Modification time, seconds since 1970."""
        return self.path.stat().st_mtime


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
        return [FileRef(child, child.name) for child in found]
    if path.is_file():
        return [FileRef(path, path.name)]
    if glob.has_magic(pattern):
        hits = [
            Path(hit)
            for hit in sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (patterns may be absolute)
            if Path(hit).is_file() and _is_real(Path(hit))
        ]
        if hits:
            root = _common(hits)
            return [FileRef(hit, hit.relative_to(root).as_posix()) for hit in hits]
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
    with ref.path.open("rb") as handle:
        head = handle.read(4096)
    kind = kind_of(head)
    language = table.locale.language if table.locale else None
    if kind in ("zip", "ole"):
        return list(Workbook(ref.path, ref.name).grids())
    return [TextGrid(ref.path, ref.name, encoding=table.encoding, language=language)]


def kind_of(head: bytes) -> str:
    """Zip (xlsx, xlsm, xlsb, ods), ole (xls, or a protected workbook), markup (HTML or XML), or text."""
    if head.startswith(b"PK"):
        return "zip"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "ole"
    start = head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").lower().replace(b"\0", b"")
    return "markup" if start.startswith(b"<") else "text"
