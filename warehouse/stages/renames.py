"""A stage that is renamed keeps what it counted as: the past stays, and a new label that reads otherwise waits for a person."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from warehouse.stages.answers import UNMAPPED, StageAnswer, StageLabel
from warehouse.stages.mapping_file import label_key


class _Version(msgspec.Struct, frozen=True):
    """One version of a stage: what was asked, what its own label says, and what it counts as."""

    label: StageLabel
    own: StageAnswer
    published: StageAnswer


def kept_over_renames(labels: Sequence[StageLabel], answers: Sequence[StageAnswer]) -> list[StageAnswer]:
    """The answers, in the same order, where a version whose label alone changed counts as the version before it.

    Not kept: an answer of the mapping file, an answer that follows changed flags, and what was unmapped before. Versions of a stage
    are those with equal source, pipeline and stage id, in the order of `valid_from`. An answer that was kept is flagged when the new
    label by itself would count as something else.
    """
    before: dict[tuple[str | None, ...], _Version] = {}
    kept = list(answers)
    for place in sorted(range(len(labels)), key=lambda n: _begins(labels[n])):
        label, own = labels[place], answers[place]
        key = (label.source_key, label.pipeline, label.stage_id)
        if label.stage_id is not None:
            kept[place] = _published(before.get(key), label, own)
            before[key] = _Version(label, own, kept[place])
    return kept


def _published(before: _Version | None, label: StageLabel, own: StageAnswer) -> StageAnswer:
    if before is None or own.method == "mapping" or label.outcome != before.label.outcome:
        return own
    if label_key(label.label) == label_key(before.label.label):
        return before.published if own.canonical_stage == before.own.canonical_stage else own
    stage = before.published.canonical_stage
    if stage in (UNMAPPED, own.canonical_stage):
        return own
    clash = own.canonical_stage != UNMAPPED
    reads = f"the new label reads as {own.canonical_stage}" if clash else "the new label says no stage"
    return msgspec.structs.replace(
        before.published,
        outcome=own.outcome if label.outcome else before.published.outcome,
        explanation=f"renamed from '{before.label.label}', which counted as {stage}; {reads} → {stage} kept",
        candidates=((own.canonical_stage, own.confidence),) if clash else (),
        flagged=clash,
        needs_review=clash,
    )


def _begins(label: StageLabel) -> tuple[bool, str]:
    return (label.valid_from is not None, label.valid_from.isoformat() if label.valid_from else "")
