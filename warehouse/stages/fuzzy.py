"""Misspelt words of a label set right: one letter wrong, missing, extra or swapped, in words of six letters or more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from warehouse.stages.dictionary import NEUTRAL, SKIP, Dictionary
from warehouse.stages.text import is_unsegmented

_SHORTEST = 6
_LONGEST = 24
_ENDING = 4


class Speller:
    """Finds the dictionary's word that a misspelt one was meant to be. Deterministic: ties go to the same language, then a–z."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._languages = dictionary.languages
        self._index = lru_cache(maxsize=None)(self._index_of)
        self.correct = lru_cache(maxsize=65536)(self._correct)

    def _index_of(self, code: str) -> dict[str, set[str]]:
        """The language's words, each filed under itself and under every spelling with one letter missing."""
        index: dict[str, set[str]] = {}
        for term in self._languages[code].terms:
            if SKIP in term.concepts or NEUTRAL in term.concepts or term.hint:
                continue
            for token in term.tokens:
                if len(token) >= _SHORTEST and not is_unsegmented(token):
                    for variant in (token, *_deletions(token)):
                        index.setdefault(variant, set()).add(token)
        return index

    def _correct(self, word: str, languages: frozenset[str]) -> str | None:
        """The word meant, or None. `languages`: those of the label's other words and its pipeline; empty = any."""
        if len(word) < _SHORTEST or any(char.isdigit() for char in word) or is_unsegmented(word):
            return None
        indexes = [(code, self._index(code)) for code in sorted(languages or self._languages)]
        for size in range(min(len(word), _LONGEST), _SHORTEST - 2, -1):
            start, rest = word[:size], word[size:]
            found = {
                (token, code)
                for variant in (start, *_deletions(start))
                for code, index in indexes
                for token in index.get(variant, ())
                if token != start
                # another last letter before an ending is another word, and so is one that goes on for long
                and (not rest or (token[-1] == start[-1] and len(rest) <= _ENDING))
                and _one_edit(start, token)
            }
            if found:
                best = min(found, key=lambda item: (abs(len(item[0]) - size), item[0][0] != start[0], item))
                return best[0] + rest
        return None


def _deletions(word: str) -> Iterator[str]:
    return (word[:spot] + word[spot + 1 :] for spot in range(len(word)))


def _one_edit(one: str, other: str) -> bool:
    """True when one insertion, deletion, substitution or swap of neighbours leads from one to the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    if len(one) > len(other):
        return one[start + 1 :] == other[start:]
    if len(one) < len(other):
        return one[start:] == other[start + 1 :]
    if one[start + 1 :] == other[start + 1 :]:
        return True
    return one[start : start + 2] == other[start : start + 2][::-1] and one[start + 2 :] == other[start + 2 :]
