"""Calls, seconds and memory of HubSpot syncs against the sandbox in a process of its own, limits on.

    python -m benchmarks.hubspot --deals 20000 --latency 0.1

Also CPU per 1,000 deals with history, beside the same pages read with the vendor client's models.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hubspot
import requests

from connectors.hubspot import HubSpot
from connectors.sdk import SystemClock
from connectors.sdk.client import CallPolicy
from connectors.sdk.settings import load
from warehouse.home import Home
from warehouse.sync import run_sync


@contextmanager
def sandbox(deals: int, latency: float, options: dict[str, Any]):
    command = [
        sys.executable,
        "-m",
        "connectors.sandbox.hubspot",
        "--deals",
        str(deals),
        "--latency",
        str(latency),
        "--options",
        json.dumps(options),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def control(url: str, name: str, **wish: Any) -> Any:
    method = "get" if name == "calls" else "post"
    return requests.request(method, f"{url}/_sandbox/{name}", json=wish, timeout=60).json()


def sync(known: dict[str, Any], home: Home, version: str) -> dict[str, Any]:
    settings = load(
        HubSpot.Settings,
        {"access_token": known["credentials"]["access_token"], "base_url": known["url"], "api_version": version},
        where="bench",
    )
    control(known["url"], "reset")
    cpu, wall = time.process_time(), time.monotonic()
    policy = CallPolicy("hubspot", clock=SystemClock())
    report = run_sync(HubSpot(settings, source_key="hubspot"), home=home, clock=SystemClock(), calls=policy)
    calls = control(known["url"], "calls")
    return {
        "status": report.status,
        "calls": calls["total"],
        "seconds": round(time.monotonic() - wall, 1),
        "cpu": round(time.process_time() - cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "bursts": policy.report().bursts,
        "endpoints": calls["calls"],
        "rows": {name: row.new for name, row in report.rows.items() if row.new},
    }


def one(given: argparse.Namespace) -> None:
    """One measured pair of syncs in this process: full, then an increment."""
    with (
        sandbox(given.deals, given.latency, json.loads(given.options)) as known,
        tempfile.TemporaryDirectory() as folder,
    ):
        home = Home(Path(folder))
        print(json.dumps({"what": "full", **sync(known, home, given.version)}))
        control(known["url"], "advance", days=1, changes=500)
        print(json.dumps({"what": "500 changes", **sync(known, home, given.version)}))
        print(json.dumps({"what": "no change", **sync(known, home, given.version)}))


def models(given: argparse.Namespace) -> None:
    """The yardstick: the same pages with history as the vendor client's models."""
    with sandbox(given.deals, 0, {"per_ten_seconds": None}) as known:
        api = hubspot.Client.create(
            access_token=known["credentials"]["access_token"], host=known["url"]
        ).crm.deals.basic_api
        names = ["dealstage", "pipeline", "amount", "deal_currency_code", "closedate", "hubspot_owner_id"]
        cpu, count, after = time.process_time(), 0, None
        while True:
            page = api.get_page(
                limit=50,
                properties=["dealname", *names],
                properties_with_history=names,
                associations=["companies"],
                after=after,
            )
            count += len(page.results)
            if page.paging is None:
                break
            after = page.paging.next.after
        print(
            json.dumps(
                {"what": "vendor models, reading only", "deals": count, "cpu": round(time.process_time() - cpu, 1)}
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deals", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--version", default="2026-09")
    parser.add_argument("--options", default="{}", help="JSON options of the sandbox")
    parser.add_argument("--job", choices=("one", "models"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        {"one": one, "models": models}[given.job](given)
        return
    for job, latency, options in (
        ("one", 0.0, {}),
        ("one", given.latency, {}),
        ("one", given.latency, {"opaque_cursors": True}),
        ("models", 0.0, {}),
    ):
        print(f"--- latency {latency} s, options {options or 'none'}" if job == "one" else "--- yardstick", flush=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.hubspot",
            "--job",
            job,
            "--deals",
            str(given.deals),
            "--latency",
            str(latency),
        ]
        subprocess.run(
            [*command, "--version", given.version, "--options", json.dumps(options)],
            check=True,
            cwd=Path(__file__).parents[1],
        )


if __name__ == "__main__":
    main()
