-- One row per stage with the labels that marts show and short numbers that stand in for its keys; gone before publishing.
with stages as (  -- the ladder: stages that get conversion rows
    select *, outcome = 'open' and stage_order is not null and not coalesce(is_archived, false) as is_on_ladder
    from main.stages
)

select
    cast(row_number() over (order by s.stage_key) as integer) as stage_no,
    cast(dense_rank() over (order by s.pipeline_key) as integer) as pipeline_no,
    cast(dense_rank() over (order by s.source_key) as integer) as source_no,
    s.source_key,
    coalesce(src.name, s.source_key) as source,
    s.pipeline_key,
    p.pipeline,
    s.stage_key,
    s.stage,
    s.canonical_stage,
    s.canonical_order,
    s.stage_order,
    s.outcome,
    case when s.is_on_ladder then cast(row_number() over (
        partition by s.pipeline_key, s.is_on_ladder order by s.stage_order, s.stage_key
    ) as integer) end as stage_rank,
    case when s.is_on_ladder then cast(count(*) over (partition by s.pipeline_key, s.is_on_ladder) as integer) end as stage_total
from stages as s
left join main.pipelines as p on p.pipeline_key = s.pipeline_key
left join main.sources as src on src.source_key = s.source_key
