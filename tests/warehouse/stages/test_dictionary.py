"""The dictionary's data files: complete, without contradictions, and refused when they are broken."""

from __future__ import annotations

import pytest

from warehouse.stages import CANONICAL_STAGES, DICTIONARY_VERSION, classify_one
from warehouse.stages.dictionary import CONCEPTS_FILE, Term, build, dictionary, shipped_files, version
from warehouse.stages.text import is_unsegmented

LADDER = ("prospecting", "qualification", "discovery", "nurture", "proposal", "negotiation")
STAGES = {stage.canonical_stage for stage in CANONICAL_STAGES} - {"unmapped"}
FULL = (
    "id", "es", "pt", "de", "fr", "it", "nl", "pl", "cs", "hu", "ro", "ru", "uk", "tr", "ar", "he", "zh", "zh-hant", "ja",
    "ko", "vi", "th", "hi", "en", "sv", "da", "no", "fi", "el", "bg", "hr", "sr", "sk", "sl", "fa", "ca", "ms",
)  # fmt: skip
CONCEPTS = '{"concepts": {"quote": {"proposal": 0.9}}, "rules": {}}'


def _stages_of(term: Term) -> set[str]:
    """The stages that an entry alone stands for."""
    singles = {next(iter(rule.concepts)): rule for rule in dictionary().rules if len(rule.concepts) == 1}
    return {singles[concept].stages[0][0] for concept in term.concepts if concept in singles}


def test_there_are_more_than_seventy_languages() -> None:
    assert len(dictionary().languages) > 70


@pytest.mark.parametrize("code", FULL)
def test_every_main_language_covers_the_whole_taxonomy(code: str) -> None:
    language = dictionary().languages[code]
    covered = set().union(*(_stages_of(term) for term in language.terms))
    assert covered >= STAGES


@pytest.mark.parametrize("code", sorted(dictionary().languages))
def test_every_language_knows_closed_won_lost_and_most_rungs(code: str) -> None:
    language = dictionary().languages[code]
    concepts = {concept for term in language.terms for concept in term.concepts}
    assert {"closed", "won", "lost"} <= concepts
    covered = set().union(*(_stages_of(term) for term in language.terms))
    assert len(covered & set(LADDER)) >= 5


@pytest.mark.parametrize("code", sorted(dictionary().languages))
def test_no_entry_contradicts_another_of_its_language(code: str) -> None:
    seen: dict[tuple[tuple[str, ...], tuple[bool, ...]], Term] = {}
    for term in dictionary().languages[code].terms:
        other = seen.setdefault((term.tokens, term.stems), term)
        assert other.concepts == term.concepts, f"{code}: {term.text!r} is {other.concepts} and {term.concepts}"


@pytest.mark.parametrize("code", sorted(dictionary().languages))
def test_won_and_lost_do_not_share_an_opening(code: str) -> None:
    terms = [term for term in dictionary().languages[code].terms if len(term.tokens) == 1]
    won = {term.tokens[0]: term.stems[0] for term in terms if "won" in term.concepts}
    lost = {term.tokens[0]: term.stems[0] for term in terms if "lost" in term.concepts}
    for word in won:
        clashing = [other for other, stem in lost.items() if stem and word.startswith(other)]
        assert not clashing, f"{code}: {word} (won) begins like {clashing} (lost)"


def test_stems_are_long_enough_to_mean_something() -> None:
    for language in dictionary().languages.values():
        for term in language.terms:
            for token, stem in zip(term.tokens, term.stems, strict=True):
                assert not stem or is_unsegmented(token) or len(token) >= 2, (language.code, term.text)


def test_every_rule_names_known_stages_and_weights() -> None:
    for rule in dictionary().rules:
        assert {stage for stage, _ in rule.stages} <= STAGES
        assert all(0 < weight <= 1 for _, weight in rule.stages)


def test_a_more_specific_rule_is_never_weaker_nonsense() -> None:
    """Won and lost from several words need a word that says so: no rule makes them out of ladder words with certainty."""
    closing = {
        "won",
        "lost",
        "closed",
        "not",
        "sign",
        "signature",
        "buy",
        "award",
        "success",
        "cancel",
        "reject",
        "fail",
    }
    settled = closing | {
        "expire",
        "receive",
        "done",
        "confirm",
        "renew",
        "accept",
        "closing",
        "in_kind",
        "positive",
        "convert",
    }
    for rule in dictionary().rules:
        if len(rule.concepts) > 1 and rule.stages and rule.stages[0][0] in ("won", "lost") and rule.stages[0][1] >= 0.8:
            assert rule.concepts & settled, sorted(rule.concepts)


def test_the_version_follows_the_content() -> None:
    files = shipped_files()
    assert DICTIONARY_VERSION == version(files) == dictionary().version
    assert version({**files, "en.yaml": files["en.yaml"] + "\n"}) != DICTIONARY_VERSION


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("language: xx\nname: X\nterms:\n  quotation: [a]\n", "the concept 'quotation' is not declared"),
        ("language: xx\nname: X\nwords:\n  quote: [a]\nterms: {}\n", "unknown key"),
        ("language: xx\nname: X\nterms:\n  quote: [a]\n  quote: [b]\n", "the key 'quote' stands twice"),
        ("language: xx\nname: X\nterms:\n  quote: ['--']\n", "holds no word"),
    ],
)
def test_a_broken_language_file_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build({CONCEPTS_FILE: CONCEPTS, "xx.yaml": text})


def test_yaml_booleans_stay_words() -> None:
    """`no`, `on` and `off` are words here, and `no` is also Norwegian."""
    assert "no" in dictionary().languages
    assert classify_one("No budget").canonical_stage == "lost"
    assert classify_one("On hold").canonical_stage == "on_hold"
