"""Every broken connector against every check, and the page that shows what came out (docs/contract-checks.md).

python -m tests.contract.matrix          write the page anew
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from connectors.testing import CHECKS, ContractError, run_check
from tests.contract import broken_history, broken_limits, broken_rows
from tests.contract.acme.harness import AcmeHarness
from tests.contract.broken import BROKEN
from tests.contract.quick import QuickBench

PAGE = Path(__file__).parents[2] / "docs" / "contract-checks.md"
#: The lists fill themselves when these are imported.
LISTS = (broken_rows, broken_history, broken_limits)

HEAD = """# What each contract check catches

The contract suite (`connectors.testing`) proves the promises of a connector one by one. A check that can never fail proves nothing,
so each has at least one deliberately broken connector: Acme, a small connector that passes every check, with one thing changed
(`tests/contract/broken_*.py`). Every broken connector is run against all {checks} checks. Most are caught by the one check that they
are made for; where others catch it too, the table says why.

This page is made by `python -m tests.contract.matrix`; a test keeps it true.
"""


def caught_by(name: str) -> dict[str, str]:
    """Check -> what it says, for every check that catches the broken connector of this name."""
    connector = next(one.connector for one in BROKEN if one.name == name)
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for check in CHECKS:
            result = run_check(check, AcmeHarness, connector, bench=QuickBench)
            if result.outcome == "broken":
                crashed = result.error is not None and not isinstance(result.error, ContractError)
                found[check.name] = f"{'crashed: ' if crashed else ''}{result.text}"
    return found


def run_all() -> dict[str, dict[str, str]]:
    """Broken connector -> who catches it, on all processors."""
    names = [one.name for one in BROKEN]
    workers = min(4, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return dict(zip(names, pool.map(caught_by, names, chunksize=4), strict=True))


def page(caught: dict[str, dict[str, str]]) -> str:
    """The page."""
    lines = [HEAD.format(checks=len(CHECKS))]
    lines += ["## Broken connectors", "", "| broken connector | what is wrong with it | caught by | also caught by |"]
    lines.append("| --- | --- | --- | --- |")
    for one in BROKEN:
        others = [name for name in caught[one.name] if name != one.check]
        also = f"{', '.join(f'`{name}`' for name in others)}: {one.also}" if others else ""
        by = f"`{one.check}`" if one.check in caught[one.name] else "**not caught**"
        lines.append(f"| {one.name} | {one.what} | {by} | {also} |")
    lines += ["", "## Checks", "", "| check | the promise | needs |", "| --- | --- | --- |"]
    for check in CHECKS:
        needs = ", ".join(f"`{need}`" for need in check.needs)
        lines.append(f"| `{check.name}` | {check.promise} | {needs} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(run_all()), encoding="utf-8")
