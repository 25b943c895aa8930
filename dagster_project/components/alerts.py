"""The YAML vocabulary of alerts: `type: dagster_project.components.Alerts`."""

from __future__ import annotations

from typing import Annotated, Any

import dagster as dg
from pydantic import Field

from dagster_project.alerts import EVENTS


class Alerts(dg.Component, dg.Model, dg.Resolvable):
    """A webhook that is told of newly stalled deals, of syncs that failed or look suspicious, and of checks that fail.

    Each thing is told once, and once more when it is well again. Syncs and builds tell, from Dagster and from the command line alike.
    """

    url: Annotated[
        Any,
        Field(
            description="Address to post to; best as {env: NAME}, for it is a secret. https, or http on this machine."
        ),
    ]
    format: Annotated[str, Field(description="slack (also Mattermost, Google Chat), discord, or json.")] = "slack"
    events: list[str] = Field(
        default_factory=lambda: [*map(str, EVENTS)], description="What is told: stalled_deals, syncs, checks."
    )
    sources: list[str] = Field(default_factory=list, description="Only of these sources; default: all.")

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            description="Posts stalled deals, bad syncs and failed checks to Slack or any webhook.",
            tags=["muara", "alerts", "slack"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """None of its own: `dagster_project.project` reads the document, syncs and builds do the telling."""
        return dg.Definitions()
