"""What Muara does, one function each: the command line and the Dagster assets call these and have no logic of their own.

`Hub` is one project with its home, the environment it may read, and the clock. Nothing here imports Dagster.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from connectors.sdk import registry
from connectors.sdk.budget import DailyBudget
from connectors.sdk.client import CallPolicy
from connectors.sdk.clock import Clock
from connectors.sdk.connector import STREAMS, Connector, Finding, PlanLine
from connectors.sdk.errors import ConfigError, MuaraError
from connectors.sdk.redaction import redactor
from connectors.sdk.settings import check_shape, load, resolve, secrets_of
from connectors.sdk.tokens import TokenStore
from dagster_project.alerts import tell_build, watched_sync
from dagster_project.project import (
    SECRET_OPTIONS,
    Project,
    SourceSpec,
    find_project,
    home_folder,
    landing_place,
    read_project,
)
from warehouse.home import Home
from warehouse.landing.index import Index
from warehouse.landing.manifest import Account, read_manifest
from warehouse.landing.object_store import Bucket
from warehouse.landing.reports import SyncReport
from warehouse.landing.spool import Engine
from warehouse.settings import WarehouseSettings, load_settings
from warehouse.sync import SyncContext, open_landing, run_sync

Told = Callable[[int, int | None, str], None]


class Hub:
    """One project as it is run: its YAML, its home, its environment, its clock."""

    def __init__(self, root: Path, env: Mapping[str, str], clock: Clock) -> None:
        self.root = root
        self.env = env
        self.clock = clock

    @classmethod
    def find(cls, explicit: Path | None, env: Mapping[str, str], cwd: Path, clock: Clock) -> Hub:
        """The hub of the project that `--project`, MUARA_PROJECT or the current folder names. Raises ConfigError."""
        return cls(find_project(explicit, env, cwd), env, clock)

    @cached_property
    def project(self) -> Project:
        """The YAML as read. Raises ConfigError naming file, line and key."""
        return read_project(self.root)

    @cached_property
    def home(self) -> Home:
        """Where everything lies; made when it is first written to."""
        landing = landing_place(self.root, self.env)
        if isinstance(landing, Bucket):
            redactor.add(*(landing.options.get(name, "") for name in SECRET_OPTIONS))
        return Home(home_folder(self.root, self.env), landing)

    def warehouse_settings(self) -> WarehouseSettings:
        """The Warehouse document's attributes, checked; defaults where there is none."""
        written = self.project.warehouse
        return load_settings(written.attributes, where=written.where)


class SourceRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source in a `sync` or `run` over several: its report, or the sentence that says why there is none."""

    source: str
    status: str
    report: SyncReport | None = None
    error: str | None = None


def connector_class(spec: SourceSpec) -> type[Connector]:
    """The connector that a source names. Raises ConfigError naming the source when it is not installed or cannot be loaded."""
    try:
        return registry.load(spec.connector)
    except MuaraError as error:
        raise type(error)(f"{spec.where}: {error}") from None


def check_config(spec: SourceSpec) -> type[Connector]:
    """Check a source's config as far as that is possible without reading any variable. Raises ConfigError naming the key."""
    connector = connector_class(spec)
    check_shape(connector.Settings, spec.config, where=f"{spec.where}: config")
    return connector


def open_connector(hub: Hub, spec: SourceSpec) -> Connector:
    """The connector with its settings, secrets read from the environment now and hidden in all output from now on."""
    connector = connector_class(spec)
    where = f"{spec.where}: config"
    config = anchored(resolve(spec.config, hub.env, where=where), hub.root)
    settings = load(connector.Settings, config, where=where)
    redactor.add(*secrets_of(settings))
    return connector(settings, source_key=spec.source)


