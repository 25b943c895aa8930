"""How a user may rename what Dagster shows of a source. No Dagster import: the command line reads the same YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec


class Translation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`translation:` of a source. What is left empty keeps Muara's own choice."""

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
