"""The order of authority: mapping file, CRM metadata, dictionary, fuzzy; position and probability only choose or suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from warehouse.stages.answers import STAGE_OUTCOME, THRESHOLD, UNMAPPED, StageAnswer, StageLabel
from warehouse.stages.dictionary import Dictionary, dictionary
from warehouse.stages.evidence import Evidence, evidence_of, is_informative
from warehouse.stages.flags import weigh
from warehouse.stages.fuzzy import Speller
from warehouse.stages.mapping_file import MappingEntry, StageMapping
from warehouse.stages.reading import Reader, Reading, rank

_CACHE = 1 << 16
_FUZZY_WORTH = 0.88
_DISAGREEMENT_WORTH = 0.88  # two languages read the label equally well, and differently
_CLOSE = 0.08
_CHOSEN = 0.78
_CLEAR_LEAD = 0.82
_CLOSED = frozenset({"won", "lost"})
_SPELL_IN = frozenset({"en"})


class Pipeline(msgspec.Struct, frozen=True, gc=False):
    """What a label's neighbours tell: share 0..1 of the labels each language can read, and whether probabilities differ."""

    languages: Mapping[str, float]
    informative: bool


class Opinion(msgspec.Struct, frozen=True, gc=False):
    """What the words say: a stage (None: nothing clear), how surely, why, and the other candidates."""

    stage: str | None
    score: float
    method: str
    why: str
    candidates: tuple[tuple[str, float], ...] = ()
    flagged: bool = False
    edge: bool = False


