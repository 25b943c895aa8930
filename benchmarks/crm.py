"""What the benchmarks of CRMs share: a sandbox in a process of its own, a sync that is measured, and what landed."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from connectors.sdk import Connector, SystemClock
from connectors.sdk.client import CallPolicy
from warehouse.home import Home
from warehouse.landing import reading
from warehouse.sync import run_sync


class Sandbox:
    """A fake CRM in a process of its own; ends with its standard input."""

    def __init__(self, name: str, *, deals: int, latency: float, options: dict[str, Any]) -> None:
        command = [sys.executable, "-m", f"connectors.sandbox.{name}", "--deals", str(deals), "--latency", str(latency)]
        command += ["--options", json.dumps(options)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        known = json.loads(self._process.stdout.readline())
        self.url: str = known["url"]
        self.credentials: dict[str, str] = known["credentials"]

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)

    def ask(self, knob: str, **values: Any) -> Any:
        """Turn a knob (see `connectors.sandbox.server.Server.control`) or look at `calls` and `truth`."""
        request = urllib.request.Request(f"{self.url}/_sandbox/{knob}", data=json.dumps(values).encode(), method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.loads(answer.read() or b"{}")


class Calendar(SystemClock):
    """The machine's clock, some days on: sweeps fall due without waiting for them."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        """The present instant and the days, UTC."""
        return super().now() + self._ahead


class Sync:
    """Syncs of one source; `days` moves their calendar."""

    def __init__(self, connector: type[Connector], settings: Any, days: float = 0) -> None:
        self._connector, self._settings, self._clock = connector, settings, Calendar(days)

    def run(self, sandbox: Sandbox, home: Path) -> dict[str, Any]:
        """One sync into `home`: status, calls as the sandbox counted them, seconds, CPU seconds, peak memory of this process so far."""
        sandbox.ask("reset")
        name = self._connector.name
        cpu, wall = time.process_time(), time.monotonic()
        policy = CallPolicy(name, clock=self._clock)
        connector = self._connector(self._settings, source_key=name)
        report = run_sync(connector, home=Home(home), clock=self._clock, calls=policy)
        seconds, cpu = time.monotonic() - wall, time.process_time() - cpu
        told = sandbox.ask("calls")
        return {
            "status": report.status,
            "calls": told["total"],
            "seconds": round(seconds, 1),
            "cpu": round(cpu, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "refused": policy.report().bursts,
            "endpoints": told["calls"],
            "rows": {name: row.new + row.changed for name, row in report.rows.items() if row.new + row.changed},
        }


def landed(home: Path, source: str, sql: str) -> list[tuple[Any, ...]]:
    """A question to the landing zone."""
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        reading.snapshot(Home(home), [source]).create_views(con)
        return con.execute(sql).fetchall()


def fresh_process(module: str, job: dict[str, Any]) -> None:
    """Run one job of a benchmark in a process of its own, so that memory and caches are its own; it prints its figures."""
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-m", module, "--job", json.dumps(job)], check=True, cwd=root)
