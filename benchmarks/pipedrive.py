"""Calls, tokens, seconds and memory of Pipedrive syncs against the sandbox in a process of its own; what landed beside the world's truth.

    python -m benchmarks.pipedrive                    # all of it, about five minutes
    python -m benchmarks.pipedrive --only whole       # 20,000 deals and an increment of 30 changes, no burst limit
    python -m benchmarks.pipedrive --only pace        # 2,000 deals at 100 ms: a plan whose bursts allow it, and the smallest one

Each figure comes from a fresh process. `wrong` counts landed changes that never happened, `missing` changes that happened and did not land.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.crm import Sandbox, Sync, fresh_process, landed
from connectors.pipedrive import Pipedrive
from connectors.sdk.settings import load

#: Tokens by endpoint (official OpenAPI documents, `x-token-cost`).
PRICE = {
    "users.me": 2, "deals": 10, "deals.archived": 20, "deal_fields": 10, "pipelines": 5, "stages": 5, "stages.get": 1,
    "organizations": 10, "users": 20, "changelog": 20,
}  # fmt: skip
PATHS = """
with newest as (select deal_id, max((_sync_seq, _ordinal)) as last from landing.history_reads group by 1)
select c.deal_id, epoch(c.changed_at)::bigint, c.to_stage_id from landing.stage_changes as c
inner join newest as n on n.deal_id = c.deal_id and n.last = (c._sync_seq, c._read_ordinal)
order by c.deal_id, c.changed_at, c.sequence
"""
PRESENCE = "select key, kind from landing.presence where stream = 'deals' order by _read_at, _sync_seq, _ordinal"
STATES = "select deal_id, arg_max(presence, (_read_at, _sync_seq, _ordinal)) from landing.deals group by 1"


def sync(sandbox: Sandbox, home: Path, days: float = 0) -> dict[str, Any]:
    """One sync into `home`, with its price in tokens."""
    config = {"api_token": sandbox.credentials["api_token"], "base_url": sandbox.url}
    found = Sync(Pipedrive, load(Pipedrive.Settings, config, where="benchmark"), days).run(sandbox, home)
    return found | {"tokens": sum(PRICE[name] * count for name, count in found["endpoints"].items())}


def judged(sandbox: Sandbox, home: Path) -> dict[str, Any]:
    """What landed against what happened."""
    truth = sandbox.ask("truth")
    told: dict[str, list[tuple[int, str]]] = {}
    for deal_id, at, stage in landed(home, "pipedrive", PATHS):
        told.setdefault(deal_id, []).append((at, stage))
    real = {key: [(at, stage) for at, stage in path] for key, path in truth["paths"].items()}
    missing = {key: len(set(path) - set(told.get(key, []))) for key, path in real.items() if path != told.get(key)}
    kinds = dict(landed(home, "pipedrive", PRESENCE))
    states = dict(landed(home, "pipedrive", STATES))
    gone = {key: "deleted" if kind == "merged" else kind for key, kind in truth["gone"].items() if key in states}
    reopened = [(key, event) for key, path in real.items() for event in _reopenings(path)]
    return {
        "events": sum(map(len, real.values())),
        "wrong": sum(len(set(path) - set(real[key])) for key, path in told.items() if key in real),
        "missing": sum(missing.values()),
        "deals_missing": len(set(real) - set(states)),
        "reopenings": len(reopened),
        "reopenings_found": sum(event in told.get(key, []) for key, event in reopened),
        "gone": len(gone),
        "gone_marked": sum(kinds.get(key) == kind for key, kind in gone.items()),
        "archived": len(truth["archived"]),
        "archived_marked": sum(states.get(str(key)) == "archived" for key in truth["archived"]),
    }


def _reopenings(path: list[tuple[int, str]]) -> list[tuple[int, str]]:
    closed = ("won", "lost")
    return [now for before, now in itertools.pairwise(path) if before[1] in closed and now[1] not in closed]


def whole(deals: int, options: dict[str, Any]) -> None:
    """A first sync, a day with 30 changes, then deals that go in every way and one that is closed anew in between."""
    with (
        Sandbox("pipedrive", deals=deals, latency=0, options=options) as sandbox,
        tempfile.TemporaryDirectory() as home,
    ):
        _tell("first sync", sync(sandbox, Path(home)))
        _tell("  truth", judged(sandbox, Path(home)))
        sandbox.ask("advance", days=1, changes=30)
        _tell("30 changes", sync(sandbox, Path(home)))
        _tell("  truth", judged(sandbox, Path(home)))
        live = [int(key) for key in sandbox.ask("truth")["paths"]]
        for number, what in enumerate(("delete", "archive", "purge")):
            for deal in live[10 * number : 10 * number + 10]:
                sandbox.ask("do", what=what, args=[deal])
        for loser, survivor in zip(live[30:40], live[40:50], strict=True):
            sandbox.ask("do", what="merge", args=[loser, survivor])
        for deal in live[50:60]:
            for what in ("lose", "reopen", "lose", "reopen", "win"):
                sandbox.ask("tick", seconds=60)
                sandbox.ask("do", what=what, args=[deal])
        sandbox.ask("advance", days=8, changes=0)
        _tell("gone in every way", sync(sandbox, Path(home), days=9))
        _tell("  truth", judged(sandbox, Path(home)))


def pace(deals: int, options: dict[str, Any]) -> None:
    """A first sync at 100 ms a call; the floor is what the burst limit alone would take."""
    with (
        Sandbox("pipedrive", deals=deals, latency=0.1, options=options) as sandbox,
        tempfile.TemporaryDirectory() as home,
    ):
        found = sync(sandbox, Path(home))
        _tell("first sync", found | {"burst_floor_s": round(2 * found["calls"] / options["burst"], 1)})


def _tell(what: str, found: dict[str, Any]) -> None:
    print(json.dumps({"what": what, **found}), flush=True)


def main() -> None:
    """Run the jobs, each in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("whole", "pace"))
    parser.add_argument("--deals", type=int)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        job = json.loads(given.job)
        {"whole": whole, "pace": pace}[job["kind"]](job["deals"], job["options"])
        return
    for kind, deals, options in (
        ("whole", 20_000, {"burst": 1000}),
        ("pace", 2_000, {"burst": 120}),
        ("pace", 2_000, {"burst": 40}),
        ("pace", 500, {"burst": 20}),
    ):
        if given.only in (None, kind):
            print(f"--- {given.deals or deals} deals, {options}", flush=True)
            fresh_process("benchmarks.pipedrive", {"kind": kind, "deals": given.deals or deals, "options": options})


if __name__ == "__main__":
    main()
