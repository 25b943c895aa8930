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

rungs as (  -- stages of known position that are open, or were open in an earlier version
    select distinct e.stage_no
    from staging.stg_stage_eras as e
    where e.outcome = 'open' and e.canonical_stage not in ('won', 'lost', 'post_sale', 'on_hold')
),

ladder as (  -- of a stage that is no longer listed the position is not known; rung orders past moves too, stage_order today's stages
    select
        l.stage_no,
        l.is_open,
        case when l.is_open = 1 and not l.is_archived then 1 else 0 end as is_used,
        row_number() over climb as rung,
        sum(l.is_open) over (climb rows between unbounded preceding and current row) as stage_order,
        sum(case when l.is_open = 1 and not l.is_archived then 1 else 0 end) over (climb rows between unbounded preceding and current row) as used_up_to,
        sum(case when l.is_open = 1 and not l.is_archived then 1 else 0 end) over (partition by l.pipeline_key) as used_total
    from (
        select
            latest.*,
            case when outcome = 'open' and canonical_stage not in ('won', 'lost', 'post_sale', 'on_hold') then 1 else 0 end as is_open
        from latest
    ) as l
    inner join rungs as r on r.stage_no = l.stage_no
    where l.display_order is not null and not l.is_gone
    window climb as (partition by l.pipeline_key order by l.display_order, l.stage_id)
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
    cast(case when l.is_open = 1 then l.stage_order end as integer) as stage_order,
    cast(l.rung as integer) as rung,
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
