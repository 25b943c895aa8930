"""The one translator: connector, stream or model -> asset key, group, kinds, description. Nothing else in Muara makes an asset key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

import dagster as dg
import msgspec

from assets.translation import Freshness, Translation
from connectors.sdk.connector import STREAMS, Connector, StreamName
from warehouse.runner import Model, PythonModel

AnyModel = Model | PythonModel

WAREHOUSE_POOL = "warehouse_writer"

#: What each stream is, where the connector says nothing of its own.
_STREAM_WORDS: dict[str, str] = {
    "pipelines": "Pipelines (sales processes) of this source.",
    "stages": "Stages of each pipeline, with the source's own order and outcome.",
    "deals": "Deals as the source states them now; every version is kept.",
    "stage_changes": "Stage history of each deal, entry stage included, as the source asserts it.",
    "field_changes": "History of amount, currency, expected close date, owner and pipeline of each deal.",
    "owners": "People who own deals, deactivated ones too.",
    "companies": "Customer organisations.",
}

#: Landing streams without an asset of their own -> the asset that stands for them.
_STANDS_FOR: dict[str, StreamName] = {
    "history_reads": "stage_changes",
    "presence": "deals",
    "rejects": "deals",
    "sources": "deals",
    "currency_rates": "deals",
    "field_defs": "deals",
}

#: Tables that a build fills from the sync reports: news of any source is news for them.
_FROM_SYNCS = frozenset({"staging.source_status", "ops.sync_runs", "ops.schema_drift"})

_LAYER_OF_SCHEMA = {"staging": "staging"}


#: Where the tables stand when nobody renames them.
WAREHOUSE = Translation(key_prefix=("warehouse",), group="warehouse")


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the warehouse's assets need to know of a source: its name, its streams, how it is translated."""

    source: str
    streams: tuple[StreamName, ...]
    translation: Translation = Translation()


def streams_of(connector: type[Connector] | None) -> tuple[StreamName, ...]:
    """Streams that become assets: all but those the connector declares impossible. A connector that cannot be loaded: all."""
    if connector is None:
        return STREAMS
    able = connector.capabilities
    impossible = {
        name
        for name, possible in (
            ("field_changes", able.field_history),
            ("owners", able.owners),
            ("companies", able.companies),
        )
        if not possible
    }
    return tuple(name for name in STREAMS if name not in impossible)


def sync_key(source: str, stream: str, translation: Translation) -> dg.AssetKey:
    """`[<source>, <stream>]`, or the translation's prefix in front of the stream."""
    return dg.AssetKey([*(translation.key_prefix or (source,)), stream])


def sync_pool(source: str) -> str:
    """The pool whose limit of 1 keeps syncs of one source from running side by side."""
    return f"api_{source}"


def sync_spec(
    source: str,
    stream: StreamName,
    connector_name: str,
    connector: type[Connector] | None,
    translation: Translation,
    freshness: Freshness | None = None,
) -> dg.AssetSpec:
    """The asset of one stream of one source. Its deals stand for the source: they carry the freshness policy."""
    return dg.AssetSpec(
        key=sync_key(source, stream, translation),
        description=stream_description(stream, connector),
        group_name=translation.group or source,
        kinds={_kind(connector_name), "parquet", *translation.kinds},
        owners=list(translation.owners),
        tags={"muara/source": source, **translation.tags},
        metadata={"source": source, "connector": connector_name, **_impossible_note(stream, connector)},
        freshness_policy=freshness_policy(freshness) if stream == "deals" and freshness else None,
    )


def freshness_policy(wanted: Freshness) -> dg.FreshnessPolicy:
    """Late after `warn_hours`, too late after `fail_hours` without a sync that read anything."""
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=wanted.fail_hours), warn_window=timedelta(hours=wanted.warn_hours)
    )


