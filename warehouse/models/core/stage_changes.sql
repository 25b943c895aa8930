-- One row per real change of a deal's stage, its entry included.
select
    d.deal_key,
    d.source_key,
    p.seq,
    p.changed_at,
    m.from_pipeline_key,
    m.from_stage_key,
    b.canonical_stage as from_canonical_stage,
    m.to_pipeline_key,
    m.to_stage_key,
    e.canonical_stage as to_canonical_stage,
    m.movement,
    m.stages_skipped,
    days_between(p.before_at, p.changed_at) as days_in_from_stage,
    coalesce(p.stage_label, e.label) as to_stage_then,
    d.source_key || ':owner:' || p.changed_by_id as changed_by_owner_key,
    case
        when p.evidence_no = 2 or (p.seq = 1 and d.entry_evidence_no = 2) then 'observed'
        when p.evidence_no = 1 then 'created'
        else 'exact'
    end as evidence,
    case p.precision_no when 1 then 'day' when 2 then 'snapshot' else 'instant' end as precision
from staging.stg_path as p
inner join staging.stg_deal_facts as d on d.deal_no = p.deal_no
inner join staging.stg_moves as m on m.before_era = coalesce(p.before_era, 0) and m.era = p.era
inner join staging.stg_stage_eras as e on e.version_no = p.version_no
left join staging.stg_stage_eras as b on b.version_no = p.before_version_no
