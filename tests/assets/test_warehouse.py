"""What Dagster is told about a build: tables with their columns, every check with its severity, and a refused build as a failure."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from assets.keys import SourceFacts
from assets.pictures import PICTURES, Bar, svg
from assets.warehouse import Builder, warehouse_assets
from connectors.sdk.errors import ConfigError
from warehouse.build import BuildResult
from warehouse.published import Column
from warehouse.runner import Check, CheckResult, Description, Model

LAYERS = {"staging": "staging", "core": "main", "marts": "main"}


def model(layer: str, name: str, about: Description, *reads: str, sql: str = "select 1") -> Model:
    return Model(schema=LAYERS[layer], name=name, layer=layer, sql=sql, about=about, reads=frozenset(reads))


NO_AMOUNT = Check(name="amounts_known", sql="select 1", description="A deal without amount.", severity="warn")
MODELS = [
    model(
        "staging",
        "stg_deals",
        Description(description="One row per deal version.", kept=False),
        "landing.deals",
        "landing.presence",
    ),
    model(
        "core",
        "deals",
        Description(description="One row per deal.", grain=["deal_key"], checks=[NO_AMOUNT]),
        "staging.stg_deals",
        "staging.settings",
    ),
    model("marts", "win_rates", Description(description="Win rates."), "main.deals", "staging.source_status"),
]
SOURCES = [
    SourceFacts(source="crm_a", streams=("deals", "stages")),
    SourceFacts(source="crm_b", streams=("deals",)),
]
COLUMNS = {"main.deals": (Column(name="deal_key", type="VARCHAR", comment="Key of the deal."),)}


def found(name: str, table: str, severity: str, failing: int = 0) -> CheckResult:
    return CheckResult(
        name=name,
        table=table,
        severity=severity,
        description=f"About {name}.",
        failing=failing,
        source_keys=("crm_a",) if failing else None,
        sample=({"source_key": "crm_a", "deal_key": "crm_a:7", "amount": None},) if failing else (),
    )


def result(status="published", failing_keys=0, failing_amounts=0, **more) -> BuildResult:
    return BuildResult(
        build_id="000001-20260101T000000",
        status=status,
        as_of_at=datetime(2026, 1, 1, tzinfo=UTC),
        published=Path("muara.duckdb"),
        tables={"main.deals": 3, "main.win_rates": 5},
        checks=(
            found("deals_key", "main.deals", "error", failing_keys),
            found("amounts_known", "main.deals", "warn", failing_amounts),
        ),
        **more,
    )


def assets(build) -> dg.AssetsDefinition:
    return warehouse_assets(MODELS, [], SOURCES, Builder(build=build, catalogue=lambda: COLUMNS))


def materialize(build, selection=None, config=None):
    run_config = {"ops": {"build_warehouse": {"config": config}}} if config else None
    return dg.materialize([assets(build)], raise_on_error=False, selection=selection, run_config=run_config)


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["warehouse", name])


def test_published_tables_are_assets_and_dropped_ones_pass_their_sources_on():
    specs = {spec.key: spec for spec in assets(lambda as_of, told: result()).specs}
    assert set(specs) == {key("deals"), key("win_rates")}
    deps = {dep.asset_key.to_user_string() for dep in specs[key("deals")].deps}
    assert deps == {"crm_a/deals", "crm_b/deals"}
    deps = {dep.asset_key.to_user_string() for dep in specs[key("win_rates")].deps}
    assert deps == {"warehouse/deals", "crm_a/deals", "crm_b/deals"}
    assert specs[key("deals")].group_name == "warehouse_core"
    assert specs[key("deals")].description == "One row per deal."


def test_tables_come_with_rows_columns_and_build():
    run = materialize(lambda as_of, told: result())
    event = next(e for e in run.get_asset_materialization_events() if e.asset_key == key("deals"))
    shown = event.materialization.metadata
    assert shown["dagster/row_count"].value == 3
    column = shown["dagster/column_schema"].schema.columns[0]
    assert (column.name, column.type, column.description) == ("deal_key", "VARCHAR", "Key of the deal.")
    assert column.constraints.unique
    assert shown["build_id"].value == "000001-20260101T000000"


def test_a_warning_shows_the_offending_rows_and_does_not_stop_publishing():
    run = materialize(lambda as_of, told: result(failing_amounts=1))
    assert run.success
    check = next(e for e in run.get_asset_check_evaluations() if e.check_name == "amounts_known")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["offending_rows"].value == 1
    assert check.metadata["first_rows"].records[0].data["deal_key"] == "crm_a:7"


def test_a_refused_build_fails_the_step_and_materialises_nothing():
    run = materialize(lambda as_of, told: result("refused", failing_keys=2))
    assert not run.success
    assert run.get_asset_materialization_events() == []
    check = next(e for e in run.get_asset_check_evaluations() if e.check_name == "deals_key")
    assert check.severity == dg.AssetCheckSeverity.ERROR
    failure = next(e for e in run.all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert failure.description.startswith("Not published: deals_key (2 rows)")


def test_a_source_shown_at_an_older_state_is_named():
    run = materialize(lambda as_of, told: result(stale_sources=("crm_b",)))
    event = next(e for e in run.get_asset_materialization_events() if e.asset_key == key("deals"))
    assert event.materialization.metadata["stale_sources"].value == "crm_b"


def test_part_of_the_tables_may_be_asked_for():
    run = materialize(lambda as_of, told: result(), selection=[key("win_rates")])
    assert [e.asset_key for e in run.get_asset_materialization_events()] == [key("win_rates")]


def test_as_of_comes_from_run_config():
    asked = []

    def build(as_of, told):
        asked.append(as_of)
        told("main.deals", 1, 2)
        return result()

    materialize(build, config={"as_of": "2026-01-01T00:00:00Z"})
    materialize(build)
    assert asked == ["2026-01-01T00:00:00Z", None]


def test_a_wrong_setting_is_one_sentence():
    def build(as_of, told):
        raise ConfigError("warehouse.fx_rates: there is no file rates.csv.")

    failure = next(e for e in materialize(build).all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert failure.description == "warehouse.fx_rates: there is no file rates.csv."


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.parametrize("news", ["crm_a", "crm_b"])
def test_the_warehouse_is_asked_for_after_a_sync_of_any_source(news):
    """Also when another source has never synced: one broken account must not hold up the others."""
    upstream = [dg.AssetSpec([source.source, stream]) for source in SOURCES for stream in source.streams]

    @dg.multi_asset(name="syncs", specs=upstream, can_subset=True)
    def syncs(context):
        for asset in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=asset)

    definitions = dg.Definitions(assets=[syncs, assets(lambda as_of, told: result())])
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.evaluate_automation_conditions(definitions, instance)
        assert first.total_requested == 0
        dg.materialize([syncs], selection=[dg.AssetKey([news, "deals"])], instance=instance)
        second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
        assert second.total_requested == 2
        third = dg.evaluate_automation_conditions(definitions, instance, cursor=second.cursor)
        assert third.total_requested == 0


def metadata_of(run, name: str) -> dict:
    event = next(e for e in run.get_asset_materialization_events() if e.asset_key == key(name))
    return event.materialization.metadata


def test_columns_carry_their_lineage_to_the_sources():
    doubled = "select d.source_key, d.amount * 2 as doubled from landing.deals as d"
    counted = "select d.source_key, sum(d.doubled) as total, count(*) as deal_count from main.deals as d group by 1"
    models = [
        model("core", "deals", Description(description="One row per deal."), "landing.deals", sql=doubled),
        model("marts", "win_rates", Description(description="Win rates."), "main.deals", sql=counted),
    ]
    built = msgspec.structs.replace(result(), checks=())
    found = warehouse_assets(models, [], SOURCES, Builder(build=lambda as_of, told: built, catalogue=dict))
    run = dg.materialize([found])

    def lineage_of(name):
        shown = metadata_of(run, name)["dagster/column_lineage"].lineage.deps_by_column
        return {
            column: sorted(f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps)
            for column, deps in shown.items()
        }

    assert lineage_of("deals") == {"doubled": ["crm_a/deals.amount", "crm_b/deals.amount"]}
    told = metadata_of(run, "win_rates")["columns_computed_from"].value
    assert "| `total` | `main.deals.doubled` |" in told
    assert "| `deal_count` | which rows there are |" in told
    assert lineage_of("win_rates") == {
        "source_key": ["warehouse/deals.source_key"],
        "total": ["warehouse/deals.doubled"],
    }


def test_a_table_keeps_its_data_version_while_its_rows_stay():
    def version(digest):
        builder = Builder(
            build=lambda as_of, told: result(), catalogue=lambda: COLUMNS, digests=lambda: {"main.deals": digest}
        )
        run = dg.materialize([warehouse_assets(MODELS, [], SOURCES, builder)])
        event = next(e for e in run.get_asset_materialization_events() if e.asset_key == key("deals"))
        return event.materialization.tags["dagster/data_version"]

    assert version("one") == version("one") == "one"
    assert version("two") == "two"


def test_a_failing_check_lists_its_deals():
    run = materialize(lambda as_of, told: result(failing_amounts=3))
    check = next(e for e in run.get_asset_check_evaluations() if e.check_name == "amounts_known")
    text = check.metadata["deals"].value
    assert "- `crm_a:7`" in text
    assert "2 more" in text


def test_errors_block_and_warnings_do_not():
    specs = {spec.name: spec for spec in assets(lambda as_of, told: result()).check_specs}
    assert specs["deals_key"].blocking
    assert not specs["amounts_known"].blocking


def test_pictures_escape_what_users_wrote():
    drawn = svg("a < b", [Bar("<script>alert(1)</script>", 0.5, "x & y"), Bar("zero", 0.0, "")])
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
    assert "x &amp; y" in drawn


@pytest.mark.parametrize("table", sorted(PICTURES))
def test_a_picture_of_nothing_says_so(table):
    assert PICTURES[table].bars([]) == []
    assert "nothing to show yet" in svg(PICTURES[table].title, [])
