"""Salesforce record ids: 15 case-sensitive characters, and 3 more that make them safe where case is lost."""

from __future__ import annotations

import functools

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

PREFIXES = {
    "Account": "001",
    "User": "005",
    "Opportunity": "006",
    "OpportunityHistory": "008",
    "Organization": "00D",
    "OpportunityFieldHistory": "017",
    "BusinessProcess": "019",
    "RecordType": "012",
    "OpportunityStage": "01J",
    "CurrencyType": "01L",
    "DatedConversionRate": "04w",
    "QueryLocator": "0r8",
    "BulkJob": "750",
}


def suffix(id15: str) -> str:
    """The 3 characters that say which of the 15 are capitals: one per 5 characters, first character = lowest bit."""
    return _letter(id15[:5]) + _letter(id15[5:10]) + _letter(id15[10:])


@functools.lru_cache(maxsize=100_000)
def _letter(five: str) -> str:
    return _BASE32[sum(1 << place for place, letter in enumerate(five) if "A" <= letter <= "Z")]


def make_id(kind: str, number: int, pod: str = "5g") -> str:
    """The 18-character id of the n-th record of a kind; grows with the number in ASCII order (0-9A-Za-z)."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    id15 = f"{PREFIXES[kind]}{pod}0{digits:0>9}"
    return id15 + suffix(id15)


def to_18(value: str) -> str | None:
    """15 or 18 characters to 18 (right capitals restored from the suffix); None if it is no id."""
    if not value.isalnum() or not value.isascii() or len(value) not in (15, 18):
        return None
    id15 = value[:15]
    if len(value) == 15:
        return id15 + suffix(id15)
    restored = ""
    for place, letter in enumerate(id15):
        code = value[15 + place // 5].upper()
        if code not in _BASE32:
            return None
        capital = _BASE32.index(code) >> (place % 5) & 1
        restored += letter.upper() if capital else letter.lower()
    return restored + suffix(restored)
