"""Every broken connector against every check, and the page that shows what came out (docs/contract-checks.md).

python -m tests.contract.matrix          run all of it and write the page anew; about a minute of CPU
"""

from __future__ import annotations

import contextlib
import gc
import io
import multiprocessing
import os
import re
from collections.abc import Collection, Mapping
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
ALL = [check.name for check in CHECKS]

HEAD = """# What each contract check catches

The contract suite (`connectors.testing`) proves the promises of a connector one by one. A check that can never fail proves nothing,
so each has at least one deliberately broken connector: Acme, a small connector that passes every check, with one thing changed
(`tests/contract/broken_*.py`). Every broken connector is run against all {checks} checks. Most are caught by the one check that they
are made for; where others catch it too, the table says why.

This page is made by `python -m tests.contract.matrix`, which runs all {pairs:,} pairs. The test suite keeps it true: it runs each broken
connector against every check that this page says catches it, and against the other checks of the same family, which must not.
"""
_ROW = re.compile(r"^\| (\w+) \| .* \| (?:`(\w+)`|\*\*not caught\*\*) \| (.*) \|$")


def caught_by(name: str, checks: Collection[str] = ALL) -> dict[str, str]:
    """Check -> what it says, for each of `checks` that catches the broken connector of this name."""
    connector = next(one.connector for one in BROKEN if one.name == name)
    harness = getattr(connector, "harness", AcmeHarness)
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for check in CHECKS:
            if check.name not in checks:
                continue
            result = run_check(check, harness, connector, bench=QuickBench)
            if result.outcome == "broken":
                crashed = result.error is not None and not isinstance(result.error, ContractError)
                found[check.name] = f"{'crashed: ' if crashed else ''}{result.text}"
    return found


def run_all(checks: Mapping[str, Collection[str]] | None = None) -> dict[str, dict[str, str]]:
    """Broken connector -> who catches it, on all processors. `checks`: broken connector -> the checks to run, by default all."""
    names = [one.name for one in BROKEN]
    asked = [ALL if checks is None else checks[name] for name in names]
    workers = min(4, os.cpu_count() or 1)
    # What is there before the checks begin is not garbage: looking through it again for each check takes longer than the checks.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"), initializer=gc.freeze) as pool:
        return dict(zip(names, pool.map(caught_by, names, asked, chunksize=4), strict=True))


def family(check: str) -> list[str]:
    """The checks of the same module: those likeliest to catch the same."""
    home = {one.name: one.prove.__module__ for one in CHECKS}
    return [name for name in ALL if home[name] == home[check]]


def claims(text: str) -> dict[str, list[str]]:
    """Broken connector -> the checks that a page says catch it."""
    rows = filter(None, map(_ROW.match, text.splitlines()))
    found = {
        row[1]: [name for name in (row[2], *re.findall(r"`(\w+)`", row[3].partition(": ")[0])) if name] for row in rows
    }
    return {name: found.get(name, []) for name in (one.name for one in BROKEN)}


def page(caught: Mapping[str, Collection[str]]) -> str:
    """The page."""
    lines = [HEAD.format(checks=len(CHECKS), pairs=len(CHECKS) * len(BROKEN))]
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
