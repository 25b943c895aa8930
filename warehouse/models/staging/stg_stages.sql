-- One row per stage as it is now: keys, answer, place in its pipeline, and how many stages in use stand below it.
with latest as (
    select
        e.*,
        coalesce(p.presence, 'present') in ('deleted', 'purged', 'merged', 'absent', 'archived') as is_gone,
        e.source_key || ':' || replace(e.pipeline_id, ':', '%3A') as pipeline_key
    from staging.stg_stage_eras as e
    left join staging.stg_presence as p
        on p.source_key = e.source_key and p.stream = 'stages' and p.record_key = e.record_key
    where e.is_latest
),

ladder as (  -- open stages of known position; of a stage that is no longer listed the position is not known
    select
        stage_no,
        row_number() over (partition by pipeline_key order by display_order, stage_id) as stage_order,
        sum(case when is_archived then 0 else 1 end) over (
            partition by pipeline_key order by display_order, stage_id rows between unbounded preceding and current row
        ) as used_up_to,
        sum(case when is_archived then 0 else 1 end) over (partition by pipeline_key) as used_total,
        case when is_archived then 0 else 1 end as is_used
    from latest
    where outcome = 'open'
        and canonical_stage not in ('won', 'lost', 'post_sale', 'on_hold')
        and display_order is not null
        and not is_gone
)

select
    s.stage_no,
    s.version_no,
    s.source_key,
    s.pipeline_key,
    s.pipeline_key || ':' || s.stage_id as stage_key,
    s.pipeline_id,
    s.stage_id,
    s.label,
    s.canonical_stage,
    s.canonical_order,
    s.outcome,
    s.era,
    cast(l.stage_order as integer) as stage_order,
    cast(coalesce(l.used_up_to, 0) as integer) as used_up_to,
    cast(coalesce(l.used_up_to - l.is_used, 0) as integer) as used_before,
    cast(coalesce(l.used_total, 0) as integer) as used_total,
    s.probability,
    s.is_archived or s.is_gone as is_archived,
    s.is_synthetic,
    s.mapping_method,
    s.mapping_confidence,
    s.mapping_explanation
from latest as s
left join ladder as l on l.stage_no = s.stage_no
