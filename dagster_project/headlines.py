"""The headline tables of the published warehouse as text: conversion, systems side by side, bottlenecks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dagster_project.cli_output import UNKNOWN, offending, percent, table
from warehouse.published import query

_CONVERSION = """
select source_key, pipeline, stage, canonical_stage, reached_count, advanced_count, lost_count, open_count, moved_count, resolved_count,
       conversion_rate_resolved, conversion_low, conversion_high, is_small_sample
from main.stage_conversion where period_grain = 'all' order by source_key, pipeline, stage_order, stage
"""
_SYSTEMS = """
select c.canonical_stage, c.source_key, c.reached_count, c.advanced_count, c.lost_count, c.resolved_count, c.conversion_rate_resolved,
       c.conversion_low, c.conversion_high, coalesce(m.dwell_median_days, a.dwell_median_days) as dwell_median_days,
       coalesce(m.differs, false) as differs, c.is_small_sample
from main.cross_system_conversion as c
left join main.cross_system_compare as m on m.source_key = c.source_key and m.canonical_stage = c.canonical_stage
left join (select canonical_stage, any_value(all_dwell_median_days) as dwell_median_days from main.cross_system_compare group by 1) as a
  on a.canonical_stage = c.canonical_stage and c.source_key = 'all'
where c.period_grain = 'all' and c.reached_count > 0
order by c.canonical_order, c.canonical_stage, c.source_key = 'all', c.source_key
"""
_BOTTLENECKS = """
select source_key, pipeline, stage, bottleneck_rank, bottleneck_score, dwell_median_days, dwell_p90_days, completed_count, visits_count,
       wip_count, stalled_count, lost_exit_count, loss_rate, bottleneck_reason, is_small_sample
from main.stage_bottlenecks where bottleneck_rank <= 2 order by source_key, pipeline, bottleneck_rank
"""
_TOTALS = """
select count(*) as deals, count(*) filter (where outcome = 'won') as won, count(*) filter (where outcome = 'lost') as lost,
       count(*) filter (where outcome = 'open') as open_deals, count(*) filter (where is_primary) as counted_once
from main.deals where not coalesce(is_deleted, false)
"""
_NOTES = """
select table_name, check_name, failing_count, description from ops.checks where status = 'fail' order by severity, check_name
"""

_TRUST = """
with known as (
  select source_key, count(*) as steps, count(*) filter (where evidence = 'exact') as exact_steps,
         count(*) filter (where evidence = 'created') as created_steps,
         count(*) filter (where evidence not in ('exact', 'created')) as inferred_steps
  from main.stage_changes group by source_key
), unmapped as (
  select source_key, count(*) as unmapped_stages, sum(deal_count) as unmapped_deals
  from ops.stage_mapping_review where canonical_stage = 'unmapped' group by source_key
), refused as (select source_key, count(*) as rejected_rows from ops.rejected_rows group by source_key)
select s.source_key, (select count(*) from main.deals as d where d.source_key = s.source_key) as deals,
       coalesce(k.steps, 0) as steps, coalesce(k.exact_steps, 0) as exact_steps, coalesce(k.created_steps, 0) as created_steps,
       coalesce(k.inferred_steps, 0) as inferred_steps, coalesce(u.unmapped_stages, 0) as unmapped_stages,
       coalesce(u.unmapped_deals, 0)::bigint as unmapped_deals, coalesce(r.rejected_rows, 0) as rejected_rows,
       s.data_through_at, s.last_sync_status
