-- One row per stage of a pipeline, removed ones and our own closing stages included.
with labels as (
    select stage_no, label, min(version) as first_version
    from staging.stg_stage_eras
    group by stage_no, label
),

earlier as (  -- labels it had before today's, oldest first
    select l.stage_no, string_agg(l.label, ' | ' order by l.first_version) as previous_labels
    from labels as l
    inner join staging.stg_stages as s on s.stage_no = l.stage_no and s.label <> l.label
    group by l.stage_no
)

select
    s.stage_key,
    s.source_key,
    s.pipeline_key,
    s.stage_id as source_stage_id,
    s.label as stage,
    e.previous_labels,
    s.canonical_stage,
    s.canonical_order,
    s.mapping_method,
    s.mapping_confidence,
    s.mapping_explanation,
    s.stage_order,
    s.outcome,
    s.probability as crm_probability,
    s.is_archived,
    s.is_synthetic
from staging.stg_stages as s
left join earlier as e on e.stage_no = s.stage_no
