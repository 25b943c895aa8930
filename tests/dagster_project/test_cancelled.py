"""A cancelled run leaves everything consistent, and the next one repairs it. Ten random moments: `python -m benchmarks.cancelled_runs`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_cancelled_run_leaves_nothing_half_and_the_next_run_repairs_everything(hub):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MUARA_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.dagster_project.cancel_child", str(hub.root)],
        capture_output=True,
        text=True,
        cwd=REPO,
        env={**env, "DAGSTER_DISABLE_TELEMETRY": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["deals"] > 100
    cut = {"cancelled": True, "problems": [], "published": False}
    assert [{**one, "moment": ""} for one in said["seen"]] == [{"moment": "", **cut}] * 2
    assert (said["last"], said["repaired"]) == (0, True)
