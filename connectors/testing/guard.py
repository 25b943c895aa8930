"""Is it believable that so many keys have vanished in one sweep? The same bounds as in Muara's own landing (docs/architecture.md)."""

from __future__ import annotations


def doubt(stream: str, *, live: int, missing: int, seen: int) -> str | None:
    """Why the end of a full read is not believed; None when it is. `live`: keys that were held and not gone before it."""
    if live and missing and (not seen or (live > 1 and missing == live)):
        return f"{stream}: a full read gave no rows, but {live} are held"
    if stream == "deals" and missing > max(20, 0.05 * live):
        return f"deals: {missing} of {live} live deals have vanished"
    if stream != "deals" and live >= 20 and missing > live / 2:
        return f"{stream}: {missing} of {live} have vanished"
    return None
