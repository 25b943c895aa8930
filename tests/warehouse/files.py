"""The writes of publishing, with something that happens before the nth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from warehouse.publish import Files


class StrikingFiles(Files):
    """Calls `strike` before write number `left` (from 0) and before each one after it."""

    def __init__(self, left: int, strike: Callable[[], None]) -> None:
        self.left = left
        self.strike = strike

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.strike()

    def copy(self, source: Path, target: Path) -> None:
        self._step()
        super().copy(source, target)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def write(self, target: Path, data: bytes) -> None:
        self._step()
        super().write(target, data)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)
