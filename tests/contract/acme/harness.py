"""Acme for the contract suite: in memory, and the same over loopback."""

from __future__ import annotations

from connectors.sandbox.server import Server
from connectors.sandbox.world import World
from connectors.testing import WorldHarness
from tests.contract.acme.connector import Acme
from tests.contract.acme.crm import CLIENT, AcmeCrm, MemoryServer


class AcmeHarness(WorldHarness):
    connector = Acme
    sweep_days = 8
    memory_sizes = (20, 80)

    def build(self):
        world = World(seed=self.seed, deals=self.size, months=6, owners=7, companies=7)
        self.acme = AcmeCrm(world)
        return world, MemoryServer(self.acme)

    @property
    def settings(self):
        return {"base_url": self.server.url, **CLIENT}

    @property
    def secrets(self):
        return self.acme.issued

    def fault_match(self, kind):
        return "[!t]*"  # whatever is no token call


class AcmeOverHttp(AcmeHarness):
    def build(self):
        world, server = super().build()
        return world, Server(server.app)
