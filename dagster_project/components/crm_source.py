"""The YAML vocabulary of a source: `type: dagster_project.components.CrmSource`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import dagster as dg
import msgspec
from pydantic import BaseModel, ConfigDict, Field

from connectors.sdk import registry
from connectors.sdk.settings import ConnectorSettings, describe
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

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The YAML's shape for `dg check yaml` and editors: installed connectors, and the settings that each knows."""
        base = super().get_model_cls()
        if base is None:
            raise TypeError("Dagster made no model of CrmSource's attributes.")
        extra = ConfigDict(json_schema_extra=_connectors_schema)
        return type(base.__name__, (base,), {"model_config": extra, "__module__": __name__, "__doc__": cls.__doc__})

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


def _connectors_schema(schema: dict[str, Any]) -> None:
    """Add the names of connectors and, by connector, the names of its settings. Types are judged when definitions load, by msgspec."""
    schema["properties"]["connector"] = {**schema["properties"]["connector"], "enum": list(registry.names())}
    if "dagster_dg_core" not in sys.modules:
        return  # a code server asks too, for its pages, and must not import the client of every vendor for that
    schema["allOf"] = [
        {
            "if": {"properties": {"connector": {"const": listed.name}}, "required": ["connector"]},
            "then": {"properties": {"config": _config_schema(registry.load(listed.name).Settings)}},
        }
        for listed in registry.listed(load=True)
        if not listed.problem
    ]


def _config_schema(settings: type[ConnectorSettings]) -> dict[str, Any]:
    rows = describe(settings)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {row["name"]: {"description": f"{row['description']} ({row['type']})"} for row in rows},
        "required": [row["name"] for row in rows if row["required"]],
    }
