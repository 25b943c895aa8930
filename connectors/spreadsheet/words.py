"""The words of sheets as data: synonyms of headers, months, multipliers, totals, outcomes (`data/*.toml`), and how text is folded.

Both files are meant to be read and corrected by people who know the language; nothing in here decides what a word means.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.sdk.records import Outcome

#: Tables of `headers.toml` that are not fields.
_NOT_FIELDS = ("weak", "never_within", "counters")
_SPACES = re.compile(r"\s+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HEADER_NOISE = re.compile(r"[:*()\[\]{}<>#$€£¥%._/\\\"?!|,;&+=~^→↓↑▼▲•·【】「」]+")
#: Signs that nobody sees: zero-width spaces and joiners, direction marks of Arabic and Hebrew, soft hyphens, stray byte order marks.
_UNSEEN = dict.fromkeys(
    [0x200B, 0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069, 0xAD, 0xFEFF]
)
_MARKS = re.compile(r"(?<=[a-zα-ωͰ-Ͽἀ-῿])[\u0300-\u036f]+")
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "’": "'", "`": "'", "´": "'"})


@lru_cache(maxsize=1 << 15)
def fold(text: str) -> str:
    """Text for comparing: NFKC, case folded, runs of white space (no-break ones too) as one space, trimmed."""
    if text.isascii() and "  " not in text and text.isprintable():
        return text.lower().strip()
    folded = unicodedata.normalize("NFKC", seen(text)).casefold().replace("i\u0307", "i")
    return _SPACES.sub(" ", folded).strip()


def seen(text: str) -> str:
    """Text without the signs that nobody sees."""
    return text.translate(_UNSEEN)


@lru_cache(maxsize=1 << 14)
def bare(text: str) -> str:
    """Folded text without accents on Latin and Greek letters, which capitals and foreign keyboards leave out ("FECHA CREACION")."""
    folded = fold(text)
    if folded.isascii():
        return folded
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", folded))).translate(_LETTERS)


_NO_BLANKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def has_no_blanks(text: str) -> bool:
    """Whether a text is all in a script that is written without blanks (Thai, Chinese, Japanese ...; Korean compounds likewise)."""
    return _NO_BLANKS.fullmatch(text) is not None


_NUMBER_SIGN = re.compile(r"(?<=[^\W\d_])\s*#$")


@lru_cache(maxsize=1 << 12)
def fold_header(text: str) -> str:
    """A header for comparing: bare, without `:*()#$%` and pictures, underscores as spaces, CamelCase taken apart. "%" and "#" alone stay."""
    folded = _NUMBER_SIGN.sub(" no", bare(text if " " in text else _CAMEL.sub(" ", text)))
    plain = "".join(" " if unicodedata.category(ch) in _PICTURES else ch for ch in folded).replace("\ufe0f", "")
    plain = _SPACES.sub(" ", _HEADER_NOISE.sub(" ", plain)).strip(" -–—")
    return plain or folded


#: Categories of pictures and of what modifies them.
_PICTURES = frozenset({"So", "Sk", "Cs", "Co"})


@cache
def _load(name: str) -> dict[str, Any]:
    text = (
        resources.files("connectors.spreadsheet").joinpath("data").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    )
    return tomllib.loads(text)


@cache
def words(section: str) -> frozenset[str]:
    """Every folded word of a section of `words.toml`, all languages together."""
    found = _load("words")[section]
    return frozenset(form for group in found.values() for word in group for form in (fold(word), bare(word)))


@cache
def nothing(kind: str = "any") -> frozenset[str]:
    """What counts as an empty cell: `any` in number and date columns, `text` in columns of names."""
    return frozenset(form for word in _load("words")["nothing"][kind] for form in (fold(word), bare(word)))


@cache
def synonyms() -> dict[str, tuple[tuple[str, str], ...]]:
    """Folded header -> ((field, language), ...), every field that the header may stand for."""
    found: dict[str, list[tuple[str, str]]] = {}
    for field, languages in _load("headers").items():
        if field in _NOT_FIELDS:
            continue
        for language, names in languages.items():
            for name in names:
                pairs = found.setdefault(fold_header(name), [])
                if (field, language) not in pairs:
                    pairs.append((field, language))
    return {name: tuple(pairs) for name, pairs in found.items()}


@cache
def spelled() -> frozenset[str]:
    """Folded headers, stages and outcomes with all their accents."""
    tables = [_load("headers")[field] for field in fields()]
    tables += [_load("words")[section] for section in ("ladder", "outcome_won", "outcome_lost", "outcome_open")]
    return frozenset(fold(name) for languages in tables for names in languages.values() for name in names)


@cache
def counters() -> frozenset[str]:
    """Folded headers of columns that often only number the rows ("No", "#", "番号")."""
    return frozenset(fold_header(name) for name in _load("headers")["counters"]["any"])


@cache
def fields() -> tuple[str, ...]:
    """Every field that a column can be, in the order of the data file."""
    return tuple(name for name in _load("headers") if name not in _NOT_FIELDS)


@cache
def weak_headers() -> frozenset[str]:
    """Folded headers so general that a more telling one goes first."""
    return frozenset(fold_header(name) for name in _load("headers")["weak"]["any"])


@cache
def total_starts() -> frozenset[str]:
    """First words of everything that heads a sum, for a quick look before a closer one."""
    return frozenset(word.split(" ")[0] for word in words("totals"))


@cache
def months() -> dict[str, int]:
    """Folded month name or abbreviation -> 1..12."""
    return {
        form: int(number)
        for number, names in _load("words")["months"].items()
        for name in names
        for form in (fold(name), bare(name))
    }


@cache
def ladder() -> dict[str, int]:
    """Folded stage word -> its rung (10 lowest .. 60), 1000 for won, 1010 for lost."""
    rungs = {bare(name): int(rung) for rung, names in _load("words")["ladder"].items() for name in names}
    return rungs | dict.fromkeys(words("outcome_won"), 1000) | dict.fromkeys(words("outcome_lost"), 1010)


_OUTCOMES: tuple[Outcome, ...] = ("won", "lost", "open")


@lru_cache(maxsize=1 << 14)
def outcome_of(label: str | None) -> Outcome | None:
    """won, lost or open where the label plainly says so, else None. A number in front ("5. Won") does not matter."""
    if not label:
        return None
    folded = bare_label(label)
    for outcome in _OUTCOMES:
        if folded in words(f"outcome_{outcome}"):
            return outcome
    return None


_LEADING_NUMBER = re.compile(
    r"^[(\[]?\d{1,3}\s*%?\s*[.):\]\-–—/|]+\s*|^(?:stage|step|phase|tahap|etapa|fase|s|p)\s?\d{1,2}\s*[.):\-–—]\s*|^\d{1,2}\s+(?=\D)"
    r"|\s*[(\[]\d+[)\]]$|\s*[(\[]?\d{1,3}\s?%[)\]]?$"
)


def bare_label(label: str) -> str:
    """A stage label without a number or picture in front, a count or a percentage behind, bare of accents."""
    folded = bare(label)
    if not folded.isascii():
        plain = "".join(" " if unicodedata.category(ch) in _PICTURES else ch for ch in folded).replace("\ufe0f", "")
        folded = _SPACES.sub(" ", plain).strip() or folded
    while (shorter := _LEADING_NUMBER.sub("", folded).strip(" -–:")) and shorter != folded:
        folded = shorter
    return folded


def rung(label: str) -> int | None:
    """The rung of an ordinary ladder that a label names, None where the words are not known."""
    return ladder().get(bare_label(label))


@lru_cache(maxsize=1 << 12)
def near_rung(label: str) -> int | None:
    """The rung that a label names as a whole, or that all the stage words inside it agree on ("Proposal/Price Quote")."""
    whole = rung(label)
    if whole is not None:
        return whole
    parts = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)?", bare_label(label))
    found: set[int] = set()
    start = 0
    while start < len(parts):
        size = next((size for size in (3, 2, 1) if " ".join(parts[start : start + size]) in ladder()), 0)
        if size:
            found.add(ladder()[" ".join(parts[start : start + size])])
        start += size or 1
    return found.pop() if len(found) == 1 else None


@cache
def never_within() -> frozenset[str]:
    """Folded words with which a longer header means something else than the synonym inside it."""
    return frozenset(fold_header(name) for name in _load("headers")["never_within"]["any"])


class Locale(msgspec.Struct, frozen=True):
    """How a language (and country) writes: `decimal` mark, `order` of numeric dates (dmy, mdy, ymd; None = it does not tell)."""

    name: str
    language: str
    country: str | None
    decimal: str
    order: str | None


@cache
def locale(name: str) -> Locale:
    """The locale of a name such as `id_ID`, `id-ID` or `de`. Raises ConfigError for one that is not in the data."""
    match = re.fullmatch(r"([A-Za-z]{2})(?:[-_]([A-Za-z]{2}))?(?:[.@].*)?", name.strip())
    table = _load("words")["locales"]
    if match is None or match[1].lower() not in table["default"]:
        raise ConfigError(f"locale {name!r} is not known. Use language_COUNTRY, for example id_ID, en_US, de_DE.")
    language, country = match[1].lower(), match[2].upper() if match[2] else None
    full = f"{language}_{country}" if country else language
    how = table["country"].get(full) or table["default"][language]
    return Locale(full, language, country, how["decimal"], how["order"] or None)


@cache
def code_page(language: str | None) -> str:
    """The code page that desktop programs of a language wrote before UTF-8."""
    pages: dict[str, str] = _load("words")["code_pages"]
    return pages.get(language or "default", pages["default"])


@cache
def code_page_names() -> tuple[str, ...]:
    """Every code page in the data, the usual western one first."""
    return tuple(dict.fromkeys(_load("words")["code_pages"].values()))


@cache
def multipliers(language: str) -> dict[str, int]:
    """Folded multiplier word -> power of ten, as a language means it (`any`: all languages)."""
    groups = _load("words")["multipliers"].get(language, {})
    return {form: int(power) for power, names in groups.items() for word in names for form in (fold(word), bare(word))}


@cache
def multiplier_languages() -> tuple[str, ...]:
    """Languages that have multiplier words of their own."""
    return tuple(name for name in _load("words")["multipliers"] if name != "any")


@cache
def currency_signs() -> dict[str, tuple[str, ...]]:
    """Folded sign -> currencies that write it, the likeliest first."""
    return {fold(sign): tuple(codes) for sign, codes in _load("words")["currency_signs"].items()}


@cache
def currency_codes() -> frozenset[str]:
    """ISO 4217 codes that are recognised inside cells and headers."""
    return frozenset(_load("words")["currency_codes"]["any"])


@cache
def country_currency(country: str | None) -> str | None:
    """The currency of a country code, None where it is not in the data."""
    found: dict[str, str] = _load("words")["locales"]["currency"]
    return found.get(country or "")
