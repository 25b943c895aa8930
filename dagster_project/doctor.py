"""Looking for what is wrong: each finding says what was looked at, what was found, and what to do."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from connectors.sdk import registry
from connectors.sdk.errors import MuaraError
from connectors.sdk.settings import env_names
from dagster_project import guard
from dagster_project.operations import Hub, check_config
from dagster_project.project import SourceSpec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `level` error = something does not work, warning = something will surprise you."""

    level: Literal["ok", "warning", "error"]
    what: str
    message: str


def installation() -> Iterator[Finding]:
    """What can be said without a project."""
    yield _versions()
    found = guard.locate()
    problems = guard.clashes(found)
    yield from (_finding("error", "packages", problem) for problem in problems)
    if not problems and (folder := found[0].folder):
        yield _finding("ok", "packages", f"all four come from {folder.parent}")
    yield from _connectors()
    yield _duckdb()


def project(hub: Hub) -> Iterator[Finding]:
    """What can be said of a project: YAML, variables, home, locks, landing."""
    try:
        sources = hub.project.sources
    except MuaraError as error:
        yield _finding("error", "project", str(error))
        return
    yield _finding("ok", "project", f"{hub.root}: {len(sources)} source(s)")
    for spec in sources:
        yield _try(f"source {spec.source}", partial(_well_formed, spec))
        yield from _variables(hub, f"source {spec.source}", spec.config, "a sync started from here would fail")
    for number, receiver in enumerate(hub.project.alerts, 1):
        yield from _variables(hub, f"alerts {number}", receiver.attributes, "nobody would be told")
    yield _try("warehouse settings", lambda: f"reporting in {hub.warehouse_settings().reporting_currency}")
    yield _try("home", lambda: _writable(hub.home.root))
    yield from _dagster(hub)
    yield from _locks(hub)
    yield from _landing(hub)
    yield _published(hub)


def _finding(level: Literal["ok", "warning", "error"], what: str, message: str) -> Finding:
    return Finding(level=level, what=what, message=message)


def _try(what: str, look: Callable[[], str]) -> Finding:
    try:
        return _finding("ok", what, look())
    except (MuaraError, OSError) as error:
        return _finding("error", what, str(error))


def _versions() -> Finding:
    found = [f"python {sys.version.split()[0]}"]
    for name in ("muara", "dagster", "duckdb", "msgspec"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            return _finding("error", "versions", f"{name} is not installed: pip install muara")
    return _finding("ok", "versions", ", ".join(found))


def _connectors() -> Iterator[Finding]:
    registered = guard.entry_points()
    if not registered:
        yield _finding(
            "error", "connectors", "no connector is registered. Install Muara: pip install -e . or pip install muara."
        )
    for name, owners in registered.items():
        if len(owners) > 1:
            yield _finding(
                "error", f"connector {name}", f"registered by {' and '.join(owners)}; uninstall one of them."
            )
        else:
            yield _try(f"connector {name}", partial(_loads, name, owners[0]))


def _loads(name: str, owner: str) -> str:
    return f"{registry.load(name).title or name} ({owner})"


def _duckdb() -> Finding:
    # Checked by the library that reads the published file; the version alone says nothing about extensions or memory.
    version = importlib.metadata.version("duckdb")
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if known < (1, 5) or known >= (2, 1):
        return _finding("warning", "duckdb", f"{version} was not tried with this Muara (1.5.5 to 2.0 were).")
    return _finding(
        "ok", "duckdb", f"{version}; published files are written as v1.0.0, which every DuckDB since 1.0 opens"
    )


def _well_formed(spec: SourceSpec) -> str:
    check_config(spec)
    return f"{spec.connector}, settings are well-formed"


def _variables(hub: Hub, what: str, config: object, effect: str) -> Iterator[Finding]:
    for name in env_names(config):
        if not hub.env.get(name):
            yield _finding("warning", what, f"environment variable {name} is not set here; {effect}.")


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor"):
        pass
    return f"{folder} can be written"


def _dagster(hub: Hub) -> Iterator[Finding]:
    """Dagster's own settings, where there are any yet."""
    file = Path(hub.env.get("DAGSTER_HOME") or hub.home.root / "dagster") / "dagster.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        frees = settings.get("run_monitoring", {}).get("free_slots_after_run_end_seconds")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        yield _finding("error", "dagster.yaml", f"{file}: {str(error).splitlines()[0]}")
        return
    if frees:
        yield _finding("ok", "dagster.yaml", f"{file}: pools of ended runs are freed after {frees} s")
        return
    message = "a cancelled sync would block its source for good. Add free_slots_after_run_end_seconds: 30 under run_monitoring."
    yield _finding("warning", "dagster.yaml", f"{file}: {message}")


def _locks(hub: Hub) -> Iterator[Finding]:
    def held(what: str, take: Callable[[], AbstractContextManager[object]]) -> Finding:
        try:
            with take():
                return _finding("ok", what, "free")
        except MuaraError as error:
            return _finding("warning", what, str(error))

    yield held("lock of builds", lambda: hub.home.lock_builds("doctor"))
    for spec in hub.project.sources:
        if (hub.home.landing / spec.source).is_dir():
            yield held(f"lock of {spec.source}", partial(hub.home.lock_source, spec.source, "doctor"))


def _published(hub: Hub) -> Finding:
    from warehouse.publish import current  # noqa: PLC0415 - brings duckdb

    facts = current(hub.home)
    if facts is None:
        return _finding("warning", "published file", "nothing is published yet; `muara run` does it")
    stale = f"; older state of {', '.join(facts.stale_sources)}" if facts.stale_sources else ""
    return _finding(
        "ok", "published file", f"{hub.home.published}, build {facts.build_id}, as of {facts.as_of_at}{stale}"
    )


def _landing(hub: Hub) -> Iterator[Finding]:
    from warehouse.landing.manifest import manifest_key, read_manifest  # noqa: PLC0415 - brings duckdb
    from warehouse.landing.parts import verified  # noqa: PLC0415

    try:
        store = hub.home.store()
        folders = store.folders()
    except MuaraError as error:
        yield _finding("error", "landing zone", str(error))
        return
    yield _finding("ok", "landing zone", store.where("").rstrip("/"))

    def look(source: str) -> str:
        found = read_manifest(store, source)
        if found is None:
            return "nothing was landed yet"
        parts = found.manifest.parts
        verified(store, source, parts)
        rows, size = sum(part.rows for part in parts), sum(part.bytes for part in parts)
        return f"{len(parts)} parts, {rows:,} rows, {size / 1e6:,.1f} MB, all as the manifest says"

    for spec in hub.project.sources:
        yield _try(f"landing of {spec.source}", partial(look, spec.source))
    configured = {spec.source for spec in hub.project.sources}
    for folder in folders:
        if folder not in configured and store.size(manifest_key(folder)) is not None:
            message = f"no source of this name is configured; builds leave {store.where(folder)} out"
            yield _finding("warning", f"landing of {folder}", message)
