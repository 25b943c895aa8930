"""The CRM's own closed and won flags, weighed against what the label says: flags lie, and are reported when they do."""

from __future__ import annotations

import msgspec

from warehouse.stages.answers import StageLabel

_RUNGS = frozenset({"prospecting", "qualification", "discovery", "nurture", "proposal", "negotiation"})
_LADDER = _RUNGS | {"on_hold"}
_PLAIN = 0.85  # a word of the ladder must be this plain to stand against the flags
_SURE = 0.95
_EXPLICIT = 0.93


class Verdict(msgspec.Struct, frozen=True):
    """A stage decided by flags. `stage` None: flags and label contradict each other and neither can be believed."""

    stage: str | None
    outcome: str
    confidence: float
    reason: str
    flagged: bool = False


def weigh(label: StageLabel, said: str | None, score: float, edge: bool) -> Verdict | None:
    """The verdict of the flags, or None to leave it to the label.

    `said`: the stage that the label's words say with enough confidence; `edge`: those words are of signing, ordering,
    paying, approving, which sit between negotiation, won and post_sale and follow the flags.
    """
    if label.outcome == "won":
        return _won(label, said, edge or score < _PLAIN)
    if label.outcome == "lost":
        return _lost(label, said if score >= _PLAIN or said not in _RUNGS else None)
    if label.outcome == "open" and said == "won":
        return _open(label, score)
    return None


def _won(label: StageLabel, said: str | None, edge: bool) -> Verdict:
    if said == "won":
        return Verdict("won", "won", 0.99, "the CRM's flags and the label both say won")
    if said == "post_sale":
        return Verdict("post_sale", "won", _SURE, "won by the CRM's flags, after the sale by its label")
    if said == "lost":
        if label.probability == 0:
            return Verdict("lost", "lost", 0.9, "flagged won, but probability 0 and the label say lost", flagged=True)
        return Verdict(None, "won", 0.0, "the CRM's flags say won, the label says lost", flagged=True)
    if said in _LADDER and not edge:
        return Verdict(said, "won", 0.85, f"the CRM's flags say won, the label says {said}", flagged=True)
    if label.probability == 0:
        return Verdict(None, "won", 0.0, "flagged won with probability 0, and the label says neither", flagged=True)
    return Verdict("won", "won", _SURE, "closed and won by the CRM's flags")


def _lost(label: StageLabel, said: str | None) -> Verdict:
    if said == "lost":
        return Verdict("lost", "lost", 0.99, "the CRM's flags and the label both say lost")
    if said == "won":
        return Verdict(None, "lost", 0.0, "the CRM's flags say lost, the label says won", flagged=True)
    if said == "on_hold":
        return Verdict("on_hold", "lost", 0.8, "the CRM's flags say lost, the label says parked", flagged=True)
    if label.probability:
        reason = f"flagged lost with probability {label.probability:.0%}"
        if said in _LADDER:
            return Verdict(said, "lost", 0.8, f"{reason}, the label says {said}", flagged=True)
        return Verdict(None, "lost", 0.0, f"{reason}, and the label does not say lost", flagged=True)
    return Verdict("lost", "lost", _SURE, "closed and not won by the CRM's flags", flagged=said in _LADDER)


def _open(label: StageLabel, score: float) -> Verdict | None:
    """A label that sounds won on a stage that the CRM keeps open: plain words are kept and flagged, edge words wait."""
    if score < _EXPLICIT and label.probability != 1:
        return Verdict("negotiation", "open", 0.78, "sounds won, but the CRM keeps it open", flagged=True)
    return None
