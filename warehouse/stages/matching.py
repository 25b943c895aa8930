"""Finds the dictionary's terms in one part of a label, per language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from warehouse.stages.dictionary import SKIP, Dictionary, Term
from warehouse.stages.text import is_unsegmented

_INFIX_MIN = 5
_PREFIX_REST_MIN = 3
_BEGINNING_MIN = 2  # letters of a compound's unknown beginning: "r" + "unnin" is no Icelandic compound
_NEVER_FROM_HALF_A_WORD = frozenset({"won", "lost"})
_ENDING_PER_LETTER, _ENDING_SLACK = 3, 4  # a stem of 3 letters takes endings of up to 5, one of 4 up to 8


class Match(msgspec.Struct, frozen=True, gc=False):
    """A term found at `start:end` (positions among the part's tokens).

    `share`: how much of them it explains, 0..1; less than 1 where a compound word begins with something unknown.
    """

    term: Term
    start: int
    end: int
    share: float = 1.0


class Starts(msgspec.Struct, frozen=True, gc=False):
    """What one token may be: language → single-word terms (several only for parts of a compound), and openings of phrases.

    `shares`: language → how much of the token those words explain, 0..1. `width`: how much the token weighs in its label.
    """

    words: dict[str, tuple[tuple[Term, float], ...]]
    phrases: tuple[Term, ...]
    shares: dict[str, float]
    width: int


class Found(msgspec.Struct, frozen=True, gc=False):
    """What was found in one part: per token the words it may be, and per language the phrases."""

    starts: tuple[Starts, ...]
    phrases: dict[str, list[Match]]

    def of(self, language: str) -> list[Match]:
        """The language's matches: the longest phrases first served, not overlapping, in order of the label."""
        matches = [
            Match(term, spot, spot + 1, share)
            for spot, opening in enumerate(self.starts)
            if language in opening.words
            for term, share in opening.words[language]
        ]
        if language in self.phrases:
            return _without_overlaps([*self.phrases[language], *matches])
        return matches


class Matcher:
    """The dictionary's terms, indexed by their first word."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self._words: dict[str, list[Term]] = {}
        self._stems: dict[str, list[Term]] = {}
        self._runs: dict[str, list[Term]] = {}
        self._prefixes: dict[str, dict[str, set[str]]] = {}  # by first letter
        self._infixes: dict[str, list[Term]] = {}
        for language in dictionary.languages.values():
            for prefix in language.prefixes:
                self._prefixes.setdefault(prefix[0], {}).setdefault(prefix, set()).add(language.code)
            for term in language.terms:
                self._add(term, language.compounds)
        self._longest_run = max((len(run) for run in self._runs), default=0)
        self._longest_stem = max((len(stem) for stem in self._stems), default=0)
        self._longest_infix = max((len(infix) for infix in self._infixes), default=0)
        self._starting = lru_cache(maxsize=65536)(self._starting_uncached)

    def _add(self, term: Term, compounds: bool) -> None:
        first = term.tokens[0]
        if is_unsegmented(first):
            self._runs.setdefault(first, []).append(term)
            return
        (self._stems if term.stems[0] else self._words).setdefault(first, []).append(term)
        single = len(term.tokens) == 1 and SKIP not in term.concepts
        if compounds and single and len(first) >= _INFIX_MIN:
            self._infixes.setdefault(first, []).append(term)

    def tokens(self, words: list[str]) -> list[str]:
        """The words, with runs of scripts without blanks cut at the longest known terms."""
        tokens: list[str] = []
        for word in words:
            tokens += self._cut(word) if is_unsegmented(word) else [word]
        return tokens

    def _cut(self, run: str) -> list[str]:
        """The cut that leaves the fewest characters unknown, then the fewest pieces."""
        best: list[tuple[int, int, list[str]]] = [(0, 0, [])]
        for end in range(1, len(run) + 1):
            unknown, pieces, cut = best[end - 1]
            choice = (unknown + 1, pieces + 1, [*cut, run[end - 1]])
            for start in range(max(0, end - self._longest_run), end):
                if run[start:end] in self._runs:
                    unknown, pieces, cut = best[start]
                    if (unknown, pieces + 1) < choice[:2]:
                        choice = (unknown, pieces + 1, [*cut, run[start:end]])
            best.append(choice)
        return best[-1][2]

    def found(self, tokens: Sequence[str]) -> Found:
        """What the dictionary finds in a part that is already cut."""
        starts = tuple(self._starting(token) for token in tokens)
        phrases: dict[str, list[Match]] = {}
        for start, opening in enumerate(starts):
            for term in opening.phrases:
                end = start + len(term.tokens)
                if end <= len(tokens) and all(map(_fits, tokens[start + 1 : end], term.tokens[1:], term.stems[1:])):
                    phrases.setdefault(term.language, []).append(Match(term, start, end))
        return Found(starts, phrases)

    def _starting_uncached(self, token: str) -> Starts:
        if is_unsegmented(token):
            terms = [(term, 1.0) for term in self._runs.get(token, ())]
        else:
            terms = self._alphabetic(token)
        words: dict[str, list[Match]] = {}
        for term, share in terms:
            if len(term.tokens) == 1:
                words.setdefault(term.language, []).append(Match(term, 0, 1, share))
        kept = {code: tuple((m.term, m.share) for m in _without_overlaps(found)) for code, found in words.items()}
        shares = {code: found[-1][1] for code, found in kept.items()}
        return Starts(kept, tuple(term for term, _ in terms if len(term.tokens) > 1), shares, _width(token))

    def _alphabetic(self, token: str) -> list[tuple[Term, float]]:
        """Terms whose first word fits this token, with and without a prefix, and the parts of a compound."""
        found = self._fitting(token)
        known = {term.language for term in found}
        for prefix, languages in self._prefixes.get(token[0], {}).items():
            if token.startswith(prefix) and len(token) - len(prefix) >= _PREFIX_REST_MIN:
                more = [term for term in self._fitting(token[len(prefix) :]) if term.language in languages - known]
                found += more
                known |= {term.language for term in more}
        return [*((term, 1.0) for term in found), *self._inside(token, found)]

    def _fitting(self, token: str) -> list[Term]:
        """Terms whose first word is the token, or a stem that the token begins with."""
        found = list(self._words.get(token, ()))
        for size in range(min(len(token), self._longest_stem), 1, -1):
            if len(token) - size <= _ENDING_PER_LETTER * size - _ENDING_SLACK:
                found += self._stems.get(token[:size], ())
        return found

    def _inside(self, token: str, found: list[Term]) -> list[tuple[Term, float]]:
        """Parts of a compound word, for languages that write words together and know no whole word for it.

        What stands before the first known part explains nothing.
        """
        whole = {term.language for term in found if len(term.tokens) == 1 and not term.stems[0]}
        position = {term.language: len(term.tokens[0]) for term in reversed(found) if len(term.tokens) == 1}
        inside: list[tuple[Term, float]] = []
        share = dict.fromkeys(position, 1.0)
        for start in range(1, len(token) - _INFIX_MIN + 1):
            for size in range(min(len(token) - start, self._longest_infix), _INFIX_MIN - 1, -1):
                for term in self._infixes.get(token[start : start + size], ()):
                    if term.language in whole or start < position.get(term.language, _BEGINNING_MIN):
                        continue
                    if term.language not in position and not _NEVER_FROM_HALF_A_WORD.isdisjoint(term.concepts):
                        continue
                    if term.stems[0] or start + size == len(token):
                        explained = share.setdefault(term.language, 1 - start / len(token))
                        inside.append((term, explained))
                        position[term.language] = start + size
        return inside


def _width(token: str) -> int:
    """A character of a script without blanks says about as much as two letters."""
    return 2 * len(token) if is_unsegmented(token) else len(token)


def _fits(word: str, wanted: str, stem: bool) -> bool:
    return word.startswith(wanted) if stem else word == wanted


def _without_overlaps(matches: list[Match]) -> list[Match]:
    """The most words first, then the longest pattern; parts of one compound word share its position."""
    if len(matches) == 1:
        return matches
    ranked = sorted(
        matches,
        key=lambda match: (match.start - match.end, -len("".join(match.term.tokens)), match.start, match.term.text),
    )
    taken: dict[int, Match] = {}
    kept: list[Match] = []
    for match in ranked:
        holders = {taken[spot].term.text for spot in range(match.start, match.end) if spot in taken}
        if holders and not _shares(match, [taken[spot] for spot in range(match.start, match.end) if spot in taken]):
            continue
        kept.append(match)
        for spot in range(match.start, match.end):
            taken.setdefault(spot, match)
    return sorted(kept, key=lambda match: (match.start, match.end, match.term.text))


def _shares(match: Match, holders: list[Match]) -> bool:
    """True for two different single-word terms found in one compound word, neither inside the other."""
    if match.end - match.start != 1 or len(holders) != 1 or holders[0].end - holders[0].start != 1:
        return False
    return not _nested(match.term.tokens[0], holders[0].term.tokens[0])


def _nested(one: str, other: str) -> bool:
    return one in other or other in one
