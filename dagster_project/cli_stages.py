"""`muara stages`: what each stage name counts as, and which ones wait for a decision."""

from __future__ import annotations

import argparse

from dagster_project.cli import OK, Context, Result
from dagster_project.cli_output import table
from dagster_project.cli_sync import hub_of
from warehouse.published import query

_LIST = """
select p.source_key, p.pipeline, s.stage, s.canonical_stage, s.outcome, s.stage_order, s.mapping_method, s.mapping_confidence,
       s.mapping_explanation, s.is_archived, s.stage_key
from main.stages as s inner join main.pipelines as p on p.pipeline_key = s.pipeline_key
order by p.source_key, p.pipeline, s.outcome = 'open' desc, s.stage_order nulls last, s.stage
"""
_REVIEW = """
select source_key, pipeline, stage, canonical_stage, suggested_stage, review_reason, deal_count, open_deal_count, mapping_explanation,
       candidates, stage_key
from ops.stage_mapping_review order by deal_count desc, source_key, pipeline, stage
"""


def list_stages(args: argparse.Namespace, context: Context) -> Result:
    """Every stage with its canonical stage and how that was decided."""
    rows = query(hub_of(args, context).home.published, _LIST).dicts()
    shown = (
        "source_key",
        "pipeline",
        "stage",
        "canonical_stage",
        "outcome",
        "mapping_method",
        "mapping_confidence",
        "mapping_explanation",
    )
    header = ("source", "pipeline", "stage", "counts as", "outcome", "decided by", "confidence", "why")
    cells = [
        [f"{row[name]:.2f}" if name == "mapping_confidence" and row[name] is not None else row[name] for name in shown]
        for row in rows
    ]
    return Result(OK, rows, table(cells, header, right=(6,)))


def unmapped(args: argparse.Namespace, context: Context) -> Result:
    """Stages that nobody could place, or that a person should look at, with the deals they hold."""
    rows = query(hub_of(args, context).home.published, _REVIEW).dicts()
    if not rows:
        return Result(OK, rows, "Every stage is placed.")
    shown = (
        "source_key",
        "pipeline",
        "stage",
        "canonical_stage",
        "suggested_stage",
        "deal_count",
        "open_deal_count",
        "review_reason",
    )
    header = ("source", "pipeline", "stage", "counts as", "perhaps", "deals", "open", "why it is here")
    text = table([[row[name] for name in shown] for row in rows], header)
    return Result(
        OK,
        rows,
        f"{text}\n\nDecide them in the stage mapping file (`stage_mapping` of the Warehouse component); then `muara build`.",
    )
