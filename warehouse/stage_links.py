"""Renamed stages of sources without ids: the landing zone shows the earlier label's stage under the id of today's.

A sheet's stage is its label, so a changed label looks like a new stage into which every deal moved on one day. An entry
`renamed_to` of the mapping file says that both are one: deals, history and the stage's own settings come to lie under one id
before any model reads them, and the earlier label becomes an earlier version of the stage (what the sheet said stays as it was).
"""

from __future__ import annotations

import duckdb

from connectors.sdk.errors import ConfigError
from warehouse.runner import insert_rows
from warehouse.stages import StageMapping
from warehouse.stages.mapping_file import StageRename, label_key

Place = tuple[str, str | None, str]
"""Source, pipeline (None: an event that names none), stage id."""

_TYPES = {"source_key": "VARCHAR", "pipeline_id": "VARCHAR", "stage_id": "VARCHAR", "now_id": "VARCHAR"}

_NAMED = """
select distinct source_key, coalesce(pipeline_id, 'default'), stage_id, name, name from landing.stages where stage_id is not null
union
select distinct source_key, coalesce(pipeline_id, 'default'), stage_id, stage_id, null from landing.deals where stage_id is not null
union
select distinct source_key, coalesce(to_pipeline_id, 'default'), to_stage_id, coalesce(to_stage_label, to_stage_id), null
from landing.stage_changes where to_stage_id is not null
order by all
"""

_VIEWS = {
    "deals": {"stage_id": "pipeline_id"},
    "stage_changes": {"to_stage_id": "to_pipeline_id", "from_stage_id": "from_pipeline_id"},
}
"""Stream → its columns that name a stage → the column with that stage's pipeline."""


def link_stages(con: duckdb.DuckDBPyConnection, mapping: StageMapping | None) -> None:
    """Puts the renames in force: `landing.stages`, `landing.deals` and `landing.stage_changes` name stages by today's ids.

    Nothing is done without renames. Raises ConfigError when a source has stages but none of today's label, or when renames lead in a circle.
    """
    if mapping is None or not mapping.renames:
        return
    now = _links(con.execute(_NAMED).fetchall(), mapping.renames)
    rows = [dict(zip(_TYPES, (*place, target), strict=True)) for place, target in sorted(now.items(), key=str)]
    insert_rows(con, "landing.stage_links", _TYPES, rows)
    for stream, columns in _VIEWS.items():
        _rename_view(con, stream)
        replaced = ", ".join(f"coalesce(l{n}.now_id, r.{column}) as {column}" for n, column in enumerate(columns))
        joins = " ".join(
            f"left join landing.stage_links as l{n} on l{n}.source_key = r.source_key "
            f"and l{n}.pipeline_id is not distinct from r.{pipeline} and l{n}.stage_id = r.{column}"
            for n, (column, pipeline) in enumerate(columns.items())
        )
        con.execute(
            f"create view landing.{stream} as select r.* replace ({replaced}) from landing.{stream}_as_landed as r {joins}"
        )
    _rename_view(con, "stages")
    con.execute(
        """
        create view landing.stages as
        select r.* replace (coalesce(l.now_id, r.stage_id) as stage_id)
        from landing.stages_as_landed as r
        left join landing.stage_links as l
            on l.source_key = r.source_key and l.pipeline_id = coalesce(r.pipeline_id, 'default') and l.stage_id = r.stage_id
        where l.now_id is null or not exists (  -- the earlier label is no later version, however long it goes on standing in old rows
            select 1 from landing.stages_as_landed as n
            where n.source_key = r.source_key and n.pipeline_id = r.pipeline_id and n.stage_id = l.now_id and n._read_at <= r._read_at)
        """
    )


def _rename_view(con: duckdb.DuckDBPyConnection, stream: str) -> None:
    row = con.execute(
        "select table_type from information_schema.tables where table_schema = 'landing' and table_name = ?", [stream]
    ).fetchone()
    kind = "table" if row and row[0] == "BASE TABLE" else "view"
    con.execute(f"alter {kind} landing.{stream} rename to {stream}_as_landed")


def _links(named: list[tuple[str, str, str, str, str | None]], renames: tuple[StageRename, ...]) -> dict[Place, str]:
    """Every stage that was renamed → the id it has now; per pipeline, and for events without one where all pipelines agree."""
    direct: dict[Place, str] = {}
    for rename in renames:
        for source in sorted({row[0] for row in named if rename.source in (None, row[0])}):
            direct |= _of_source([row for row in named if row[0] == source], rename)
    links = {place: _last(place, direct) for place in direct}
    whole: dict[Place, set[str]] = {}
    for (source, _, stage), target in links.items():
        whole.setdefault((source, None, stage), set()).add(target)
    return {**links, **{place: targets.pop() for place, targets in whole.items() if len(targets) == 1}}


def _of_source(rows: list[tuple[str, str, str, str, str | None]], rename: StageRename) -> dict[Place, str]:
    wanted, new = label_key(rename.before), label_key(rename.renamed_to)
    inside = [row for row in rows if rename.pipeline in (None, row[1])]
    old = {
        (row[1], row[2])
        for row in inside
        if row[2] == rename.stage or (rename.stage is None and label_key(row[3]) == wanted)
    }
    today = {row[1]: row[2] for row in rows if label_key(row[3]) == new}
    if not old:
        return {}
    if not today:
        listed = ", ".join(sorted({row[4] for row in inside if row[4]})) or "none"
        raise ConfigError(
            f"stage mapping: {rename}: source {rows[0][0]} has no stage of the label {rename.renamed_to!r}. Its stages: {listed}."
        )
    source = rows[0][0]
    return {(source, pipeline, stage): today.get(pipeline, min(today.values())) for pipeline, stage in old}


def _last(place: Place, direct: dict[Place, str]) -> str:
    """Where a chain of renames ends."""
    source, pipeline, stage = place
    passed = {stage}
    while (source, pipeline, stage) in direct:
        stage = direct[source, pipeline, stage]
        if stage in passed:
            raise ConfigError(
                f"stage mapping: the renames of {source} lead from {stage!r} back to {stage!r}. Remove one of them."
            )
        passed.add(stage)
    return stage
