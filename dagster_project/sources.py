"""Sources of a project as things with a life: listed with what is landed of them, renamed, removed. No Dagster import.

A source lives in three places: its YAML document, its landing folder, its file of rotated tokens. Each step here can be cut off and the command run
again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import msgspec

from connectors.sdk.errors import ConfigError
from dagster_project.operations import Hub
from dagster_project.project import SOURCE_TYPE, SourceSpec, checked_name, definition_files, read_project
from dagster_project.yamldoc import Document, read_documents
from warehouse.landing.manifest import LandingError, read_manifest
from warehouse.landing.moving import copied_as, deleted

_TEXTS = frozenset({".yaml", ".yml", ".csv", ".toml", ".sql", ".py"})
_MOST_MENTIONS = 20
_BIG = 1_000_000


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """One source, configured or only landed. Instants are UTC; `where` is None for a landing folder without a document."""

    source: str
    connector: str
    where: str | None
    schedule: str | None = None
    account: str | None = None
    parts: int = 0
    rows: int = 0
    size_bytes: int = 0
    last_synced_at: datetime | None = None
    data_through_at: datetime | None = None
    error: str | None = None


class Renamed(msgspec.Struct, frozen=True, kw_only=True):
    """What a renaming did. `mentions`: lines of the project that still say the old name, as `file:line`."""

    old: str
    new: str
    yaml: str | None
    rows: int
    has_secrets: bool
    mentions: tuple[str, ...] = ()


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What a removal did, or without `--yes` would do. `landing`: where its data lies; `freed_bytes` of it are gone."""

    source: str
    done: bool
    yaml: str | None
    has_secrets: bool
    landing: str | None
    rows: int = 0
    freed_bytes: int = 0
    mentions: tuple[str, ...] = ()


def list_sources(hub: Hub) -> list[SourceState]:
    """Configured sources in the order of their files, then landing folders that no document names."""
    store = hub.home.store()
    known = {spec.source for spec in hub.project.sources}
    found = [_state(hub, spec.source, spec) for spec in hub.project.sources]
    return found + [state for name in store.folders() if name not in known and (state := _state(hub, name)).connector]


def _state(hub: Hub, name: str, spec: SourceSpec | None = None) -> SourceState:
    connector, where, schedule = (spec.connector, spec.where, spec.schedule) if spec else ("", None, None)
    try:
        found = read_manifest(hub.home.store(), name)
    except LandingError as error:  # a damaged manifest hurts its own line only
        return SourceState(source=name, connector=connector or "?", where=where, schedule=schedule, error=str(error))
    if found is None:
        return SourceState(source=name, connector=connector, where=where, schedule=schedule)
    manifest = found.manifest
    return SourceState(
        source=name,
        connector=connector or manifest.connector,
        where=where,
        schedule=schedule,
        account=manifest.account.name if manifest.account else None,
        parts=len(manifest.parts),
        rows=sum(part.rows for part in manifest.parts),
        size_bytes=sum(part.bytes for part in manifest.parts),
        last_synced_at=manifest.last_synced_at,
        data_through_at=manifest.data_through_at,
    )


def rename_source(hub: Hub, old: str, new: str) -> Renamed:
    """Give a source another name: landing, tokens and the line of its YAML. Works as well when the YAML was changed first.

    Raises ConfigError when there is no such source or the new name is taken, LockedError when one of both is syncing.
    """
    checked_name(new)
    configured = {spec.source: spec for spec in hub.project.sources}
    if old == new or (old in configured and new in configured):
        raise ConfigError(f"source {new!r} is configured already. Choose another name for {old!r}.")
    if old not in configured and old not in hub.home.store().folders():
        hub.project.source(old)  # raises with the nearest name
    with _locked(hub, [old, new], "renaming"):
        store = hub.home.store()
        manifest = copied_as(store, old, new)
        spec = configured.get(new)
        if manifest is not None and spec is not None and spec.connector != manifest.connector:
            raise ConfigError(
                f"{spec.where}: {new!r} reads {spec.connector}, {old!r} was filled by {manifest.connector}."
            )
        edited = None
        if old in configured:
            try:
                edited = _edit(hub, old, lambda document, text: _renamed(document, text, old, new))
            except ConfigError:
                _delete_landing(hub, new)
                raise
        has_secrets = _move_secrets(hub, old, new)
        _delete_landing(hub, old)
    return Renamed(
        old=old,
        new=new,
        yaml=edited,
        rows=sum(part.rows for part in manifest.parts) if manifest else 0,
        has_secrets=has_secrets,
        mentions=_mentions(hub.root, old),
    )


