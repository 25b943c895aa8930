"""The order of authority: mapping file, CRM metadata, dictionary, fuzzy; position and probability only choose or suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from warehouse.stages.answers import STAGE_OUTCOME, THRESHOLD, UNMAPPED, StageAnswer, StageLabel
from warehouse.stages.dictionary import dictionary
from warehouse.stages.mapping_file import StageMapping
from warehouse.stages.reading import Reader, Reading, Tokens


@lru_cache(maxsize=1)
def _reader() -> Reader:
    return Reader(dictionary())


@lru_cache(maxsize=65536)
def _cut(label: str) -> Tokens:
    return _reader().cut(label)


def classify(
    labels: Sequence[StageLabel], mapping: StageMapping | None = None, *, threshold: float = THRESHOLD
) -> list[StageAnswer]:
    """One answer per label, in the same order. Labels of one pipeline (source_key, system, pipeline) share a language.

    Answers below `threshold` are `unmapped`, with what they might be as candidates. Deterministic, no network.
    """
    groups: dict[tuple[str | None, ...], Counter[str]] = {}
    for label in labels:
        votes = groups.setdefault(_group(label), Counter())
        ranked = _reader().languages(_cut(label.label))
        if ranked:
            for code, share in ranked:
                if share >= ranked[0][1] - 1e-6:
                    votes[code] += 1
    shares = {
        key: {code: n / max(1, sum(votes.values())) for code, n in votes.items()} for key, votes in groups.items()
    }
    return [_answer(label, mapping, shares[_group(label)], threshold) for label in labels]


def classify_one(
    label: StageLabel | str, mapping: StageMapping | None = None, *, threshold: float = THRESHOLD
) -> StageAnswer:
    """The answer for a single label, without neighbours to tell its language."""
    return classify([StageLabel(label) if isinstance(label, str) else label], mapping, threshold=threshold)[0]


def _group(label: StageLabel) -> tuple[str | None, ...]:
    if label.pipeline is None:
        return (label.source_key, label.system, None, label.label)
    return (label.source_key, label.system, label.pipeline)


def _answer(
    label: StageLabel, mapping: StageMapping | None, group: Mapping[str, float], threshold: float
) -> StageAnswer:
    readings = _reader().read(_cut(label.label), group)
    reading = readings[0] if readings else None
    stage, score = reading.stages[0] if reading and reading.stages else (UNMAPPED, 0.0)
    if label.outcome in ("won", "lost"):
        return StageAnswer(label.outcome, label.outcome, 0.95, "metadata", f"metadata: the CRM says {label.outcome}")
    if reading is None or score < threshold:
        return StageAnswer(
            UNMAPPED, label.outcome or "open", 0.0, "none", "none: no term of the dictionary", needs_review=True
        )
    return StageAnswer(stage, label.outcome or STAGE_OUTCOME[stage], score, "dictionary", _explain(reading, stage))


def _explain(reading: Reading, stage: str) -> str:
    named = " + ".join(f"'{word.text}' ({word.language})" for word in reading.words)
    return f"dictionary: {named} → {stage}"
