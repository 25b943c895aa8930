"""SIGKILL before every single write of a sync, then the same sync again: landing must hold what it holds without the crash."""

import json
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
def test_a_kill_before_any_write_and_a_rerun_give_the_content_of_an_undisturbed_sync(number, wanted):
    """B1: nothing is lost and nothing doubled, wherever a process dies."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.warehouse.sync.crash_child", str(number)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["differing"] == {}
    assert len(found["steps"]) > 15
    assert wanted <= {step.split()[0] for step in found["steps"]}
    assert found["expected"]["unfinished"] == "[]"