def remove_source(hub: Hub, name: str, *, delete_data: bool, yes: bool) -> Removed:
    """Take a source out of the project: its YAML document and its tokens; what is landed stays unless `delete_data`.

    Without `yes` nothing is touched, and the answer tells what would be. Raises ConfigError when there is no such source.
    """
    store = hub.home.store()
    is_configured = any(spec.source == name for spec in hub.project.sources)
    is_landed = name in store.folders()
    if not is_configured and not is_landed:
        hub.project.source(name)  # raises with the nearest name
    found = read_manifest(store, name) if is_landed else None
    rows = sum(part.rows for part in found.manifest.parts) if found else 0
    freed = sum(part.bytes for part in found.manifest.parts) if found and delete_data else 0
    yaml = next((spec.where for spec in hub.project.sources if spec.source == name), None)
    has_secrets = hub.home.secret(name).exists()
    if yes:
        with _locked(hub, [name], "removal"):
            if is_configured:
                yaml = _edit(hub, name, _without)
            hub.home.secret(name).unlink(missing_ok=True)
            if delete_data:
                freed = _delete_landing(hub, name)
    return Removed(
        source=name,
        done=yes,
        yaml=yaml,
        has_secrets=has_secrets,
        landing=store.where(name) if is_landed else None,
        rows=rows,
        freed_bytes=freed,
        mentions=_mentions(hub.root, name),
    )


def _locked(hub: Hub, names: list[str], what: str) -> ExitStack:
    """The locks of all these sources, taken in one order, so that two renamings cannot wait for each other."""
    with ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(hub.home.lock_source(name, what, clock=hub.clock))
        return stack.pop_all()


def _delete_landing(hub: Hub, name: str) -> int:
    freed = deleted(hub.home.store(), name)
    # Scratch data and the lock file; the lock itself ends when its holder lets go.
    shutil.rmtree(hub.home.landing / name, ignore_errors=True)
    return freed


def _move_secrets(hub: Hub, old: str, new: str) -> bool:
    tokens = hub.home.secret(old)
    if not tokens.exists():
        return False
    tokens.replace(hub.home.secret(new))
    return True


def _edit(hub: Hub, name: str, change: Callable[[Document, str], str]) -> str:
    """Change the file that configures a source; returns its name. What would not read as meant afterwards is put back, with an error."""
    path, document = _document_of(hub.root, name)
    before = path.read_text(encoding="utf-8")
    after = change(document, before)
    if after.strip():
        path.write_text(after, encoding="utf-8")
    else:
        path.unlink()
    try:
        left = {spec.source for spec in read_project(hub.root).sources}
    except ConfigError as error:
        left = {name}
        reason = f": {error}"
    else:
        reason = ""
    if name in left:
        path.write_text(before, encoding="utf-8")
        raise ConfigError(
            f"{document.where()}: this document could not be changed by itself{reason}. Change it by hand, then run this again."
        )
    if not path.exists() and path.parent != hub.root / "defs" and not any(path.parent.iterdir()):
        path.parent.rmdir()
    return str(path.relative_to(hub.root))


def _document_of(root: Path, name: str) -> tuple[Path, Document]:
    for path in definition_files(root):
        for document in read_documents(path, path.relative_to(root)):
            data = document.data
            if data.get("type") == SOURCE_TYPE and data["attributes"]["source"] == name:
                return path, document
    raise ConfigError(f"{root}: no document configures source {name!r}.")


def _renamed(document: Document, text: str, old: str, new: str) -> str:
    lines = text.splitlines(keepends=True)
    number = document.lines["attributes", "source"] - 1
    said = rf"""(source["']?\s*:\s*["']?){old}(?![a-z0-9_])"""
    lines[number] = re.sub(said, rf"\g<1>{new}", lines[number], count=1)
    return "".join(lines)


def _without(document: Document, text: str) -> str:
    """The text without the document and the `---` that set it apart from its neighbour."""
    lines = text.splitlines(keepends=True)
    first = document.lines[()] - 1
    marks = [number for number, line in enumerate(lines) if re.match(r"---(\s|$)", line)]
    begin = max((mark for mark in marks if mark <= first), default=0)
    end = min((mark for mark in marks if mark > first), default=len(lines))
    left = [*lines[:begin], *lines[end:]]
    if not any(line.strip() for line in lines[:begin]) and end < len(lines):
        left = lines[end + 1 :]
    return "".join(left)


def _mentions(root: Path, name: str) -> tuple[str, ...]:
    """Lines of the project's text files that name the source, such as a priority, a pinned stage or a linked deal."""
    word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    found = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if (
            path.suffix not in _TEXTS
            or any(part.startswith(".") for part in inside.parts)
            or path.stat().st_size > _BIG
        ):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{inside}:{number}" for number, line in enumerate(text.splitlines(), 1) if word.search(line)]
    return tuple(found[:_MOST_MENTIONS])
