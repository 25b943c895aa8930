"""SIGKILL before single writes of a sync, then the same sync again: landing must hold what it holds without the crash, and a build from it must
give the same tables. `MUARA_EVERY_KILL=1` tries every single write.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "wanted"),
    [(0, {"copy", "fsync", "rename", "write", "index"}), (1, {"index"}), (2, {"index", "copy"}), (3, {"delete"})],
)
def test_a_kill_before_a_write_and_a_rerun_give_the_content_and_the_tables_of_an_undisturbed_sync(number, wanted):
    """B1: nothing is lost and nothing doubled, wherever a process dies."""
    flags = ["--every"] if os.environ.get("MUARA_EVERY_KILL") else []
    if number == 2:
        flags.append("--build")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.warehouse.sync.crash_child", str(number), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["differing"] == {}
    assert len(found["steps"]) > 10
    assert wanted <= {step.split()[0] for step in found["steps"]}
    assert found["expected"]["unfinished"] == "[]"
    assert found["tables"] > 30 or number != 2
