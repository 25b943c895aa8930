"""Builds as a whole: pure, published only when right, one broken source does not stop the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.sdk.clock import FakeClock
from connectors.sdk.records import Pipeline, Record, Stage
from tests.warehouse.files import StrikingFiles
from tests.warehouse.quick import quick_syncs
from tests.warehouse.scripted import INFO, START, Land, Scripted, change, deal, history
from warehouse import ops, publish, rooms
from warehouse.build import BuildInputs, BuildResult, ConfiguredSource, _open, run_build
from warehouse.examples import Schemas, run_example, schemas_of
from warehouse.home import LockedError
from warehouse.landing.manifest import LandingError
from warehouse.runner import Check, load_models
from warehouse.settings import WarehouseSettings
from warehouse.sync import run_sync

__all__ = ["quick_syncs"]
pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 3, 10, tzinfo=UTC)
STAGES = (
    ("new", "New lead", "open"),
    ("offer", "Proposal", "open"),
    ("won", "Closed won", "won"),
    ("lost", "Closed lost", "lost"),
)


def records(count: int = 4) -> Iterator[Record]:
    yield INFO
    yield Pipeline(pipeline_id="p", name="Sales")
    for order, (stage_id, name, outcome) in enumerate(STAGES):
        yield Stage(pipeline_id="p", stage_id=stage_id, name=name, display_order=order, outcome=outcome)
    for number in range(count):
        key = f"d{number}"
        created = START - timedelta(days=20 + number)
        yield deal(
            key,
            "offer",
            pipeline_id="p",
            name=f"Deal {number}",
            created_at=created,
            updated_at=START - timedelta(days=2),
        )
        yield history(
            key,
            change(key, f"{key}-1", "new", created, to_pipeline_id="p"),
            change(key, f"{key}-2", "offer", START - timedelta(days=2), to_pipeline_id="p"),
        )


class Hub:
    """One home, two sources, builds on demand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lands = {key: Land(root, key) for key in ("acme", "other")}
        self.clock = FakeClock(START)
        self.inputs = BuildInputs(
            home=self.lands["acme"].home,
            sources=tuple(ConfiguredSource(source_key=key, connector="scripted") for key in self.lands),
        )

    def sync(self, source_key: str, *rows: Record) -> None:
        connector = Scripted(rows, source_key=source_key)
        assert run_sync(connector, home=self.inputs.home, clock=self.lands[source_key].clock).status == "complete"

    def build(self, as_of: datetime = AS_OF) -> BuildResult:
        return run_build(self.inputs, clock=self.clock, as_of=as_of)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.inputs.home.published), read_only=True) as con:
            return con.execute(sql).fetchall()

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        with duckdb.connect(str(self.inputs.home.published), read_only=True) as con:
            names = con.execute(
                "select schema_name || '.' || table_name from duckdb_tables() where schema_name <> 'ops'"
            ).fetchall()
            return {name: con.execute(f"select * from {name} order by all").fetchall() for (name,) in names}

    def parts(self) -> set[Path]:
        return set(self.inputs.home.landing.rglob("*.parquet"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    hub.sync("acme", *records())
    hub.sync("other", *records(2))
    assert hub.build().status == "published"
    return hub


@pytest.fixture
def hub(built: Hub, tmp_path: Path) -> Hub:
    """A copy of what is built, to be changed."""
    return Hub(shutil.copytree(built.root, tmp_path / "hub"))


def test_the_same_inputs_and_as_of_give_the_same_tables_and_no_new_part(built: Hub) -> None:
    before, parts = built.tables(), built.parts()
    built.sync("acme", *records())
    built.clock.advance(days=3)
    built.build()
    assert built.tables() == before
    assert built.parts() == parts


def test_every_table_and_every_column_is_explained_in_the_file(built: Hub) -> None:
    """B20."""
    tables = built.query(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database() and coalesce(comment, '') = ''"
    )
    columns = built.query(
        "select table_name, column_name from duckdb_columns() where database_name = current_database() "
        "and not internal and coalesce(comment, '') = ''"
    )
    assert tables == []
    assert columns == []


def test_the_build_says_what_it_was_made_of(built: Hub) -> None:
    info = dict(built.query("select item, value from ops.build_info"))
    assert {"as_of_at", "code_version", "dictionary_version", "settings", "source:acme", "source:other"} <= set(info)
    assert info["as_of_at"] == "2026-03-10 00:00:00"


def test_a_published_file_is_in_the_storage_version_that_every_duckdb_since_1_0_opens(built: Hub) -> None:
    assert publish.storage_version(built.inputs.home.published) == publish.STORAGE_V1


def test_the_deals_of_a_day_can_be_asked_of_the_published_file(built: Hub) -> None:
    days = built.query("select snapshot_date, sum(open_count) from pipeline_daily group by 1 order by 1 desc limit 3")
    assert days
    for day, deals in days:
        assert built.query(f"select count(*) from pipeline_as_of(date '{day}')") == [(deals,)]


def test_the_landing_zone_and_raw_are_not_published(built: Hub) -> None:
    assert built.query("select 1 from duckdb_schemas() where schema_name = 'landing'") == []
    assert built.query("select table_name from duckdb_columns() where column_name = 'raw' and not internal") == []


def test_a_landing_folder_of_no_configured_source_is_left_out_with_a_warning(hub: Hub) -> None:
    stranger = Scripted(list(records()), source_key="stranger")
    run_sync(stranger, home=hub.inputs.home, clock=hub.clock)
    result = hub.build()
    assert any("stranger" in warning for warning in result.warnings)
    assert hub.query("select distinct source_key from deals order by 1") == [("acme",), ("other",)]


def test_a_source_that_never_synced_is_shown_as_such(hub: Hub) -> None:
    """B19."""
    inputs = BuildInputs(
        home=hub.inputs.home, sources=(*hub.inputs.sources, ConfiguredSource(source_key="fresh", connector="scripted"))
    )
    assert run_build(inputs, clock=hub.clock, as_of=AS_OF).status == "published"
    assert hub.query(
        "select last_sync_status, row_count from ops.sync_status where source_key = 'fresh' and stream = 'deals'"
    ) == [(None, 0)]


def test_a_damaged_part_stops_the_build_by_name_and_leaves_the_published_file_alone(hub: Hub) -> None:
    """A32."""
    before = hub.inputs.home.published.read_bytes()
    part = sorted((hub.inputs.home.landing / "acme").rglob("*.parquet"))[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 0xFF
    part.write_bytes(bytes(data))
    with pytest.raises(LandingError, match=part.name):
        hub.build()
    assert hub.inputs.home.published.read_bytes() == before


def poisoned(severity: str, sql: str) -> list[Check]:
    return [Check(name="no_poison", severity=severity, description="A returned row is a poisoned deal.", sql=sql)]  # type: ignore[arg-type]


POISON = "select source_key, deal_key from main.deals where name = 'poison'"


def test_a_failing_error_check_keeps_the_last_good_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hub.inputs.home.published.read_bytes()
    monkeypatch.setattr(ops, "CHECKS", poisoned("error", "select deal_key from main.deals"))
    result = hub.build()
    assert result.status == "refused"
    assert [check.name for check in result.failed_checks if check.severity == "error"] == ["no_poison"]
    assert hub.inputs.home.published.read_bytes() == before
    assert not list(hub.inputs.home.builds.glob("*.building*"))


def test_a_warning_does_not_keep_a_build_from_being_published(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "CHECKS", poisoned("warn", "select deal_key from main.deals"))
    assert hub.build().status == "published"
    assert hub.query("select failing_count from ops.checks where check_name = 'no_poison' and status = 'fail'") == [
        (6,)
    ]


def test_one_source_with_bad_data_is_shown_at_its_last_published_state_while_the_others_move_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A19."""
    monkeypatch.setattr(ops, "CHECKS", poisoned("error", POISON))
    later = START - timedelta(days=1)
    hub.sync("acme", *records(), deal("d0", "offer", pipeline_id="p", name="poison", updated_at=later))
    hub.sync("other", *records(2), deal("d0", "offer", pipeline_id="p", name="renamed", updated_at=later))
    result = hub.build()
    assert result.status == "published"
    assert result.stale_sources == ("acme",)
    assert hub.query("select source_key, name from deals where source_deal_id = 'd0' order by 1") == [
        ("acme", "Deal 0"),
        ("other", "renamed"),
    ]
    assert hub.query("select distinct source_key from ops.sync_status where is_stale") == [("acme",)]


def test_two_sources_with_bad_data_refuse_the_build(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "CHECKS", poisoned("error", POISON))
    for key in ("acme", "other"):
        hub.sync(key, *records(), deal("d0", "offer", pipeline_id="p", name="poison", updated_at=START))
    assert hub.build().status == "refused"


def test_a_second_build_at_the_same_time_is_refused_by_name(hub: Hub) -> None:
    with hub.inputs.home.lock_builds("build"), pytest.raises(LockedError, match="build"):
        hub.build()


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def die() -> None:
    raise Killed


def test_a_build_that_dies_at_a_write_is_repaired_by_the_next_one(built: Hub) -> None:
    """Before a build, right after it, and amid publishing; test_publish.py kills at every single write."""
    expected = built.tables()
    for step in (0, 2, 6):
        with pytest.raises(Killed):
            run_build(built.inputs, clock=built.clock, as_of=AS_OF, files=StrikingFiles(step, die))
        assert built.tables() == expected
    built.build()
    assert built.tables() == expected
    assert not list(built.inputs.home.builds.glob("*.building*"))


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    """Columns of every table, from a build of nothing (landing views included)."""
    found: dict[str, Any] = {}
    plain = ops.create_build_info

    def look_first(con: duckdb.DuckDBPyConnection, info: Any) -> None:
        found.update(schemas_of(con))
        plain(con, info)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "last_uses", lambda models, checks: {})
        patch.setattr(ops, "create_build_info", look_first)
        Hub(tmp_path_factory.mktemp("empty")).build()
    return found


#: Those of the marts are run in tests/warehouse/marts.
EXAMPLES = [
    pytest.param(model, example, id=f"{model.name}: {example.name}")
    for model in load_models()
    if model.layer != "marts"
    for example in model.about.examples
]


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_worked_example(model: Any, example: Any, schemas: Schemas) -> None:
    run_example(model, example, schemas)


def test_a_wrong_worked_example_is_noticed(schemas: Schemas) -> None:
    from warehouse.examples import ExampleError
    from warehouse.runner import Example

    model = next(model for model in load_models() if model.name == "rejected_rows")
    wrong = Example(
        name="wrong", given={"landing.rejects": [{"source_key": "a", "reason": "x"}]}, expect=[{"reason": "y"}]
    )
    with pytest.raises(ExampleError, match="expected"):
        run_example(model, wrong, schemas)


@pytest.mark.parametrize(("rows", "threads"), [(20, 1), (1_000_000, 3)])
def test_a_small_landing_zone_is_built_by_one_thread(tmp_path: Path, rows: int, threads: int) -> None:
    with _open(tmp_path / "x.building", WarehouseSettings(threads=3), rows) as con:
        assert con.execute("select current_setting('threads')").fetchone() == (threads,)


def test_a_build_of_nothing_is_published_and_empty(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    result = hub.build()
    assert result.status == "published"
    assert hub.query("select count(*) from deals") == [(0,)]


def sheet(entered: datetime, day: datetime | None, *, name: str = "One") -> list[Record]:
    """One deal, in its stage since `entered`, in a sheet that was true on `day`; None: when it is read."""
    first = change("d1", "d1-1", "new", entered, to_pipeline_id="p")
    return [
        *records(0),
        deal("d1", "new", pipeline_id="p", name=name, created_at=entered, read_at=day),
        history("d1", first, read_at=day),
    ]


def test_open_deals_of_dated_sheets_wait_until_the_end_of_the_newest_sheets_day_and_no_longer(tmp_path: Path) -> None:
    """B19: a sheet of February that is read in March says nothing of March."""
    hub, entered, day = Hub(tmp_path), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC)
    hub.sync("acme", *sheet(entered, day))
    hub.sync("acme", *sheet(entered, day - timedelta(days=28)))  # an older one that comes late
    hub.sync("other", *sheet(entered, None))
    hub.build()
    through = "select source_key, data_through_at from main.sources order by 1"
    ends = datetime(2026, 2, 11, tzinfo=UTC)
    assert hub.query(through) == [(key, at.replace(tzinfo=None)) for key, at in (("acme", ends), ("other", START))]
    assert hub.query("select dwell_days from main.stage_intervals where source_key = 'acme'") == [(41.0,)]

    hub.sync("acme", *sheet(entered, None, name="Uno"))  # from now on the sheet is a live one
    hub.build()
    assert hub.query(through)[0] == ("acme", START.replace(tzinfo=None))
