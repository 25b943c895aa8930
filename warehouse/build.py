"""From the landing zone to a published file: the whole warehouse as a pure function of its inputs.

One DuckDB connection builds everything into a new file, runs every check, and publishes when no ERROR check failed. If all errors belong
to one source, the build is made again with that source at its last published state and says so (`ops.sync_status.is_stale`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import msgspec

from connectors.sdk.clock import Clock
from warehouse import ops, publish, rooms
from warehouse.home import Home
from warehouse.landing import reading
from warehouse.runner import (
    MODELS,
    AnyModel,
    Check,
    CheckResult,
    ModelError,
    add_comments,
    in_order,
    load_models,
    run_check,
    run_models,
)
from warehouse.seeds import create_seeds, create_settings, utc_text
from warehouse.settings import WarehouseSettings
from warehouse.stage_answers import load_mapping, stage_answers_model
from warehouse.stage_links import link_stages
from warehouse.stages import DICTIONARY_VERSION

Progress = Callable[[str, int, int], None]


class ConfiguredSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source that belongs into the build, as the project's YAML names it."""

    source_key: str
    connector: str


class BuildInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a build depends on besides `as_of`. `project` is the folder that relative paths of the settings start from."""

    home: Home
    sources: tuple[ConfiguredSource, ...]
    settings: WarehouseSettings = WarehouseSettings()
    project: Path | None = None


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a build did. `tables` are rows by `schema.table`; `stale_sources` are shown at an older state; times are UTC."""

    build_id: str
    status: Literal["published", "refused"]
    as_of_at: datetime
    published: Path
    tables: Mapping[str, int]
    checks: tuple[CheckResult, ...]
    stale_sources: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def failed_checks(self) -> list[CheckResult]:
        """Checks with offending rows, errors first."""
        return sorted((c for c in self.checks if not c.passed), key=lambda c: (c.severity != "error", c.name))


