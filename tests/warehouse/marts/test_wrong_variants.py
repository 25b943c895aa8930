"""Marts made wrong on purpose, in the ways people usually make them wrong: the calculation over the events must notice each."""

from __future__ import annotations

import msgspec
import pytest

from tests.warehouse.independent.full import FullCalculation
from tests.warehouse.independent.world import make_world
from tests.warehouse.marts.comparison import all_differences, differences
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import build_marts, marts, warehouse
from warehouse.runner import Model

#: what is wrong -> (model, right text, wrong text, a mart that must differ)
WRONG = {
    "time in stage over finished visits only": (
        "stage_dwell",
        "where is_timed",
        "where is_timed and exited_at is not null",
        "stage_bottlenecks",
    ),
    "an unknown amount counts as 0": (
        "mart_deals",
        "d.amount_reporting",
        "coalesce(d.amount_reporting, 0) as amount_reporting",
        "stage_conversion",
    ),
    "deleted deals stay in": ("mart_deals", "where not d.is_deleted", "", "stage_conversion"),
    "deleted deals stay in the win rate": ("win_rates", "where not d.is_deleted", "", "win_rates"),
    "an unseen entry gives a time in stage": ("mart_visits", "and not iv.is_left_censored", "", "stage_dwell"),
    "a win that did not last counts": (
        "deal_stage_facts",
        "v.level < 1000000 or e.final_no = 1",
        "true",
        "stage_conversion",
    ),
    "a win that did not last counts across systems": (
        "mart_visits",
        "iv.outcome = 'won' and d.outcome = 'won'",
        "iv.outcome = 'won'",
        "cross_system_conversion",
    ),
    "stages below the entry are filled in": (
        "deal_stage_facts",
        "case when final_no = 1 and first_won < first_open then null else first_open % 2000000 end",
        "0",
        "stage_conversion",
    ),
    "any later or earlier visit above counts as advance": (
        "deal_stage_facts",
        "r.last_seq_above >= r.hit_seq",
        "r.last_seq_above is not null",
        "stage_conversion",
    ),
    "conversion from those who sat in the stage only": (
        "stage_conversion",
        "count(f.deal_key)",
        "sum(case when f.is_visited then 1 else 0 end)",
        "stage_conversion",
    ),
    "the strict funnel forgets the order": (
        "deal_stage_facts",
        "(stage_rank > 1 and coalesce(first_visit_below_seq, first_visit_seq) >= first_visit_seq)",
        "false",
        "stage_conversion",
    ),
    "a deal that moved on counts as open": (
        "deal_stage_facts",
        "and not r.is_last_pipeline",
        "and false",
        "stage_conversion",
    ),
    "a jump implies stages the pipeline does not have": (
        "deal_canonical_facts",
        "l.is_offered and ",
        "",
        "cross_system_conversion",
    ),
    "copies of a deal count twice in all": (
        "cross_system_conversion",
        "(r.is_primary or not x.is_all)",
        "true",
        "cross_system_conversion",
    ),
    "copies of a deal count twice in the median of all": (
        "cross_system_compare",
        "(d.is_primary or not side.is_all)",
        "true",
        "cross_system_compare",
    ),
    "months of UTC, not of the reporting zone": (
        "mart_visits",
        "local_date(iv.entered_at, st.reporting_timezone)",
        "cast(iv.entered_at as date)",
        "stage_conversion",
    ),
    "losses are not a competing exit": (
        "stage_dwell",
        "where is_exit = 1\n),\n\nsurvival",
        "where is_exit = 1 and fate <> 'lost'\n),\n\nsurvival",
        "stage_bottlenecks",
    ),
    "arrivals of unseen entries count": (
        "stage_bottlenecks",
        "is_timed and entry_age_ms",
        "entry_age_ms",
        "stage_bottlenecks",
    ),
    "deal-days before the window count": (
        "stage_bottlenecks",
        "least(entry_age_ms, window_ms)",
        "entry_age_ms",
        "stage_bottlenecks",
    ),
    "a deal lost twice is two losses": (
        "stage_bottlenecks",
        "count(*) as lost_from",
        "count(*) + 1 as lost_from",
        "stage_bottlenecks",
    ),
    "open deals count as losses": ("win_rates", "d.outcome = 'lost' then 1", "d.outcome <> 'won' then 1", "win_rates"),
    "average deal over all deals, unknown amounts as 0": (
        "win_rates",
        "won_count - won_amount_missing_count as priced_won_count",
        "won_count as priced_won_count",
        "win_rates",
    ),
    "transitions lose the deals that came back": (
        "transitions",
        "count(distinct m.deal_no)",
        "count(*)",
        "transitions",
    ),
    "a p90 from a handful of visits": (
        "stalled_deals",
        "sd.completed_count >= st.stalled_min_completed",
        "true",
        "stalled_deals",
    ),
    "silence is claimed where no activity is known": (
        "stalled_deals",
        "coalesce(days_since_activity > no_activity_days, false)",
        "coalesce(days_since_activity > no_activity_days, true)",
        "stalled_deals",
    ),
    "hidden deals are on the action list": ("stalled_deals", "and d.presence = 'present'", "", "stalled_deals"),
    "cycles of won deals only are called typical": (
        "cycle_time",
        "where outcome <> 'open'\n),\n\nclosings",
        "where outcome = 'won'\n),\n\nclosings",
        "cycle_time",
    ),
    "a deal that moved twice was worked twice": (
        "sales_velocity",
        "period_start(g.period_grain, s.before_month) >= period_start(g.period_grain, s.first_month)",
        "false",
        "sales_velocity",
    ),
    "leaving at midnight counts as work of the next month": (
        "sales_velocity",
        "when v.exited_at > v.entered_at then local_date(v.exited_at - interval 1 microsecond, c.reporting_timezone)",
        "when v.exited_at > v.entered_at then local_date(v.exited_at + interval 1 day, c.reporting_timezone)",
        "sales_velocity",
    ),
    "a planned activity is forgotten": (
        "forgotten_prospects",
        "d.next_activity_at is null or d.next_activity_at < st.as_of_at",
        "true",
        "forgotten_prospects",
    ),
    "the present owner gets the closings of the one who closed": (
        "owner_capacity",
        "o.owner_key = d.closing_owner_key",
        "o.owner_key = d.owner_key",
        "owner_capacity",
    ),
    "a stage's record without the pipeline's": (
        "forecast_deals",
        "(won_count + 10 * prior) / (resolved_count + 10)",
        "won_count / nullif(resolved_count, 0)",
        "forecast",
    ),
    "a deal is lost from the stage it stands in now": (
        "lost_reasons",
        "d.last_open_stage_key as stage_key",
        "d.stage_key as stage_key",
        "lost_reasons",
    ),
    "a cohort is made of what closed in the month": (
        "cohort_win_rates",
        "local_date(d.started_at",
        "local_date(coalesce(d.closed_at, d.started_at)",
        "cohort_win_rates",
    ),
    "a cohort's copies count twice in all": (
        "cohort_win_rates",
        "where b.is_primary or not x.is_all",
        "",
        "cohort_win_rates",
    ),
    "today's amount stands for every day": (
        "mart_spells",
        "case when t.deal_no is null then d.amount_reporting else t.amount end",
        "d.amount_reporting",
        "pipeline_daily",
    ),
    "a deleted deal was never there": (
        "mart_spells",
        "entered_at, entered_date, exited_at from gone_visits",
        "entered_at, entered_date, exited_at from gone_visits where false",
        "pipeline_daily",
    ),
    "a deleted deal stays for ever": (
        "mart_spells",
        "least(coalesce(iv.exited_at, g.deleted_at), g.deleted_at)",
        "iv.exited_at",
        "pipeline_daily",
    ),
    "a deal counts on the day on which it leaves": (
        "pipeline_daily",
        "select stage_no, ended_date, -count(*)",
        "select stage_no, ended_date + 1, -count(*)",
        "pipeline_daily",
    ),
    "days of UTC, not of the reporting zone": (
        "mart_spells",
        "else local_date(v.exited_at, st.reporting_timezone)",
        "else cast(v.exited_at as date)",
        "pipeline_daily",
    ),
    "a deal won before its close date is no win of the month": (
        "mart_period_moves",
        "exit_no = 8 or (exit_no = 9 and",
        "(exit_no in (8, 9) and",
        "pipeline_waterfall",
    ),
    "the close date typed at closing decides where a loss was due": (
        "mart_period_moves",
        "coalesce(last_seen_open, seen_a) % 1048576",
        "last_seen % 1048576",
        "pipeline_waterfall",
    ),
    "what a deal was first in the month decides": (
        "mart_period_moves",
        "max(seen) as last_seen,",
        "min(seen) as last_seen,",
        "pipeline_waterfall",
    ),
    "a deal in another pipeline is still here": (
        "mart_period_moves",
        "-h.pipeline_no, case when s.state < 3 and s.pipeline_no <> h.pipeline_no then 4 else s.state end",
        "-h.pipeline_no, s.state",
        "pipeline_waterfall",
    ),
    "a win is kept when the deal is deleted": (
        "mart_period_moves",
        "when state_b = 3 then 13",
        "when state_b = 3 and last_state_here = 1 then 8 when state_b = 3 then 13",
        "pipeline_waterfall",
    ),
    "every deal that comes in is new": (
        "mart_period_moves",
        "when state_a <> 0 then 2",
        "when state_a <> 0 then 1",
        "pipeline_waterfall",
    ),
    "an overdue deal that gets a date was pulled in": (
        "mart_period_moves",
        "when due_a < period_no then 5",
        "",
        "pipeline_waterfall",
    ),
    "copies of a deal open twice in all": (
        "pipeline_waterfall",
        "else t.scope_no >= 0 and t.is_primary end",
        "else t.scope_no >= 0 end",
        "pipeline_waterfall",
    ),
    "bookings of unknown amount are 0": (
        "pipeline_waterfall",
        "case when c.won_count > 0 then c.won_amount else 0 end",
        "coalesce(c.won_amount, 0)",
        "pipeline_waterfall",
    ),
    "deals that leave take what they came with": (
        "pipeline_waterfall_deals",
        "    m.amount_b as end_amount,",
        "    m.amount_a as end_amount,",
        "pipeline_waterfall_deals",
    ),
}


