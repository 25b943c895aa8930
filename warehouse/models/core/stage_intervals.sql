-- One row per visit of a deal to a stage: from its entry to its exit, or to what we know today.
with visits as (
    select
        d.deal_key,
        d.source_key,
        d.deal_no,
        p.seq,
        p.version_no,
        p.era,
        p.next_era,
        p.before_era,
        p.changed_at as entered_at,
        p.next_at as exited_at,
        d.deleted_at,
        p.evidence_no = 2 or (p.seq = 1 and d.entry_evidence_no = 2) as is_observed,
        case when p.next_at is not null then p.next_at when d.deleted_at < d.known_until_at then d.deleted_at else d.known_until_at end as ends_at,
        d.owner_key,
        d.amount_reporting
    from staging.stg_path as p
    inner join staging.stg_deal_facts as d on d.deal_no = p.deal_no
)

select
    v.deal_key,
    v.source_key,
    v.seq,
    e.pipeline_key,
    e.stage_key,
    n.canonical_stage,
    e.outcome,
    e.stage_order,
    coalesce(r.visit_number, 1) as visit_number,
    v.entered_at,
    v.exited_at,
    v.exited_at is null as is_current,
    m.movement as entry_movement,
    x.movement as exit_movement,
    m.movement = 'backward' as is_backward,
    m.stages_skipped > 0 as is_skip,
    m.movement = 'reopen' as is_reopen,
    e.outcome = 'open' and v.exited_at is null as is_censored,
    e.outcome = 'open' and v.is_observed as is_left_censored,
    v.deleted_at is not null as is_deleted_deal,
    v.deleted_at,
    case when e.outcome = 'open' then greatest(ms_between(v.entered_at, v.ends_at), 0) end as dwell_ms,
    case when e.outcome = 'open' then greatest(ms_between(v.entered_at, v.ends_at), 0) / 86400000.0 end as dwell_days,
    case when o.deal_no is null then v.owner_key else o.owner_key end as owner_key,
    case when o.deal_no is null then v.amount_reporting else o.amount_reporting end as amount_at_entry
from visits as v
inner join staging.stg_eras as e on e.era = v.era
inner join staging.stg_stage_eras as n on n.version_no = v.version_no
inner join staging.stg_moves as m on m.before_era = coalesce(v.before_era, 0) and m.era = v.era
left join staging.stg_moves as x on x.before_era = v.era and x.era = v.next_era
left join staging.stg_revisits as r on r.deal_no = v.deal_no and r.seq = v.seq
left join staging.stg_visit_values as o on o.deal_no = v.deal_no and o.seq = v.seq
