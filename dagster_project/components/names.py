"""`translation:` of both components."""

from __future__ import annotations

from typing import Annotated

import dagster as dg
from pydantic import ConfigDict, Field


class AssetNames(dg.Model, dg.Resolvable):
    """Other names for what Dagster shows; what is left out keeps Muara's own choice."""

    #: Dagster reads a quoted '1' as a number; tags are texts.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    key_prefix: list[str] = Field(default_factory=list, description="Asset key parts instead of Muara's own.")
    group: Annotated[str | None, Field(description="Asset group; the warehouse's layers are added to it.")] = None
    owners: list[str] = Field(default_factory=list, description="E-mail addresses or team:<name>.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags added to the assets.")
    kinds: list[str] = Field(default_factory=list, description="Kinds added to Muara's own.")
