"""Calls, seconds, rows a second, memory and CPU of Salesforce syncs, against a sandbox in a process of its own.

    python -m benchmarks.salesforce                        # 20,000 deals, latency 0 and 100 ms
    python -m benchmarks.salesforce --deals 2000 --latency 0.1

Each figure comes from a fresh process. `extraction` takes the connector's records and lets them go; `sync` also lands them as Parquet.
A full sync is followed by a day with 100 changes and by a sync without any; then all of it in an org whose composites refuse queryAll.
`server` is the sandbox's own work on the calls: it is part of the seconds (a real Salesforce works elsewhere), not of the cpu.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.sdk.records import HistoryRead


@contextmanager
def sandbox(deals: int, latency: float, **options: Any) -> Iterator[dict[str, Any]]:
    """A sandbox process; ends with its standard input."""
    command = [sys.executable, "-m", "connectors.sandbox.salesforce", "--deals", str(deals), "--latency", str(latency)]
    command += ["--options", json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)


def turn(url: str, knob: str, **values: Any) -> Any:
    request = urllib.request.Request(f"{url}/_sandbox/{knob}", data=json.dumps(values).encode(), method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return json.loads(answer.read() or b"{}")


def measured(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a fresh process and give what it measured, with the sandbox's own count of calls."""
    turn(job["url"], "reset")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.salesforce", "--job", json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told = turn(job["url"], "calls")
    found["calls"], found["total"], found["server"] = told["calls"], told["total"], told["server_seconds"]
    return found


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """In the fresh process."""
    from connectors.salesforce import Salesforce
    from connectors.sdk import CallPolicy, MemoryTokens
    from connectors.sdk.clock import SystemClock
    from connectors.sdk.settings import load

    known = job["credentials"]
    config = {name: known[name] for name in ("domain", "consumer_key", "consumer_secret")}
    settings = load(Salesforce.Settings, {**config, "endpoint_override": job["url"]}, where="benchmark")
    clock = SystemClock()
    connector = Salesforce(settings, source_key="bench")
    calls = CallPolicy("bench", clock=clock, tokens=MemoryTokens())
    before = time.perf_counter(), time.process_time()
    if job["kind"] == "extraction":
        rows, status = _extracted(connector, settings, clock, calls), "complete"
    else:
        from warehouse.home import Home
        from warehouse.sync import run_sync

        report = run_sync(connector, home=Home(Path(job["home"])), clock=clock, calls=calls)
        rows, status = Counter({name: counts.read for name, counts in report.rows.items()}), report.status
        job["parts"] = report.parts
    seconds, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    # Not ru_maxrss: that of a child may still show the size of the process that started it.
    status_lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in status_lines if line.startswith("VmHWM"))
    found = {"seconds": seconds, "cpu": cpu, "peak_mb": peak, "rows": dict(rows), "status": status}
    return found | {"parts": job.get("parts")}


def _extracted(connector: Any, settings: Any, clock: Any, calls: Any) -> Counter[str]:
    from connectors.sdk import StandaloneSync
    from connectors.sdk.connector import Connector

    sync = StandaloneSync(type(connector), settings, clock=clock, calls=calls)
    rows: Counter[str] = Counter()
    found: Connector = connector
    for record in found.read(sync):
        rows[type(record).__name__] += 1
        if isinstance(record, HistoryRead):
            rows["StageChange"] += len(record.stage_changes)
            rows["FieldChange"] += len(record.field_changes)
    return rows


def show(title: str, found: dict[str, Any]) -> None:
    total = sum(found["rows"].values())
    took = f"{found['seconds']:>6.2f} s  {found['cpu']:>5.2f} s cpu  {found['server']:>5.2f} s server"
    speed = f"{total / found['seconds']:>9,.0f} records/s  {found['peak_mb']:>5.0f} MB"
    parts = "" if found["parts"] is None else f"  {found['parts']} parts"
    print(f"{title:<34} {found['status']:<9} {found['total']:>3} calls  {took}  {speed}{parts}")
    print(f"{'':<34} {found['calls']}")


def bench(deals: int, latency: float, options: dict[str, Any]) -> None:
    print(f"\n{deals:,} deals, {latency * 1000:.0f} ms latency per call {options or ''}")
    with sandbox(deals, latency, **options) as org, tempfile.TemporaryDirectory() as home:
        show("full, extraction", measured({**org, "kind": "extraction"}))
        show("full, sync", measured({**org, "kind": "sync", "home": home}))
        turn(org["url"], "advance", days=1, changes=100)
        show("after a day with 100 changes, sync", measured({**org, "kind": "sync", "home": home}))
        show("without changes, sync", measured({**org, "kind": "sync", "home": home}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deals", type=int, default=20_000)
    parser.add_argument("--latency", type=float, action="append", help="seconds per call; may be given more than once")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object of sandbox options")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        print(json.dumps(run_job(chosen.job)))
        return
    for latency in chosen.latency or [0.0, 0.1]:
        bench(chosen.deals, latency, chosen.options)
    if not chosen.options and not chosen.latency:
        bench(chosen.deals, 0.1, {"composite_query_all": False})


if __name__ == "__main__":
    main()
