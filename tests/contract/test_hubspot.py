"""HubSpot keeps the connector contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from connectors.hubspot import HubSpot
from connectors.sandbox.hubspot import serve
from connectors.sandbox.hubspot.render import FIRST_COMPANY, FIRST_OWNER
from connectors.sandbox.world import World
from connectors.testing import ContractSuite, Impossible, TrueDeal, Truth, WorldHarness
from tests.contract.quick import QuickBench


class HubSpotHarness(WorldHarness):
    """A made-up portal, OAuth so that tokens can die. Deals in the recycle bin are deleted ones, whatever the world calls it."""

    connector = HubSpot
    bad_value: ClassVar[tuple[str, str]] = (r'(:\s*)"987654321\.12"', r'\1"no number"')

    def build(self) -> tuple[Any, Any]:
        world = World(seed=self.seed, deals=self.size, cases=self.size >= 45)
        return world, serve(world, per_ten_seconds=None, search_per_second=None)

    @property
    def settings(self) -> Mapping[str, Any]:
        known = dataclasses.asdict(self.server.credentials)
        known.pop("access_token")
        return {**known, "base_url": self.server.url}

    def deal_key(self, number: int) -> str:
        return str(self.server.deal_id(number))

    def stage_key(self, stage: Any) -> tuple[str, str]:
        names = self.server.portal.names
        return names.pipeline(stage.pipeline_id), names.stage(stage.id)

    def owner_key(self, number: int) -> str:
        return str(FIRST_OWNER + number)

    def company_key(self, number: int) -> str:
        return str(FIRST_COMPANY + number)

    def number(self, deal_id: str) -> int:
        survivor = self.server.portal.survivors.get(int(deal_id))
        return survivor if survivor is not None else super().number(deal_id)

    def true_deal(self, deal: Any) -> TrueDeal:
        """What HubSpot makes of several lives in one is its own affair: combined paths are not compared."""
        found = super().true_deal(deal)
        is_combined = any(other.merged_into == deal.id for other in self.world.deals.values())
        return msgspec.structs.replace(found, path=msgspec.UNSET) if is_combined else found

    def archive(self, deal_id: str) -> None:
        raise Impossible("HubSpot has no archive beside its recycle bin: archiving is deleting")

    @property
    def truth(self) -> Truth:
        """A merge gives the survivor a new id: its own old id is merged away, too."""
        plain = super().truth
        merged = self.server.merged_ids()
        gone = {key: "deleted" if kind == "archived" else kind for key, kind in plain.gone.items()}
        return Truth(
            deals=plain.deals,
            gone={key: kind for key, kind in gone.items() if kind != "merged"} | dict.fromkeys(merged, "merged"),
            survivors=merged,
            owners=plain.owners,
            companies=plain.companies,
            stages=plain.stages,
        )


class TestHubSpot(ContractSuite):
    harness = HubSpotHarness
    bench = QuickBench
