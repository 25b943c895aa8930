"""Every written check of the marts is tried on a broken table: a check that cannot fail checks nothing."""

from __future__ import annotations

import pytest

from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import marts, warehouse
from warehouse.runner import run_check

#: check -> statement that breaks what it guards
BREAKS = {
    "deal_stage_facts_state": "update main.deal_stage_facts set state = 'gone' where state = 'moved'",
    "deal_stage_facts_strict_needs_visit": "update main.deal_stage_facts set is_strict = true where is_skipped",
    "stage_conversion_reached_identity": "update main.stage_conversion set moved_count = moved_count + 1 where period_grain = 'all'",
    "stage_conversion_strict_within_reached": "update main.stage_conversion set strict_reached_count = reached_count + 1",
    "stage_conversion_rates_in_range": "update main.stage_conversion set conversion_rate = 1.01 where period_grain = 'all'",
    "stage_conversion_periods_add_up": "delete from main.stage_conversion where period_grain = 'month'",
    "stage_conversion_equals_facts": "delete from main.deal_stage_facts where state = 'lost'",
    "deal_canonical_facts_state": "update main.deal_canonical_facts set state = null where state = 'lost'",
    "cross_system_conversion_identity": "update main.cross_system_conversion set open_count = open_count + 1",
    "cross_system_conversion_rates_in_range": "update main.cross_system_conversion set conversion_high = conversion_rate_resolved - 0.1",
    "cross_system_all_within_sources": "delete from main.cross_system_conversion where source_key = 'force'",
    "cross_system_reached_within_offered": "update main.cross_system_conversion set deals_with_stage_count = 0",
    "stage_dwell_counts": "update main.stage_dwell set cif_lost_90d = 1.2 where visits_count > 0",
    "stage_dwell_visits_equal_intervals": "update main.stage_intervals set is_left_censored = true where seq = 1 and outcome = 'open'",
    "unusable_dwell_times": "update main.stage_intervals set dwell_days = -1 where outcome = 'open'",
    "stage_bottlenecks_scores_in_range": "update main.stage_bottlenecks set score_time = 1.5",
    "stage_bottlenecks_ranks": "update main.stage_bottlenecks set bottleneck_rank = 1",
    "stage_bottlenecks_wip_equals_open_deals": "update main.stage_bottlenecks set wip_count = wip_count + 1",
    "stalled_deals_open_only": "update main.deals set outcome = 'won'",
    "transitions_equal_completed_visits": "delete from main.transitions where movement = 'lost'",
    "transitions_flow_balances": "delete from main.transitions where movement = 'still_open'",
    "transitions_shares_in_range": "update main.transitions set deal_count = transition_count + 1",
    "win_rates_in_range": "update main.win_rates set win_rate = win_rate_high + 0.1",
    "win_rates_all_within_sources": "delete from main.win_rates where dimension = 'source' and dimension_value = 'force'",
    "win_rates_dimensions_agree": "delete from main.win_rates where dimension = 'owner' and dimension_value = 'unknown'",
    "closed_deals_have_closed_at": "update main.deals set closed_at = null where outcome = 'won'",
    "cycle_time_quarters_add_up": "delete from main.cycle_time where period_grain = 'quarter'",
    "sales_velocity_source_at_least_pipelines": "update main.sales_velocity set worked_count = 0 where pipeline_key = 'all'",
    "sales_velocity_won_equals_win_rates": "update main.sales_velocity set won_count = won_count + 1 where pipeline_key = 'all'",
    "owner_capacity_open_deals": "delete from main.owner_capacity where person_key = 'unknown'",
    "forecast_probabilities_in_range": "update main.forecast_deals set historical_probability = 1.2",
    "crm_probabilities_in_range": "update main.forecast_deals set crm_probability = 75",
    "lost_reasons_hold_every_lost_deal": "delete from main.lost_reasons where lost_reason = 'unknown'",
    "cohort_win_rates_hold_every_deal": "update main.cohort_win_rates set open_count = open_count + 1",
    "cohort_win_rates_in_range": "update main.cohort_win_rates set win_rate = win_rate_low - 0.1",
    "pipeline_daily_ends_with_the_open_deals": "update main.pipeline_daily set open_amount = open_amount + 0.01",
    "pipeline_daily_counts_in_range": "update main.pipeline_daily set amount_missing_count = open_count + 1",
    "pipeline_waterfall_deals_balance": "update main.pipeline_waterfall_deals set change_amount = change_amount + 0.01 where entry_bucket is null",
    "pipeline_waterfall_balances": "update main.pipeline_waterfall set lost_count = lost_count + 1",
    "pipeline_waterfall_closings_are_openings": "update main.pipeline_waterfall set closing_amount = closing_amount + 1",
    "pipeline_waterfall_closes_like_pipeline_daily": "delete from main.pipeline_daily where snapshot_date = '2025-03-31'",
    "pipeline_waterfall_ends_with_the_open_deals": "update main.pipeline_waterfall set closing_count = closing_count + 1 where source_key = 'all'",
    "pipeline_waterfall_equals_its_ledger": "delete from main.pipeline_waterfall_deals where exit_bucket = 'won' and is_in_all",
    "forecast_holds_every_open_deal": "delete from main.forecast where timing = 'overdue'",
}
CHECKS = {check.name: check for model in marts() for check in model.checks()}
WRITTEN = {check.name for model in marts() for check in model.about.checks}


@pytest.fixture(scope="module")
def con():
    world = make_world(seed=5, deals=200)
    with warehouse(core_rows(world), as_of=str(world.as_of)) as built:
        yield built


def test_every_written_check_has_its_broken_table() -> None:
    assert set(BREAKS) == WRITTEN


@pytest.mark.parametrize("name", BREAKS)
def test_the_check_fails_on_what_it_guards(con, name: str) -> None:
    assert run_check(con, CHECKS[name]).passed
    con.execute("begin")
    try:
        con.execute(BREAKS[name])
        assert not run_check(con, CHECKS[name]).passed
    finally:
        con.execute("rollback")
    assert run_check(con, CHECKS[name]).passed


@pytest.mark.parametrize("model", [model for model in marts() if model.about.kept], ids=lambda model: model.name)
def test_a_repeated_key_is_found(con, model) -> None:
    con.execute("begin")
    try:
        con.execute(f"insert into {model.table} select * from {model.table} limit 1")
        assert not run_check(con, CHECKS[f"{model.name}_key"]).passed
    finally:
        con.execute("rollback")
