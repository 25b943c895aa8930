"""`staging.stage_answers`: the normaliser's answer for every version of every stage. The one model that Python computes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from connectors.sdk.errors import ConfigError
from warehouse.runner import Description, PythonModel, insert_rows
from warehouse.stages import StageAnswer, StageLabel, StageMapping, classify
from warehouse.stages.renames import kept_over_renames

_TYPES = {
    "source_key": "VARCHAR",
    "pipeline_id": "VARCHAR",
    "stage_id": "VARCHAR",
    "valid_from": "TIMESTAMP",
    "canonical_stage": "VARCHAR",
    "outcome": "VARCHAR",
    "mapping_method": "VARCHAR",
    "mapping_confidence": "DOUBLE",
    "mapping_explanation": "VARCHAR",
    "is_flagged": "BOOLEAN",
    "candidates": "VARCHAR",
    "suggestion": "VARCHAR",
}

_ABOUT = Description(
    description="One row per version of a stage: the canonical stage it counts as, and why.",
    grain=["source_key", "pipeline_id", "stage_id", "valid_from"],
    columns={
        "source_key": "The source, as named in its YAML.",
        "pipeline_id": "The source's own pipeline id.",
        "stage_id": "The source's own stage id.",
        "valid_from": "Start of the version that this answers, UTC (1970-01-01 for the first); a dated mapping entry begins one, too.",
        "canonical_stage": "prospecting, qualification, discovery, nurture, proposal, negotiation, won, lost, on_hold, post_sale or unmapped.",
        "outcome": "open, won or lost.",
        "mapping_method": "Which authority answered: mapping, metadata, dictionary, fuzzy, none.",
        "mapping_confidence": "0..1, how sure the answer is.",
        "mapping_explanation": "The answer explained in one line.",
        "is_flagged": "True when label and flags disagree or the label is ambiguous: look at it.",
        "candidates": "Other answers with their scores, JSON.",
        "suggestion": "What position and probability hint at; never used by itself.",
    },
)


def load_mapping(project: Path | None, name: str | None) -> StageMapping | None:
    """The user's mapping file, or None where none is set. Raises ConfigError naming the entry that is wrong."""
    if name is None:
        return None
    path = (project or Path()) / name
    if not path.is_file():
        raise ConfigError(f"warehouse.stage_mapping: there is no file {name}. `muara stages suggest` writes one.")
    return StageMapping.load(path)


LABELS_SQL = """
select source_key, system, pipeline_id, pipeline_name, stage_id, label, position, pipeline_len, probability, outcome_flag,
       valid_from, valid_to
from staging.stg_stage_labels order by all
"""
"""The rows that `stage_labels` reads, from a build's connection or a published file."""


def stage_labels(rows: Iterable[tuple[Any, ...]], mapping: StageMapping | None) -> list[StageLabel]:
    """What the normaliser is asked: every version of every stage, cut where dated entries of the mapping begin or end."""
    labels: list[StageLabel] = []
    for *values, until in rows:
        source, system, pipeline, pipeline_name, stage, name, position, length, probability, outcome, start = values
        label = StageLabel(
            name,
            system=system,
            source_key=source,
            pipeline=pipeline,
            pipeline_name=pipeline_name,
            stage_id=stage,
            position=position,
            pipeline_len=length,
            probability=probability,
            outcome=outcome,
            valid_from=start,
        )
        labels += mapping.cut(label, until) if mapping else [label]
    return labels


def stage_answers_model(mapping: StageMapping | None, threshold: float) -> PythonModel:
    """The model as the runner wants it. Answers below `threshold` become `unmapped`, with the answer as a candidate."""

    def run(con: duckdb.DuckDBPyConnection) -> None:
        labels = stage_labels(con.execute(LABELS_SQL).fetchall(), mapping)
        answers = kept_over_renames(labels, classify(labels, mapping, threshold=threshold))
        rows = [
            {
                "source_key": label.source_key,
                "pipeline_id": label.pipeline,
                "stage_id": label.stage_id,
                "valid_from": label.valid_from.replace(tzinfo=None) if label.valid_from else None,
                **_columns(answer),
            }
            for label, answer in zip(labels, answers, strict=True)
        ]
        insert_rows(con, "staging.stage_answers", _TYPES, rows)

    return PythonModel(
        schema="staging",
        name="stage_answers",
        reads=frozenset({"staging.stg_stage_labels"}),
        run=run,
        about=_ABOUT,
    )


def _columns(answer: StageAnswer) -> dict[str, object]:
    return {
        "canonical_stage": answer.canonical_stage,
        "outcome": answer.outcome,
        "mapping_method": answer.method,
        "mapping_confidence": answer.confidence,
        "mapping_explanation": answer.explanation,
        "is_flagged": answer.flagged,
        "candidates": json.dumps(answer.candidates),
        "suggestion": answer.suggestion,
    }
