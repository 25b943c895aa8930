"""`staging.stage_answers`: the normaliser's answer for every version of every stage. The one model that Python computes."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from connectors.sdk.errors import ConfigError
from warehouse.runner import Description, PythonModel, insert_rows
from warehouse.stages import StageAnswer, StageLabel, StageMapping, classify

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
        "valid_from": "Start of the stage's version that this answers, UTC; NULL for the first.",
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


def stage_answers_model(mapping: StageMapping | None, threshold: float) -> PythonModel:
    """The model as the runner wants it. Answers below `threshold` become `unmapped`, with the answer as a candidate."""

    def run(con: duckdb.DuckDBPyConnection) -> None:
        cursor = con.execute(
            "select source_key, system, pipeline_id, pipeline_name, stage_id, label, position, pipeline_len, probability, "
            "outcome_flag, valid_from from staging.stg_stage_labels order by all"
        )
        rows = cursor.fetchall()
        labels = [
            StageLabel(
                source_key=row[0],
                system=row[1],
                pipeline=row[2],
                pipeline_name=row[3],
                stage_id=row[4],
                label=row[5],
                position=row[6],
                pipeline_len=row[7],
                probability=row[8],
                outcome=row[9],
                **({"valid_from": row[10]} if "valid_from" in StageLabel.__struct_fields__ else {}),
            )
            for row in rows
        ]
        answers = classify(labels, mapping, threshold=threshold)
        insert_rows(
            con,
            "staging.stage_answers",
            _TYPES,
            [
                {
                    "source_key": row[0],
                    "pipeline_id": row[2],
                    "stage_id": row[4],
                    "valid_from": row[10],
                    **_columns(answer, threshold),
                }
                for row, answer in zip(rows, answers, strict=True)
            ],
        )

    return PythonModel(
        schema="staging",
        name="stage_answers",
        reads=frozenset({"staging.stg_stage_labels"}),
        run=run,
        about=_ABOUT,
    )


def _columns(answer: StageAnswer, threshold: float) -> dict[str, object]:
    sure = answer.method == "mapping" or answer.confidence >= threshold
    candidates = [list(candidate) for candidate in answer.candidates]
    explanation = answer.explanation
    if not sure and answer.canonical_stage != "unmapped":
        candidates = [[answer.canonical_stage, answer.confidence], *candidates]
        explanation = f"{explanation} (below the threshold {threshold:g})"
    return {
        "canonical_stage": answer.canonical_stage if sure else "unmapped",
        "outcome": answer.outcome,
        "mapping_method": answer.method,
        "mapping_confidence": answer.confidence,
        "mapping_explanation": explanation,
        "is_flagged": answer.flagged,
        "candidates": json.dumps(candidates),
        "suggestion": answer.suggestion,
    }
