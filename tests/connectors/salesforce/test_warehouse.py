"""From Salesforce to the published tables: trouble on the way, or a kill in the midst of a Bulk job, leaves no trace in them."""

import duckdb
import pytest

from connectors.sandbox.faults import Faults
from connectors.sdk import FakeClock
from tests.connectors.salesforce.lab import KEY, lab
from warehouse.build import BuildInputs, ConfiguredSource, run_build

COLUMNS = """
select table_name, string_agg(format('"{}"', column_name), ', ' order by ordinal_position) from information_schema.columns
where table_schema = 'main' and column_name not in ('last_seen_at', 'last_synced_at', 'read_at', 'data_through_at', 'known_at')
group by 1 order by 1
"""


def tables(org):
    """Table -> rows as analysts see them; when something was read differs by nature."""
    inputs = BuildInputs(home=org.home, sources=(ConfiguredSource(source_key=KEY, connector="salesforce"),))
    built = run_build(inputs, clock=FakeClock(org.world.now), as_of=org.world.now)
    assert built.status == "published", built.failed_checks
    with duckdb.connect(str(built.published), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        return {
            name: con.execute(f'select {kept} from "{name}" order by all').fetchall()
            for name, kept in con.execute(COLUMNS).fetchall()
        }


@pytest.fixture
def by_bulk(monkeypatch):
    for module in ("run", "deals", "people", "sweep"):
        monkeypatch.setattr(f"connectors.salesforce.{module}.BULK_FROM", 40)


@pytest.mark.slow
def test_five_percent_of_all_faults_leave_equal_tables_in_the_warehouse(tmp_path, by_bulk):
    with lab(tmp_path / "calm", deals=90) as calm:
        calm.sync()
        expected = tables(calm)
        faults = Faults(seed=4)
        faults.storm(0.05)
        with lab(tmp_path / "storm", world=calm.world, faults=faults, page_cap=20) as org:
            assert org.sync().status == "complete"
            assert sum(faults.done.values()) > 0
            found = tables(org)
        assert len(expected["deals"]) > 80
        assert len(expected["stage_changes"]) > 200
        assert {name for name in expected if found[name] != expected[name]} == set()
