"""`muara show`: everything known of one deal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dagster_project.cli import OK, Context, Result
from dagster_project.cli_output import UNKNOWN, cell, table
from dagster_project.cli_sync import hub_of

#: What each kind of evidence means, in words.
_EVIDENCE = {
    "exact": "the source's own history",
    "created": "the deal's creation time",
    "observed": "first seen by a sync; it happened earlier",
    "snapshot_diff": "two snapshots differ; it happened between them",
}
_PRECISION = {"day": ", known to the day", "snapshot": ", after the snapshot before"}
_FACTS = (
    ("stage", "stage"),
    ("pipeline", "pipeline"),
    ("canonical stage", "canonical_stage"),
    ("outcome", "outcome"),
    ("amount", "amount"),
    ("currency", "currency"),
    ("in reporting currency", "amount_reporting"),
    ("company", "company"),
    ("owner", "owner"),
    ("created", "created_at"),
    ("closed", "closed_at"),
    ("expected close", "expected_close_date"),
    ("presence", "presence"),
    ("last seen", "last_seen_at"),
    ("counts in totals", "is_primary"),
    ("same deal as", "unified_deal_id"),
    ("where", "deal_url"),
)


def show(args: argparse.Namespace, context: Context) -> Result:
    """One deal: facts, path with the evidence of each step, field changes, and what the source said word by word."""
    from warehouse.story import deal_story  # noqa: PLC0415 - brings duckdb

    story = deal_story(hub_of(args, context).home, args.deal_key)
    parts = [_facts(args.deal_key, story.published)]
    if story.path:
        parts.append("Path\n\n" + _path(story.path))
    if story.field_changes:
        parts.append("Changes of fields\n\n" + _fields(story.field_changes))
    parts.append("As landed\n\n" + _landed(story.landed))
    latest = story.landed["deals"][-1]["raw"] if story.landed["deals"] else {}
    parts.append(
        "The source's own words, latest version\n\n" + json.dumps(latest, indent=2, ensure_ascii=False, default=str)
    )
    return Result(OK, msgspec.structs.asdict(story), "\n\n".join(parts))


def _facts(deal_key: str, deal: Mapping[str, Any] | None) -> str:
    if deal is None:
        return f"{deal_key}: landed, but not in the published file. `muara build` brings it there."
    rows = [[label, cell(deal.get(name))] for label, name in _FACTS if deal.get(name) not in (None, deal_key)]
    name = cell(deal.get("name"))
    return f"{deal_key}  {name if name != UNKNOWN else ''}".rstrip() + "\n\n" + table(rows, ["", ""]).split("\n", 2)[2]


def _path(path: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            step["seq"],
            step["changed_at"],
            step["to_stage"] or step["to_stage_key"],
            step["to_canonical_stage"],
            step["movement"],
            step["days_in_from_stage"],
            step["changed_by"],
            _evidence(step),
        ]
        for step in path
    ]
    return table(rows, ["", "entered", "stage", "counts as", "movement", "days before", "by", "how we know"])


def _evidence(step: Mapping[str, Any]) -> str:
    words = _EVIDENCE.get(step["evidence"], "")
    precision = _PRECISION.get(step.get("precision") or "", "")
    return f"{step['evidence']}: {words}{precision}" if words else f"{step['evidence']}{precision}"


def _fields(changes: Sequence[Mapping[str, Any]]) -> str:
    rows = [[one["changed_at"], one["field"], one["old_value"], one["new_value"], one["origin"]] for one in changes]
    return table(rows, ["when", "field", "before", "after", "how we know"])


def _landed(landed: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = []
    for stream, versions in landed.items():
        if versions:
            rows.append([stream, len(versions), versions[0]["_read_at"], versions[-1]["_read_at"]])
    return table(rows, ["stream", "rows", "first read", "last read"])