@pytest.fixture(scope="module")
def world():
    return make_world(seed=3, deals=300)


@pytest.fixture(scope="module")
def calculation(world):
    return FullCalculation(world)


@pytest.fixture(scope="module")
def con(world):
    with warehouse(core_rows(world), as_of=str(world.as_of), settings={"reporting_timezone": world.zone}) as built:
        yield built


def downstream(name: str, victim: str) -> list[Model]:
    """The models from the wrong one to the victim, in order."""
    touched = {f"main.{name}"}
    for model in marts():
        if model.reads & touched:
            touched.add(model.table)
    needed = {f"main.{victim}"}
    for model in reversed(marts()):
        if model.table in needed:
            needed |= model.reads
    return [model for model in marts() if model.table in touched & needed]


def test_the_right_marts_agree(con, calculation) -> None:
    assert all_differences(con, calculation) == {}


@pytest.mark.parametrize("what", WRONG)
def test_the_calculation_notices_when(con, calculation, what: str) -> None:
    name, right, wrong, victim = WRONG[what]
    models = downstream(name, victim)
    first = models[0]
    assert first.name == name
    assert right in first.sql, f"{name}.sql no longer says {right!r}: update this variant"
    try:
        build_marts(con, [msgspec.structs.replace(first, sql=first.sql.replace(right, wrong)), *models[1:]])
        assert differences(con, victim, getattr(calculation, victim)())
    finally:
        build_marts(con, models)
