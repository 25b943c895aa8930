-- One row per version of a stage: everything that helps to tell what the stage means. Input of the normaliser.
with pipelines as (
    select source_key, pipeline_id, name, row_number() over (
        partition by source_key, pipeline_id
        order by coalesce(updated_at, _read_at) desc, _read_at desc, _mapper_version desc, _sync_seq desc, _ordinal desc
    ) as newest_first
    from landing.pipelines
),

positions as (  -- today's order among the stages that the source lists and uses
    select
        stage_no,
        row_number() over (partition by source_key, pipeline_id order by display_order, stage_id) as position,
        count(*) over (partition by source_key, pipeline_id) as pipeline_len
    from staging.stg_stage_versions
    where is_latest and display_order is not null and not is_archived and not is_synthetic
)

select
    v.source_key,
    s.source_type as system,
    v.pipeline_id,
    coalesce(p.name, v.pipeline_id) as pipeline_name,
    v.stage_id,
    v.label,
    n.position,
    n.pipeline_len,
    v.probability,
    v.outcome_flag,
    v.is_archived,
    v.is_synthetic,
    v.valid_from,
    v.valid_to
from staging.stg_stage_versions as v
left join staging.source_status as s on s.source_key = v.source_key
left join pipelines as p on p.source_key = v.source_key and p.pipeline_id = v.pipeline_id and p.newest_first = 1
left join positions as n on n.stage_no = v.stage_no
