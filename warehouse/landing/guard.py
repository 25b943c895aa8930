"""Volume judged: is it believable that so many keys have vanished? Judged on live totals and full reads only, never on a quiet increment."""

from __future__ import annotations

#: Fewer missing deals than this are believed whatever the share.
BELIEVED_DEALS = 20
BELIEVED_SHARE = 0.05
#: Other streams (stages, owners ...): a fall by more than half is not believed, from this many live keys on.
_FEW = 20
_FALL = 0.5


def suspicion(stream: str, *, live: int, missing: int, seen: int) -> str | None:
    """Why the end of a full read is not believed, in words; None when it is. `live`: keys held and not gone before it."""
    # Rows that only say what is deleted are no sign of life: when nothing live was seen at all, nothing is believed.
    if live and missing and (not seen or (live > 1 and missing == live)):
        return f"{stream}: a full read gave no live rows, but {live:,} are held. {_ADVICE}"
    if stream == "deals":
        most = max(BELIEVED_DEALS, BELIEVED_SHARE * live)
        if missing > most:
            return f"deals: {missing:,} of {live:,} live deals have vanished, more than {most:,.0f} are not believed. {_ADVICE}"
    elif live >= _FEW and missing > _FALL * live:
        return f"{stream}: {missing:,} of {live:,} have vanished. {_ADVICE}"
    return None


_ADVICE = "Nothing was marked as gone. Check the account's permissions and filters; if they were really deleted, sync with --accept-deletes."
