"""Pipedrive keeps the connector contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from connectors.pipedrive import Pipedrive
from connectors.sandbox.pipedrive import serve
from connectors.sandbox.pipedrive.render import FIRST_USER, field_hash
from connectors.sandbox.world import World
from connectors.testing import ContractSuite, TrueDeal, Truth, WorldHarness
from tests.contract.quick import QuickBench


class PipedriveHarness(WorldHarness):
    """A made-up company, OAuth so that tokens can die. Merged-away deals look deleted, archived ones are still deals."""

    connector = Pipedrive
    resolution_ms = 1000
    #: Histories of a hundred deals are under way at once.
    memory_sizes = (120, 360)
    bad_value: ClassVar[tuple[str, str]] = (r'("value":\s*)987654321\.12\b', r'\1"no number"')

    def build(self) -> tuple[Any, Any]:
        world = World(seed=self.seed, deals=self.size, cases=self.size >= 45)
        return world, serve(world, burst=None, rotates=False)

    @property
    def settings(self) -> Mapping[str, Any]:
        known = self.server.credentials
        return {
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "refresh_token": known.refresh_token,
            "base_url": self.server.url,
            "oauth_url": self.server.url + "/oauth/token",
        }

    def stage_key(self, stage: Any) -> tuple[str, str]:
        return str(stage.pipeline_id), str(stage.id) if stage.outcome == "open" else stage.outcome

    def stage_of(self, deal: Any) -> tuple[str, str]:
        last = self.world.last_open_stage(deal)
        return self.stage_key(last if last is not None else self.world.pipeline_stages(deal.pipeline_id)[0])

    def owner_key(self, number: int) -> str:
        return str(FIRST_USER + number)

    def path(self, deal: Any) -> Iterable[tuple[int, str]]:
        for position, (at_ms, stage) in enumerate(super().path(deal)):
            if position == 0 and stage in ("won", "lost"):
                yield at_ms, self.stage_key(self.world.pipeline_stages(deal.pipeline_id)[0])[1]
            yield at_ms, stage

    def true_deal(self, deal: Any) -> TrueDeal:
        """A value that nobody entered is 0 in Pipedrive: by default both are unknown."""
        found = super().true_deal(deal)
        return msgspec.structs.replace(found, amount=deal.amount or None, currency=deal.currency)

    def field_code(self, key: str) -> str:
        return field_hash(self.world.custom_fields[key])

    @property
    def truth(self) -> Truth:
        plain = super().truth
        gone = {key: "deleted" if kind == "merged" else kind for key, kind in plain.gone.items()}
        return Truth(deals=plain.deals, gone=gone, owners=plain.owners, companies=plain.companies, stages=plain.stages)


class TestPipedrive(ContractSuite):
    harness = PipedriveHarness
    bench = QuickBench
