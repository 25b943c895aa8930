"""What the words of a label say: language, concepts, rules, and from them the stages it may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from warehouse.stages.answers import LIST_ORDER, STAGE_NAMES
from warehouse.stages.dictionary import HINT, NEUTRAL, SKIP, Dictionary, Rule
from warehouse.stages.matching import Match, Matcher
from warehouse.stages.text import is_unsegmented, parts, words

NEGATOR = "not"
_UNKNOWN_COST = 0.45
_FALLBACK_WORTH = 0.8
_GROUP_BONUS = 0.06
_YIELD = 0.12
_HEAVY = ("lost", "on_hold", "post_sale", "won")
_LANGUAGE_ORDER = ("en", "es", "pt", "de", "fr", "it", "id", "nl", "zh", "ja")


class Word(msgspec.Struct, frozen=True):
    """A matched term as it stands in the label, for the explanation."""

    text: str
    language: str
    concepts: tuple[str, ...]
    hint: bool


class Reading(msgspec.Struct, frozen=True):
    """The label understood in one language (with English for words that language does not know).

    `stages`: canonical → score, best first, already lowered for unknown words. `clear`: exactly one stage stands out;
    False means the label names several. `negated`: a negator that no rule explains.
    """

    language: str
    stages: tuple[tuple[str, float], ...]
    words: tuple[Word, ...]
    known: float
    clear: bool = True
    negated: bool = False

    def score(self, stage: str) -> float:
        return dict(self.stages).get(stage, 0.0)


_NOTHING = Reading("", (), (), 0.0)


class Tokens(msgspec.Struct, frozen=True):
    """A label cut up: the parts' tokens and, per part, the matches of every language."""

    parts: tuple[tuple[str, ...], ...]
    matches: tuple[dict[str, list[Match]], ...]

    @property
    def size(self) -> int:
        return sum(_width(token) for part in self.parts for token in part)


def _width(token: str) -> int:
    """A character of a script without blanks says about as much as two letters."""
    return 2 * len(token) if is_unsegmented(token) else len(token)


class Reader:
    """Reads labels with one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.matcher = Matcher(dictionary)
        self._rules: dict[str, list[Rule]] = {}
        for rule in dictionary.rules:
            for concept in rule.concepts:
                self._rules.setdefault(concept, []).append(rule)

    def cut(self, label: str) -> Tokens:
        """The label as tokens and matches. Pure: the same label gives the same."""
        cut = tuple(tuple(self.matcher.tokens(words(part))) for part in parts(label))
        return Tokens(cut, tuple(self.matcher.matches(list(part)) for part in cut))

    def languages(self, tokens: Tokens) -> list[tuple[str, float]]:
        """Languages that know words of the label, with the share of it they explain, best first."""
        codes = {language for matches in tokens.matches for language in matches}
        size = tokens.size or 1
        shares = [(code, self._share(tokens, code) / size) for code in codes]
        return sorted(shares, key=lambda item: (-round(item[1], 6), _rank(item[0]), item[0]))

    def _share(self, tokens: Tokens, language: str) -> float:
        own = sum(
            _explained(part, found.get(language, ())) for part, found in zip(tokens.parts, tokens.matches, strict=True)
        )
        if language == "en":
            return own
        borrowed = sum(
            _explained(part, self._borrowed(found, language))
            for part, found in zip(tokens.parts, tokens.matches, strict=True)
        )
        return own + _FALLBACK_WORTH * borrowed

    @staticmethod
    def _borrowed(found: Mapping[str, list[Match]], language: str) -> list[Match]:
        """English matches on tokens the language does not know."""
        spots = {spot for match in found.get(language, ()) for spot in range(match.start, match.end)}
        english = () if language == "en" else found.get("en", ())
        return [match for match in english if not spots & set(range(match.start, match.end))]

    def read(self, tokens: Tokens, group: Mapping[str, float] | None = None) -> list[Reading]:
        """Readings in the languages that explain the label best; `group`: share of the pipeline's labels per language."""
        ranked = [(share + _GROUP_BONUS * (group or {}).get(code, 0.0), code) for code, share in self.languages(tokens)]
        if not ranked:
            return []
        best = max(share for share, _ in ranked)
        near = sorted(
            (item for item in ranked if item[0] >= best - 0.02),
            key=lambda item: (-round(item[0], 6), _rank(item[1]), item[1]),
        )
        return [self._read_as(tokens, code) for _, code in near]

    def _read_as(self, tokens: Tokens, language: str) -> Reading:
        used = [
            match for found in tokens.matches for match in (*found.get(language, ()), *self._borrowed(found, language))
        ]
        known = sum(
            _explained(part, (*found.get(language, ()), *self._borrowed(found, language)))
            for part, found in zip(tokens.parts, tokens.matches, strict=True)
        )
        meaningful = [match for match in used if match.meaningful]
        share = min(1.0, known / (tokens.size or 1))
        stages, negated = self.stages_of(meaningful)
        factor = 1 - _UNKNOWN_COST * (1 - share)
        scored = tuple((stage, round(weight * factor, 4)) for stage, weight in stages)
        top = [stage for stage, weight in stages if weight >= stages[0][1] - 1e-9] if stages else []
        return Reading(
            language,
            scored,
            tuple(Word(m.term.text.rstrip("*"), m.term.language, m.term.concepts, m.term.hint) for m in meaningful),
            share,
            clear=len(top) <= 1,
            negated=negated,
        )

    def stages_of(self, matches: Iterable[Match]) -> tuple[list[tuple[str, float]], bool]:
        """Stages of a set of terms, best first, and whether a negator was left without a rule."""
        weights: dict[str, float] = {}
        for match in matches:
            for concept in match.term.concepts:
                weights[concept] = max(weights.get(concept, 0.0), HINT if match.term.hint else 1.0)
        fired = {
            rule for concept in weights for rule in self._rules.get(concept, ()) if rule.concepts <= weights.keys()
        }
        surviving = [rule for rule in fired if not any(rule.concepts < other.concepts for other in fired)]
        negated = NEGATOR in weights and not any(NEGATOR in rule.concepts for rule in surviving)
        scores: dict[str, float] = {}
        for rule in surviving:
            strength = min(weights[concept] for concept in rule.concepts)
            for stage, weight in rule.stages:
                scores[stage] = max(scores.get(stage, 0.0), weight * strength)
        return _ordered(scores), negated


def _ordered(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """Best first. Stages about as strong as the best are ordered by what is safer: lost, parked, sold, then the later rung."""
    if not scores:
        return []
    best = max(scores.values())
    strong = [stage for stage, score in scores.items() if score >= best - _YIELD and score >= 0.75]
    strong.sort(key=lambda stage: (_HEAVY.index(stage) if stage in _HEAVY else 9, -LIST_ORDER[stage]))
    rest = sorted((s for s in scores if s not in strong), key=lambda stage: (-scores[stage], -LIST_ORDER[stage]))
    return [(stage, scores[stage]) for stage in (*strong, *rest)]


def _explained(part: tuple[str, ...], matches: Iterable[Match]) -> float:
    """How many characters of the part the matches cover."""
    spots = {spot for match in matches for spot in range(match.start, match.end)}
    return float(sum(_width(part[spot]) for spot in spots))


def _rank(language: str) -> int:
    return _LANGUAGE_ORDER.index(language) if language in _LANGUAGE_ORDER else len(_LANGUAGE_ORDER)


__all__ = ["NEGATOR", "NEUTRAL", "SKIP", "STAGE_NAMES", "Reader", "Reading", "Tokens", "Word"]
