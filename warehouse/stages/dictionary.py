"""The dictionary read from `warehouse/mappings/`: terms per language, concepts and the rules that turn concepts into stages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec
import yaml

from warehouse.stages.answers import STAGE_NAMES
from warehouse.stages.text import fold, is_unsegmented, words

RULES_VERSION = "1"
"""Raised by hand whenever the code of this package may change an answer."""

HINT = 0.6
"""The weight of a term filed under a key that ends in `?`: a candidate, never an answer by itself."""

SKIP, NEUTRAL = "skip", "neutral"
"""Keys of words without a stage: function words, and words such as "deal" or "stage" that any label may carry."""

_PLAIN = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as text: otherwise YAML takes the words `no`, `on` and `off` for booleans."""

_LANGUAGE_KEYS = {"language", "name", "compounds", "prefixes", "cyrillic", "terms"}


class Term(msgspec.Struct, frozen=True):
    """One entry of a language file. `tokens` are folded words; `stems` says which of them may go on."""

    text: str
    language: str
    concepts: tuple[str, ...]
    tokens: tuple[str, ...]
    stems: tuple[bool, ...]
    hint: bool = False


class Language(msgspec.Struct, frozen=True):
    """A language file. `compounds`: words are written together; `prefixes`: articles and the like stuck to words."""

    code: str
    name: str
    compounds: bool
    prefixes: tuple[str, ...]
    terms: tuple[Term, ...]


class Rule(msgspec.Struct, frozen=True):
    """When all `concepts` are in a part of a label, it may be any of `stages` (canonical → weight)."""

    concepts: frozenset[str]
    stages: tuple[tuple[str, float], ...]


class Dictionary(msgspec.Struct, frozen=True):
    """Everything the matcher knows. `version` is a hash of the data files and the rules version."""

    languages: dict[str, Language]
    concepts: frozenset[str]
    rules: tuple[Rule, ...]
    edge: frozenset[str]
    version: str


_TO_CYRILLIC = [
    ("dž", "џ"), ("lj", "љ"), ("nj", "њ"), ("a", "а"), ("b", "б"), ("v", "в"), ("g", "г"), ("d", "д"), ("đ", "ђ"),
    ("e", "е"), ("ž", "ж"), ("z", "з"), ("i", "и"), ("j", "ј"), ("k", "к"), ("l", "л"), ("m", "м"), ("n", "н"),
    ("o", "о"), ("p", "п"), ("r", "р"), ("s", "с"), ("t", "т"), ("ć", "ћ"), ("u", "у"), ("f", "ф"), ("h", "х"),
    ("c", "ц"), ("č", "ч"), ("š", "ш"),
]  # fmt: skip


def _cyrillic(term: str) -> str:
    for latin, cyrillic in _TO_CYRILLIC:
        term = term.replace(latin, cyrillic)
    return term


def _term(text: str, language: str, key: str) -> Term:
    tokens: list[str] = []
    stems: list[bool] = []
    for piece in text.split():
        found = words(fold(piece.replace("-", " ").replace("*", "")))
        tokens += found
        stems += [False] * (len(found) - 1) + [piece.endswith("*")] if found else []
    if not tokens:
        raise ValueError(f"{language}: {text!r} under {key} holds no word")
    if len(tokens) > 1 and any(is_unsegmented(token) for token in tokens):
        tokens, stems = ["".join(tokens)], [False]
    hint = key.endswith("?")
    return Term(text, language, tuple(key.rstrip("?").split("+")), tuple(tokens), tuple(stems), hint)


def _language(data: Mapping[str, Any], file: str) -> Language:
    unknown = set(data) - _LANGUAGE_KEYS
    if unknown:
        raise ValueError(f"{file}: unknown key(s) {', '.join(sorted(unknown))}")
    code = data["language"]
    terms = [_term(text, code, key) for key, texts in data["terms"].items() for text in texts]
    if data.get("cyrillic") == "true":
        terms += [_term(_cyrillic(text), code, key) for key, texts in data["terms"].items() for text in texts]
    prefixes = tuple(sorted((fold(prefix) for prefix in data.get("prefixes", ())), key=len, reverse=True))
    return Language(code, data["name"], data.get("compounds") == "true", prefixes, tuple(terms))


def _rules(data: Mapping[str, Any]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for stage in sorted(STAGE_NAMES):
        rules.append(Rule(frozenset({stage}), ((stage, 0.95),)))
    for section in ("concepts", "rules"):
        for concepts, stages in data[section].items():
            if stages or section == "rules":  # an empty rule silences the rules it contains
                weighed = [(stage, float(weight)) for stage, weight in stages.items()]
                ordered = tuple(sorted(weighed, key=lambda item: (-item[1], item[0])))
                rules.append(Rule(frozenset(concepts.split("+")), ordered))
    return tuple(rules)


def build(files: Mapping[str, str]) -> Dictionary:
    """The dictionary of the given YAML texts (file name → text); `concepts.yaml` holds concepts and rules."""
    digest = hashlib.sha256(RULES_VERSION.encode())
    languages: dict[str, Language] = {}
    concepts: Mapping[str, Any] = {"concepts": {}, "rules": {}}
    for file in sorted(files):
        digest.update(f"\0{file}\0{files[file]}".encode())
        data = yaml.load(files[file], Loader=_PLAIN)  # noqa: S506 - the base loader builds text, lists and dicts only
        if file == "concepts.yaml":
            concepts = data
        else:
            language = _language(data, file)
            languages[language.code] = language
    names = frozenset(concepts["concepts"]) | STAGE_NAMES | {SKIP, NEUTRAL}
    edge = frozenset(concepts.get("edge", ()))
    return Dictionary(languages, names, _rules(concepts), edge, f"{RULES_VERSION}-{digest.hexdigest()[:12]}")


@lru_cache(maxsize=1)
def dictionary() -> Dictionary:
    """The dictionary that ships with Muara, read once."""
    folder = resources.files("warehouse") / "mappings"
    return build(
        {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    )
