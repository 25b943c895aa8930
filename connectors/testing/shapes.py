"""What the fields of a record may hold, read from their type hints: the same checks for the reference landing and for the suite."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from connectors.sdk import Record

#: Decimal digits before the point that landing stores; for rates fewer.
_MOST = {"amount": 14, "home_amount": 14, "rate": 12}

#: Classes of which every value will do.
_WHOLE = (type(None), str, bool, int, date)

Rule = Callable[[Any], str | None]


def wrong_values(record: Record) -> list[tuple[str, str]]:
    """(field, what is wrong with its value) for every field whose value is not of the declared type. The value itself is not shown."""
    found = []
    for name, classes, rule in _rules(type(record)):
        value = getattr(record, name)
        if value.__class__ in classes:
            continue
        problem = rule(value)
        if problem is not None:
            found.append((name, problem))
    return found


@cache
def fields_of(kind: type[Record], wanted: type) -> tuple[str, ...]:
    """Names of the fields of `kind` that hold values of exactly this type (`datetime`, `date`, `Decimal`)."""
    hints = typing.get_type_hints(kind)
    return tuple(name for name in kind.__struct_fields__ if wanted in _options(hints[name]))


@cache
def _rules(kind: type[Record]) -> list[tuple[str, tuple[type, ...], Rule]]:
    """(field, classes whose every value is right, rule for the others), for each field that has a rule."""
    hints = typing.get_type_hints(kind)
    rules = []
    for name in kind.__struct_fields__:
        options = _options(hints[name])
        rule = _rule(name, options)
        if rule is not None:
            rules.append((name, tuple(option for option in options if option in _WHOLE), rule))
    return rules


def _options(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, literals as their origin; one hint alone is one option."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(option for part in typing.get_args(hint) for option in _options(part))
    return (hint,)


def _rule(name: str, options: tuple[Any, ...]) -> Rule | None:
    tests = [_test(name, option) for option in options if option is not type(None)]
    may_be_none = type(None) in options
    if not tests or any(test is None for test in tests):
        return None

    def rule(value: Any) -> str | None:
        if value is None:
            return None if may_be_none else "is None"
        problems = [test(value) for test in tests if test is not None]
        return None if None in problems else problems[0]

    return rule


def _test(name: str, option: Any) -> Rule | None:
    if typing.get_origin(option) is typing.Literal:
        allowed = typing.get_args(option)
        return lambda value: None if value in allowed else f"is not one of {', '.join(map(str, allowed))}"
    if typing.get_origin(option) in (Mapping, tuple) or option is msgspec.Raw:
        return None
    simple: dict[Any, Rule] = {
        datetime: _instant,
        date: _day,
        Decimal: lambda value: _decimal(name, value),
        str: lambda value: None if isinstance(value, str) else f"is {type(value).__name__}, not text",
        bool: lambda value: None if isinstance(value, bool) else f"is {type(value).__name__}, not true or false",
        int: lambda value: None if type(value) is int else f"is {type(value).__name__}, not a whole number",
        float: lambda value: None if type(value) in (int, float) else f"is {type(value).__name__}, not a number",
    }
    return simple.get(option)


def _instant(value: Any) -> str | None:
    if not isinstance(value, datetime):
        return f"is {type(value).__name__}, not an instant"
    return "has no time zone" if value.utcoffset() is None else None


def _day(value: Any) -> str | None:
    return None if type(value) is date else f"is {type(value).__name__}, not a date"


def _decimal(name: str, value: Any) -> str | None:
    if type(value) is int:
        return None
    if not isinstance(value, Decimal):
        return f"is {type(value).__name__}, not Decimal"
    if not value.is_finite():
        return "is not a finite number"
    return None if abs(value) < Decimal(10) ** _MOST.get(name, 14) else "is too large to be stored"
