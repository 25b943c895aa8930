"""Memory does not grow with the account."""

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sdk.records import Deal
from tests.warehouse.scripted import Land

CHILD = """
import resource, sys
from pathlib import Path
from connectors.sdk.records import Checkpoint
from tests.warehouse.scripted import Land, change, deal, history, sweep
from warehouse.landing import spool
spool.MOST_ROWS = 10_000
count = int(sys.argv[2])
land = Land(Path(sys.argv[1]))

def script(sync):
    text = "x" * 500
    for number in range(count):
        yield deal(f"d{number * 7919 % 1_000_003:07d}", name=text)
        if number % 4 == 0:
            yield history(f"d{number}", change(f"d{number}", "1"))
        if number % 5000 == 0:
            yield Checkpoint(stream="deals", cursor={"at": number})
    yield sweep()

for _ in range(2):
    report = land.sync(script=script)
    assert report.status == "complete", report.reasons
assert report.parts == 0
# VmHWM begins anew with the program; ru_maxrss of a child may still show the size of the test process that started it.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(folder, count):
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(count)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.slow
def test_five_times_the_deals_need_hardly_more_memory(tmp_path):
    """C5: a first load, a sweep and a second sync of a large account run on a small machine."""
    small, large = peak_mb(tmp_path / "small", 15_000), peak_mb(tmp_path / "large", 75_000)
    assert large < small + 60
    assert large < 300


@pytest.mark.slow
def test_rows_of_many_megabytes_are_landed_within_the_same_bounds(tmp_path):
    land = Land(tmp_path)

    def script(sync):
        for number in range(30):
            yield Deal(deal_id=f"d{number}", raw={"x": f"{number}" * 1_500_000})

    assert land.sync(script=script).status == "complete"
    assert land.query("select count(*), min(length(raw)) > 1500000 from landing.deals") == [(30, True)]
    assert land.sync(script=script).parts == 0
