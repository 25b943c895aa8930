"""Memory does not grow with the account."""

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sdk.records import Deal
from tests.warehouse.scripted import Land

MANY = """
from connectors.sdk.records import Checkpoint
from tests.warehouse.scripted import change, deal, history, sweep
from warehouse.landing import spool
spool.MOST_ROWS = 2_000

def script(sync):
    text = "x" * 2_500
    for number in range(count):
        yield deal(f"d{number * 7919 % 1_000_003:07d}", name=text)
        if number % 4 == 0:
            yield history(f"d{number}", change(f"d{number}", "1"))
        if number % 1_000 == 0:
            yield Checkpoint(stream="deals", cursor={"at": number})
    yield sweep()
"""
WIDE = """
from connectors.sdk.records import Deal

def script(sync):
    for number in range(count):
        yield Deal(deal_id=f"d{number}", raw={"x": f"{number:04d}" * 250_000})
"""
CHILD = """
import sys
from pathlib import Path
from tests.warehouse.scripted import Land
count = int(sys.argv[2])
land = Land(Path(sys.argv[1]))
exec(sys.argv[3])
for _ in range(2):
    report = land.sync(script=script)
    assert report.status == "complete", report.reasons
assert report.parts == 0
# VmHWM begins anew with the program; ru_maxrss of a child may still show the size of the test process that started it.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(folder, count, script):
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(count), script],
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
    small, large = peak_mb(tmp_path / "small", 3_000, MANY), peak_mb(tmp_path / "large", 15_000, MANY)
    assert large < small + 40
    assert large < 250


@pytest.mark.slow
def test_memory_is_bounded_by_bytes_not_by_rows(tmp_path):
    """A hundred rows of a megabyte each, far fewer than any bound in rows, need no more memory than small ones."""
    assert peak_mb(tmp_path, 100, WIDE) < 220


def test_rows_of_many_megabytes_are_landed(tmp_path):
    land = Land(tmp_path)

    def script(sync):
        for number in range(8):
            yield Deal(deal_id=f"d{number}", raw={"x": f"{number}" * 4_000_000})

    assert land.sync(script=script).status == "complete"
    assert land.query("select count(*), min(length(raw)) > 4000000 from landing.deals") == [(8, True)]
    assert land.sync(script=script).parts == 0