def anchored(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The config with every relative `path` (its own, and that of each entry of `tables`) starting at the project folder."""
    return {key: _anchored_value(key, value, root) for key, value in config.items()}


def _anchored_value(key: str, value: Any, root: Path) -> Any:
    if key == "path" and isinstance(value, str):
        return _anchored_path(value, root)
    if key == "tables" and isinstance(value, list | tuple):
        return [anchored(entry, root) if isinstance(entry, Mapping) else entry for entry in value]
    return value


def _anchored_path(value: str, root: Path) -> str:
    if "://" in value or value.startswith("~") or Path(value).is_absolute():
        return value
    # In a pattern, brackets in the project's own path must not be taken for part of it.
    return f"{glob.escape(str(root))}/{value}" if glob.has_magic(value) else str(root / value)


def call_policy(hub: Hub, connector: Connector) -> CallPolicy:
    """The call policy of one sync: the account's daily budget and the source's token file, shared with whoever else runs.

    Whose budget it is, and where that account's day ends, is known from the last sync; before the first one the calls count for the source.
    """
    settings = connector.settings
    account = _held_account(hub, connector)
    budget = DailyBudget(
        hub.home.budget,
        clock=hub.clock,
        ceiling=settings.daily_call_budget,
        reserve_share=settings.quota_reserve,
        zone=_zone(account.time_zone if account else None),
    )
    return CallPolicy(
        connector.source_key,
        clock=hub.clock,
        budget=budget,
        account=f"{connector.name}:{account.account_id}" if account else None,
        secrets=secrets_of(settings),
        tokens=TokenStore(hub.home.secret(connector.source_key)),
    )


def _held_account(hub: Hub, connector: Connector) -> Account | None:
    committed = read_manifest(hub.home.store(), connector.source_key)
    is_ours = committed is not None and committed.manifest.connector == connector.name
    return committed.manifest.account if committed is not None and is_ours else None


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # unknown here, or no name at all
        return UTC


def sync_source(
    hub: Hub,
    spec: SourceSpec,
    *,
    full: bool = False,
    accept_deletes: bool = False,
    history_since: str | None = None,
    on_progress: Told | None = None,
) -> SyncReport:
    """Read one source into the landing zone. Raises MuaraError where nothing could be read; see the report's status otherwise.

    `history_since` (YYYY-MM-DD): a full read of what was modified since then, whatever the source's own `start_date`.
    """
    if history_since is not None:
        spec = msgspec.structs.replace(spec, config={**spec.config, "start_date": history_since})
        full = True
    with secrets_hidden(), watched_sync(hub, spec.source) as told:
        connector = open_connector(hub, spec)
        report = run_sync(
            connector,
            home=hub.home,
            source_key=spec.source,
            clock=hub.clock,
            calls=call_policy(hub, connector),
            full=full,
            accept_deletes=accept_deletes,
            on_progress=_redacted(on_progress),
        )
        return told(report)


def _redacted(on_progress: Told | None) -> Told:
    """What is told while a sync runs, without secrets: a connector may say a URL."""
    if on_progress is None:
        return lambda done, total, what: None
    return lambda done, total, what: on_progress(done, total, redactor.redact(what))


def sync_sources(
    hub: Hub,
    names: list[str],
    *,
    full: bool = False,
    accept_deletes: bool = False,
    on_progress: Callable[[str, int, int | None, str], None] = lambda source, done, total, what: None,
    on_end: Callable[[SourceRun], None] = lambda run: None,
) -> list[SourceRun]:
    """Sync the named sources (all when none is named), one after another. One that fails does not stop the others (A19)."""
    runs = []
    for spec in hub.project.select(names):

        def told(done: int, total: int | None, what: str, source: str = spec.source) -> None:
            on_progress(source, done, total, what)

        try:
            report = sync_source(hub, spec, full=full, accept_deletes=accept_deletes, on_progress=told)
            run = SourceRun(source=spec.source, status=report.status, report=report)
        except MuaraError as error:
            run = SourceRun(source=spec.source, status="failed", error=redactor.redact(str(error)))
        on_end(run)
        runs.append(run)
    return runs


def build(hub: Hub, *, as_of: str | None = None, on_progress: Callable[[str, int, int], None] | None = None) -> Any:
    """Build, check and publish the warehouse of all configured sources: a `warehouse.build.BuildResult`."""
    from warehouse.build import BuildInputs, ConfiguredSource, run_build  # noqa: PLC0415 - a sync needs no build

    inputs = BuildInputs(
        home=hub.home,
        sources=tuple(
            ConfiguredSource(source_key=spec.source, connector=spec.connector) for spec in hub.project.sources
        ),
        settings=hub.warehouse_settings(),
        project=hub.root,
    )
    result = run_build(
        inputs,
        clock=hub.clock,
        as_of=as_of_instant(hub, as_of),
        on_progress=on_progress or (lambda what, done, total: None),
    )
    tell_build(hub, result)
    return result


def published_catalogue(hub: Hub) -> dict[str, Any]:
    """`schema.table` -> columns of the published file."""
    from warehouse.published import catalogue  # noqa: PLC0415 - a sync needs no build

    return dict(catalogue(hub.home.published))


def published_digests(hub: Hub) -> dict[str, str]:
    """`schema.table` -> a text that changes exactly when the table's rows do."""
    from warehouse.published import digests  # noqa: PLC0415 - a sync needs no build

    return digests(hub.home.published)


def published_rows(hub: Hub, sql: str) -> list[dict[str, Any]]:
    """Rows of a query over the published file."""
    from warehouse.published import query  # noqa: PLC0415 - a sync needs no build

    return query(hub.home.published, sql).dicts()


def landed_streams(hub: Hub, source: str) -> dict[str, tuple[int, str]]:
    """Stream -> rows held of it, every version counted, and a text that changes exactly when rows are added (compaction adds none)."""
    committed = read_manifest(hub.home.store(), source)
    if committed is None:
        return {}
    manifest = committed.manifest
    rows: dict[str, int] = {}
    for part in manifest.parts:
        rows[part.stream] = rows.get(part.stream, 0) + part.rows
    # Presence has no asset of its own: a deal that is gone is news of the deals. Readings belong to the history they are of.
    along = {"deals": ("presence",), "stage_changes": ("history_reads",)}
    return {
        stream: (
            rows.get(stream, 0),
            ":".join([manifest.landing_id, *(str(rows.get(each, 0)) for each in (stream, *along.get(stream, ())))]),
        )
        for stream in STREAMS
    }


def last_sync(hub: Hub, source: str) -> SyncReport | None:
    """The report of the last finished sync of a source, None when it never synced."""
    committed = read_manifest(hub.home.store(), source)
    if committed is None:
        return None
    return msgspec.json.decode(committed.manifest.last_report, type=SyncReport | None)


def as_of_instant(hub: Hub, given: str | None) -> datetime | None:
    """`--as-of`, else MUARA_AS_OF, else None for now. Raises ConfigError for an instant without a zone."""
    text = given or hub.env.get("MUARA_AS_OF")
    if not text:
        return None
    name = "--as-of" if given else "MUARA_AS_OF"
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name} {text!r} is not an instant. Write it as 2026-07-01T00:00:00Z.") from None
    if instant.tzinfo is None:
        raise ConfigError(f"{name} {text!r} has no time zone. Add Z for UTC, or an offset such as +07:00.")
    return instant.astimezone(UTC)


