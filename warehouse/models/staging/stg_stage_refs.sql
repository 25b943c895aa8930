-- One row per stage that anything names: the source's own list, a deal, or a deal's history. Closing stages are made where only a status says won or lost.
with told as (  -- events without a pipeline are of the deal's, unless only another pipeline lists the stage
    select source_key, to_pipeline_id as pipeline_id, to_stage_id as stage_id, max(to_stage_label) as stage_label
    from landing.stage_changes
    where to_pipeline_id is not null
    group by source_key, to_pipeline_id, to_stage_id
    union all
    select distinct e.source_key, d.pipeline_id, e.to_stage_id as stage_id, e.to_stage_label as stage_label
    from landing.stage_changes as e
    inner join staging.stg_deals as d on d.source_key = e.source_key and d.deal_id = e.deal_id
    left join staging.stg_stage_homes as h on h.source_key = e.source_key and h.stage_id = e.to_stage_id
    where e.to_pipeline_id is null and (h.pipeline_id is null or h.pipeline_id = d.pipeline_id)
),

named as (
    select
        source_key, pipeline_id, stage_id, cast(null as varchar) as stage_label,
        true as is_listed, false as is_synthetic, false as is_in_use
    from landing.stages
    union all
    select source_key, pipeline_id, stage_id, stage_label, false as is_listed, false as is_synthetic, false as is_in_use
    from told
    union all
    select distinct
        source_key, coalesce(pipeline_id, 'default') as pipeline_id, stage_id, cast(null as varchar) as stage_label,
        false as is_listed, false as is_synthetic, is_latest as is_in_use
    from staging.stg_deal_versions
    where stage_id is not null
    union all
    select distinct
        source_key, coalesce(pipeline_id, 'default') as pipeline_id, status as stage_id, cast(null as varchar) as stage_label,
        false as is_listed, true as is_synthetic, false as is_in_use
    from staging.stg_deal_versions
    where status in ('won', 'lost')
)

select
    cast(row_number() over (order by source_key, pipeline_id, stage_id) as integer) as stage_no,
    source_key,
    pipeline_id,
    stage_id,
    max(stage_label) as history_label,
    max(case when is_listed then 1 else 0 end) = 1 as is_listed,
    -- a status's closing stage is our own making unless the source has a stage of that id
    max(case when is_listed then 1 else 0 end) = 0 and max(case when is_synthetic then 1 else 0 end) = 1 as is_synthetic,
    max(case when is_in_use then 1 else 0 end) = 1 as is_in_use,
    max(max(case when is_listed then 1 else 0 end)) over (partition by source_key, pipeline_id) = 1 as is_pipeline_listed
from named
group by source_key, pipeline_id, stage_id
