-- One row per open stage of a pipeline: how long deals stay there and how they leave, with open visits counted as still waiting.
with visits as (
    select
        stage_no,
        dwell_days,
        case when exited_at is null then 0 else 1 end as is_exit,
        case
            when exited_at is null then 'waiting'
            when exit_movement in ('forward', 'won') then 'advanced'
            when exit_movement = 'lost' then 'lost'
            else 'other'
        end as fate
    from main.mart_visits
    where is_timed
),

plain as (  -- the naive numbers, over finished visits only
    select
        stage_no,
        count(*) as visits_count,
        sum(is_exit) as completed_count,
        quantile_cont(case when is_exit = 1 then dwell_days end, 0.5) as dwell_median_completed_days,
        -- summed in whole milliseconds, so that the order of rows cannot change the last digit
        sum(case when is_exit = 1 then cast(round(dwell_days * 86400000.0) as bigint) end) / 86400000.0 / nullif(sum(is_exit), 0)
            as dwell_mean_completed_days
    from visits
    group by stage_no
),

queue as (  -- who leaves at t, by an exit or by the end of our knowledge, is at risk at t; exits come before waits of the same length
    select
        v.*,
        p.visits_count - row_number() over (partition by v.stage_no order by v.dwell_days, v.is_exit desc) + 1 as at_risk
    from visits as v
    inner join plain as p on p.stage_no = v.stage_no
),

hazards as (  -- exits one by one: the product over ties is the same as for all of them at once; -1000 stands for ln(0)
    select
        *,
        case when at_risk = 1 then -1000.0 else ln(1.0 - 1.0 / at_risk) end as ln_stay
    from queue
    where is_exit = 1
),

survival as (
    select
        *,
        sum(ln_stay) over (
            partition by stage_no order by at_risk desc rows between unbounded preceding and current row
        ) as ln_survival
    from hazards
),

curve as (  -- incidence: each exit takes its share S(t-)/n of those who were still there
    select
        c.stage_no,
        min(case when exp(c.ln_survival) <= 0.50 + 1e-9 then c.dwell_days end) as dwell_median_days,
        min(case when exp(c.ln_survival) <= 0.25 + 1e-9 then c.dwell_days end) as dwell_p75_days,
        min(case when exp(c.ln_survival) <= 0.10 + 1e-9 then c.dwell_days end) as dwell_p90_days,
        sum(case when c.fate = 'advanced' and c.dwell_days <= st.cif_horizon_days
            then exp(c.ln_survival - c.ln_stay) / c.at_risk end) as cif_advanced_90d,
        sum(case when c.fate = 'lost' and c.dwell_days <= st.cif_horizon_days
            then exp(c.ln_survival - c.ln_stay) / c.at_risk end) as cif_lost_90d,
        sum(case when c.fate = 'other' and c.dwell_days <= st.cif_horizon_days
            then exp(c.ln_survival - c.ln_stay) / c.at_risk end) as cif_other_90d
    from survival as c
    cross join staging.settings as st
    group by c.stage_no
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
    case when p.visits_count > 0 then round(least(coalesce(c.cif_advanced_90d, 0), 1), 12) end as cif_advanced_90d,
    case when p.visits_count > 0 then round(least(coalesce(c.cif_lost_90d, 0), 1), 12) end as cif_lost_90d,
    case when p.visits_count > 0 then round(least(coalesce(c.cif_other_90d, 0), 1), 12) end as cif_other_90d,
    coalesce(p.completed_count, 0) < st.small_sample_below as is_small_sample,
    st.as_of_at
from main.mart_stages as s
left join plain as p on p.stage_no = s.stage_no
left join curve as c on c.stage_no = s.stage_no
cross join staging.settings as st
where s.outcome = 'open'