@contextmanager
def secrets_hidden() -> Iterator[None]:
    """Whatever leaves this block as an exception carries no secret that this process knows."""
    try:
        yield
    except BaseException as error:
        redactor.scrub(error)
        raise


class SourceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `check` or `plan` found of one source; `error` is set where the source could not even be asked."""

    source: str
    findings: tuple[Finding, ...] = ()
    lines: tuple[PlanLine, ...] = ()
    calls: int = 0
    error: str | None = None


def check_sources(hub: Hub, names: list[str]) -> list[SourceAnswer]:
    """Try credentials, scopes and field permissions of sources, with as few calls as possible. One that fails does not stop the others."""

    def look(connector: Connector, context: Any) -> dict[str, Any]:
        return {"findings": tuple(connector.check(context))}

    return [_asked(hub, spec, "check", look) for spec in hub.project.select(names)]


def plan_sources(hub: Hub, names: list[str]) -> list[SourceAnswer]:
    """Calls and rows that a sync of each source would take now, without reading the data."""

    def look(connector: Connector, context: Any) -> dict[str, Any]:
        return {"lines": tuple(connector.plan(context))}

    return [_asked(hub, spec, "plan", look) for spec in hub.project.select(names)]


def _asked(hub: Hub, spec: SourceSpec, what: str, look: Callable[[Connector, Any], dict[str, Any]]) -> SourceAnswer:
    try:
        with secrets_hidden(), _context(hub, spec, what) as (connector, context):
            answer = look(connector, context)
            return SourceAnswer(source=spec.source, calls=sum(context.calls.report().calls.values()), **answer)
    except MuaraError as error:
        return SourceAnswer(source=spec.source, error=redactor.redact(str(error)))


@contextmanager
def _context(hub: Hub, spec: SourceSpec, what: str) -> Iterator[tuple[Connector, SyncContext]]:
    """A connector with all that a sync would hand it, under the source's lock; nothing is landed."""
    connector = open_connector(hub, spec)
    store = hub.home.store()
    with hub.home.lock_source(spec.source, what, clock=hub.clock):
        manifest = open_landing(store, spec.source, connector, hub.clock).manifest
        engine = Engine(store.scratch(spec.source))
        held = Index(store, manifest, engine)
        try:
            yield (
                connector,
                SyncContext(
                    connector,
                    source_key=spec.source,
                    clock=hub.clock,
                    calls=call_policy(hub, connector),
                    held=held,
                    manifest=manifest,
                    full=False,
                    on_progress=lambda done, total, what: None,
                ),
            )
        finally:
            held.close()
            engine.close()


