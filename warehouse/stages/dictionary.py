"""The dictionary read from `warehouse/mappings/`: terms per language, concepts and the rules that turn concepts into stages."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec
import yaml

from warehouse.stages.answers import STAGE_NAMES, UNMAPPED
from warehouse.stages.text import fold, is_unsegmented, words

RULES_VERSION = "2"
"""Raised by hand whenever the code of this package may change an answer."""

HINT = 0.6
"""The weight of a term filed under a key that ends in `?`: a candidate, never an answer by itself."""

CONCEPTS_FILE = "concepts.yaml"
_STAGES = STAGE_NAMES - {UNMAPPED}

SKIP, NEUTRAL = "skip", "neutral"
"""Keys of words without a stage: function words, and words such as "deal" or "stage" that any label may carry."""

_PLAIN = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as text: otherwise YAML takes the words `no`, `on` and `off` for booleans."""

_LANGUAGE_KEYS = {"language", "name", "compounds", "prefixes", "cyrillic", "terms"}


class Term(msgspec.Struct, frozen=True, gc=False):
    """One entry of a language file. `tokens` are folded words; `stems` says which of them may go on.

    `letters`: length of the tokens together. `meaningful`: False for function words and words that any label may carry.
    """

    text: str
    language: str
    concepts: tuple[str, ...]
    tokens: tuple[str, ...]
    stems: tuple[bool, ...]
    hint: bool
    letters: int
    meaningful: bool


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
        stem = piece.endswith("*")
        plain = piece[:-1] if stem else piece
        if plain.isascii() and plain.isalpha():  # most of them, and half the time of loading
            tokens.append(plain.lower())
            stems.append(stem)
            continue
        found = words(fold(piece.replace("-", " ").replace("*", "")))
        tokens += found
        stems += [False] * (len(found) - 1) + [stem] if found else []
    if not tokens:
        raise ValueError(f"{language}: {text!r} under {key} holds no word")
    if len(tokens) > 1 and any(is_unsegmented(token) for token in tokens):
        tokens, stems = ["".join(tokens)], [False]
    concepts = tuple(key.rstrip("?").split("+"))
    return Term(
        text,
        language,
        concepts,
        tuple(tokens),
        tuple(stems),
        hint=key.endswith("?"),
        letters=sum(map(len, tokens)),
        meaningful=SKIP not in concepts and NEUTRAL not in concepts,
    )


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
    for stage in sorted(_STAGES):
        rules.append(Rule(frozenset({stage}), ((stage, 0.95),)))
    seen: dict[frozenset[str], str] = {}
    for section in ("concepts", "rules"):
        for key, stages in data[section].items():
            if not stages and section == "concepts":  # but an empty rule silences the rules it contains
                continue
            weighed = [(stage, float(weight)) for stage, weight in stages.items()]
            ordered = tuple(sorted(weighed, key=lambda item: (-item[1], item[0])))
            for concepts in _alternatives(key):
                if concepts in seen:
                    raise ValueError(
                        f"{CONCEPTS_FILE}: {seen[concepts]!r} and {key!r} both say {'+'.join(sorted(concepts))}"
                    )
                seen[concepts] = key
                rules.append(Rule(concepts, ordered))
    return tuple(rules)


def _alternatives(key: str) -> list[frozenset[str]]:
    """The concept sets of a rule's key: "quote|offer+send" is quote+send and offer+send."""
    return [frozenset(chosen) for chosen in itertools.product(*(one.split("|") for one in key.split("+")))]


def build(files: Mapping[str, str]) -> Dictionary:
    """The dictionary of the given YAML texts (file name → text); `concepts.yaml` holds concepts and rules.

    Raises ValueError naming the file when a language uses a concept that is not declared, or a rule does.
    """
    data = {file: _parsed(text, file) for file, text in sorted(files.items())}
    concepts = data.pop(CONCEPTS_FILE, {"concepts": {}, "rules": {}})
    names = frozenset(concepts["concepts"]) | _STAGES | {SKIP, NEUTRAL}
    for key in concepts["rules"]:
        _check(key.replace("|", "+").split("+"), names, CONCEPTS_FILE)
    languages = [_language(content, file) for file, content in data.items()]
    for file, language in zip(data, languages, strict=True):
        _check((concept for term in language.terms for concept in term.concepts), names, file)
    edge = frozenset(concepts.get("edge", ()))
    by_code = {language.code: language for language in languages}
    return Dictionary(by_code, names, _rules(concepts), edge, version(files))


def version(files: Mapping[str, str]) -> str:
    """Rules version and content hash of the data files, 12 hexadecimal digits."""
    digest = hashlib.sha256(RULES_VERSION.encode())
    for file, text in sorted(files.items()):
        digest.update(f"\0{file}\0{text}".encode())
    return f"{RULES_VERSION}-{digest.hexdigest()[:12]}"


def _parsed(text: str, file: str) -> Any:
    return _value(yaml.compose(text, Loader=_PLAIN), file)


def _value(node: Any, file: str) -> Any:
    """Mappings, lists and texts. YAML keeps the last of two equal keys in silence, and with it only half of the words."""
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, file) for child in node.value]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    values: dict[str, Any] = {}
    for key, child in node.value:
        if key.value in values:
            raise ValueError(f"{file}: the key {key.value!r} stands twice")
        values[key.value] = _value(child, file)
    return values


def _check(concepts: Iterable[str], names: frozenset[str], file: str) -> None:
    for concept in concepts:
        if concept not in names:
            raise ValueError(f"{file}: the concept {concept!r} is not declared in {CONCEPTS_FILE}")


@lru_cache(maxsize=1)
def shipped_files() -> dict[str, str]:
    """The data files that ship with Muara: name → text."""
    folder = resources.files("warehouse") / "mappings"
    return {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")}


@lru_cache(maxsize=1)
def dictionary() -> Dictionary:
    """The dictionary that ships with Muara, read once."""
    return build(shipped_files())
