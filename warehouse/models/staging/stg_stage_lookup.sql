-- One row per name under which an event may find a version of a stage: its own pipeline and id, or a deal's pipeline where only another one has that id.
with own as (
    select source_key, pipeline_id, stage_id, version_no, stage_no, era, valid_from, valid_to
    from staging.stg_stage_eras
),

pipelines as (
    select distinct source_key, pipeline_id
    from staging.stg_deals
),

borrowed as (
    select p.source_key, p.pipeline_id, h.stage_id, h.pipeline_id as home_pipeline_id
    from pipelines as p
    inner join staging.stg_stage_homes as h
        on h.source_key = p.source_key
    left join staging.stg_stage_refs as r
        on r.source_key = p.source_key and r.pipeline_id = p.pipeline_id and r.stage_id = h.stage_id
    where r.stage_no is null
)

select source_key, pipeline_id, stage_id, version_no, stage_no, era, valid_from, valid_to
from own
union all
select b.source_key, b.pipeline_id, b.stage_id, o.version_no, o.stage_no, o.era, o.valid_from, o.valid_to
from borrowed as b
inner join own as o
    on o.source_key = b.source_key and o.pipeline_id = b.home_pipeline_id and o.stage_id = b.stage_id
