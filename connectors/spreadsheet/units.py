"""What stands beside the digits of an amount, or in the header over them: signs and codes of currencies, and multipliers."""

from __future__ import annotations

import re
from functools import lru_cache

from connectors.spreadsheet import words


def tokens(text: str) -> list[str]:
    """The words of a folded text."""
    return [token for token in text.split(" ") if token]


@lru_cache(maxsize=4096)
def meaning(word: str) -> tuple[str, tuple[str, ...]]:
    """("sign", (sign,)), ("multiplier", (word,)), ("both", (sign, word)) or ("unknown", ()) for what stands beside the digits."""
    if _is_currency(word):
        return "sign", (word,)
    if _is_multiplier(word):
        return "multiplier", (word,)
    for cut in range(1, len(word)):
        left, right = word[:cut], word[cut:]
        if _is_currency(left) and _is_multiplier(right):
            return "both", (left, right)
        if _is_multiplier(left) and _is_currency(right):
            # "TEUR", "T€": a German thousand; nobody writes a trillion in front of its currency.
            return "both", (right, "tsd" if left == "t" else left)
    return "unknown", ()


def is_unit(word: str) -> bool:
    """Whether a folded word is a currency, a multiplier, or both together ("usd", "rp", "juta", "teur")."""
    return meaning(word)[0] != "unknown"


def _is_currency(word: str) -> bool:
    return word in words.currency_signs() or (len(word) == 3 and word.upper() in words.currency_codes())


def _is_multiplier(word: str) -> bool:
    return any(word in words.multipliers(language) for language in ("any", *words.multiplier_languages()))


def same_currency(one: str | None, other: str) -> str | None:
    """The more telling of two signs of one currency ("$1,250.00 USD"), None when they are two currencies."""
    if one is None or one == other:
        return other
    for sign, code in ((one, other), (other, one)):
        if code.upper() in words.currency_codes() and code.upper() in words.currency_signs().get(sign, ()):
            return code
    return None


def currency_of(sign: str, *, default: str | None, locale: words.Locale | None) -> str | None:
    """The currency that a sign or code beside an amount means; None when it is several and nothing decides ("$" is not always USD)."""
    if len(sign) == 3 and sign.upper() in words.currency_codes():
        return sign.upper()
    codes = words.currency_signs().get(sign, ())
    if len(codes) == 1:
        return codes[0]
    if default in codes:
        return default
    country = words.country_currency(locale.country if locale else None)
    if country in codes:
        return country
    if sign == "¥" and locale is not None:
        return {"ja": "JPY", "zh": "CNY"}.get(locale.language)
    return None


_BRACKETS = re.compile(r"[(\[（【]([^)\]）】]*)[)\]）】]")


def unit_of(header: str) -> tuple[str | None, str | None]:
    """(currency sign or code, multiplier word) that a header states: "Amount (k€)", "Nilai (Rp juta)", "Сумма, тыс. руб.", "Wert in TEUR"."""
    folded = words.fold(header)
    pieces = [match[1] for match in _BRACKETS.finditer(folded)]
    plain = _BRACKETS.sub(" ", folded)
    pieces += plain.rsplit(",", 1)[1:]
    sign, multiplier = None, None
    for piece in pieces:
        found = _unit(tokens(piece))
        sign, multiplier = sign or found[0], multiplier or found[1]
    tail: list[str] = []
    for token in reversed(tokens(plain.replace(",", " "))[1:]):
        if (len(token) < 2 and not _is_sign(token)) or not is_unit(token):
            break
        tail.insert(0, token)
    found = _unit(tail)
    return sign or found[0], multiplier or found[1]


def _is_sign(token: str) -> bool:
    return not token.isalpha() and _is_currency(token)


def _unit(tokens: list[str]) -> tuple[str | None, str | None]:
    sign, multiplier = None, None
    for token in tokens:
        for part in [token] if is_unit(token) else [one for one in re.split(r"[:/]", token) if one]:
            if part in words.words("unit_fillers"):
                continue
            kind, said = meaning(part)
            if kind == "unknown":
                return None, None
            sign = said[0] if kind in ("sign", "both") else sign
            multiplier = said[-1] if kind in ("multiplier", "both") else multiplier
    return sign, multiplier
