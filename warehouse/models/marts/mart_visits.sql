-- One row per visit of a living deal, in numbers only: what every mart over the path reads; gone before publishing.
with meant as (
    select canonical_stage, max(canonical_order) as canonical_order
    from main.mart_stages
    group by canonical_stage
)

select
    d.deal_no,
    iv.seq,
    s.stage_no,
    s.pipeline_no,
    iv.outcome,
    -- 1000000 stands for +infinity: won is above every stage
    case when iv.outcome = 'open' then s.stage_order when iv.outcome = 'won' then 1000000 end as level,
    case when iv.outcome = 'open' then s.stage_rank end as stage_rank,
    -- a visit counts as what its stage meant on that day, where that is not what it means today
    case
        when iv.outcome = 'open' and iv.canonical_stage <> s.canonical_stage then c.canonical_order
        when iv.outcome = 'open' then s.canonical_order
        when iv.outcome = 'won' and d.outcome = 'won' then 1000000
    end as rung,
    iv.outcome = 'open' and iv.entry_movement in ('forward', 'backward', 'lateral') as is_step,
    iv.visit_number,
    iv.entered_at,
    local_date(iv.entered_at, st.reporting_timezone) as entered_date,
    iv.exited_at,
    iv.exit_movement,
    iv.is_current,
    iv.outcome = 'open' and not iv.is_left_censored as is_timed,
    iv.dwell_days
from main.stage_intervals as iv
inner join main.mart_deals as d on d.deal_key = iv.deal_key
inner join main.mart_stages as s on s.stage_key = iv.stage_key
left join meant as c on c.canonical_stage = iv.canonical_stage
cross join staging.settings as st
