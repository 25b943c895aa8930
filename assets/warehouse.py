"""The warehouse as Dagster sees it: one asset per published table, one step for the whole build, every model check as an asset check.

A build is one step because one process writes one DuckDB file; whether the file is published is decided inside the step, by the
checks, before Dagster hears of it. The step can be asked for some tables only: the build is the same (it is a pure function of the landing
zone), only what is reported differs.
"""

# No `from __future__ import annotations` here: Dagster reads the config class from the live annotation.

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import dagster as dg

from assets.keys import (
    WAREHOUSE,
    WAREHOUSE_POOL,
    AnyModel,
    SourceFacts,
    kept_models,
    landing_keys,
    model_key,
    model_spec,
)
from assets.pictures import PICTURES, Rows, markdown
from assets.progress import progress_to
from assets.translation import Translation
from connectors.sdk.errors import ConfigError, MuaraError
from warehouse.build import BuildResult
from warehouse.lineage import Columns, Origin, lineage, through
from warehouse.published import Column
from warehouse.runner import Check, CheckResult

#: Rows of a failing check that are shown with it.
SAMPLE_ROWS = 20
_ON_DECK = "main.deals"


class BuildConfig(dg.Config):
    """`as_of`: build as of this instant (ISO, with zone) instead of now."""

    as_of: str | None = None


class Builder(NamedTuple):
    """What the step calls: build and publish; then, of the published file, its columns, a digest of each table's rows, and a query's rows.

    Handed in by `dagster_project`.
    """

    build: Callable[[str | None, Callable[[str, int, int], None]], BuildResult]
    catalogue: Callable[[], Mapping[str, Sequence[Column]]]
    digests: Callable[[], Mapping[str, str]] = dict
    rows: Callable[[str], Rows] = lambda sql: ()


def warehouse_assets(
    models: Sequence[AnyModel],
    checks: Sequence[Check],
    sources: Sequence[SourceFacts],
    builder: Builder,
    names: Translation = WAREHOUSE,
) -> dg.AssetsDefinition:
    """The multi-asset of the warehouse. `models` in build order; `checks` beyond those of the models; `names`: how it is translated."""
    by_table = {model.table: model for model in models}
    kept = kept_models(models)
    keys = {model.table: model_key(model.table, names) for model in kept}
    condition = rebuild_condition()
    specs = [
        model_spec(model, by_table, sources, names).replace_attributes(automation_condition=condition) for model in kept
    ]
    every_check = [*(check for model in models for check in model.checks()), *checks]

    @dg.multi_asset(
        name="build_warehouse",
        specs=specs,
        check_specs=[check_spec(check, keys) for check in every_check],
        can_subset=True,
        pool=WAREHOUSE_POOL,
        description="Build the whole warehouse from the landing zone, check it, and publish it if no ERROR check failed.",
    )
    def build_warehouse(context: dg.AssetExecutionContext, config: BuildConfig) -> Iterator[Any]:
        result = _built(context, config, builder)
        selected_checks = context.op_execution_context.selected_asset_check_keys
        for found in result.checks:
            spec_key = check_spec(found, keys).key
            if spec_key in selected_checks:
                yield check_result(found, spec_key)
        if result.status == "refused":
            raise dg.Failure(
                description="Not published: "
                + "; ".join(f"{c.name} ({c.failing} rows)" for c in result.failed_checks if c.severity == "error")
                + ". The published file is as it was.",
                metadata={"build_id": result.build_id, "warnings": list(result.warnings)},
                allow_retries=False,
            )
        columns, digests = builder.catalogue(), builder.digests()
        origins = column_lineage(models, keys, sources)
        selected = context.selected_asset_keys
        for model in kept:
            if keys[model.table] in selected:
                yield dg.MaterializeResult(
                    asset_key=keys[model.table],
                    metadata={
                        **table_metadata(model, result, columns.get(model.table, ())),
                        **origins.get(model.table, {}),
                        **picture(model.table, builder.rows),
                    },
                    data_version=dg.DataVersion(digests[model.table]) if model.table in digests else None,
                )

    return build_warehouse


def rebuild_condition() -> dg.AutomationCondition[Any]:
    """Rebuild when anything a table comes from was synced, unless a build is under way.

    Unlike `eager()` it does not wait for sources that never synced or are syncing now: one broken or busy account must not hold up the
    numbers of the others.
    """
    updated = dg.AutomationCondition.any_deps_updated()
    handled = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    return (updated.since(handled) & ~dg.AutomationCondition.in_progress()).with_label("rebuild_after_syncs")


def check_spec(check: Check | CheckResult, keys: Mapping[str, dg.AssetKey]) -> dg.AssetCheckSpec:
    """A model's check as an asset check. One about a table that is not published stands with the deals."""
    return dg.AssetCheckSpec(
        name=check.name,
        asset=keys.get(check.table) or keys[_ON_DECK],
        description=check.description,
        blocking=check.severity == "error",
        metadata={"severity": check.severity, "about": check.table},
    )


