-- One row per pipeline, ordered open stage and entry cohort (month, quarter or all): of the deals that reached the stage, what became of them.
with monthly as (  -- the one pass over the facts (a stage nobody reached keeps an empty row); months then add up to quarters and to all
    select
        l.stage_key,
        period_start('month', f.reached_date) as month_start,
        count(f.deal_key) as reached,
        sum(case when f.is_visited then 1 else 0 end) as visited,
        sum(case when f.state = 'advanced' then 1 else 0 end) as advanced,
        sum(case when f.state = 'lost' then 1 else 0 end) as lost,
        sum(case when f.state = 'open' then 1 else 0 end) as still_open,
        sum(case when f.state = 'moved' then 1 else 0 end) as moved,
        sum(case when f.is_strict then 1 else 0 end) as strict_reached,
        sum(case when f.is_strict_advanced then 1 else 0 end) as strict_advanced,
        sum(case when f.final_outcome = 'won' then 1 else 0 end) as won,
        sum(case when f.final_outcome = 'lost' then 1 else 0 end) as final_lost,
        sum(f.amount_reporting) as reached_amount,
        sum(case when f.state = 'advanced' then f.amount_reporting end) as advanced_amount,
        sum(case when f.state = 'lost' then f.amount_reporting end) as lost_amount,
        sum(case when f.state = 'open' then f.amount_reporting end) as open_amount,
        sum(case when f.state = 'moved' then f.amount_reporting end) as moved_amount,
        sum(case when f.deal_key is not null and f.amount_reporting is null then 1 else 0 end) as amount_missing
    from main.mart_stages as l
    left join main.deal_stage_facts as f on f.stage_key = l.stage_key
    where l.stage_rank is not null
    group by 1, 2
),

cells as (
    select m.*, g.period_grain, period_start(g.period_grain, m.month_start) as period_start
    from monthly as m
    cross join (values ('month'), ('quarter'), ('all')) as g (period_grain)
    where m.month_start is not null or g.period_grain = 'all'
),

counted as (
    select
        stage_key,
        period_grain,
        period_start,
        cast(sum(reached) as bigint) as reached_count,
        cast(sum(visited) as bigint) as visited_count,
        cast(sum(advanced) as bigint) as advanced_count,
        cast(sum(lost) as bigint) as lost_count,
        cast(sum(still_open) as bigint) as open_count,
        cast(sum(moved) as bigint) as moved_count,
        cast(sum(strict_reached) as bigint) as strict_reached_count,
        cast(sum(strict_advanced) as bigint) as strict_advanced_count,
        cast(sum(won) as bigint) as won_count,
        cast(sum(final_lost) as bigint) as final_lost_count,
        sum(reached_amount) as reached_amount,
        sum(advanced_amount) as advanced_amount,
        sum(lost_amount) as lost_amount,
        sum(open_amount) as open_amount,
        sum(moved_amount) as moved_amount,
        cast(sum(amount_missing) as bigint) as amount_missing_count
    from cells
    group by stage_key, period_grain, period_start
)

select
    l.source_key,
    l.source,
    l.pipeline_key,
    l.pipeline,
    c.stage_key,
    l.stage,
    l.canonical_stage,
    l.stage_order,
    c.period_grain,
    c.period_start,
    c.reached_count,
    c.visited_count,
    c.reached_count - c.visited_count as skipped_count,
    c.advanced_count,
    c.lost_count,
    c.open_count,
    c.moved_count,
    c.advanced_count + c.lost_count as resolved_count,
    cast(c.advanced_count as double) / nullif(c.reached_count, 0) as conversion_rate,
    cast(c.advanced_count as double) / nullif(c.advanced_count + c.lost_count, 0) as conversion_rate_resolved,
    wilson_low(c.advanced_count, c.advanced_count + c.lost_count) as conversion_low,
    wilson_high(c.advanced_count, c.advanced_count + c.lost_count) as conversion_high,
    cast(c.advanced_count + c.lost_count as double) / nullif(c.reached_count - c.moved_count, 0) as maturity,
    coalesce(
        cast(c.advanced_count + c.lost_count as double) / nullif(c.reached_count - c.moved_count, 0) >= st.mature_at, false
    ) as is_mature,
    w.cif_advanced_90d as expected_conversion_90d,
    c.strict_reached_count,
    c.strict_advanced_count,
    cast(c.strict_advanced_count as double) / nullif(c.strict_reached_count, 0) as strict_conversion_rate,
    c.won_count,
    c.final_lost_count,
    cast(c.won_count as double) / nullif(c.won_count + c.final_lost_count, 0) as win_rate_from_stage,
    cast(case when c.reached_count = 0 then 0 else c.reached_amount end as decimal(18, 2)) as reached_amount,
    cast(case when c.advanced_count = 0 then 0 else c.advanced_amount end as decimal(18, 2)) as advanced_amount,
    cast(case when c.lost_count = 0 then 0 else c.lost_amount end as decimal(18, 2)) as lost_amount,
    cast(case when c.open_count = 0 then 0 else c.open_amount end as decimal(18, 2)) as open_amount,
    cast(case when c.moved_count = 0 then 0 else c.moved_amount end as decimal(18, 2)) as moved_amount,
    c.amount_missing_count,
    c.advanced_count + c.lost_count < st.small_sample_below as is_small_sample,
    st.as_of_at
from counted as c
inner join main.mart_stages as l on l.stage_key = c.stage_key
left join main.stage_dwell as w on w.stage_key = c.stage_key
cross join staging.settings as st
