-- One row per canonical stage and source: its conversion and time in stage beside those of all sources together.
with visits as (  -- every copy of a deal counts for its own source, only the primary one for 'all' (source_no 0)
    select
        case when side.is_all then 0 else s.source_no end as source_no,
        s.canonical_order,
        v.dwell_days,
        case when v.exited_at is null then 0 else 1 end as is_exit
    from main.mart_visits as v
    inner join main.mart_stages as s on s.stage_no = v.stage_no
    inner join main.mart_deals as d on d.deal_no = v.deal_no
    cross join (values (false), (true)) as side (is_all)
    where v.is_timed and s.canonical_order is not null and (d.is_primary or not side.is_all)
),

counts as (
    select source_no, canonical_order, count(*) as visits_count, sum(is_exit) as completed_count
    from visits
    group by 1, 2
),

daily as (
    select source_no, canonical_order, floor(dwell_days) as day_no, sum(is_exit) as exits
    from visits
    group by 1, 2, 3
),

limits as (  -- the median lies before the day on which half of all visits have visibly ended: what comes later need not be sorted
    select d.source_no, d.canonical_order, min(d.day_no) + 1 as limit_days
    from (
        select
            *,
            sum(exits) over (partition by source_no, canonical_order order by day_no rows between unbounded preceding and current row) as ended
        from daily
    ) as d
    inner join counts as c on c.source_no = d.source_no and c.canonical_order = d.canonical_order
    where d.ended * 2 >= c.visits_count
    group by 1, 2
),

queue as (  -- exits come before waits of the same length, one by one: the product over ties is the same
    select
        v.*,
        c.visits_count - row_number() over (
            partition by v.source_no, v.canonical_order order by v.dwell_days, v.is_exit desc
        ) + 1 as at_risk
    from visits as v
    inner join counts as c on c.source_no = v.source_no and c.canonical_order = v.canonical_order
    left join limits as l on l.source_no = v.source_no and l.canonical_order = v.canonical_order
    where v.dwell_days < l.limit_days or l.limit_days is null
),

survival as (
    select
        source_no,
        canonical_order,
        dwell_days,
        exp(sum(case when at_risk = 1 then -1000.0 else ln(1.0 - 1.0 / at_risk) end) over (
            partition by source_no, canonical_order order by at_risk desc rows between unbounded preceding and current row
        )) as survival
    from queue
    where is_exit = 1
),

medians as (
    select source_no, canonical_order, min(case when survival <= 0.50 + 1e-9 then dwell_days end) as dwell_median_days
    from survival
    group by 1, 2
),

numbers as (
    select distinct source_no, source_key from main.mart_stages
    union all
    select 0, 'all'
),

sides as (
    select
        c.*,
        coalesce(n.visits_count, 0) as visits_count,
        cast(coalesce(n.completed_count, 0) as bigint) as completed_count,
        m.dwell_median_days
    from main.cross_system_conversion as c
    inner join numbers as i on i.source_key = c.source_key
    left join counts as n on n.source_no = i.source_no and n.canonical_order = c.canonical_order
    left join medians as m on m.source_no = i.source_no and m.canonical_order = c.canonical_order
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
    a.visits_count,
    a.completed_count,
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
