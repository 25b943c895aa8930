"""What goes into the stage-name normaliser and what comes out."""

from __future__ import annotations

from datetime import datetime

import msgspec

UNMAPPED = "unmapped"
THRESHOLD = 0.75
"""Answers less sure than this are not published: they become `unmapped` and wait for review."""


class CanonicalStage(msgspec.Struct, frozen=True):
    """One value of the taxonomy. `canonical_order` is the rung on the open ladder, None off it; `list_order` merely sorts."""

    canonical_stage: str
    canonical_order: int | None
    list_order: int
    outcome: str | None
    temperature: str | None


CANONICAL_STAGES: tuple[CanonicalStage, ...] = (
    CanonicalStage("prospecting", 10, 10, "open", "cold"),
    CanonicalStage("qualification", 20, 20, "open", "cold"),
    CanonicalStage("discovery", 30, 30, "open", "warm"),
    CanonicalStage("nurture", 40, 40, "open", "warm"),
    CanonicalStage("proposal", 50, 50, "open", "warm"),
    CanonicalStage("negotiation", 60, 60, "open", "hot"),
    CanonicalStage("won", None, 70, "won", None),
    CanonicalStage("lost", None, 80, "lost", None),
    CanonicalStage("on_hold", None, 90, "open", "cold"),
    CanonicalStage("post_sale", None, 100, "won", None),
    CanonicalStage(UNMAPPED, None, 110, None, None),
)
"""The ten stages and, last, `unmapped`, whose outcome comes from the CRM's own flags."""

STAGE_NAMES: frozenset[str] = frozenset(stage.canonical_stage for stage in CANONICAL_STAGES)
STAGE_OUTCOME: dict[str, str] = {stage.canonical_stage: stage.outcome or "open" for stage in CANONICAL_STAGES}
LIST_ORDER: dict[str, int] = {stage.canonical_stage: stage.list_order for stage in CANONICAL_STAGES}


class StageLabel(msgspec.Struct, frozen=True):
    """One stage as its source names it. Everything but the label is optional evidence.

    `outcome` is what the CRM's own closed/won flags say (`open`, `won`, `lost`), None where it has none.
    `probability` is 0..1. `position` is 1-based within the pipeline of `pipeline_len` stages.
    `valid_from` is the start (UTC) of the version of the stage being named, for dated mapping entries.
    """

    label: str
    id: str | None = None
    system: str | None = None
    source_key: str | None = None
    pipeline: str | None = None
    pipeline_name: str | None = None
    stage_id: str | None = None
    position: int | None = None
    pipeline_len: int | None = None
    probability: float | None = None
    outcome: str | None = None
    valid_from: datetime | None = None


class StageAnswer(msgspec.Struct, frozen=True):
    """The canonical stage of one label, and why.

    `canonical_stage` is one of the ten or `unmapped`, never None. `outcome` follows the CRM's flags where it has them.
    `method` names the authority that answered: mapping, metadata, dictionary, fuzzy or none. `explanation` is one line
    for a person. `candidates` are other readings, best first, with their scores. `flagged`: label and flags disagree or
    the label names two stages. `suggestion`: what position and probability hint at, for review only. `needs_review`:
    a person should look (unmapped or flagged).
    """

    canonical_stage: str
    outcome: str
    confidence: float
    method: str
    explanation: str
    candidates: tuple[tuple[str, float], ...] = ()
    flagged: bool = False
    suggestion: str | None = None
    needs_review: bool = False