def replay_source(hub: Hub, name: str, *, on_progress: Told | None = None) -> SyncReport:
    """Map what is stored of a source again, without a call to it. Settings count, so secrets must be set as for a sync."""
    from warehouse.replay import run_replay  # noqa: PLC0415 - a sync needs no replay

    spec = hub.project.source(name)
    with secrets_hidden():
        connector = open_connector(hub, spec)
        return run_replay(
            connector,
            home=hub.home,
            source_key=spec.source,
            clock=hub.clock,
            on_progress=_redacted(on_progress),
        )


def rollback(hub: Hub) -> Any:
    """Publish the newest kept build that is older than the published one; its `warehouse.publish.BuildFacts`."""
    from warehouse import publish  # noqa: PLC0415 - a sync needs no build

    with hub.home.lock_builds("rollback", clock=hub.clock):
        return publish.rollback(hub.home)


def kept_builds(hub: Hub) -> list[Any]:
    """Builds that rollback can go to, newest first."""
    from warehouse import publish  # noqa: PLC0415

    return list(publish.builds(hub.home))


def stage_mapping(hub: Hub) -> Any:
    """The project's stage mapping (`warehouse.stages.StageMapping`); None where none is set or the file is yet to be written."""
    from warehouse.stages import StageMapping  # noqa: PLC0415 - loads the dictionary

    name = hub.warehouse_settings().stage_mapping
    path = hub.root / name if name else None
    return StageMapping.load(path) if path is not None and path.is_file() else None


def classified_stages(hub: Hub, mapping: Any) -> list[tuple[Any, Any]]:
    """Every version of every stage of the published build with what it counts as under this mapping: (StageLabel, StageAnswer)."""
    from warehouse.published import query  # noqa: PLC0415
    from warehouse.stage_answers import LABELS_SQL, stage_labels  # noqa: PLC0415
    from warehouse.stages import classify  # noqa: PLC0415
    from warehouse.stages.renames import kept_over_renames  # noqa: PLC0415

    labels = stage_labels(query(hub.home.published, LABELS_SQL).rows, mapping)
    threshold = hub.warehouse_settings().thresholds.mapping_confidence
    answers = kept_over_renames(labels, classify(labels, mapping, threshold=threshold))
    return list(zip(labels, answers, strict=True))
