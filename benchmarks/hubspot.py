"""Calls, seconds, CPU and memory of HubSpot syncs against the sandbox in a process of its own, limits on; what landed beside the truth.

    python -m benchmarks.hubspot                      # all of it, about four minutes
    python -m benchmarks.hubspot --only pace          # 20,000 deals at 100 ms a call, 190 calls in 10 s
    python -m benchmarks.hubspot --only flood,lag     # 12,000 deals in one millisecond; an index 20 minutes behind

Each figure comes from a fresh process. `wrong` counts landed changes that never happened, `missing` changes that happened and did not land.
`models` is the yardstick: the same pages read with the vendor client's models, which land nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hubspot

from benchmarks.crm import Sandbox, Sync, fresh_process, landed
from connectors.hubspot import HubSpot
from connectors.sdk.settings import load

HISTORIES = ["dealstage", "pipeline", "amount", "deal_currency_code", "closedate", "hubspot_owner_id"]
PATHS = """
with newest as (select deal_id, max((_sync_seq, _ordinal)) as last from landing.history_reads group by 1)
select c.deal_id, epoch_ms(c.changed_at), c.to_pipeline_id, c.to_stage_id from landing.stage_changes as c
inner join newest as n on n.deal_id = c.deal_id and n.last = (c._sync_seq, c._read_ordinal)
order by c.deal_id, c.changed_at, c.sequence
"""
PRESENCE = (
    "select key, kind, survivor from landing.presence where stream = 'deals' order by _read_at, _sync_seq, _ordinal"
)
COMBINED = "select count(*) from landing.history_reads where is_combined"


def sync(sandbox: Sandbox, home: Path) -> dict[str, Any]:
    """One sync into `home`."""
    config = {"access_token": sandbox.credentials["access_token"], "base_url": sandbox.url}
    return Sync(HubSpot, load(HubSpot.Settings, config, where="benchmark")).run(sandbox, home)


def judged(sandbox: Sandbox, home: Path) -> dict[str, Any]:
    """What landed against what happened. Deals that swallowed others have a combined path, which is not compared."""
    truth = sandbox.ask("truth")
    told: dict[str, list[tuple[Any, ...]]] = {}
    for deal_id, *change in landed(home, "hubspot", PATHS):
        told.setdefault(deal_id, []).append(tuple(change))
    combined = set(map(str, truth["merged"].values()))
    real = {key: [tuple(change) for change in path] for key, path in truth["paths"].items() if key not in combined}
    presence = {key: (kind, survivor) for key, kind, survivor in landed(home, "hubspot", PRESENCE)}
    archived = [str(key) for key in truth["archived"]]
    return {
        "events": sum(map(len, real.values())),
        "wrong": sum(len(set(path) - set(real[key])) for key, path in told.items() if key in real),
        "missing": sum(len(set(path) - set(told.get(key, []))) for key, path in real.items()),
        "archived": len(archived),
        "archived_marked": sum(presence.get(key, ("",))[0] == "deleted" for key in archived),
        "merged_away": len(truth["merged"]),
        "merged_marked": sum(
            presence.get(old) in (None, ("merged", str(new)))
            if old not in told
            else presence.get(old) == ("merged", str(new))
            for old, new in truth["merged"].items()
        ),
        "combined_histories": landed(home, "hubspot", COMBINED)[0][0],
    }


@contextmanager
def scene(deals: int, latency: float, options: dict[str, Any]) -> Iterator[tuple[Sandbox, Path]]:
    """A portal in a process of its own, and an empty home."""
    with (
        Sandbox("hubspot", deals=deals, latency=latency, options=options) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        yield sandbox, Path(folder)


def pace(deals: int, latency: float, options: dict[str, Any]) -> None:
    """A first sync; an increment of 500 changed, 30 archived and 10 merged deals; an increment of nothing."""
    with scene(deals, latency, options) as (sandbox, home):
        _tell("first sync", sync(sandbox, home))
        _tell("  truth", judged(sandbox, home))
        sandbox.ask("advance", days=1, changes=500)
        truth = sandbox.ask("truth")
        gone = set(map(str, truth["archived"]))
        live = [number for key, number in truth["world"].items() if key not in gone]
        for deal in live[:30]:
            sandbox.ask("do", what="archive", args=[deal])
        for loser, survivor in zip(live[30:40], live[40:50], strict=True):
            sandbox.ask("do", what="merge", args=[loser, survivor])
        _tell("500 changed, 30 archived, 10 merged", sync(sandbox, home))
        _tell("  truth", judged(sandbox, home))
        _tell("nothing changed", sync(sandbox, home))


def flood(deals: int, latency: float, options: dict[str, Any]) -> None:
    """12,000 deals saved in one millisecond after the first sync: more than a search gives."""
    with scene(deals, latency, options) as (sandbox, home):
        sync(sandbox, home)
        sandbox.ask("tick", seconds=3600)
        _tell("deals in one millisecond", {"deals": len(sandbox.ask("do", what="tie_flood", args=[12_000]))})
        _tell("increment", sync(sandbox, home))
        _tell("  truth", judged(sandbox, home))


def lag(deals: int, latency: float, options: dict[str, Any]) -> None:
    """Twelve syncs, ten minutes apart, with news in between that search shows twenty minutes late; then all has arrived."""
    with scene(deals, latency, options) as (sandbox, home):
        sync(sandbox, home)
        for _ in range(12):
            sandbox.ask("advance", days=1 / 144, changes=10)
            sync(sandbox, home)
        sandbox.ask("tick", seconds=1300)
        _tell("last of twelve syncs", sync(sandbox, home))
        _tell("  truth", judged(sandbox, home))


def models(deals: int, latency: float, options: dict[str, Any]) -> None:
    """The yardstick: the same pages with history as the vendor client's models."""
    with Sandbox("hubspot", deals=deals, latency=latency, options=options) as sandbox:
        made = hubspot.Client.create(access_token=sandbox.credentials["access_token"], host=sandbox.url)
        api = made.crm.deals.basic_api
        wish = {
            "properties": ["dealname", *HISTORIES],
            "properties_with_history": HISTORIES,
            "associations": ["companies"],
        }
        cpu, count, after = time.process_time(), 0, None
        while True:
            page = api.get_page(limit=50, after=after, **wish)
            count += len(page.results)
            if page.paging is None:
                break
            after = page.paging.next.after
        cpu = time.process_time() - cpu
        _tell(
            "vendor models, reading only",
            {"deals": count, "cpu": round(cpu, 1), "cpu_per_1000": round(cpu / count * 1000, 2)},
        )


