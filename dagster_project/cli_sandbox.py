"""`muara sandbox`: fake CRMs on this machine, to try Muara without an account."""

from __future__ import annotations

import argparse
import importlib
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import yaml

from connectors.sandbox.world import World
from connectors.sdk.errors import ConfigError
from dagster_project.cli import OK, Context, Result
from dagster_project.cli_output import to_json
from dagster_project.project import SOURCE_TYPE

SYSTEMS = ("salesforce", "hubspot", "pipedrive")


def sandbox(args: argparse.Namespace, context: Context) -> Result:
    """Serve fake CRMs over one made-up company until interrupted, and print sources that read them."""
    unknown = [system for system in args.systems if system not in SYSTEMS]
    if unknown:
        raise ConfigError(f"there is no sandbox of {unknown[0]!r}. There are: {', '.join(SYSTEMS)}.")
    world = World(seed=args.seed, deals=args.deals)
    with ExitStack() as stack:
        sources = {}
        for number, system in enumerate(args.systems or SYSTEMS):
            serve = importlib.import_module(f"connectors.sandbox.{system}").serve
            port = args.port + number if args.port else 0
            server = stack.enter_context(serve(world, latency=args.latency, port=port))
            sources[system] = {"url": server.url, "source": source(system, server)}
        if args.json:
            print(to_json(sources), file=context.stdout, flush=True)
        else:
            print(_text(sources, world), file=context.stdout, flush=True)
        with _until_stopped() as stopped:
            stopped.wait()
    return Result(OK, None, "")


def source(system: str, server: Any) -> dict[str, Any]:
    """A source document that reads a sandbox. Its credentials are made up and open nothing else."""
    let_in = server.credentials
    config = {
        "salesforce": lambda: {
            "domain": let_in.domain,
            "consumer_key": let_in.consumer_key,
            "consumer_secret": let_in.consumer_secret,
            "endpoint_override": server.url,
        },
        "hubspot": lambda: {"access_token": let_in.access_token, "base_url": server.url},
        "pipedrive": lambda: {"api_token": let_in.api_token, "base_url": server.url},
    }[system]()
    return {"type": SOURCE_TYPE, "attributes": {"source": f"{system}_sandbox", "connector": system, "config": config}}


def _text(sources: dict[str, dict[str, Any]], world: World) -> str:
    documents = "---\n".join(yaml.safe_dump(one["source"], sort_keys=False) for one in sources.values())
    return (
        f"# {', '.join(sources)} over one made-up company of {len(world.deals)} deals. Ends with Ctrl+C.\n"
        f"# As sources (defs/sandbox/defs.yaml); the credentials are made up:\n{documents}"
    )


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: being stopped is how this command ends well."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
