-- One row per pair of stages that deals moved between, kind of movement and period (month of the move, or all); plus virtual starts and ends.
with living_deals as (
    select deal_key, source_key, amount_reporting
    from main.deals
    where not coalesce(is_deleted, false) and merged_into_deal_key is null
),

untimed as (  -- moves out of a visit whose entry nobody saw: counted, but their days are unknown
    select deal_key, seq + 1 as seq
    from main.stage_intervals
    where coalesce(is_left_censored, false)
),

moves as (
    select
        c.deal_key,
        c.from_stage_key,
        c.to_stage_key,
        c.movement,
        c.changed_at,
        case when u.deal_key is null then c.days_in_from_stage end as days,
        c.movement = 'enter' as is_virtual
    from main.stage_changes as c
    left join untimed as u on u.deal_key = c.deal_key and u.seq = c.seq
    union all
    select deal_key, stage_key, null, 'still_open', null, null, true
    from main.stage_intervals
    where is_current and outcome = 'open'
),

counted as (
    select
        d.source_key,
        m.from_stage_key,
        m.to_stage_key,
        m.movement,
        g.period_grain,
        period_start(g.period_grain, local_date(m.changed_at, st.reporting_timezone)) as period_start,
        m.is_virtual,
        count(*) as transition_count,
        count(distinct m.deal_key) as deal_count,
        count(m.days) as days_count,
        avg(m.days) as mean_days,
        quantile_cont(m.days, 0.5) as median_days,
        quantile_cont(m.days, 0.9) as p90_days,
        min(m.days) as min_days,
        max(m.days) as max_days,
        sum(d.amount_reporting) as amount,
        sum(case when d.amount_reporting is null then 1 else 0 end) as amount_missing
    from moves as m
    inner join living_deals as d on d.deal_key = m.deal_key
    cross join (values ('month'), ('all')) as g (period_grain)
    cross join staging.settings as st
    where g.period_grain = 'all' or m.changed_at is not null
    group by 1, 2, 3, 4, 5, 6, 7
),

shared as (
    select
        *,
        case when not is_virtual then
            sum(case when is_virtual then 0 else transition_count end)
                over (partition by source_key, from_stage_key, period_grain, period_start)
        end as from_exits
    from counted
),

stages as (
    select s.stage_key, s.pipeline_key, p.pipeline, s.stage, s.canonical_stage, s.stage_order
    from main.stages as s
    left join main.pipelines as p on p.pipeline_key = s.pipeline_key
)

select
    t.source_key,
    coalesce(src.name, t.source_key) as source,
    f.pipeline_key as from_pipeline_key,
    f.pipeline as from_pipeline,
    t.from_stage_key,
    case when t.from_stage_key is null then 'start' else f.stage end as from_stage,
    f.canonical_stage as from_canonical_stage,
    f.stage_order as from_stage_order,
    o.pipeline_key as to_pipeline_key,
    o.pipeline as to_pipeline,
    t.to_stage_key,
    case when t.to_stage_key is null then 'still open' else o.stage end as to_stage,
    o.canonical_stage as to_canonical_stage,
    o.stage_order as to_stage_order,
    t.movement,
    t.period_grain,
    t.period_start,
    t.is_virtual,
    t.transition_count,
    t.deal_count,
    cast(t.from_exits as bigint) as from_exit_count,
    cast(t.transition_count as double) / t.from_exits as share_of_from,
    t.days_count,
    t.mean_days,
    t.median_days,
    t.p90_days,
    t.min_days,
    t.max_days,
    cast(t.amount as decimal(18, 2)) as amount,
    cast(t.amount_missing as bigint) as amount_missing_count,
    t.from_exits < st.small_sample_below as is_small_sample,
    st.as_of_at
from shared as t
left join stages as f on f.stage_key = t.from_stage_key
left join stages as o on o.stage_key = t.to_stage_key
left join main.sources as src on src.source_key = t.source_key
cross join staging.settings as st