def _tell(what: str, found: dict[str, Any]) -> None:
    deals = found.get("rows", {}).get("deals", 0)
    if deals > 1000:
        found = found | {"cpu_per_1000": round(found["cpu"] / deals * 1000, 2)}
    print(json.dumps({"what": what, **found}), flush=True)


JOBS = {
    "calls": (pace, 20_000, 0.0, {}),
    "pace": (pace, 20_000, 0.1, {}),
    "opaque": (pace, 20_000, 0.1, {"opaque_cursors": True}),
    "flood": (flood, 20_000, 0.0, {"per_ten_seconds": None}),
    "lag": (lag, 2_000, 0.0, {"search_lag_seconds": 1200}),
    "models": (models, 20_000, 0.0, {"per_ten_seconds": None}),
}


def main() -> None:
    """Run the jobs, each in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"some of {', '.join(JOBS)}, joined by commas")
    parser.add_argument("--deals", type=int)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        run, deals, latency, options = JOBS[given.job["name"]]
        run(given.job["deals"] or deals, latency, options)
        return
    for name in given.only.split(",") if given.only else JOBS:
        _, deals, latency, options = JOBS[name]
        print(f"--- {name}: {given.deals or deals} deals, latency {latency} s, options {options or 'none'}", flush=True)
        fresh_process("benchmarks.hubspot", {"name": name, "deals": given.deals})


if __name__ == "__main__":
    main()
