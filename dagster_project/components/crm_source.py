"""The YAML vocabulary of a source: `type: dagster_project.components.CrmSource`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import dagster as dg
import msgspec
from pydantic import Field

from dagster_project.project import source_spec


class SourceTranslation(dg.Model, dg.Resolvable):
    """Other names for what Dagster shows of this source; what is left out keeps Muara's own choice."""

    key_prefix: list[str] = Field(default_factory=list, description="Asset key parts instead of the source's name.")
    group: Annotated[str | None, Field(description="Asset group instead of the source's name.")] = None
    owners: list[str] = Field(default_factory=list, description="E-mail addresses or team:<name>.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags added to the assets.")
    kinds: list[str] = Field(default_factory=list, description="Kinds added to the connector's name and parquet.")


class CrmSource(dg.Component, dg.Model, dg.Resolvable):
    """A CRM account or a set of spreadsheets, read into the landing zone by one sync.

    Several accounts of one CRM are several documents with different `source` names. `muara connectors` lists the settings of `config`.
    """

    source: Annotated[
        str, Field(description="Your name for it: a-z, 0-9, _. Asset key prefix, and source_key in every table.")
    ]
    connector: Annotated[str, Field(description="Name of an installed connector, such as salesforce.")]
    schedule: Annotated[str | None, Field(description='Cron line on which it syncs, such as "*/30 * * * *".')] = None
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the connector. Any value may be {env: NAME}; it is read when the sync runs.",
    )
    translation: Annotated[SourceTranslation | None, Field(description="Other names for its assets.")] = None

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            description="One source of deals: a CRM account or a set of spreadsheets, synced into Muara's landing zone.",
            tags=["muara", "crm", "sync"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, job and schedule of this source. Reads no environment variable and calls nobody."""
        from dagster_project.wiring import source_definitions  # noqa: PLC0415 - `dg list components` needs no assets

        attributes: Mapping[str, Any] = {
            "source": self.source,
            "connector": self.connector,
            "schedule": self.schedule,
            "config": self.config,
            "translation": self.translation.model_dump() if self.translation else None,
        }
        spec = source_spec(attributes, where=f"{context.path} (source {self.source!r})")
        return source_definitions(context.project_root, msgspec.structs.replace(spec, where=f"source {self.source!r}"))