from staging.source_status as s left join known as k using (source_key) left join unmapped as u using (source_key)
left join refused as r using (source_key) order by s.source_key
"""

_SMALL = " *"

#: Shown at the end of the demo; a test runs them.
QUERIES: Mapping[str, str] = {
    "where do open deals wait longest?": (
        "select source, stage, deal_key, name, days_in_stage, threshold_days, reason_text\n"
        "from stalled_deals where is_stalled order by severity desc limit 10"
    ),
    "which moves happen, and how long do they take?": (
        "select source, from_stage, to_stage, transition_count, median_days\n"
        "from transitions where period_grain = 'all' and not is_virtual order by transition_count desc limit 10"
    ),
    "how does one deal's path look, and how do we know?": (
        "select changed_at, from_stage_key, to_stage_key, movement, evidence\n"
        "from stage_changes where deal_key = (select deal_key from deals order by reopened_count desc, deal_key limit 1) order by seq"
    ),
}


class Headlines(NamedTuple):
    """Rows of each headline table, as mappings."""

    totals: dict[str, Any]
    conversion: list[dict[str, Any]]
    systems: list[dict[str, Any]]
    bottlenecks: list[dict[str, Any]]
    trust: list[dict[str, Any]]
    failing_checks: list[dict[str, Any]]


def read(published: Path) -> Headlines:
    """The headline tables of a published file."""
    return Headlines(
        totals=query(published, _TOTALS).dicts()[0],
        conversion=query(published, _CONVERSION).dicts(),
        systems=query(published, _SYSTEMS).dicts(),
        bottlenecks=query(published, _BOTTLENECKS).dicts(),
        trust=query(published, _TRUST).dicts(),
        failing_checks=query(published, _NOTES).dicts(),
    )


def text(found: Headlines) -> str:
    """The tables as a person reads them: every rate beside its counts, `-` for unknown, `*` for small samples."""
    parts = [
        _summary(found.totals),
        "Conversion: of the deals that reached a stage, how many went on\n\n" + _conversion(found.conversion),
        "The same stage in every system (all = each deal once)\n\n" + _systems(found.systems),
        "Where deals get stuck: the two worst stages of each pipeline\n\n" + _bottlenecks(found.bottlenecks),
        (
            "went on = advanced / (advanced + lost), with its 95 % interval; deals still open are not losses.\n"
            "* = fewer than 10 decided deals: read it as a hint.   - = not known; never 0."
        ),
        "How far to trust it: where each step of each deal's path comes from\n\n" + _trust(found.trust),
        (
            "exact = the source's own history; created = the deal's creation time; inferred = seen by comparing readings, so it happened earlier.\n"
            + _problems(found.failing_checks)
        ),
    ]
    return "\n\n".join(parts)


def _summary(totals: Mapping[str, Any]) -> str:
    return (
        f"{totals['deals']:,} deals, {totals['counted_once']:,} once those held by two systems are counted once: "
        f"{totals['won']:,} won, {totals['lost']:,} lost, {totals['open_deals']:,} open."
    )


def _conversion(rows: Sequence[Mapping[str, Any]]) -> str:
    header, cells, lost = _without_pipelines(rows, _CONVERSION_SHOWN)
    return table(_without_repeats(cells, 2 - lost), header, right=(8 - lost, 9 - lost))


def _systems(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(_without_repeats(_cells(rows, _SYSTEMS_SHOWN), 1), list(_SYSTEMS_SHOWN), right=(5, 6))


def _bottlenecks(rows: Sequence[Mapping[str, Any]]) -> str:
    header, cells, lost = _without_pipelines(rows, _BOTTLENECKS_SHOWN)
    return table(_without_repeats(cells, 2 - lost), header, right=(7 - lost, 10 - lost))


def _trust(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(_cells(rows, _TRUST_SHOWN), list(_TRUST_SHOWN), right=(3, 4, 5))


def _cells(rows: Sequence[Mapping[str, Any]], shown: _Shown) -> list[list[Any]]:
    return [[row[what] if isinstance(what, str) else what(row) for what in shown.values()] for row in rows]


def _problems(checks: Sequence[Mapping[str, Any]]) -> str:
    """The checks that fail, or the good news."""
    if not checks:
        return "Every check passes (ops.checks)."
    lines = [f"  {row['check_name']}: {offending(row['failing_count'], row['description'])}" for row in checks]
    return "To look at (ops.checks holds all, with the rows):\n" + "\n".join(lines)


def _without_pipelines(rows: Sequence[Mapping[str, Any]], shown: _Shown) -> tuple[list[str], list[list[Any]], int]:
    """Header and cells, without the pipeline column where every source has just one pipeline; with the number of columns lost so."""
    several = len({(row["source_key"], row["pipeline"]) for row in rows}) > len({row["source_key"] for row in rows})
    kept = {header: what for header, what in shown.items() if several or what != "pipeline"}
    return list(kept), _cells(rows, kept), len(shown) - len(kept)


def _rate(row: Mapping[str, Any]) -> str:
    """The star stands in a column of its own, so that the figures stay aligned."""
    return percent(row["conversion_rate_resolved"]) + (_SMALL if row["is_small_sample"] else "  ")


def _interval(row: Mapping[str, Any]) -> str:
    if row["conversion_low"] is None:
        return UNKNOWN
    return f"{100 * row['conversion_low']:.0f}..{100 * row['conversion_high']:.0f} %"


def _share_of_steps(column: str) -> Callable[[Mapping[str, Any]], str]:
    """A count of steps with its share of them all."""

    def share(row: Mapping[str, Any]) -> str:
        return f"{row[column]:,} ({100 * row[column] / row['steps']:3.0f} %)" if row["steps"] else UNKNOWN

    return share


def _without_repeats(rows: list[list[Any]], columns: int) -> list[list[Any]]:
    """Leading values that equal those of the row above are left blank: the eye finds the groups."""
    shown = []
    before: list[Any] = []
    for row in rows:
        same = 0
        while same < columns and before and row[: same + 1] == before[: same + 1]:
            same += 1
        shown.append([""] * same + row[same:])
        before = row
    return shown


#: Header -> the column of the row that stands below it, or what is made of the row.
_Shown = Mapping[str, str | Callable[[Mapping[str, Any]], Any]]
_CONVERSION_SHOWN: _Shown = {
    "source": "source_key",
    "pipeline": "pipeline",
    "stage": "stage",
    "reached": "reached_count",
    "advanced": "advanced_count",
    "lost": "lost_count",
    "open": "open_count",
    "moved": "moved_count",
    "went on": _rate,
    "95 % interval": _interval,
}
_SYSTEMS_SHOWN: _Shown = {
    "stage": "canonical_stage",
    "source": "source_key",
    "reached": "reached_count",
    "advanced": "advanced_count",
    "lost": "lost_count",
    "went on": _rate,
    "95 % interval": _interval,
    "median days": "dwell_median_days",
    "differs from all": lambda row: "yes" if row["differs"] else "",
}
_BOTTLENECKS_SHOWN: _Shown = {
    "source": "source_key",
    "pipeline": "pipeline",
    "rank": "bottleneck_rank",
    "stage": "stage",
    "score": "bottleneck_score",
    "median days": "dwell_median_days",
    "p90 days": "dwell_p90_days",
    "left/visits": lambda row: f"{row['completed_count']}/{row['visits_count']}",
    "there now": "wip_count",
    "stalled": "stalled_count",
    "lost/left": lambda row: f"{row['lost_exit_count']}/{row['completed_count']}",
    "why": lambda row: (row["bottleneck_reason"] or UNKNOWN) + (_SMALL if row["is_small_sample"] else ""),
}
_TRUST_SHOWN: _Shown = {
    "source": "source_key",
    "deals": "deals",
    "steps": "steps",
    "exact": _share_of_steps("exact_steps"),
    "created": _share_of_steps("created_steps"),
    "inferred": _share_of_steps("inferred_steps"),
    "unmapped stages": "unmapped_stages",
    "their deals": "unmapped_deals",
    "rejected rows": "rejected_rows",
    "complete up to": "data_through_at",
    "last sync": "last_sync_status",
}