def check_result(found: CheckResult, key: dg.AssetCheckKey) -> dg.AssetCheckResult:
    """The result with its severity, the number of offending rows and a look at the first of them."""
    metadata: dict[str, Any] = {"offending_rows": found.failing}
    if found.source_keys:
        metadata["sources"] = ", ".join(found.source_keys)
    deals = [str(row["deal_key"]) for row in found.sample if row.get("deal_key")]
    if deals:
        more = f"\n\n... {found.failing - len(deals):,} more" if found.failing > len(deals) else ""
        metadata["deals"] = dg.MetadataValue.md(
            "\n".join(f"- `{deal}`" for deal in dict.fromkeys(deals))
            + more
            + "\n\n`muara show KEY` tells all that is known of one."
        )
    if found.sample:
        metadata["first_rows"] = dg.MetadataValue.table(
            records=[
                dg.TableRecord({name: _plain(value) for name, value in row.items()})
                for row in found.sample[:SAMPLE_ROWS]
            ]
        )
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.severity == "error" else dg.AssetCheckSeverity.WARN,
        description=found.description if not found.passed else None,
        metadata=metadata,
    )


def table_metadata(model: AnyModel, result: BuildResult, columns: Sequence[Column]) -> dict[str, Any]:
    """Row count, column schema, and which build this is."""
    metadata: dict[str, Any] = {
        "dagster/row_count": result.tables.get(model.table, 0),
        "build_id": result.build_id,
        "as_of_at": dg.MetadataValue.text(result.as_of_at.isoformat()),
        "published": dg.MetadataValue.path(str(result.published)),
        "build_seconds": result.seconds,
    }
    if columns:
        metadata["dagster/column_schema"] = column_schema(columns, model.about.grain)
    if result.stale_sources:
        metadata["stale_sources"] = ", ".join(result.stale_sources)
    if result.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- {text}" for text in result.warnings))
    return metadata


def column_lineage(
    models: Sequence[AnyModel], keys: Mapping[str, dg.AssetKey], sources: Sequence[SourceFacts]
) -> dict[str, dict[str, Any]]:
    """`dagster/column_lineage` by table, from the landing zone to the marts, as the SQL has it; and the same to read, as a table.

    Dagster's open-source pages store column lineage but draw none. A column of a landed stream is one of each source that has the stream.
    Settings, seeds and landing streams without an asset are left out.
    """
    found = through(lineage(models), frozenset(keys))

    def deps(origin: Origin) -> list[dg.TableColumnDep]:
        assets = [keys[origin.table]] if origin.table in keys else landing_keys(origin.table, sources)
        is_ours = origin.column != "source_key" or origin.table in keys  # landed files do not repeat whose they are
        return [dg.TableColumnDep(asset_key=key, column_name=origin.column) for key in assets if is_ours]

    return {
        table: {
            "dagster/column_lineage": dg.TableColumnLineage(
                {
                    name: all_deps
                    for name, origins in columns.items()
                    if (all_deps := [dep for origin in sorted(origins) for dep in deps(origin)])
                }
            ),
            "columns_computed_from": dg.MetadataValue.md(_origins_table(columns)),
        }
        for table, columns in found.items()
    }


def _origins_table(columns: Columns) -> str:
    rows = [
        f"| `{name}` | {', '.join(f'`{origin.table}.{origin.column}`' for origin in sorted(origins)) or 'which rows there are'} |"
        for name, origins in columns.items()
    ]
    return "\n".join(["| column | computed from |", "| --- | --- |", *rows])


def picture(table: str, rows: Callable[[str], Rows]) -> dict[str, Any]:
    """A drawing and a look at the first rows, for the headline tables."""
    shown = PICTURES.get(table)
    if shown is None:
        return {}
    preview = [dg.TableRecord({name: _plain(value) for name, value in row.items()}) for row in rows(shown.preview)]
    metadata: dict[str, Any] = {"picture": dg.MetadataValue.md(markdown(shown.title, shown.bars(rows(shown.sql))))}
    if preview:
        metadata["preview"] = dg.MetadataValue.table(records=preview)
    return metadata


def column_schema(columns: Sequence[Column], grain: Sequence[str]) -> dg.TableSchema:
    """The published columns with their types and comments; a grain of one column is unique."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.comment,
                constraints=dg.TableColumnConstraints(unique=True) if list(grain) == [column.name] else None,
            )
            for column in columns
        ]
    )


def _built(context: dg.AssetExecutionContext, config: BuildConfig, builder: Builder) -> BuildResult:
    told = progress_to(context.log.info)
    try:
        result = builder.build(config.as_of, lambda what, done, total: told(done, total, what))
    except ConfigError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    except MuaraError as error:
        raise dg.Failure(description=str(error)) from None
    for warning in result.warnings:
        context.log.warning(warning)
    for source in result.stale_sources:
        context.log.warning(f"{source} is shown as of its last published state: its newest data failed a check.")
    return result


def _plain(value: Any) -> Any:
    """What a Dagster table cell may hold; fractions to three places, for reading."""
    if isinstance(value, float | Decimal):
        return round(float(value), 3)
    if value is None or isinstance(value, str | int | float | bool):
        return "" if value is None else value
    return value.isoformat() if isinstance(value, datetime) else str(value)
