"""What this sync has written so far, in bounded memory: the index on disk knows the state before the sync only.

The last keys are remembered exactly. Older ones leave a mark in a Bloom filter: a mark means "maybe written in this sync", and then the writer writes
again rather than compare with a state that may be out of date. A needless version is harmless; a missing one is not.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

#: `get` of a key that may have been written in this sync, but whose value is forgotten.
UNKNOWN = object()

_GENERATION = 50_000
_FEW_MARKS = 20_000
_BITS = 1 << 26


class Recent:
    """Key -> value of what was written in this sync: None (not written), the value, or UNKNOWN."""

    def __init__(self, generation: int = _GENERATION) -> None:
        self._generation = generation
        self._young: dict[Hashable, Any] = {}
        self._old: dict[Hashable, Any] = {}
        self._marks = Marks()

    def get(self, key: Hashable) -> Any:
        """The value written in this sync."""
        if key in self._young:
            return self._young[key]
        if key in self._old:
            return self._old[key]
        return UNKNOWN if key in self._marks else None

    def put(self, key: Hashable, value: Any, *, held: bool) -> None:
        """Remember. A key that is not `held` from before leaves no mark: forgetting it costs a repeated row, never a missing one."""
        self._young[key] = value
        if held:
            self._marks.add(key)
        if len(self._young) >= self._generation:
            self._old, self._young = self._young, {}


class Marks:
    """A set of keys; once they are many a Bloom filter of two bits, 8 MB: then `in` may say yes wrongly, never no."""

    def __init__(self) -> None:
        self._few: set[Hashable] = set()
        self._bits: bytearray | None = None

    def add(self, key: Hashable) -> None:
        """Mark a key."""
        self._few.add(key)
        if len(self._few) >= _FEW_MARKS:
            bits = self._bits = self._bits or bytearray(_BITS // 8)
            for each in self._few:
                for place in _places(each):
                    bits[place >> 3] |= 1 << (place & 7)
            self._few.clear()

    def __contains__(self, key: Hashable) -> bool:
        if key in self._few:
            return True
        bits = self._bits
        return bits is not None and all(bits[place >> 3] >> (place & 7) & 1 for place in _places(key))


def _places(key: Hashable) -> tuple[int, int]:
    digest = hash(key)
    return digest & (_BITS - 1), (digest >> 32) & (_BITS - 1)
