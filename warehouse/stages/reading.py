"""What the words of a label say: language, concepts, rules, and from them the stages it may be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from warehouse.stages.answers import LIST_ORDER
from warehouse.stages.dictionary import HINT, Dictionary, Rule
from warehouse.stages.matching import Found, Match, Matcher
from warehouse.stages.text import parts, words

NEGATOR = "not"
_WAITING = frozenset({"wait", "pending"})
_UNKNOWN_COST = 0.35  # a label of which nothing is known but one word in three loses this share of two thirds
_FALLBACK_WORTH = 0.8  # an English word in a label of another language
_PIPELINE_BONUS = 0.06  # for the language that a pipeline's other labels are in
_NEAR = 0.02  # languages that explain a label about as well
_YIELD = 0.12  # a stage this much weaker than the strongest gives way to it
_STRONG = 0.75
_ENGLISH_LETTERS = 2  # English wins where another language knows the word by a slightly longer stem
_RIVAL = 0.1  # how close a second meaning must come to make the label ambiguous
_FEW = 7
_HEAVY = ("lost", "on_hold", "won", "post_sale")
_LANGUAGE_ORDER = ("en", "es", "pt", "de", "fr", "it", "id", "nl", "zh", "ja")


Sense = tuple[tuple[str, ...], bool]
"""The concepts of a dictionary entry, and whether it is only a hint."""


class Word(msgspec.Struct, frozen=True, gc=False):
    """A dictionary entry found in the label, for the explanation."""

    text: str
    language: str


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The label understood in one language, with English for words that language does not know.

    `stages`: canonical → score, best first, lowered for unknown words. `rivals`: other stages that the label's words
    name as clearly ("Proposal/Negotiation"). `negator`: a negating word that no rule explains. `edge`: words of signing,
    ordering or paying. `known`: share 0..1 of the label that the dictionary explains. `letters`: length of the entries
    found; the longer they are, the surer the language.
    """

    language: str
    stages: tuple[tuple[str, float], ...]
    words: tuple[Word, ...]
    known: float
    rivals: tuple[str, ...] = ()
    negator: str | None = None
    edge: bool = False
    letters: int = 0

    @property
    def best(self) -> tuple[str, float] | None:
        """The first stage and its score."""
        return self.stages[0] if self.stages else None


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """A label cut up: the tokens of its parts, per part what the dictionary finds, and how well each language explains it.

    `languages`: share 0..1 of the label that each language explains, English counting for words it does not know, best
    first, without those far behind the best. `size`: width of all tokens. `unknown`: tokens that no language explains.
    """

    parts: tuple[tuple[str, ...], ...]
    found: tuple[Found, ...]
    languages: tuple[tuple[str, float], ...]
    size: int
    unknown: tuple[str, ...]


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """What concepts make of a label, whatever its language: stages best first, rivals, an unexplained negation, edge words."""

    stages: tuple[tuple[str, float], ...]
    rivals: tuple[str, ...]
    negated: bool
    edge: bool


