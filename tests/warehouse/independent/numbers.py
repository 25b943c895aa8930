"""Statistics from their definitions: exact fractions where a threshold decides, plain loops everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

Z = 1.959963984540054


def rate(part: int, whole: int) -> float | None:
    """A share, or None of nothing."""
    return part / whole if whole else None


def wilson(k: int, n: int) -> tuple[float | None, float | None]:
    """95 % Wilson interval of k of n."""
    if n == 0:
        return None, None
    p = k / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def quantile(values: Sequence[float], q: float) -> float | None:
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean, or None of nothing."""
    return math.fsum(values) / len(values) if values else None


def survival_quantiles(spells: Sequence[tuple[int, bool]], qs: Sequence[Fraction]) -> list[float | None]:
    """Kaplan-Meier quantiles in days of spells (milliseconds, has ended): first event time with S(t) <= 1 - q, exactly."""
    times = sorted({length for length, ended in spells if ended})
    lengths = sorted(length for length, _ in spells)
    found: list[float | None] = [None] * len(qs)
    alive = Fraction(1)
    for time in times:
        at_risk = sum(1 for length in lengths if length >= time)
        events = sum(1 for length, ended in spells if ended and length == time)
        alive *= Fraction(at_risk - events, at_risk)
        for place, q in enumerate(qs):
            if found[place] is None and alive <= 1 - q:
                found[place] = time / 86_400_000
    return found


def incidences(
    spells: Sequence[tuple[int, str | None]], causes: Sequence[str], horizon_days: int
) -> dict[str, float | None]:
    """Aalen-Johansen incidence of each cause within the horizon; a spell without a cause is still running."""
    if not spells:
        return dict.fromkeys(causes)
    total = dict.fromkeys(causes, 0.0)
    alive = 1.0
    for time in sorted({length for length, cause in spells if cause}):
        at_risk = sum(1 for length, _ in spells if length >= time)
        ending = [cause for length, cause in spells if cause and length == time]
        if time <= horizon_days * 86_400_000:
            for cause in causes:
                total[cause] += alive * ending.count(cause) / at_risk
        alive *= 1 - len(ending) / at_risk
    return dict(total)


def average_money(total: Decimal | None, count: int) -> Decimal | None:
    """Mean amount to the cent, half up."""
    return (total / count).quantize(Decimal("0.01"), ROUND_HALF_UP) if count and total is not None else None
