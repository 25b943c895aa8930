"""What `python -m connectors.sandbox.<crm>` does, for each of the CRMs: a sandbox in a process of its own.

    python -m connectors.sandbox.hubspot --deals 20000 --latency 0.1

Prints one line of JSON (url, credentials) when it is ready, and ends when its standard input is closed. Other processes turn
its knobs under `<url>/_sandbox/` (see `Server.control`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from connectors.sandbox.world import World


def main(crm: str, serve: Callable[..., Any]) -> None:
    """Serve one CRM until standard input ends; `serve` is that of `connectors.sandbox.<crm>`."""
    parser = argparse.ArgumentParser(prog=f"python -m connectors.sandbox.{crm}")
    parser.add_argument("--deals", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per call")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object of `serve` options")
    chosen = parser.parse_args()
    world = World(seed=chosen.seed, deals=chosen.deals)
    with serve(world, latency=chosen.latency, port=chosen.port, **chosen.options) as running:
        ready = {"url": running.url, "credentials": dataclasses.asdict(running.credentials)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
