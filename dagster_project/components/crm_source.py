"""The YAML vocabulary of a source: `type: dagster_project.components.CrmSource`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import dagster as dg
import msgspec
from pydantic import Field

from dagster_project.components.names import AssetNames
from dagster_project.components.scaffolder import CrmSourceScaffolder
from dagster_project.project import source_spec


class SourceFreshness(dg.Model, dg.Resolvable):
    """When this source counts as late, in hours since the last sync that read it. Default: two missed syncs."""

    warn_hours: float = Field(description="Late after this many hours without a sync.")
    fail_hours: float = Field(description="Too late after this many hours without a sync.")


@dg.scaffold_with(CrmSourceScaffolder)
class CrmSource(dg.Component, dg.Model, dg.Resolvable):
    """A CRM account or a set of spreadsheets, read into the landing zone by one sync.

    Several accounts of one CRM are several documents with different `source` names. `muara connectors` lists the settings of `config`.
    """

    source: Annotated[
        str, Field(description="Your name for it: a-z, 0-9, _. Asset key prefix, and source_key in every table.")
    ]
    connector: Annotated[str, Field(description="Name of an installed connector, such as salesforce.")]
    schedule: Annotated[str | None, Field(description='Cron line on which it syncs, such as "*/30 * * * *".')] = None
    freshness: Annotated[SourceFreshness | None, Field(description="When it counts as late.")] = None
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the connector. Any value may be {env: NAME}; it is read when the sync runs.",
    )
    translation: Annotated[AssetNames | None, Field(description="Other names for its assets.")] = None

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
            "freshness": self.freshness.model_dump() if self.freshness else None,
            "config": self.config,
            "translation": self.translation.model_dump() if self.translation else None,
        }
        spec = source_spec(attributes, where=f"{context.path} (source {self.source!r})")
        return source_definitions(context.project_root, msgspec.structs.replace(spec, where=f"source {self.source!r}"))
