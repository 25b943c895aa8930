"""Small parts into large ones, so that a year of small syncs stays as quick to read as one large sync. No version is lost.

Parts are grouped in tiers by their size; `FAN_IN` parts of one tier become one. Replaced parts are retired, not deleted: a build that read an older
manifest may still be reading them. Retired and orphan files go after 24 hours by the injected clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from warehouse.landing.manifest import LandingError, Manifest, Part
from warehouse.landing.parts import readable, rows_of, verified
from warehouse.landing.schema import MUARA_SCHEMA
from warehouse.landing.spool import Engine, Origin, copy_to, put_part
from warehouse.landing.store import Store

FAN_IN = 8
#: How long a replaced or unnamed file stays.
GRACE = timedelta(hours=24)
_LOOK_FOR_ORPHANS = timedelta(hours=6)
#: Upper bounds of the tiers in rows, and in bytes of their text. A part beyond the last one in either is large enough: a first sync makes parts of
#: that size, and to write them again would cost as much as landing them.
_TIERS = ((1_000, 1_000_000), (40_000, 16_000_000))


def due(manifest: Manifest) -> Iterator[list[Part]]:
    """Groups of parts that should become one part each."""
    groups: dict[tuple[str, int], list[Part]] = {}
    for part in manifest.parts:
        text = max(part.rows * part.width, part.bytes)
        tier = next((place for place, (rows, most) in enumerate(_TIERS) if part.rows < rows and text < most), None)
        if tier is not None:
            groups.setdefault((part.stream, tier), []).append(part)
    for group in groups.values():
        if len(group) >= FAN_IN:
            yield group


def compacted(store: Store, manifest: Manifest, engine: Engine, now: datetime) -> Manifest | None:
    """The manifest after compaction, its new parts durable but not committed; None when nothing is due.

    Raises LandingError naming a part that is missing or damaged: merging it would make the damage look sound.
    """
    groups = list(due(manifest))
    if not groups:
        return None
    sequence = manifest.sequence + 1
    parts, retired = list(manifest.parts), dict(manifest.retired)
    for number, group in enumerate(groups):
        merged = _merge(store, manifest.source_key, engine, group, f"{sequence:08d}-{number:04d}")
        gone = {part.path for part in group}
        parts[parts.index(group[0])] = merged
        parts = [part for part in parts if part.path not in gone]
        retired |= dict.fromkeys(gone, now)
    return msgspec.structs.replace(manifest, sequence=sequence, parts=tuple(parts), retired=retired)


def cleaned(store: Store, manifest: Manifest, now: datetime) -> dict[str, Any]:
    """Delete files whose 24 hours are over; returns the facts that the next commit must carry. Deleting twice does no harm."""
    retired = {path: since for path, since in manifest.retired.items() if now - since < GRACE}
    for path in manifest.retired.keys() - retired.keys():
        store.delete(f"{manifest.source_key}/{path}")
    facts: dict[str, Any] = {"retired": retired}
    looked = manifest.orphans_checked_at
    if looked is None or not timedelta() <= now - looked < _LOOK_FOR_ORPHANS:
        facts |= {"orphans": _orphans(store, manifest, now), "orphans_checked_at": now}
    return facts


def _orphans(store: Store, manifest: Manifest, now: datetime) -> dict[str, datetime]:
    """Files that no manifest names: left by a killed sync, or keys of a sweep that has ended. Old ones are deleted."""
    named = {part.path for part in manifest.parts} | manifest.retired.keys()
    named |= {file.path for sweep in manifest.sweeps.values() for file in sweep.files}
    kept = {}
    for folder in ("parts", "sweeps"):
        for entry in store.list(f"{manifest.source_key}/{folder}/"):
            path = entry.key.partition("/")[2]
            if path in named:
                continue
            since = manifest.orphans.get(path, now)
            if now - since < GRACE:
                kept[path] = since
            else:
                store.delete(entry.key)
    return kept


def _merge(store: Store, source_key: str, engine: Engine, group: list[Part], number: str) -> Part:
    verified(store, source_key, group)
    stream = group[0].stream
    key = f"{source_key}/parts/{stream}-{number}.parquet"
    target = store.scratch(source_key) / f"{stream}.parquet"
    store.step(f"copy {key}")
    width = max(part.width for part in group)
    with readable(source_key):
        rows = copy_to(engine, rows_of(engine.con, store, source_key, stream, group), target, width=width)
    if rows != sum(part.rows for part in group):
        raise LandingError(
            f"compaction of {source_key} {stream} would lose rows ({rows} of {sum(p.rows for p in group)}). Nothing was changed."
        )
    assert all(part.schema <= MUARA_SCHEMA for part in group)
    origin = Origin(min(part.min_seq for part in group), max(part.max_seq for part in group), "compaction")
    return put_part(store, key, target, stream=stream, rows=rows, width=width, origin=origin)
