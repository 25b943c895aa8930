"""What position and probability hint at. Alone they are right about half the time: they choose between candidates or suggest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from warehouse.stages.answers import StageLabel

# Rung -> usual probability (median of public Salesforce orgs, measured) and usual place within a pipeline, both 0..1.
_USUAL: dict[str, tuple[float, float]] = {
    "prospecting": (0.05, 0.03),
    "qualification": (0.12, 0.2),
    "discovery": (0.22, 0.3),
    "nurture": (0.3, 0.45),
    "proposal": (0.5, 0.55),
    "negotiation": (0.8, 0.75),
}
_CLEARLY_BETTER = 0.05


class Evidence(msgspec.Struct, frozen=True):
    """Probability and relative place of a stage, both 0..1, None where the source says nothing usable."""

    probability: float | None = None
    place: float | None = None

    def __str__(self) -> str:
        named = [name for name, seen in (("place", self.place), ("probability", self.probability)) if seen is not None]
        return " and ".join(named)

    def distance(self, stage: str) -> float | None:
        """How far the stage is from its usual probability and place; None off the ladder or without evidence."""
        if stage not in _USUAL:
            return None
        gaps = [
            abs(seen - usual)
            for seen, usual in zip((self.probability, self.place), _USUAL[stage], strict=True)
            if seen is not None
        ]
        return sum(gaps) / len(gaps) if gaps else None

    def choose(self, stages: Sequence[str]) -> str | None:
        """The one of several rungs that clearly fits best, or None."""
        ranked = sorted((gap, stage) for stage in stages if (gap := self.distance(stage)) is not None)
        if len(ranked) != len(stages) or len(ranked) < 2 or ranked[1][0] - ranked[0][0] < _CLEARLY_BETTER:
            return None
        return ranked[0][1]

    def suggest(self) -> str | None:
        """The nearest rung, for the review list only."""
        ranked = sorted((gap, stage) for stage in _USUAL if (gap := self.distance(stage)) is not None)
        return ranked[0][1] if ranked else None


def evidence_of(label: StageLabel, informative: bool) -> Evidence:
    """The label's evidence. `informative`: the pipeline's probabilities differ (some CRMs ship every stage at 100 %)."""
    probability = label.probability if informative and label.probability not in (None, 0.0, 1.0) else None
    place = None
    if label.position is not None and label.pipeline_len is not None and label.pipeline_len > 2:
        place = min(1.0, max(0.0, (label.position - 1) / (label.pipeline_len - 1)))
    return Evidence(probability, place)


def is_informative(probabilities: Iterable[float | None]) -> bool:
    """False when three or more stages of a pipeline all have one and the same probability."""
    seen = [value for value in probabilities if value is not None]
    return len(seen) < 3 or len(set(seen)) > 1
