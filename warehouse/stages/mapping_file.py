"""The user's `stage_mapping.yaml`: the authority above all others."""

from __future__ import annotations

from pathlib import Path

import msgspec


class StageMapping(msgspec.Struct, frozen=True):
    """The entries of a mapping file, in file order."""

    entries: tuple[object, ...] = ()

    @classmethod
    def load(cls, path: Path) -> StageMapping:
        raise NotImplementedError(path)