def stream_description(stream: StreamName, connector: type[Connector] | None) -> str:
    """The connector's own words about the stream's method, after ours about the stream."""
    words = _STREAM_WORDS[stream]
    if connector is None:
        return words
    for decl in connector.streams():
        if decl.method == stream and decl.description:
            cursor = f"\n\nCursor: {decl.cursor}." if decl.cursor else ""
            return f"{words}\n\n{decl.description}{cursor}"
    return words


def model_key(table: str, names: Translation = WAREHOUSE) -> dg.AssetKey:
    """`["warehouse", <table>]`, or the translation's prefix in front; for a table named with or without its schema."""
    return dg.AssetKey([*(names.key_prefix or WAREHOUSE.key_prefix), table.rsplit(".", 1)[-1]])


def model_spec(
    model: AnyModel, models: Mapping[str, AnyModel], sources: Sequence[SourceFacts], names: Translation = WAREHOUSE
) -> dg.AssetSpec:
    """The asset of one model: its own description, group by layer, deps from the tables that its SQL reads."""
    layer = layer_of(model)
    return dg.AssetSpec(
        key=model_key(model.table, names),
        description=model.about.description,
        group_name=f"{names.group or WAREHOUSE.group}_{layer}",
        kinds={"duckdb", "python" if isinstance(model, PythonModel) else "sql", *names.kinds},
        owners=list(names.owners),
        tags={"muara/layer": layer, **names.tags},
        deps=sorted(_deps(model, models, sources, names)),
        metadata={
            "dagster/table_name": model.table,
            **({"grain": ", ".join(model.about.grain)} if model.about.grain else {}),
        },
    )


def layer_of(model: AnyModel) -> str:
    """staging, core or marts."""
    return model.layer if isinstance(model, Model) else _LAYER_OF_SCHEMA.get(model.schema, "core")


def kept_models(models: Iterable[AnyModel]) -> list[AnyModel]:
    """Models that are in the published file; only these are assets."""
    return [model for model in models if model.about.kept]


def landing_keys(table: str, sources: Sequence[SourceFacts]) -> Iterator[dg.AssetKey]:
    """Assets of every source that holds a landing stream, `landing.<stream>`, under its own name; none for streams without an asset."""
    stream = table.partition(".")[2]
    return (sync_key(s.source, stream, s.translation) for s in sources if stream in s.streams)


def _deps(
    model: AnyModel, models: Mapping[str, AnyModel], sources: Sequence[SourceFacts], names: Translation
) -> set[dg.AssetKey]:
    found: set[dg.AssetKey] = set()
    for table in _inputs(model, models):
        schema, name = table.split(".", 1)
        if schema == "landing":
            stream = _STANDS_FOR.get(name, name)
            found |= {sync_key(s.source, stream, s.translation) for s in sources if stream in s.streams}
        elif table in _FROM_SYNCS:
            found |= {sync_key(s.source, "deals", s.translation) for s in sources}
        elif table in models:
            found.add(model_key(table, names))
    return found


def _inputs(model: AnyModel, models: Mapping[str, AnyModel]) -> set[str]:
    """Tables that a model reads; a table that is dropped before publishing is no asset, so what it reads stands in for it."""
    found: set[str] = set()
    waiting, seen = list(model.reads), set(model.reads)
    while waiting:
        table = waiting.pop()
        other = models.get(table)
        if other is None or other.about.kept:
            found.add(table)
        else:
            waiting += other.reads - seen
            seen |= other.reads
    return found


def _kind(connector_name: str) -> str:
    """Dagster allows letters, digits, `_` and `-` in kinds; entry-point names may hold more."""
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in connector_name.lower())


def _impossible_note(stream: StreamName, connector: type[Connector] | None) -> dict[str, str]:
    if connector is None or stream != "stage_changes":
        return {}
    notes = [f"{name}: {why}" for name, why in connector.capabilities.impossible().items()]
    return {"cannot": "; ".join(notes)} if notes else {}
