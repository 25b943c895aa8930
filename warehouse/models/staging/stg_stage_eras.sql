-- One row per version of a stage with its answer: what a visit that begins within [valid_from, valid_to) counts as.
-- A dated entry of the mapping file begins a version, too, once its date has come.
with answered as (
    select
        v.*,
        a.canonical_stage as answer,
        a.outcome as answer_outcome,
        a.mapping_method,
        a.mapping_confidence,
        a.mapping_explanation,
        coalesce(a.valid_from, v.valid_from) as begins_at
    from staging.stg_stage_versions as v
    cross join staging.settings as st
    left join staging.stage_answers as a
        on a.source_key = v.source_key and a.pipeline_id = v.pipeline_id and a.stage_id = v.stage_id
        and (a.valid_from = v.valid_from or (a.valid_from > v.valid_from and a.valid_from < v.valid_to and a.valid_from < st.as_of_at))
)

select
    cast(row_number() over (order by v.stage_no, v.begins_at) as integer) as version_no,
    v.stage_no,
    cast(row_number() over (partition by v.stage_no order by v.begins_at) as integer) as version,
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
    v.begins_at as valid_from,
    coalesce(lead(v.begins_at) over (partition by v.stage_no order by v.begins_at), timestamp '9999-12-31') as valid_to,
    lead(v.begins_at) over (partition by v.stage_no order by v.begins_at) is null as is_latest,
    coalesce(v.answer, 'unmapped') as canonical_stage,
    c.canonical_order,
    coalesce(v.answer_outcome, v.outcome_flag, 'open') as outcome,
    -- a visit's stage and outcome as one number: stage_no * 4 + 0 open, 1 won, 2 lost
    v.stage_no * 4 + case coalesce(v.answer_outcome, v.outcome_flag, 'open') when 'won' then 1 when 'lost' then 2 else 0 end as era,
    v.mapping_method,
    v.mapping_confidence,
    v.mapping_explanation
from answered as v
left join staging.seed_canonical_stages as c
    on c.canonical_stage = v.answer
