-- One row per closing pipeline and quarter of closing (or all): how long deals take to close, open ones counted as still running in `all`.
with deals as (  -- an open deal belongs to the pipeline it is in now
    select
        d.source_key,
        coalesce(src.name, d.source_key) as source,
        coalesce(case when d.outcome <> 'open' then d.closing_pipeline_key end, d.pipeline_key) as pipeline_key,
        d.outcome,
        greatest(ms_between(
            d.started_at,
            case when d.outcome = 'open' then least(st.as_of_at, coalesce(src.data_through_at, src.last_synced_at)) else d.closed_at end
        ), 0) as cycle_ms,
        case when d.outcome <> 'open' then period_start('quarter', local_date(d.closed_at, st.reporting_timezone)) end as quarter_start
    from main.deals as d
    left join main.sources as src on src.source_key = d.source_key
    cross join staging.settings as st
    where not d.is_deleted
        and d.started_at is not null
        and (d.outcome = 'open' or d.closed_at is not null)
),

counted as (
    select
        d.source_key,
        d.source,
        d.pipeline_key,
        g.period_grain,
        period_start(g.period_grain, d.quarter_start) as period_start,
        sum(case when d.outcome = 'won' then 1 else 0 end) as won,
        sum(case when d.outcome = 'lost' then 1 else 0 end) as lost,
        sum(case when d.outcome = 'open' then 1 else 0 end) as still_open,
        sum(case when d.outcome = 'won' then d.cycle_ms end) as won_ms,
        quantile_cont(case when d.outcome = 'won' then d.cycle_ms end, 0.5) / 86400000.0 as won_cycle_median_days,
        quantile_cont(case when d.outcome = 'won' then d.cycle_ms end, 0.75) / 86400000.0 as won_cycle_p75_days,
        quantile_cont(case when d.outcome = 'won' then d.cycle_ms end, 0.9) / 86400000.0 as won_cycle_p90_days,
        quantile_cont(case when d.outcome = 'lost' then d.cycle_ms end, 0.5) / 86400000.0 as lost_cycle_median_days
    from deals as d
    cross join (values ('quarter'), ('all')) as g (period_grain)
    where d.outcome <> 'open' or g.period_grain = 'all'
    group by 1, 2, 3, 4, 5
),

queue as (  -- Kaplan-Meier over all deals: closings come before open deals of the same age
    select
        pipeline_key,
        cycle_ms,
        outcome,
        count(*) over (partition by pipeline_key)
            - row_number() over (partition by pipeline_key order by cycle_ms, case when outcome = 'open' then 1 else 0 end) + 1 as at_risk
    from deals
),

survival as (
    select
        pipeline_key,
        cycle_ms,
        exp(sum(case when at_risk = 1 then -1000.0 else ln(1.0 - 1.0 / at_risk) end) over (
            partition by pipeline_key order by at_risk desc rows between unbounded preceding and current row
        )) as survival
    from queue
    where outcome <> 'open'
),

closings as (
    select pipeline_key, min(case when survival <= 0.50 + 1e-9 then cycle_ms end) / 86400000.0 as km_close_median_days
    from survival
    group by pipeline_key
)

select
    c.source_key,
    c.source,
    c.pipeline_key,
    p.pipeline,
    c.period_grain,
    c.period_start,
    cast(c.won as bigint) as won_count,
    cast(c.won_ms as double) / 86400000.0 / nullif(c.won, 0) as won_cycle_mean_days,
    c.won_cycle_median_days,
    c.won_cycle_p75_days,
    c.won_cycle_p90_days,
    cast(c.lost as bigint) as lost_count,
    c.lost_cycle_median_days,
    cast(case when c.period_grain = 'all' then c.still_open end as bigint) as open_count,
    case when c.period_grain = 'all' then k.km_close_median_days end as km_close_median_days,
    c.won < st.small_sample_below as is_small_sample,
    st.as_of_at
from counted as c
left join closings as k on k.pipeline_key = c.pipeline_key
left join main.pipelines as p on p.pipeline_key = c.pipeline_key
cross join staging.settings as st