class Knowledge:
    """A dictionary made ready to read labels with; it remembers the labels it has cut up and the words it has corrected."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.reader = Reader(dictionary)
        self.speller = Speller(dictionary)
        self.cut = lru_cache(maxsize=_CACHE)(self.reader.cut)


@lru_cache(maxsize=1)
def _shipped() -> Knowledge:
    return Knowledge(dictionary())


def classify(
    labels: Sequence[StageLabel],
    mapping: StageMapping | None = None,
    *,
    threshold: float = THRESHOLD,
    knowledge: Knowledge | None = None,
) -> list[StageAnswer]:
    """One answer per label, in the same order. Deterministic; no network, no clock.

    Labels with the same `source_key`, `system` and `pipeline` are one pipeline: they share a language, and their
    probabilities are compared. Answers below `threshold` are `unmapped`, with what they might be as candidates; the
    user's mapping file always wins, with confidence 1. `knowledge`: another dictionary than the one Muara ships.
    """
    knowledge = knowledge or _shipped()
    members: dict[tuple[str | None, ...], list[StageLabel]] = {}
    for label in labels:
        members.setdefault(_pipeline_key(label), []).append(label)
    pipelines = {key: _pipeline(group, knowledge) for key, group in members.items()}
    return [_answer(label, pipelines[_pipeline_key(label)], mapping, threshold, knowledge) for label in labels]


def classify_one(
    label: StageLabel | str, mapping: StageMapping | None = None, *, threshold: float = THRESHOLD
) -> StageAnswer:
    """The answer for a single label, without neighbours to tell its language."""
    return classify([StageLabel(label) if isinstance(label, str) else label], mapping, threshold=threshold)[0]


def _pipeline_key(label: StageLabel) -> tuple[str | None, ...]:
    alone = label.label if label.pipeline is None else None
    return (label.source_key, label.system, label.pipeline, alone)


def _pipeline(labels: Sequence[StageLabel], knowledge: Knowledge) -> Pipeline:
    votes: dict[str, int] = {}
    for label in labels:
        ranked = knowledge.cut(label.label).languages
        for code, share in ranked:
            if share < ranked[0][1] - 1e-6:
                break
            votes[code] = votes.get(code, 0) + 1
    shares = {code: count / len(labels) for code, count in votes.items()}
    return Pipeline(shares, is_informative(label.probability for label in labels))


def _answer(
    label: StageLabel, pipeline: Pipeline, mapping: StageMapping | None, threshold: float, knowledge: Knowledge
) -> StageAnswer:
    entry = mapping.find(label) if mapping else None
    if entry is not None:
        return _mapped(label, entry)
    evidence = evidence_of(label, pipeline.informative)
    opinion = _opinion(label.label, pipeline, evidence, threshold, knowledge)
    said = opinion.stage if opinion.score >= threshold else None
    verdict = weigh(label, said, opinion.score, opinion.edge)
    if verdict is None:
        outcome = label.outcome or (STAGE_OUTCOME[said] if said else "open")
        if label.outcome == "open" and said in _CLOSED:
            why = f"{opinion.why}, though the CRM keeps it open"
            opinion = msgspec.structs.replace(opinion, why=why, flagged=True)
        if said is None and opinion.stage is not None and not opinion.flagged:
            opinion = msgspec.structs.replace(opinion, why=_doubted(opinion, threshold))
        return _finished(opinion, said, outcome, evidence)
    words = f" ({opinion.why})" if opinion.stage else ""
    stage = verdict.stage if verdict.confidence >= threshold else None
    told = Opinion(
        verdict.stage,
        verdict.confidence,
        "metadata",
        f"metadata: {verdict.reason}{words if stage != said or verdict.flagged else ''} → {stage or UNMAPPED}",
        _others(opinion, stage),
        flagged=verdict.flagged,
    )
    return _finished(told, stage, verdict.outcome, evidence)


def _doubted(opinion: Opinion, threshold: float) -> str:
    """The explanation of an answer that is not sure enough to be published."""
    found = opinion.why.removesuffix(f" → {opinion.stage}")
    return f"{found} → perhaps {opinion.stage}, but {opinion.score:.2f} sure is too little ({threshold:.2f} needed) → {UNMAPPED}"


def _mapped(label: StageLabel, entry: MappingEntry) -> StageAnswer:
    stage = entry.canonical_stage
    outcome = entry.outcome or label.outcome or STAGE_OUTCOME[stage]
    return StageAnswer(stage, outcome, 1.0, "mapping", f"mapping: {entry} → {stage}")


def _finished(opinion: Opinion, stage: str | None, outcome: str, evidence: Evidence) -> StageAnswer:
    if stage is None:
        candidates = _others(opinion, None)
        method = opinion.method if opinion.flagged else "none"
        return StageAnswer(
            UNMAPPED,
            outcome,
            0.0,
            method,
            opinion.why,
            candidates,
            opinion.flagged,
            evidence.suggest(),
            needs_review=True,
        )
    return StageAnswer(
        stage,
        outcome,
        round(min(opinion.score, 0.99), 2),
        opinion.method,
        opinion.why,
        tuple(candidate for candidate in opinion.candidates if candidate[0] != stage),
        opinion.flagged,
        None,
        needs_review=opinion.flagged,
    )


def _others(opinion: Opinion, stage: str | None) -> tuple[tuple[str, float], ...]:
    named = () if opinion.stage is None else ((opinion.stage, round(opinion.score, 2)),)
    seen = dict((*reversed(opinion.candidates), *named))
    seen.pop(stage or "", None)
    return tuple(
        sorted(((name, score) for name, score in seen.items() if score > 0), key=lambda item: (-item[1], item[0]))
    )


def _opinion(label: str, pipeline: Pipeline, evidence: Evidence, threshold: float, knowledge: Knowledge) -> Opinion:
    """What the dictionary says, and where it says too little, what it says of the label with its spelling set right."""
    if not label.strip():
        return Opinion(None, 0.0, "none", f"none: the label is empty → {UNMAPPED}")
    tokens = knowledge.cut(label)
    plain = _read(knowledge.reader.read(tokens, pipeline.languages), evidence)
    if plain.score >= threshold or plain.flagged:
        return plain
    wrong = [token for token in tokens.unknown if len(token) > 5]
    languages = _spelling(pipeline)
    spelt = {token: word for token in wrong if (word := knowledge.speller.correct(token, languages)) is not None}
    if not spelt:
        return plain
    corrected = knowledge.reader.match([[spelt.get(token, token) for token in part] for part in tokens.parts])
    mended = _read(knowledge.reader.read(corrected, pipeline.languages), evidence)
    if mended.stage is None or mended.score * _FUZZY_WORTH <= plain.score:
        return plain
    fixes = ", ".join(f"'{token}' ~ '{word}'" for token, word in spelt.items())
    score = mended.score * _FUZZY_WORTH
    if mended.stage in _CLOSED or any(stage in _CLOSED for stage, _ in mended.candidates):
        why = f"fuzzy: {fixes} may mean {mended.stage}, but won and lost are never taken from a misspelling"
        return Opinion(
            None, 0.0, "fuzzy", f"{why} → {UNMAPPED}", ((mended.stage, round(min(score, 0.7), 2)),), flagged=True
        )
    return Opinion(
        mended.stage, score, "fuzzy", f"fuzzy: {fixes} → {mended.stage}", mended.candidates, mended.flagged, mended.edge
    )


def _spelling(pipeline: Pipeline) -> frozenset[str]:
    """The languages to spell in: those of the pipeline, English when they are not known."""
    known = frozenset(code for code, share in pipeline.languages.items() if share >= 0.5)
    return _SPELL_IN if not known or "en" in known else known


def _read(everything: Sequence[Reading], evidence: Evidence) -> Opinion:
    least = max((reading.letters for reading in everything[:1] if reading.known > 0.99), default=0)
    readings = [r for r in everything if (r.stages or r.negator) and (r.letters >= least or r.known < 0.99)]
    if not readings:
        reason = "no word of the label is in the dictionary"
        if everything:
            all_known = everything[0].known > 0.99
            reason = (
                f"{'the words of the label' if all_known else 'the words it has in the dictionary'} do not say a stage"
            )
        return Opinion(None, 0.0, "none", f"none: {reason} → {UNMAPPED}")
    first = _spokesman(readings)
    if first.negator:
        why = (
            f"dictionary: {_named(first)}, but '{first.negator}' turns it round and no rule says into what → {UNMAPPED}"
        )
        return Opinion(None, 0.0, "dictionary", why, _capped(first.stages), flagged=True)
    stage, score = first.stages[0]
    others = [reading.stages[0] for reading in readings if reading.stages and reading.stages[0][0] != stage]
    if others:
        score *= _DISAGREEMENT_WORTH
    why = f"dictionary: {_named(first)}"
    chosen = _chosen(first, score, evidence)
    if chosen is not None and chosen != stage:
        why, stage, score = f"{why}, by its {evidence}", chosen, max(score, _CHOSEN)
    elif chosen is not None:
        why, score = f"{why}, confirmed by its {evidence}", max(score, _CHOSEN)
    rivals = [rival for rival in first.rivals if rival != stage]
    if rivals:
        why = f"{why}; could also be {' or '.join(rivals)}"
    candidates = _merged((*first.stages[1:], (first.stages[0][0], score), *others), stage)
    return Opinion(stage, score, "dictionary", f"{why} → {stage}", candidates, bool(rivals), first.edge)


def _spokesman(readings: Sequence[Reading]) -> Reading:
    """The reading to answer with: the first, or one in a more widely spoken language that says the same as surely."""
    first = readings[0]
    same = [reading for reading in readings if (reading.stages, reading.known) == (first.stages, first.known)]
    return min(same, key=lambda reading: rank(reading.language))


def _chosen(reading: Reading, score: float, evidence: Evidence) -> str | None:
    """The rung that place and probability pick among the reading's close candidates; None when there is nothing to pick."""
    close = [stage for stage, other in reading.stages if other >= reading.stages[0][1] - _CLOSE]
    if score >= _CLEAR_LEAD or len(close) < 2 or reading.rivals or reading.stages[0][1] < 0.6:
        return None
    return evidence.choose(close)


def _named(reading: Reading) -> str:
    """The dictionary entries found, with their languages: "'contract' + 'sent' (en)"."""
    named: list[str] = []
    for place, word in enumerate(reading.words):
        last = place + 1 == len(reading.words) or reading.words[place + 1].language != word.language
        named.append(f"'{word.text}' ({word.language})" if last else f"'{word.text}'")
    return " + ".join(named)


def _merged(stages: Sequence[tuple[str, float]], without: str) -> tuple[tuple[str, float], ...]:
    best: dict[str, float] = {}
    for stage, score in stages:
        best[stage] = max(best.get(stage, 0.0), round(score, 2))
    best.pop(without, None)
    return tuple(sorted(best.items(), key=lambda item: (-item[1], item[0])))


def _capped(stages: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple((stage, round(min(score, 0.5), 2)) for stage, score in stages)
