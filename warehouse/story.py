"""Everything known of one deal: what landing holds of it, version by version with the source's own JSON, and what the build made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import msgspec

from connectors.sdk.errors import ConfigError
from warehouse.home import Home
from warehouse.landing import reading
from warehouse.published import query

#: Landing streams that speak of one deal: stream -> column with its id.
_LANDED = {
    "deals": "deal_id",
    "history_reads": "deal_id",
    "stage_changes": "deal_id",
    "field_changes": "deal_id",
}
_ORDER = "order by _read_at, _sync_seq, _ordinal"
#: Columns of landing that hold JSON text.
_JSON = frozenset({"raw", "custom_fields", "foreign_ids"})


class DealStory(msgspec.Struct, frozen=True, kw_only=True):
    """One deal as landed and as published. `landed`: rows by stream in the order in which they were read, `raw` decoded.

    `published` is None when the deal is not in the published file (not built yet, or nothing published); its lists are empty then.
    """

    deal_key: str
    landed: dict[str, list[dict[str, Any]]]
    published: dict[str, Any] | None = None
    path: list[dict[str, Any]] = []
    field_changes: list[dict[str, Any]] = []
    intervals: list[dict[str, Any]] = []


def deal_story(home: Home, deal_key: str) -> DealStory:
    """The story of `source_key:deal_id`. Raises ConfigError when neither landing nor the published file knows the deal."""
    source_key, _, deal_id = deal_key.partition(":")
    if not deal_id:
        raise ConfigError(f"{deal_key!r} is no deal key. Write source:id, such as hubspot_eu:1234567.")
    landed = _landed(home, source_key, deal_id)
    story = _published(home, deal_key, landed)
    if not any(landed.values()) and story.published is None:
        raise ConfigError(f"no deal {deal_id!r} of source {source_key!r} was ever read. Ids are compared exactly.")
    return story


def _landed(home: Home, source_key: str, deal_id: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with duckdb.connect() as con:
        reading.snapshot(home, [source_key]).create_views(con)
        for stream, column in _LANDED.items():
            found[stream] = _rows(con, f"select * from landing.{stream} where {column} = $1 {_ORDER}", deal_id)
        found["presence"] = _rows(
            con, f"select * from landing.presence where stream = 'deals' and key = $1 {_ORDER}", deal_id
        )
    return found


def _rows(con: duckdb.DuckDBPyConnection, sql: str, deal_id: str) -> list[dict[str, Any]]:
    cursor = con.execute(sql, [deal_id])
    names = [column[0] for column in cursor.description or []]
    return [_decoded(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else _shown(value)
        for name, value in row.items()
    }


def _shown(value: Any) -> Any:
    """Landing's instants are UTC without a zone; say so."""
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value


def _published(home: Home, deal_key: str, landed: dict[str, list[dict[str, Any]]]) -> DealStory:
    if not home.published.exists():
        return DealStory(deal_key=deal_key, landed=landed)
    deals = query(home.published, _DEAL, [deal_key]).dicts()
    return DealStory(
        deal_key=deal_key,
        landed=landed,
        published=deals[0] if deals else None,
        path=query(home.published, _PATH, [deal_key]).dicts(),
        field_changes=query(
            home.published,
            "select * from main.deal_field_changes where deal_key = $1 order by changed_at, field, seq",
            [deal_key],
        ).dicts(),
        intervals=query(
            home.published, "select * from main.stage_intervals where deal_key = $1 order by seq", [deal_key]
        ).dicts(),
    )


_DEAL = """
select d.*, s.stage, p.pipeline, o.name as owner, c.name as company
from main.deals as d
left join main.stages as s on s.stage_key = d.stage_key
left join main.pipelines as p on p.pipeline_key = d.pipeline_key
left join main.owners as o on o.owner_key = d.owner_key
left join main.companies as c on c.company_key = d.company_key
where d.deal_key = $1
"""
_PATH = """
select c.*, s.stage as to_stage, p.pipeline as to_pipeline, o.name as changed_by
from main.stage_changes as c
left join main.stages as s on s.stage_key = c.to_stage_key
left join main.pipelines as p on p.pipeline_key = c.to_pipeline_key
left join main.owners as o on o.owner_key = c.changed_by_owner_key
where c.deal_key = $1 order by c.seq
"""
