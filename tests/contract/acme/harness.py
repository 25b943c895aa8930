"""Acme for the contract suite: in memory, and the same over loopback."""

from __future__ import annotations

import pickle
import threading

from connectors.sandbox.server import Server
from connectors.sandbox.world import World
from connectors.testing import WorldHarness
from tests.contract.acme.connector import Acme
from tests.contract.acme.crm import CLIENT, AcmeCrm, MemoryServer

_made: dict[tuple[int, int], bytes] = {}


def new_world(deals: int, seed: int) -> World:
    """A world of its own for each check. Making one up takes longer than a sync, so each is made up once and then copied."""
    if (deals, seed) not in _made:
        state = dict(vars(World(seed=seed, deals=deals, months=6, owners=5, companies=5)))
        del state["lock"]
        _made[deals, seed] = pickle.dumps(state)
    world = World.__new__(World)
    vars(world).update(pickle.loads(_made[deals, seed]), lock=threading.RLock())
    return world


class AcmeHarness(WorldHarness):
    connector = Acme
    sweep_days = 8
    usual_size = 8
    memory_sizes = (30, 90)

    def build(self):
        world = new_world(self.size, self.seed)
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

    def keep_tokens(self):
        return list(self.acme.issued), set(self.acme.live)

    def put_back_tokens(self, kept):
        self.acme.issued, self.acme.live = list(kept[0]), set(kept[1])


class AcmeOverHttp(AcmeHarness):
    def build(self):
        world, server = super().build()
        return world, Server(server.app)
