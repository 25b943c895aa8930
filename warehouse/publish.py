"""Putting a finished build where analysts read it, keeping the last three, and going back to one of them.

A build is one closed DuckDB file `builds/<build_id>.duckdb` with its facts beside it in `builds/<build_id>.json`. Publishing copies it
to a temporary file beside `muara.duckdb`, makes it durable and renames it over the old one: a reader that has the old file open keeps it, a
new reader gets the new one, nobody sees anything in between. The kept build is never the file that analysts open, so whatever they do
to theirs, rollback gives back what was built.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import msgspec

from connectors.sdk.errors import ConfigError, MuaraError
from warehouse.home import Home

KEPT_BUILDS = 3
#: Header number of DuckDB's storage version v1.0.0, bytes 12-19 of the file: every DuckDB since 1.0 opens it.
STORAGE_V1 = 64


class PublishError(MuaraError):
    """The new file cannot take the place of the old one; the old one is untouched."""


class BuildFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a build outside its own file, so that nobody needs to open a file that an analyst may hold.

    `sequences`: the landing sequence of each source that went in. `stage_answers`: stage key -> canonical stage, to notice changes.
    Instants are UTC ISO text.
    """

    build_id: str
    as_of_at: str
    built_at: str
    sequences: dict[str, int]
    stale_sources: tuple[str, ...] = ()
    stage_answers: dict[str, str] = {}
    tables: dict[str, int] = {}
    size_bytes: int = 0


class Files:
    """The writes of publishing, one method each, so that a test can kill the process at every one of them."""

    def copy(self, source: Path, target: Path) -> None:
        """Copy the bytes and make them durable."""
        shutil.copyfile(source, target)
        _sync_file(target)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over `target`, atomically, and make the rename durable."""
        source.replace(target)
        _sync_folder(target.parent)

    def write(self, target: Path, data: bytes) -> None:
        """Write a small file atomically and durably."""
        temporary = target.with_name(target.name + ".tmp")
        temporary.write_bytes(data)
        _sync_file(temporary)
        self.replace(temporary, target)

    def remove(self, path: Path) -> None:
        """Remove a file that may be gone already."""
        path.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_sync_folder = _sync_file


def clear_leftovers(home: Home, files: Files) -> None:
    """Remove what a killed build or publish left behind. Call it under the writer lock only."""
    for path in home.builds.glob("*"):
        if path.name.endswith((".building", ".building.wal", ".tmp")):
            files.remove(path)
    for folder in home.builds.glob("*.spill"):
        shutil.rmtree(folder, ignore_errors=True)
    files.remove(_incoming(home))


def seal(building: Path, final: Path, files: Files) -> None:
    """Close off a build file: no write-ahead log left, storage version as promised, durable, under its final name."""
    wal = building.with_name(building.name + ".wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise PublishError(f"{building.name}: a write-ahead log remains after the checkpoint; not published.")
    files.remove(wal)
    version = storage_version(building)
    if version != STORAGE_V1:
        raise PublishError(
            f"{building.name}: storage version {version}, not v1.0.0; older DuckDB tools could not open it."
        )
    _sync_file(building)
    files.replace(building, final)


def storage_version(path: Path) -> int:
    """The storage version number in a DuckDB file's header (64 = v1.0.0)."""
    with path.open("rb") as stream:
        return int.from_bytes(stream.read(20)[12:20], "little")


def publish(home: Home, facts: BuildFacts, files: Files) -> None:
    """Make a sealed build the published one and forget builds beyond the last three."""
    files.write(_facts_path(home, facts.build_id), msgspec.json.encode(facts))
    files.copy(_build_path(home, facts.build_id), _incoming(home))
    files.replace(_incoming(home), home.published)
    files.write(home.builds / "current", facts.build_id.encode())
    for old in builds(home)[KEPT_BUILDS:]:
        files.remove(_facts_path(home, old.build_id))
        files.remove(_build_path(home, old.build_id))


def builds(home: Home) -> list[BuildFacts]:
    """Kept builds, newest first. A file without its facts, or facts without their file, is no build."""
    found = []
    for path in home.builds.glob("*.json"):
        if _build_path(home, path.stem).exists():
            found.append(msgspec.json.decode(path.read_bytes(), type=BuildFacts))
    return sorted(found, key=lambda facts: facts.build_id, reverse=True)


def current(home: Home) -> BuildFacts | None:
    """The published build, None before the first one."""
    pointer = home.builds / "current"
    if not (pointer.exists() and home.published.exists()):
        return None
    name = pointer.read_text().strip()
    return next((facts for facts in builds(home) if facts.build_id == name), None)


def rollback(home: Home, files: Files | None = None) -> BuildFacts:
    """Publish the newest kept build that is older than the published one. Raises ConfigError when there is none.

    The next build publishes over it again; data in the landing zone is not touched.
    """
    now = current(home)
    older = [facts for facts in builds(home) if now is None or facts.build_id < now.build_id]
    if not older:
        raise ConfigError("rollback: no older build is kept. The last three builds are; build again to get a new one.")
    target = older[0]
    keep = files or Files()
    keep.copy(_build_path(home, target.build_id), _incoming(home))
    _can_be_opened(_incoming(home))
    keep.replace(_incoming(home), home.published)
    keep.write(home.builds / "current", target.build_id.encode())
    return target


def _can_be_opened(path: Path) -> None:
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            con.execute("select count(*) from ops.build_info").fetchone()
    except duckdb.Error as error:
        raise PublishError(
            f"{path.name}: the kept build cannot be opened ({error}); the published file is untouched."
        ) from error


def _incoming(home: Home) -> Path:
    return home.published.with_name(home.published.name + ".incoming")


def _facts_path(home: Home, build_id: str) -> Path:
    return home.builds / f"{build_id}.json"


def _build_path(home: Home, build_id: str) -> Path:
    return home.builds / f"{build_id}.duckdb"
