"""Leave one repository out: each is judged with a dictionary that cannot have learnt from it.

The dictionary was written from knowledge and widened while looking at the labelled file, so nobody can say which entry came
from where. Hence mechanical rules, from the mildest to the harshest. An entry *stands in* a label when its words do, endings
of stems included. Taken away from the judgement of a repository are those that stand in no other repository's label and are

- `phrases`: of two words or more (four characters or more in scripts without blanks), anywhere in its labels;
- `labels`: that, and single words which are a whole label of it, or a whole part of a compound label;
- `words`: all that stand in its labels. In a language that only one repository has, this takes every word for "proposal" away,
  however plain: a lower bound, not an estimate.

Rules between concepts stay: they hold for all languages at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from benchmarks.stage_names import Row, repository_of, score, show
from warehouse.stages import StageAnswer, classify
from warehouse.stages.dictionary import Dictionary, Term, dictionary
from warehouse.stages.matching import Matcher
from warehouse.stages.normaliser import Knowledge
from warehouse.stages.text import is_unsegmented, parts, words

Kind = Literal["phrases", "labels", "words"]
_LONG_RUN = 4


def standing(matcher: Matcher, label: str) -> Iterator[tuple[Term, bool]]:
    """The entries that stand in a label, and for each whether it makes up a whole part of it."""
    for part in parts(label):
        tokens = matcher.tokens(words(part))
        found = matcher.found(tokens)
        for opening in found.starts:
            for terms in opening.words.values():
                yield from ((term, len(tokens) == 1) for term, _ in terms)
        for matches in found.phrases.values():
            yield from ((match.term, match.end - match.start == len(tokens)) for match in matches)


def is_phrase(term: Term) -> bool:
    """True for two words or more, or a long run of a script without blanks."""
    return len(term.tokens) > 1 or (is_unsegmented(term.tokens[0]) and len(term.tokens[0]) >= _LONG_RUN)


def only_here(rows: Iterable[Row], kind: Kind) -> dict[str, set[Term]]:
    """Repository → the entries to take away when it is judged."""
    matcher = Matcher(dictionary())
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(repository_of(row.source), set()).add(row.label.label)
    suspects: dict[str, set[Term]] = {}
    repositories: Counter[Term] = Counter()
    for repository, names in labels.items():
        found = [item for name in sorted(names) for item in standing(matcher, name)]
        repositories.update({term for term, _ in found})
        suspects[repository] = {
            term for term, whole in found if kind == "words" or is_phrase(term) or (whole and kind == "labels")
        }
    return {name: {term for term in terms if repositories[term] == 1} for name, terms in suspects.items()}


def without(terms: set[Term]) -> Dictionary:
    """The shipped dictionary without these entries."""
    shipped = dictionary()
    languages = {
        code: msgspec.structs.replace(language, terms=tuple(term for term in language.terms if term not in terms))
        for code, language in shipped.languages.items()
    }
    return msgspec.structs.replace(shipped, languages=languages)


def judged(rows: list[Row], kind: Kind) -> tuple[list[tuple[Row, StageAnswer]], int]:
    """Every primary row with its answer from the dictionary of its repository, and how many entries were taken in all."""
    taken = only_here(rows, kind)
    pairs: list[tuple[Row, StageAnswer]] = []
    for repository, terms in taken.items():
        own = [row for row in rows if repository_of(row.source) == repository]
        knowledge = Knowledge(without(terms)) if terms else None
        answers = classify([row.label for row in own], knowledge=knowledge)
        pairs += [(row, answer) for row, answer in zip(own, answers, strict=True) if row.primary]
    return pairs, sum(map(len, taken.values()))


def show_all(rows: list[Row], *, errors: bool) -> None:
    """Prints the figures of each rule, and the details of the first."""
    repositories = len({repository_of(row.source) for row in rows})
    print(f"leaving out one of {repositories} repositories at a time")
    kinds: tuple[Kind, ...] = ("phrases", "labels", "words")
    results = {kind: judged(rows, kind) for kind in kinds}
    for kind, (pairs, taken) in results.items():
        print(f"{kind:8s} {taken:5d} entries taken away  {score(pairs)}")
    print("\nphrases, in detail")
    show(results["phrases"][0], errors=errors)
