"""Money of one column: amounts as decimals, currency, and multipliers, by what the column as a whole decides.

"5.000" is five thousand in Indonesian and five in English. A value with both marks, or with a group that is not three digits, decides for
its column; else the locale does; a column in which nothing decides is refused with its rows. Amounts never pass through a float's text.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from math import isfinite
from typing import Literal

import msgspec

from connectors.spreadsheet import words

Kind = Literal["empty", "number", "text", "unreadable"]

_DIGITS = re.compile(r"\d[\d.,'’\s]*\d|\d|[.,]\d+")
#: What most cells are; nothing about them is ambiguous.
_PLAIN = re.compile(r"(-?)(\d+(\.\d{1,2})?)", re.ASCII)
_SCIENTIFIC = re.compile(r"-?\d(?:[.,]\d+)?e[+-]?\d{1,2}")
#: Arabic marks of decimals and groups.
_ARABIC = str.maketrans({"٫": ",", "٬": "'", "،": ",", "٪": "%"})
#: "1億2000万", "3억 5천만": East Asian amounts in several steps.
_STEPS = re.compile(r"(\d[\d,.]*)\s?(兆|万亿|萬億|亿|億|억|千万|千萬|천만|百万|百萬|백만|万|萬|만|千|천)")
_DASH_TAIL = re.compile(r"([.,])\s?[-–—]{1,2}$")
_GROUP3 = re.compile(r"\d{1,3}(?:_\d{3})+")
_LAKH = re.compile(r"\d{1,2}(?:_\d{2})*_\d{3}")


class Parsed(msgspec.Struct, frozen=True):
    """What one cell says. `decimal_mark` None with `is_ambiguous` = the column must decide; `digits` keeps the marks."""

    kind: Kind
    value: Decimal | None = None
    digits: str = ""
    negative: bool = False
    decimal_mark: str | None = None
    is_ambiguous: bool = False
    multiplier: str | None = None
    sign: str | None = None
    is_percent: bool = False


EMPTY = Parsed("empty")
UNREADABLE = Parsed("unreadable")


def plain(cell: object) -> Decimal | None:
    """The amount of a cell whose figures can be read in one way only, None for any other cell."""
    if cell.__class__ is str:
        return Decimal(cell) if _PLAIN.fullmatch(cell) else None  # type: ignore[arg-type, call-overload]
    if cell.__class__ is float and isfinite(cell):  # type: ignore[arg-type]
        number = Decimal(int(cell) if cell.is_integer() else repr(cell))  # type: ignore[attr-defined, call-overload]
        return number if number.as_tuple().exponent >= -4 else None  # type: ignore[operator]
    return None


def parse(cell: object) -> Parsed:
    """What a cell says as an amount, whatever its type."""
    if cell is None:
        return EMPTY
    if isinstance(cell, str):
        if match := _PLAIN.fullmatch(cell):
            return Parsed("text", None, match[2], bool(match[1]), "." if match[3] else None)
        return _text(cell)
    if isinstance(cell, bool):
        return UNREADABLE
    if isinstance(cell, int | float):
        number = Decimal(int(cell)) if isinstance(cell, float) and cell.is_integer() else Decimal(repr(cell))
        return Parsed("number", number) if number.is_finite() else UNREADABLE
    return UNREADABLE


@lru_cache(maxsize=1 << 13)
def _text(cell: str) -> Parsed:
    text = words.fold(cell).replace("−", "-").translate(_ARABIC).strip("'\u2019 ")
    if text in words.nothing():
        return EMPTY
    if _SCIENTIFIC.fullmatch(text):
        return Parsed("number", Decimal(text.replace(",", ".")))
    if (total := _in_steps(text)) is not None:
        text = total
    negative = False
    if text.startswith("(") and text.endswith(")"):
        negative, text = True, text[1:-1].strip()
    mark_hint = None
    if match := _DASH_TAIL.search(text):
        mark_hint, text = match[1], text[: match.start()]
    found = _DIGITS.search(text)
    if found is None:
        return UNREADABLE
    before, after = text[: found.start()].strip(), text[found.end() :].strip()
    if any(ch.isdigit() for ch in after):
        return UNREADABLE
    negative, before, after = _minus(before, after, negative=negative)
    is_percent = "%" in after
    words_around = _tokens(before) + _tokens(after.replace("%", ""))
    sign, multiplier = None, None
    for word in words_around:
        kind, meaning = _meaning(word)
        if kind == "unknown" or (kind == "multiplier" and multiplier):
            return UNREADABLE
        if kind in ("sign", "both"):
            sign = _same_currency(sign, meaning[0])
            if sign is None:
                return UNREADABLE
        if kind in ("multiplier", "both"):
            multiplier = meaning[-1]
    shape = _shape(found[0], mark_hint)
    if shape is None:
        return UNREADABLE
    digits, mark, ambiguous = shape
    return Parsed("text", None, digits, negative, mark, ambiguous, multiplier, sign, is_percent)


def _same_currency(one: str | None, other: str) -> str | None:
    """The more telling of two signs of one currency ("$1,250.00 USD"), None when they are two currencies."""
    if one is None or one == other:
        return other
    for sign, code in ((one, other), (other, one)):
        if code.upper() in words.currency_codes() and code.upper() in words.currency_signs().get(sign, ()):
            return code
    return None


def _in_steps(text: str) -> str | None:
    """An amount in several East Asian steps as plain digits with what stands around them; None for any other text."""
    steps = list(_STEPS.finditer(text))
    if len(steps) < 2:
        return None
    start, end, total, last = steps[0].start(), steps[0].start(), Decimal(0), None
    for step in steps:
        power = next(power for lang in ("zh", "ja", "ko") if (power := words.multipliers(lang).get(step[2])))
        between = text[end : step.start()].strip()
        if between or (last is not None and power >= last) or "." in step[1]:
            return None
        total, last, end = total + Decimal(step[1].replace(",", "")) * 10**power, power, step.end()
    tail = re.match(r"\s?(\d{1,4})(?!\d)", text[end:])
    if tail:
        total, end = total + int(tail[1]), end + tail.end()
    return f"{text[:start]}{int(total)}{text[end:]}"


def _minus(before: str, after: str, *, negative: bool) -> tuple[bool, str, str]:
    for dash in ("-", "–"):
        if before.startswith(dash) or before.endswith(dash):
            return True, before.strip(dash + " "), after
        if after.startswith(dash) or after == dash:
            return True, before, after.strip(dash + " ")
    return negative, before.removeprefix("+").strip(), after


def _tokens(text: str) -> list[str]:
    return [token for token in text.split(" ") if token]


@lru_cache(maxsize=4096)
def _meaning(word: str) -> tuple[str, tuple[str, ...]]:
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
    return _meaning(word)[0] != "unknown"


def _is_currency(word: str) -> bool:
    return word in words.currency_signs() or (len(word) == 3 and word.upper() in words.currency_codes())


def _is_multiplier(word: str) -> bool:
    return any(word in words.multipliers(language) for language in ("any", *words.multiplier_languages()))


def _shape(digits: str, hint: str | None) -> tuple[str, str | None, bool] | None:
    """(digits with `_` between groups and `.` for a certain decimal mark, decimal mark shown, ambiguous?) or None when impossible.

    An ambiguous number (one mark, three digits behind it) keeps its own mark in the digits.
    """
    text = re.sub(r"[\s'’]+", "_", digits.strip())
    marks = [ch for ch in text if ch in ".,"]
    if not marks:
        return (text, hint, False) if "_" not in text or _grouped(text) else None
    kinds = set(marks)
    if len(kinds) == 2:
        last = marks[-1]
        if marks.count(last) != 1:
            return None
        return _decimal(text.replace("," if last == "." else ".", "_"), last)
    mark = marks[0]
    if len(marks) > 1:
        whole = text.replace(mark, "_")
        return (whole, "," if mark == "." else ".", False) if _grouped(whole) else None
    left, right = text.split(mark)
    if hint is not None:
        whole = text.replace(mark, "_")
        return (whole, hint, False) if mark != hint and _grouped(whole) else None
    plain = left.replace("_", "")
    if "_" in left or len(right) != 3 or len(plain) > 3 or plain in ("", "0", "00", "000"):
        return _decimal(text, mark)
    return text, None, True


def _decimal(text: str, mark: str) -> tuple[str, str, bool] | None:
    left, right = text.split(mark)
    if "_" in right or ("_" in left and not _grouped(left)):
        return None
    return f"{left or '0'}.{right}", mark, False


def _grouped(text: str) -> bool:
    return bool(_GROUP3.fullmatch(text) or _LAKH.fullmatch(text))


class MoneyColumn:
    """Gathers what a column says of its marks and multipliers, then reads its cells."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.rows: dict[str, list[int]] = {".": [], ",": [], "ambiguous": [], "unreadable": []}
        self.multipliers: dict[str, list[int]] = {}
        self.signs: set[str] = set()
        self.max_plain = 0.0
        self.decimal: str | None = None
        self.language: str | None = None
        #: A unit that the header states for the whole column ("Amount (k€)"), as a multiplier word, and its power of ten once decided.
        self.unit: str | None = None
        self.unit_power = 0

    def see(self, row: int, cell: object) -> None:
        """Count one cell."""
        if cell.__class__ is str and (match := _PLAIN.fullmatch(cell)):  # type: ignore[call-overload]
            self.counts["text"] = self.counts.get("text", 0) + 1
            if match[3] and len(self.rows["."]) < 10:
                self.rows["."].append(row)
            self.max_plain = max(self.max_plain, float(match[2]))
            return
        if cell.__class__ is float and isfinite(cell):  # type: ignore[arg-type]
            self.counts["number"] = self.counts.get("number", 0) + 1
            self.max_plain = max(self.max_plain, abs(cell))  # type: ignore[arg-type]
            return
        parsed = parse(cell)
        self.counts[parsed.kind] = self.counts.get(parsed.kind, 0) + 1
        if parsed.kind == "number" and parsed.value is not None:
            self.max_plain = max(self.max_plain, abs(float(parsed.value)))
        elif parsed.kind == "unreadable":
            self._note("unreadable", row)
        elif parsed.kind == "text":
            if parsed.is_percent:
                self.counts["percent"] = self.counts.get("percent", 0) + 1
            elif not parsed.is_ambiguous:
                self.max_plain = max(self.max_plain, float(parsed.digits.replace("_", "")))
            else:
                self.max_plain = max(self.max_plain, 1000.0)
            if parsed.is_ambiguous:
                self._note("ambiguous", row)
            elif parsed.decimal_mark:
                self._note(parsed.decimal_mark, row)
            if parsed.multiplier:
                self.multipliers.setdefault(parsed.multiplier, []).append(row)
            if parsed.sign:
                self.signs.add(parsed.sign)

    def _note(self, what: str, row: int) -> None:
        if len(self.rows[what]) < 10:
            self.rows[what].append(row)

    def merge(self, other: MoneyColumn) -> None:
        """Add what another table's column of the same name showed."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for what, rows in other.rows.items():
            self.rows[what] = (self.rows[what] + rows)[:10]
        for word, rows in other.multipliers.items():
            self.multipliers[word] = (self.multipliers.get(word, []) + rows)[:10]
        self.signs |= other.signs
        self.unit = self.unit or other.unit
        self.max_plain = max(self.max_plain, other.max_plain)

    @property
    def filled(self) -> int:
        """Cells that hold something."""
        return sum(self.counts.get(kind, 0) for kind in ("number", "text", "unreadable"))

    @property
    def readable_share(self) -> float:
        """Share of filled cells that are amounts."""
        good = self.counts.get("number", 0) + self.counts.get("text", 0)
        return good / self.filled if self.filled else 0.0

    def decide(self, locale: words.Locale | None, currencies: frozenset[str] = frozenset()) -> str | None:
        """Settle marks and multipliers; returns the reason for refusing the column, or None."""
        return self._decide_marks(locale) or self._decide_multipliers(locale, currencies)

    def _decide_marks(self, locale: words.Locale | None) -> str | None:
        shown = [mark for mark in (".", ",") if self.rows[mark]]
        ambiguous = self.rows["ambiguous"]
        if not ambiguous:
            return None
        if len(shown) == 2:
            return (
                f"the decimal mark changes inside the column: a point in rows {_some(self.rows['.'])}, a comma in rows "
                f"{_some(self.rows[','])}, so rows {_some(ambiguous)} may be read in two ways. Write the numbers in one way"
            )
        if shown and locale is not None and shown[0] != locale.decimal:
            return (
                f"rows {_some(self.rows[shown[0]])} use {shown[0]!r} as decimal mark against `locale: {locale.name}`, so rows "
                f"{_some(ambiguous)} may be read in two ways. Correct the locale or write the numbers in one way"
            )
        if not shown and locale is None:
            return (
                f"a number such as 5.000 or 5,000 may be thousands or decimals (rows {_some(ambiguous)}). "
                "Set `locale` (for example id_ID or en_US)"
            )
        self.decimal = shown[0] if shown else (locale.decimal if locale else None)
        return None

    def _decide_multipliers(self, locale: words.Locale | None, currencies: frozenset[str]) -> str | None:
        used = sorted({*self.multipliers, *([self.unit] if self.unit else [])})
        if not used:
            return None
        self.language = self._language(used, locale, currencies)
        if self.language is not None:
            self.unit_power = (self._power(self.unit, self.language) or 0) if self.unit else 0
            return None
        if self.unit and not self.multipliers:
            return (
                f"the unit {self.unit!r} in the header means different numbers in different languages "
                "(M is a million in English, a miliar in Indonesian). Set `locale` to the language of the sheet"
            )
        rows = [row for found in self.multipliers.values() for row in found]
        return (
            f"the multipliers in rows {_some(rows)} mean different numbers in different languages "
            "(M is a million in English, a miliar in Indonesian). Set `locale` to the language of the sheet"
        )

    def _language(self, used: list[str], locale: words.Locale | None, currencies: frozenset[str]) -> str | None:
        """The language whose multipliers these are: the locale's, else one of those that agree on what they mean; None in doubt."""
        if locale is not None and all(self._power(word, locale.language) is not None for word in used):
            return locale.language
        if all(word in words.multipliers("any") for word in used):
            return "any"
        fit = [
            language
            for language in words.multiplier_languages()
            if all(self._power(word, language) is not None for word in used)
        ]
        if "IDR" in currencies and "id" in fit:
            return "id"
        if currencies - {"IDR"}:
            fit = [language for language in fit if language != "id"]
        meanings = {tuple(self._power(word, language) for word in used) for language in fit}
        return fit[0] if len(meanings) == 1 else None

    @staticmethod
    def _power(word: str, language: str) -> int | None:
        return words.multipliers(language).get(word, words.multipliers("any").get(word))

    def value(self, parsed: Parsed) -> Decimal | None:
        """The amount of a cell under what the column decided; None for empty or unreadable cells."""
        if parsed.kind == "number" and parsed.value is not None:
            return parsed.value * 10**self.unit_power if self.unit_power else parsed.value
        if parsed.kind != "text":
            return None
        digits = parsed.digits
        if parsed.is_ambiguous:
            mark = "," if "," in digits else "."
            digits = digits.replace(mark, "." if mark == self.decimal else "")
        try:
            number = Decimal(digits.replace("_", ""))
        except InvalidOperation:
            return None
        if parsed.multiplier:
            power = self._power(parsed.multiplier, self.language or "any")
            if power is None:
                return None
            number *= 10**power
        elif self.unit_power:
            number *= 10**self.unit_power
        return -number if parsed.negative else number


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
_UNIT_FILLERS = frozenset(
    {
        "in",
        "en",
        "dalam",
        "w",
        "v",
        "i",
        "в",
        "у",
        "of",
        "de",
        "net",
        "netto",
        "gross",
        "brutto",
        "ht",
        "ttc",
        "excl",
        "excl.",
        "incl",
        "incl.",
    }
    | {
        "vat",
        "tax",
        "ex",
        "bez",
        "dph",
        "vat.",
        "est",
        "est.",
        "单位:",
        "單位:",
        "単位:",
        "단위:",
        "単位",
        "单位",
        "單位",
        "단위",
        "税抜",
        "税込",
        "satuan",
        "total",
    }
)


def unit_of(header: str) -> tuple[str | None, str | None]:
    """(currency sign or code, multiplier word) that a header states: "Amount (k€)", "Nilai (Rp juta)", "Сумма, тыс. руб.", "Wert in TEUR"."""
    folded = words.fold(header)
    pieces = [match[1] for match in _BRACKETS.finditer(folded)]
    plain = _BRACKETS.sub(" ", folded)
    pieces += plain.rsplit(",", 1)[1:]
    sign, multiplier = None, None
    for piece in pieces:
        found = _unit(_tokens(piece))
        sign, multiplier = sign or found[0], multiplier or found[1]
    tail: list[str] = []
    for token in reversed(_tokens(plain.replace(",", " "))[1:]):
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
            if part in _UNIT_FILLERS:
                continue
            kind, meaning = _meaning(part)
            if kind == "unknown":
                return None, None
            sign = meaning[0] if kind in ("sign", "both") else sign
            multiplier = meaning[-1] if kind in ("multiplier", "both") else multiplier
    return sign, multiplier


def _some(rows: list[int]) -> str:
    shown = ", ".join(str(row) for row in sorted(set(rows))[:5])
    return shown + (", ..." if len(set(rows)) > 5 else "")
