"""How a user may rename what Dagster shows, and when a source counts as late. No Dagster import: the command line reads the same YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec


class Translation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`translation:` of a source or of the warehouse. What is left empty keeps Muara's own choice."""

    key_prefix: Annotated[
        tuple[str, ...], msgspec.Meta(description="Asset key parts instead of the source's name.")
    ] = ()
    group: Annotated[str | None, msgspec.Meta(description="Asset group instead of the source's name.")] = None
    owners: Annotated[
        tuple[str, ...], msgspec.Meta(description="Owners of the assets: e-mail addresses or team:<name>.")
    ] = ()
    tags: Annotated[Mapping[str, str], msgspec.Meta(description="Tags added to the assets.")] = {}
    kinds: Annotated[
        tuple[str, ...], msgspec.Meta(description="Kinds (icons) added to the connector's name and parquet.")
    ] = ()


_Hours = Annotated[float, msgspec.Meta(ge=0.1)]


class Freshness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`freshness:` of a source, in hours since the last sync that read it."""

    warn_hours: Annotated[_Hours, msgspec.Meta(description="Late after this many hours without a sync.")]
    fail_hours: Annotated[_Hours, msgspec.Meta(description="Too late after this many hours without a sync.")]

    def __post_init__(self) -> None:
        if self.warn_hours >= self.fail_hours:
            raise ValueError("warn_hours must be less than fail_hours")