class _Attempt(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    tables: dict[str, int]
    checks: tuple[CheckResult, ...]
    stage_answers: dict[str, str]


def run_build(
    inputs: BuildInputs,
    *,
    clock: Clock,
    as_of: datetime | None = None,
    on_progress: Progress = lambda what, done, total: None,
    files: publish.Files | None = None,
) -> BuildResult:
    """Build, check and publish. `as_of` (aware) defaults to the clock at the start.

    Raises ConfigError (settings, seed files), LockedError (another build is running), landing errors naming a damaged part, ModelError.
    A build whose ERROR checks fail raises nothing: it returns status `refused`, and the published file is untouched.
    """
    keep = files or publish.Files()
    started = clock.now()
    with inputs.home.lock_builds("build"):
        publish.clear_leftovers(inputs.home, keep)
        build_id = _build_id(inputs.home, started)
        job = _Job(inputs, build_id, as_of or started, started, on_progress)
        stale: dict[str, int] = {}
        attempt = job.attempt(stale)
        culprit = _one_culprit(attempt.checks)
        fallback = job.published_sequence(culprit) if culprit else None
        if culprit and fallback is not None:
            stale = {culprit: fallback}
            attempt = job.attempt(stale)
        refused = any(not c.passed and c.severity == "error" for c in attempt.checks)
        if refused:
            keep.remove(attempt.path)
        else:
            facts = job.facts(attempt, stale)
            publish.seal(attempt.path, inputs.home.builds / f"{build_id}.duckdb", keep)
            publish.publish(inputs.home, facts, keep)
    return BuildResult(
        build_id=build_id,
        status="refused" if refused else "published",
        as_of_at=job.as_of,
        published=inputs.home.published,
        tables=attempt.tables,
        checks=attempt.checks,
        stale_sources=tuple(sorted(stale)),
        warnings=tuple(job.warnings),
        seconds=(clock.now() - started).total_seconds(),
    )


def all_models(inputs_mapping: Any = None, threshold: float = 0.75) -> list[AnyModel]:
    """Every model of the project in build order, the Python one among them."""
    return in_order([*load_models(), stage_answers_model(inputs_mapping, threshold)])


class _Job:
    """One call of `run_build`: inputs read once, then one or two attempts."""

    def __init__(
        self, inputs: BuildInputs, build_id: str, as_of: datetime, started: datetime, on_progress: Progress
    ) -> None:
        self.inputs = inputs
        self.build_id = build_id
        self.as_of = as_of.astimezone(UTC)
        self.started = started
        self.on_progress = on_progress
        self.mapping = load_mapping(inputs.project, inputs.settings.stage_mapping)
        self.snapshot = reading.snapshot(inputs.home, [source.source_key for source in inputs.sources])
        self.warnings = [
            f"landing folder {key!r} belongs to no configured source and is left out"
            for key in reading.unconfigured(inputs.home, [source.source_key for source in inputs.sources])
        ]
        self.previous = publish.current(inputs.home)

    def published_sequence(self, source_key: str) -> int | None:
        """The landing sequence of a source in the published build, when the source has moved on since."""
        if self.previous is None:
            return None
        before = self.previous.sequences.get(source_key)
        now = self.snapshot.sequence(source_key)
        return before if before is not None and now is not None and before < now else None

    def attempt(self, at_sequence: Mapping[str, int]) -> _Attempt:
        """Build into `builds/<id>.building` from the manifests read at the start; never touches a published file."""
        path = self.inputs.home.builds / f"{self.build_id}.building"
        for old in (path, path.with_name(path.name + ".wal")):
            old.unlink(missing_ok=True)
        with _open(path, self.inputs.settings, self.snapshot.row_count()) as con:
            tables, checks = self._fill(con, at_sequence)
            answers = dict(con.execute("select stage_key, canonical_stage from main.stages").fetchall())
            con.execute("checkpoint")
        return _Attempt(path=path, tables=tables, checks=checks, stage_answers=answers)

    def _fill(
        self, con: duckdb.DuckDBPyConnection, at_sequence: Mapping[str, int]
    ) -> tuple[dict[str, int], tuple[CheckResult, ...]]:
        models = all_models(self.mapping, self.inputs.settings.thresholds.mapping_confidence)
        checks = _all_checks(models)
        self._inputs(con, at_sequence)
        done = iter(range(len(models)))
        unneeded = rooms.last_uses(models, checks)
        run_models(
            con,
            models,
            on_model=lambda table: self.on_progress(table, next(done), len(models)),
            after_model=lambda table: rooms.drop(con, unneeded.get(table, ())),
        )
        self.on_progress("checks", len(models), len(models))
        # Each statement outside a transaction waits for the disk; hundreds of small ones belong into one.
        con.begin()
        ops.create_previous_answers(con, self.previous.stage_answers if self.previous else {})
        results = tuple(run_check(con, check) for check in checks)
        ops.create_checks(con, results, as_of=utc_text(self.as_of))
        ops.create_build_info(con, self._info(at_sequence))
        con.execute("drop schema landing cascade")
        con.commit()
        rooms.close_staging(con, models)
        con.begin()
        for model in models:
            if model.about.kept:
                add_comments(con, model.table, model.about)
        ops.add_own_comments(con)
        con.execute((MODELS / "readers.sql").read_text(encoding="utf-8"))
        con.commit()
        return _row_counts(con), results

    def _inputs(self, con: duckdb.DuckDBPyConnection, at_sequence: Mapping[str, int]) -> None:
        """Everything the models read: landing views, settings, seeds, what the sync reports say."""
        con.begin()
        con.execute("create schema ops")
        con.execute((MODELS / "macros.sql").read_text(encoding="utf-8"))
        self.snapshot.create_views(con, at_sequence=at_sequence)
        link_stages(con, self.mapping)
        ops.create_sync_runs(con, self.snapshot)
        con.commit()
        rooms.open_staging(con)
        create_settings(con, self.inputs.settings, as_of=utc_text(self.as_of))
        create_seeds(con, self.inputs.settings, self.inputs.project)
        connectors = {source.source_key: source.connector for source in self.inputs.sources}
        ops.create_source_status(con, self.snapshot, connectors, at_sequence=at_sequence)

    def _info(self, at_sequence: Mapping[str, int]) -> dict[str, str]:
        settings = self.inputs.settings
        info = {
            "build_id": self.build_id,
            "as_of_at": utc_text(self.as_of),
            "built_at": utc_text(self.started),
            "muara_version": importlib.metadata.version("muara"),
            "duckdb_version": duckdb.__version__,
            "code_version": code_version(),
            "dictionary_version": DICTIONARY_VERSION,
            "settings": msgspec.json.encode(settings).decode(),
        }
        for name in ("fx_rates", "stage_mapping", "deal_links"):
            file = getattr(settings, name)
            if file is not None:
                digest = hashlib.sha256(((self.inputs.project or Path()) / file).read_bytes()).hexdigest()
                info[f"{name}_sha256"] = digest
        for source in self.inputs.sources:
            used = at_sequence.get(source.source_key, self.snapshot.sequence(source.source_key))
            info[f"source:{source.source_key}"] = json.dumps({"connector": source.connector, "sequence": used})
        return info

    def facts(self, attempt: _Attempt, at_sequence: Mapping[str, int]) -> publish.BuildFacts:
        """What publishing remembers of this build."""
        sequences = {
            source.source_key: at_sequence.get(source.source_key, sequence)
            for source in self.inputs.sources
            if (sequence := self.snapshot.sequence(source.source_key)) is not None
        }
        return publish.BuildFacts(
            build_id=self.build_id,
            as_of_at=utc_text(self.as_of),
            built_at=utc_text(self.started),
            sequences=sequences,
            stale_sources=tuple(sorted(at_sequence)),
            stage_answers=attempt.stage_answers,
            tables=attempt.tables,
            size_bytes=attempt.path.stat().st_size,
        )


def code_version() -> str:
    """A digest of all SQL, model descriptions and Python of the warehouse: equal digests build equal tables from equal inputs."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*")):
        if path.suffix in {".sql", ".yml", ".py"}:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


#: Fewer landed rows than this are built by one thread: a second one has nothing to share and costs a third more CPU.
_ROWS_FOR_THREADS = 10_000


def _open(path: Path, settings: WarehouseSettings, landed_rows: int) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(path), config={"storage_compatibility_version": "v1.0.0"})
    spill = path.with_suffix(".spill")
    con.execute(f"set memory_limit = '{settings.memory_limit}'")
    con.execute(f"set threads = {settings.threads if landed_rows >= _ROWS_FOR_THREADS else 1}")
    con.execute(f"set temp_directory = '{str(spill).replace(chr(39), chr(39) * 2)}'")
    con.execute("set preserve_insertion_order = false")
    con.execute("set autoinstall_known_extensions = false")
    # Measured on 1.1 M stage intervals: writing without FSST takes 35 % less CPU at the same file size (dictionaries do the work).
    con.execute("set disabled_compression_methods = 'fsst'")
    con.execute("set TimeZone = 'UTC'")
    return con


def _build_id(home: Home, started: datetime) -> str:
    """Counts up, so it sorts in the order of building even when the clock stands still or is set back."""
    taken = [int(facts.build_id.split("-")[0]) for facts in publish.builds(home)]
    return f"{max(taken, default=0) + 1:06d}-{started.astimezone(UTC):%Y%m%dT%H%M%S}"


def _one_culprit(checks: Sequence[CheckResult]) -> str | None:
    """The one source that all failing ERROR checks blame, or None."""
    failing = [check for check in checks if not check.passed and check.severity == "error"]
    blamed = {key for check in failing for key in check.source_keys or ()}
    if failing and all(check.source_keys for check in failing) and len(blamed) == 1:
        return blamed.pop()
    return None


def _all_checks(models: Sequence[AnyModel]) -> list[Check]:
    wanted = [check for model in models for check in model.checks()] + ops.CHECKS
    names = [check.name for check in wanted]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ModelError(f"check names must be unique over the project: {', '.join(sorted(twice))}")
    return wanted


def _row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    names = con.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where not internal and not temporary order by all"
    ).fetchall()
    counted = [(name, con.execute(f"select count(*) from {name}").fetchone()) for (name,) in names]
    return {name: row[0] if row else 0 for name, row in counted}