class Reader:
    """Reads labels with one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.matcher = Matcher(dictionary)
        self._edge = dictionary.edge
        self._rules = {rule.concepts: rule for rule in dictionary.rules}
        self._largest = max(map(len, self._rules), default=0)
        self._meaning = lru_cache(maxsize=16384)(self._meaning_uncached)

    def cut(self, label: str) -> Tokens:
        """The label as tokens and matches. Pure: the same label gives the same."""
        return self.match([self.matcher.tokens(words(part)) for part in parts(label)])

    def match(self, tokens: Sequence[Sequence[str]]) -> Tokens:
        """Parts that are already cut, with their matches."""
        found = tuple(self.matcher.found(part) for part in tokens)
        size = 0
        all_english = 0.0
        gains: dict[str, float] = {}
        unknown: list[str] = []
        for part, matches in zip(tokens, found, strict=True):
            for token, opening, covered in zip(part, matches.starts, _shares(matches), strict=True):
                width = opening.width
                size += width
                if not covered:
                    unknown.append(token)
                    continue
                english = _FALLBACK_WORTH * width * covered.get("en", 0.0)
                all_english += english
                for code, share in covered.items():
                    gains[code] = gains.get(code, 0.0) + width * share - english
        least = max(gains.values(), default=0.0) - (_NEAR + _PIPELINE_BONUS) * size - 1e-6
        near = [(code, round((all_english + gain) / size, 6)) for code, gain in gains.items() if gain >= least]
        near.sort(key=lambda item: (-item[1], rank(item[0]), item[0]))
        return Tokens(tuple(map(tuple, tokens)), found, tuple(near), size, tuple(unknown))

    def read(self, tokens: Tokens, pipeline: Mapping[str, float] | None = None) -> list[Reading]:
        """Readings in the languages that explain the label about equally well, best first.

        `pipeline`: share 0..1 of the pipeline's labels that each language can read.
        """
        ranked = [(share + _PIPELINE_BONUS * (pipeline or {}).get(code, 0.0), code) for code, share in tokens.languages]
        best = max((share for share, _ in ranked), default=0.0)
        near = [(round(share, 6), self._read_as(tokens, code)) for share, code in ranked if share >= best - _NEAR]
        near.sort(key=lambda item: (-item[0], -item[1].letters, rank(item[1].language), item[1].language))
        return [reading for _, reading in near]

    def _read_as(self, tokens: Tokens, language: str) -> Reading:
        used: list[Match] = []
        senses: list[frozenset[Sense]] = []
        letters = _ENGLISH_LETTERS if language == "en" else 0
        known = 0.0
        for found in tokens.found:
            matches = found.of(language)
            for match in matches:
                letters += match.term.letters
            if language != "en" and (borrowed := _borrowed(matches, found.of("en"))):
                matches = sorted([*matches, *borrowed], key=lambda match: match.start)
            known += _explained(found, matches)
            meaningful = [match for match in matches if match.term.meaningful]
            used += meaningful
            senses.append(frozenset([(match.term.concepts, match.term.hint) for match in meaningful]))
        share = min(1.0, known / (tokens.size or 1))
        factor = 1 - _UNKNOWN_COST * (1 - share)
        meaning = self._meaning(tuple(senses))
        negator = next((m.term.text for m in used if NEGATOR in m.term.concepts), None) if meaning.negated else None
        return Reading(
            language,
            tuple((stage, round(weight * factor, 4)) for stage, weight in meaning.stages),
            tuple(Word(match.term.text.replace("*", "…"), match.term.language) for match in used),
            share,
            rivals=meaning.rivals,
            negator=negator,
            edge=meaning.edge,
            letters=letters,
        )

    def _meaning_uncached(self, parts: tuple[frozenset[Sense], ...]) -> Meaning:
        concepts = _concepts(sense for part in parts for sense in part)
        scopes = [frozenset(concept for names, _ in part for concept in names) for part in parts]
        rules = self._surviving(concepts, scopes)
        weighed = [(rule, min(concepts[concept] for concept in rule.concepts)) for rule in rules]
        stages, rivals = _ordered(weighed, several=sum(map(bool, parts)) > 1)
        negated = NEGATOR in concepts and not any(NEGATOR in rule.concepts for rule in rules)
        return Meaning(tuple(stages), tuple(rivals), negated, bool(concepts.keys() & self._edge))

    def _fitting(self, concepts: Mapping[str, float]) -> Iterable[Rule]:
        """The rules whose concepts are all there. Looks sets up while they are few, else goes through the rules."""
        if len(concepts) > _FEW:
            return [rule for key, rule in self._rules.items() if key <= concepts.keys()]
        sizes = range(1, min(len(concepts), self._largest) + 1)
        chosen = (frozenset(some) for size in sizes for some in itertools.combinations(concepts, size))
        return [self._rules[key] for key in chosen if key in self._rules]

    def _surviving(self, concepts: Mapping[str, float], parts: Sequence[frozenset[str]]) -> list[Rule]:
        """The rules that fit and are not part of a more specific one that fits too. Negation ends with its part."""
        fired = {
            rule.concepts: rule
            for rule in self._fitting(concepts)
            if NEGATOR not in rule.concepts or any(rule.concepts <= part for part in parts)
        }
        rules = [rule for key, rule in fired.items() if not any(key < other for other in fired)]
        rules = [rule for rule in rules if not self._awaited(rule, parts)] or rules
        return sorted(rules, key=lambda rule: sorted(rule.concepts))

    def _awaited(self, rule: Rule, parts: Sequence[frozenset[str]]) -> bool:
        """True for a signature, order or payment that would be won, were it not still waited for."""
        if not rule.stages or rule.stages[0][0] != "won" or "won" in rule.concepts or rule.concepts & _WAITING:
            return False
        return bool(rule.concepts & self._edge) and any(rule.concepts <= part and part & _WAITING for part in parts)


def _concepts(senses: Iterable[Sense]) -> dict[str, float]:
    """Concept → how much it counts: 1, or less when only a hint names it. In order of name, so that ties never move."""
    weights: dict[str, float] = {}
    for names, hint in sorted(senses):
        for concept in names:
            weights[concept] = max(weights.get(concept, 0.0), HINT if hint else 1.0)
    return weights


def _ordered(rules: Iterable[tuple[Rule, float]], *, several: bool) -> tuple[list[tuple[str, float]], list[str]]:
    """Stages best first, and the rivals of the first.

    Every rule claims its first stage. Claims about as strong as the strongest are ordered by what is safer: lost, parked,
    sold, then the later rung. Whatever else the rules allow follows by weight. Rivals are other strong claims of a label of
    `several` parts ("Proposal/Negotiation"), and second meanings that come close to the first.
    """
    claims: dict[str, float] = {}
    others: dict[str, float] = {}
    for rule, strength in rules:
        for place, (stage, weight) in enumerate(rule.stages):
            target = others if place else claims
            target[stage] = max(target.get(stage, 0.0), weight * strength)
    best = max(claims.values(), default=0.0)
    strong = [stage for stage, score in claims.items() if score >= _STRONG and score > best - _YIELD]
    strong.sort(key=lambda stage: (_HEAVY.index(stage) if stage in _HEAVY else len(_HEAVY), -LIST_ORDER[stage]))
    scores = {stage: max(claims.get(stage, 0.0), others.get(stage, 0.0)) for stage in claims | others}
    rest = sorted(
        (stage for stage in scores if stage not in strong), key=lambda stage: (-scores[stage], -LIST_ORDER[stage])
    )
    best = scores[(strong or rest)[0]] if scores else 0.0
    rivals = [stage for stage in rest if scores[stage] >= max(_STRONG, best - _RIVAL)] if strong else []
    return [(stage, scores[stage]) for stage in (*strong, *rest)], [*(strong[1:] if several else []), *rivals]


def _covered(matches: Iterable[Match]) -> int:
    """The positions that the matches cover, as bits."""
    mask = 0
    for match in matches:
        mask |= (1 << match.end) - (1 << match.start)
    return mask


def _shares(found: Found) -> list[dict[str, float]]:
    """Per token: language → how much of it the language explains, 0..1; a phrase explains all its words."""
    shares = [opening.shares for opening in found.starts]
    for code, matches in found.phrases.items():
        for match in matches:
            for spot in range(match.start, match.end):
                shares[spot] = shares[spot] | {code: 1.0}
    return shares


def _borrowed(own: Iterable[Match], english: Sequence[Match]) -> list[Match]:
    """English matches on tokens the language does not know."""
    if not english:
        return []
    covered = _covered(own)
    return [match for match in english if not covered & ((1 << match.end) - (1 << match.start))]


def _explained(found: Found, matches: Iterable[Match]) -> float:
    """How much of the part the matches cover."""
    shares = {spot: match.share for match in matches for spot in range(match.start, match.end)}
    return sum([found.starts[spot].width * share for spot, share in shares.items()])


def rank(language: str) -> int:
    """Sorts languages by how often CRMs are kept in them; English first."""
    return _LANGUAGE_ORDER.index(language) if language in _LANGUAGE_ORDER else len(_LANGUAGE_ORDER)
