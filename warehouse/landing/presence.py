"""Is a key there or gone: the rules by which an assertion of the source becomes a row of `presence`. Order is by read time alone.

A row is written only when it changes what is held. `merged` is not overruled by a plain `deleted` (or another word for gone): a merged deal's loser
often stands in the list of deleted ones too, and its survivor must not be forgotten; only being seen again overrules it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from connectors.sdk.records import Tombstone
from warehouse.landing.index import HeldRow
from warehouse.landing.lines import PresenceRow, instant, micros
from warehouse.landing.recent import UNKNOWN, Recent

Held = Mapping[str, HeldRow]


class State(NamedTuple):
    """The presence in force of one key. `own`: what its latest version says of itself, None when no version is held."""

    kind: str
    own: str | None
    survivor: str | None
    gone_at: int | None
    read_at: int


def _again(stream: str, key: str, state: State) -> PresenceRow:
    gone_at = None if state.gone_at is None else instant(state.gone_at)
    return PresenceRow(stream=stream, key=key, kind="merged", gone_at=gone_at, survivor=state.survivor)


class Presence:
    """Decides about presence rows within one sync."""

    def __init__(self) -> None:
        self._recent = Recent()
        #: What is merged is remembered for the whole sync: few deals ever are, and a survivor that is forgotten is lost.
        self._merged: dict[tuple[str, str], State] = {}
        #: Something was said in this sync, so that a key that is not held may have a presence all the same.
        self.has_spoken = False

    def state(self, stream: str, key: str, held: HeldRow | None) -> State | None:
        """What is known of a key now: None when it is not held. After a long sync it may be forgotten: then a kind that equals nothing."""
        recent: State | Any = self._recent.get((stream, key))
        if recent is UNKNOWN:
            merged = self._merged.get((stream, key))
            if merged is not None:
                return merged
            return State("?", held.own if held else None, None, None, held.presence_read_at if held else 0)
        if isinstance(recent, State):
            return recent
        if held is None:
            return None
        return State(held.presence, held.own, held.survivor, held.gone_at, held.presence_read_at)

    def of_version(
        self, stream: str, key: str, kind: str, at: int, held: HeldRow | None, *, fresh: bool
    ) -> PresenceRow | None:
        """A record of this key came, saying `kind` of itself. `fresh`: it is landed as a new version, which states `kind` already."""
        state = self.state(stream, key, held)
        if state is None or at < state.read_at or state.kind == kind:
            return None
        if kind != "present" and state.kind == "merged":
            # The new version says "deleted" from now on, so what is true is said once more after it.
            return _again(stream, key, state) if fresh else None
        self._put(stream, key, State(kind, kind, None, None, at))
        if kind == "present" or not fresh:
            return PresenceRow(stream=stream, key=key, kind=kind)  # type: ignore[arg-type]
        return None

    def of_seen(self, stream: str, key: str, at: int, held: HeldRow | None) -> PresenceRow | None:
        """A sweep saw this key. One that its own record calls archived or deleted is that again, else it is present again."""
        state = self.state(stream, key, held)
        if state is None or at < state.read_at:
            return None
        back = state.own or "present"
        if state.kind == back:
            return None
        self._put(stream, key, State(back, state.own, None, None, at))
        return PresenceRow(stream=stream, key=key, kind=back)  # type: ignore[arg-type]

    def of_tombstone(self, tomb: Tombstone, at: int, held: HeldRow | None) -> tuple[PresenceRow | None, bool]:
        """The source says that this key is gone. Returns the row to write, if any, and whether a live key went."""
        state = self.state(tomb.stream, tomb.key, held)
        gone_at = micros(tomb.gone_at) if tomb.gone_at is not None else None
        row = PresenceRow(
            stream=tomb.stream, key=tomb.key, kind=tomb.kind, gone_at=tomb.gone_at, survivor=tomb.survivor
        )
        if state is not None and at < state.read_at:
            return row, False
        if state is not None:
            same_time = gone_at is None or gone_at == state.gone_at
            if state.kind == tomb.kind and state.survivor == tomb.survivor and same_time:
                return None, False
            if state.kind == "merged" and tomb.kind != "merged":
                return None, False
        own = state.own if state else None
        self._put(tomb.stream, tomb.key, State(tomb.kind, own, tomb.survivor, gone_at, at))
        return row, state is not None and state.own is not None and state.kind in ("present", "?")

    def _put(self, stream: str, key: str, state: State) -> None:
        self.has_spoken = True
        self._recent.put((stream, key), state, held=True)
        if state.kind == "merged":
            self._merged[stream, key] = state
        else:
            self._merged.pop((stream, key), None)
