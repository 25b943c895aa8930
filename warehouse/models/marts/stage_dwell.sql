-- One row per open stage of a pipeline: how long deals stay there and how they leave, with open visits counted as still waiting.
with stages as (
    select
        s.stage_key,
        s.pipeline_key,
        s.stage,
        s.canonical_stage,
        s.stage_order,
        p.source_key,
        p.pipeline,
        coalesce(src.name, p.source_key) as source
    from main.stages as s
    inner join main.pipelines as p on p.pipeline_key = s.pipeline_key
    left join main.sources as src on src.source_key = p.source_key
    where s.outcome = 'open'
),

visits as (
    select
        iv.stage_key,
        cast(round(iv.dwell_days * 86400000.0) as bigint) as dwell_ms,
        case when iv.exited_at is null then 0 else 1 end as is_exit,
        case
            when iv.exited_at is null then 'waiting'
            when iv.exit_movement in ('forward', 'won') then 'advanced'
            when iv.exit_movement = 'lost' then 'lost'
            else 'other'
        end as fate
    from main.stage_intervals as iv
    inner join main.deals as d on d.deal_key = iv.deal_key
    where iv.outcome = 'open'
        and not coalesce(iv.is_left_censored, false)
        and iv.dwell_days is not null
        and not coalesce(d.is_deleted, false)
        and d.merged_into_deal_key is null
),

plain as (  -- the naive numbers, over finished visits only
    select
        stage_key,
        count(*) as visits_count,
        sum(is_exit) as completed_count,
        quantile_cont(case when is_exit = 1 then dwell_ms end, 0.5) / 86400000.0 as dwell_median_completed_days,
        avg(case when is_exit = 1 then dwell_ms end) / 86400000.0 as dwell_mean_completed_days
    from visits
    group by stage_key
),

tied as (
    select
        stage_key,
        dwell_ms,
        count(*) as leaving,
        sum(is_exit) as events,
        sum(case when fate = 'advanced' then 1 else 0 end) as advanced,
        sum(case when fate = 'lost' then 1 else 0 end) as lost,
        sum(case when fate = 'other' then 1 else 0 end) as other
    from visits
    group by stage_key, dwell_ms
),

at_risk as (  -- who leaves at t, by an exit or by the end of our knowledge, is at risk at t
    select
        *,
        sum(leaving) over (
            partition by stage_key order by dwell_ms desc rows between unbounded preceding and current row
        ) as at_risk
    from tied
),

hazards as (  -- -1000 stands for ln(0): the last one leaves
    select
        *,
        case when events = at_risk then -1000.0 else ln(1.0 - cast(events as double) / at_risk) end as ln_stay
    from at_risk
    where events > 0
),

survival as (
    select
        *,
        sum(ln_stay) over (partition by stage_key order by dwell_ms rows between unbounded preceding and current row) as ln_survival
    from hazards
),

curve as (
    select
        stage_key,
        min(case when exp(c.ln_survival) <= 0.50 + 1e-9 then c.dwell_ms end) / 86400000.0 as dwell_median_days,
        min(case when exp(c.ln_survival) <= 0.25 + 1e-9 then c.dwell_ms end) / 86400000.0 as dwell_p75_days,
        min(case when exp(c.ln_survival) <= 0.10 + 1e-9 then c.dwell_ms end) / 86400000.0 as dwell_p90_days,
        sum(case when c.dwell_ms <= st.cif_horizon_days * 86400000.0
            then exp(c.ln_survival - c.ln_stay) * c.advanced / c.at_risk end) as cif_advanced_90d,
        sum(case when c.dwell_ms <= st.cif_horizon_days * 86400000.0
            then exp(c.ln_survival - c.ln_stay) * c.lost / c.at_risk end) as cif_lost_90d,
        sum(case when c.dwell_ms <= st.cif_horizon_days * 86400000.0
            then exp(c.ln_survival - c.ln_stay) * c.other / c.at_risk end) as cif_other_90d
    from survival as c
    cross join staging.settings as st
    group by stage_key
)

select
    s.source_key,
    s.source,
    s.pipeline_key,
    s.pipeline,
    s.stage_key,
    s.stage,
    s.canonical_stage,
    s.stage_order,
    coalesce(p.visits_count, 0) as visits_count,
    cast(coalesce(p.completed_count, 0) as bigint) as completed_count,
    cast(coalesce(p.visits_count - p.completed_count, 0) as bigint) as censored_count,
    cast(p.visits_count - p.completed_count as double) / nullif(p.visits_count, 0) as censored_share,
    c.dwell_median_days,
    c.dwell_p75_days,
    c.dwell_p90_days,
    p.dwell_median_completed_days,
    p.dwell_mean_completed_days,
    case when p.visits_count > 0 then least(coalesce(c.cif_advanced_90d, 0), 1) end as cif_advanced_90d,
    case when p.visits_count > 0 then least(coalesce(c.cif_lost_90d, 0), 1) end as cif_lost_90d,
    case when p.visits_count > 0 then least(coalesce(c.cif_other_90d, 0), 1) end as cif_other_90d,
    coalesce(p.completed_count, 0) < st.small_sample_below as is_small_sample,
    st.as_of_at
from stages as s
left join plain as p on p.stage_key = s.stage_key
left join curve as c on c.stage_key = s.stage_key
cross join staging.settings as st
