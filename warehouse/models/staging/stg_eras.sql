-- One row per stage and outcome that a visit of it may have: the words behind the numbers of the path.
select
    cast(s.stage_no * 4 + o.outcome_no as integer) as era,
    s.stage_no,
    o.outcome,
    o.outcome_no,
    s.source_key,
    s.pipeline_key,
    s.stage_key,
    s.canonical_stage,
    case when o.outcome = 'open' then s.stage_order end as stage_order,
    case when o.outcome = 'open' then s.rung end as rung,
    s.used_up_to,
    s.used_before,
    s.used_total
from staging.stg_stages as s
cross join (values (0, 'open'), (1, 'won'), (2, 'lost')) as o (outcome_no, outcome)
