-- One row per pipeline of a source.
with versions as (
    select
        source_key,
        pipeline_id,
        _key as record_key,
        name,
        display_order,
        is_active,
        is_deleted,
        row_number() over (
            partition by source_key, pipeline_id
            order by coalesce(updated_at, _read_at) desc, _read_at desc, _mapper_version desc, _sync_seq desc, _ordinal desc
        ) as newest_first
    from landing.pipelines
),

staged as (
    select
        source_key,
        pipeline_id,
        min(case when is_synthetic then 1 when outcome = 'won' then 1 else 0 end) = 1
            and max(case when is_synthetic then 0 else 1 end) = 1 as is_post_sale
    from staging.stg_stages
    group by source_key, pipeline_id
),

known as (
    select source_key, pipeline_id from versions
    union
    select source_key, pipeline_id from staged
)

select
    k.source_key || ':' || replace(k.pipeline_id, ':', '%3A') as pipeline_key,
    k.source_key,
    k.pipeline_id as source_pipeline_id,
    coalesce(v.name, k.pipeline_id) as pipeline,
    cast(v.display_order as integer) as display_order,
    coalesce(v.is_active, true) as is_active,
    coalesce(v.is_deleted, false) or coalesce(p.presence in ('deleted', 'purged', 'merged'), false) as is_deleted,
    coalesce(s.is_post_sale, false) as is_post_sale
from known as k
left join versions as v on v.source_key = k.source_key and v.pipeline_id = k.pipeline_id and v.newest_first = 1
left join staged as s on s.source_key = k.source_key and s.pipeline_id = k.pipeline_id
left join staging.stg_presence as p
    on p.source_key = v.source_key and p.stream = 'pipelines' and p.record_key = v.record_key
