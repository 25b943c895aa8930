-- One row per version of a stage with its answer: what a visit that begins within [valid_from, valid_to) counts as.
select
    cast(row_number() over (order by v.stage_no, v.version) as integer) as version_no,
    v.stage_no,
    v.version,
    v.source_key,
    v.pipeline_id,
    v.stage_id,
    v.record_key,
    v.label,
    v.display_order,
    v.outcome_flag,
    v.probability,
    v.is_archived,
    v.is_synthetic,
    v.valid_from,
    v.valid_to,
    v.is_latest,
    coalesce(a.canonical_stage, 'unmapped') as canonical_stage,
    c.canonical_order,
    coalesce(a.outcome, v.outcome_flag, 'open') as outcome,
    -- a visit's stage and outcome as one number: stage_no * 4 + 0 open, 1 won, 2 lost
    v.stage_no * 4 + case coalesce(a.outcome, v.outcome_flag, 'open') when 'won' then 1 when 'lost' then 2 else 0 end as era,
    a.mapping_method,
    a.mapping_confidence,
    a.mapping_explanation
from staging.stg_stage_versions as v
left join staging.stage_answers as a
    on a.source_key = v.source_key and a.pipeline_id = v.pipeline_id and a.stage_id = v.stage_id and a.valid_from = v.valid_from
left join staging.seed_canonical_stages as c
    on c.canonical_stage = a.canonical_stage
