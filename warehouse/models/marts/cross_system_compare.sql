-- One row per canonical stage and source: its conversion and time in stage beside those of all sources together.
with visits as (
    select
        d.source_key,
        s.canonical_stage,
        coalesce(d.is_primary, true) as is_primary,
        cast(round(iv.dwell_days * 86400000.0) as bigint) as dwell_ms,
        case when iv.exited_at is null then 0 else 1 end as is_exit
    from main.stage_intervals as iv
    inner join main.deals as d on d.deal_key = iv.deal_key
    inner join main.stages as s on s.stage_key = iv.stage_key
    where iv.outcome = 'open'
        and s.canonical_order is not null
        and not coalesce(iv.is_left_censored, false)
        and iv.dwell_days is not null
        and not coalesce(d.is_deleted, false)
        and d.merged_into_deal_key is null
),

tied as (  -- 'all' counts each deal once
    select
        case when side.is_all then 'all' else v.source_key end as source_key,
        v.canonical_stage,
        v.dwell_ms,
        count(*) as leaving,
        sum(v.is_exit) as events
    from visits as v
    cross join (values (false), (true)) as side (is_all)
    where v.is_primary or not side.is_all
    group by 1, 2, 3
),

at_risk as (
    select
        *,
        sum(leaving) over (
            partition by source_key, canonical_stage order by dwell_ms desc rows between unbounded preceding and current row
        ) as at_risk
    from tied
),

survival as (
    select
        source_key,
        canonical_stage,
        dwell_ms,
        exp(sum(case when events = at_risk then -1000.0 else ln(1.0 - cast(events as double) / at_risk) end) over (
            partition by source_key, canonical_stage order by dwell_ms rows between unbounded preceding and current row
        )) as survival
    from at_risk
    where events > 0
),

medians as (
    select
        source_key,
        canonical_stage,
        min(case when survival <= 0.50 + 1e-9 then dwell_ms end) / 86400000.0 as dwell_median_days
    from survival
    group by 1, 2
),

counts as (
    select source_key, canonical_stage, sum(leaving) as visits, sum(events) as completed
    from tied
    group by 1, 2
),

sides as (
    select
        c.*,
        coalesce(n.visits, 0) as visits_count,
        coalesce(n.completed, 0) as completed_count,
        m.dwell_median_days
    from main.cross_system_conversion as c
    left join counts as n on n.source_key = c.source_key and n.canonical_stage = c.canonical_stage
    left join medians as m on m.source_key = c.source_key and m.canonical_stage = c.canonical_stage
    where c.period_grain = 'all'
)

select
    a.source_key,
    a.source,
    a.canonical_stage,
    a.canonical_order,
    a.reached_count,
    a.advanced_count,
    a.resolved_count,
    a.conversion_rate_resolved,
    a.conversion_low,
    a.conversion_high,
    cast(a.visits_count as bigint) as visits_count,
    cast(a.completed_count as bigint) as completed_count,
    a.dwell_median_days,
    b.advanced_count as all_advanced_count,
    b.resolved_count as all_resolved_count,
    b.conversion_rate_resolved as all_conversion_rate_resolved,
    b.conversion_low as all_conversion_low,
    b.conversion_high as all_conversion_high,
    b.dwell_median_days as all_dwell_median_days,
    a.conversion_rate_resolved - b.conversion_rate_resolved as conversion_delta,
    a.dwell_median_days - b.dwell_median_days as dwell_median_delta_days,
    a.conversion_low > b.conversion_high or a.conversion_high < b.conversion_low as differs,
    a.is_small_sample,
    a.as_of_at
from sides as a
inner join sides as b on b.canonical_stage = a.canonical_stage and b.source_key = 'all'
where a.source_key <> 'all'
