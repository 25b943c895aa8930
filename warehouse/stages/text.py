"""A stage label as comparable text: folded, without enumerators, cut into parts and words."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_FOLDS = str.maketrans(
    {
        "đ": "d", "ð": "d", "ł": "l", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h", "ə": "e",
        "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ې": "ي", "ک": "ك", "ة": "ه", "ۀ": "ه", "ھ": "ه",
        "ہ": "ه", "ۃ": "ه", "ے": "ي", "ؤ": "و", "ئ": "ي", "ـ": None, "ё": "е", "ґ": "г", "'": None, "’": None, "ʼ": None,
        "ʻ": None, "‘": None, "`": None, "´": None, "־": " ", "׳": None, "״": None, "\u200c": " ", "\u200b": None,
        "\u200d": None, "\u00ad": None, "\ufeff": None, "\u200e": None, "\u200f": None, "\ufe0f": None, "\xa0": " ",
        "़": None, "ー": "ー",
    }
)  # fmt: skip
_ELISION = re.compile(r"\b(l|d|n|s|c|j|m|qu|un|all|dall|dell|nell|sull|coll|quell)['’](?=[^\W\d_]{2})")
"""French, Italian and Catalan words that lose their vowel: "d'offre" is two words, Ukrainian "зв'язок" is one."""

_MARKED_BASES = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW")

LONGEST = 200
"""Characters of a label that are read; stage names are short, and a pasted letter must not stop a build."""

UNSEGMENTED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
"""Scripts written without blanks between words (and Korean, whose blanks are optional): Thai to Khmer, Han, kana, Hangul."""

_WORD = re.compile(rf"[{UNSEGMENTED}]+|[^\W_{UNSEGMENTED}]+(?:[\u0900-\u0dff\u0300-\u036f]+[^\W_{UNSEGMENTED}]*)*")
_SPLIT = re.compile(r"\s*(?:[/|&+→⇒>;,،、・·•:：()\[\]{}«»\"“”「」【】]|->|=>|\s[-–—]\s|—)\s*")
_EITHER_OR = re.compile(r"\b(go|bid|yes)\s*/\s*(no)\b", re.IGNORECASE)  # one word pair, not two parts
_NUMBERS = re.compile(r"\(\s*\d+\s*\)|\d+(?:[.,]\d+)?\s*%|%\s*\d+(?:[.,]\d+)?|#\s*\d+")
_ENUMERATOR = re.compile(
    r"^\s*(?:"
    r"[\[(<{]\s*(?:\d{1,3}|[a-z]|[ivx]{1,4})\s*[\])>}]"  # [03], (a), <1>
    r"|(?:\d{1,3}|[a-z]{1,2}\d{1,2})(?:\.\d{1,2})*[a-z]?\s*(?:[.)\]:|/\-–—_°º]+|$|(?=\s)|(?=[^\W\d_]))"  # 1. 2 - P3: 10
    r"|(?:[a-z]|[ivx]{2,4})\s*(?:[.):|]|\s?[-–—]\s|\s?[-–—](?=\w))"  # A. b) iv - x:
    r")\s*[.):|\-–—_]*\s*",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[A-Z][a-z]{2})")


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """NFKC, casefolded, without diacritics where they do not carry the word (Latin, Greek, Cyrillic, Arabic, Hebrew)."""
    if text.isascii() and "'" not in text:
        return text.lower().replace("`", "")
    text = _ELISION.sub(r"\1 ", unicodedata.normalize("NFKC", text).casefold()).translate(_FOLDS)
    if text.isascii():
        return text
    folded: list[str] = []
    base_keeps = False
    for char in unicodedata.normalize("NFD", text):
        if unicodedata.combining(char) and not base_keeps:
            continue
        if not unicodedata.combining(char):
            base_keeps = not unicodedata.name(char, "").startswith(_MARKED_BASES)
        folded.append(char)
    return unicodedata.normalize("NFC", "".join(folded)).translate(_FOLDS)


_SYMBOLS = str.maketrans("^`", "  ")  # the only ASCII characters of the categories below


@lru_cache(maxsize=8192)
def _blank_symbol(char: str) -> str:
    return " " if unicodedata.category(char) in {"So", "Cs", "Sk"} else char


def strip_enumerators(label: str) -> str:
    """The label without leading numbers or letters, counts, percentages and pictures: "2 - Proposta (75%)" → "Proposta"."""
    text = unicodedata.normalize("NFKC", label[:LONGEST]).replace("_", " ")
    text = text.translate(_SYMBOLS) if text.isascii() else "".join(map(_blank_symbol, text))
    text = _NUMBERS.sub(" ", text).strip(" \t*#.-–—:")
    for _ in range(2):
        shorter = _ENUMERATOR.sub("", text, count=1).strip()
        if shorter == text or not any(char.isalpha() for char in shorter):
            break
        text = shorter
    return text.strip()


def parts(label: str) -> list[str]:
    """The folded parts of a compound label, split at `/ | & + → ,` and spaced dashes; hyphens and camelCase become blanks."""
    stripped = strip_enumerators(label)
    if "/" in stripped:
        stripped = _EITHER_OR.sub(r"\1 \2", stripped)
    pieces = [piece for piece in _SPLIT.split(stripped) if piece and piece.strip(" -–—")]
    return [fold(_CAMEL.sub(" ", piece).replace("-", " ").replace("–", " ")) for piece in pieces]


def words(folded: str) -> list[str]:
    """The words of a folded text. A run of a script without blanks is one word here; the matcher cuts it further."""
    text = folded if folded.isascii() else _OPTIONAL_BLANK.sub("", folded)
    return [word for word in _WORD.findall(text) if not word.isdigit()]


def is_unsegmented(word: str) -> bool:
    """True when the word is a run of a script that the matcher must cut by known terms."""
    return word[:1] > "\u0dff" and bool(_UNSEGMENTED_START.match(word))


_OPTIONAL_BLANK = re.compile(rf"(?<=[{UNSEGMENTED}])\s+(?=[{UNSEGMENTED}])")
_UNSEGMENTED_START = re.compile(rf"[{UNSEGMENTED}]")
