-- One row per deal, pipeline and ordered open stage that the deal reached there: the deals behind every cell of stage_conversion.
with living_deals as (
    select
        deal_key,
        source_key,
        unified_deal_id,
        coalesce(is_primary, true) as is_primary,
        amount_reporting
    from main.deals
    where not coalesce(is_deleted, false) and merged_into_deal_key is null
),

ladder as (  -- the stages that get rows; stage_rank counts them 1..n without gaps
    select
        pipeline_key,
        stage_key,
        stage_order,
        row_number() over (partition by pipeline_key order by stage_order, stage_key) as stage_rank,
        count(*) over (partition by pipeline_key) as stage_total
    from main.stages
    where outcome = 'open' and stage_order is not null and not coalesce(is_archived, false)
),

visits as (  -- 1000000 stands for +infinity
    select
        iv.deal_key,
        iv.pipeline_key,
        iv.seq,
        iv.entered_at,
        coalesce(iv.is_current, false) as is_current,
        iv.outcome,
        case when iv.outcome = 'open' then iv.stage_key end as open_stage_key,
        case when iv.outcome = 'open' then s.stage_order when iv.outcome = 'won' then 1000000 end as raw_level
    from main.stage_intervals as iv
    inner join living_deals as d on d.deal_key = iv.deal_key
    inner join main.stages as s on s.stage_key = iv.stage_key
),

paths as (  -- what a visit must know of the deal's path through this pipeline, in one sorted pass
    select
        deal_key,
        pipeline_key,
        seq,
        entered_at,
        open_stage_key,
        raw_level,
        last_value(outcome) over whole as final_outcome,
        last_value(is_current) over whole as is_last_pipeline,
        first_value(raw_level ignore nulls) over whole as first_raw_level,
        first_value(case when raw_level < 1000000 then raw_level end ignore nulls) over whole as first_open_level,
        lag(raw_level) over path as previous_raw_level,
        max(case when raw_level < 1000000 then raw_level end)
            over (path rows between current row and unbounded following) as highest_from_here
    from visits
    window
        path as (partition by deal_key, pipeline_key order by seq),
        whole as (partition by deal_key, pipeline_key order by seq rows between unbounded preceding and unbounded following)
),

levels as (  -- a win counts only when the deal's last visit in the pipeline is won
    select
        *,
        case when raw_level < 1000000 or final_outcome = 'won' then raw_level end as level,
        case when previous_raw_level < 1000000 or final_outcome = 'won' then previous_raw_level end as previous_level,
        case when final_outcome = 'won' and first_raw_level = 1000000 then null else first_open_level end as entry_level
    from paths
    where raw_level is not null
),

spans as (  -- each visit reaches its own stage; one that climbs also reaches the stages it jumped over, never those up to the entry
    select
        *,
        case
            when entry_level is null or level <= entry_level then level - 1
            when previous_level >= level then level - 1
            when previous_level > entry_level then previous_level
            else entry_level
        end as above_level
    from levels
    where level is not null
),

reached as (
    select
        v.deal_key,
        v.pipeline_key,
        l.stage_key,
        min(l.stage_order) as stage_order,
        min(l.stage_rank) as stage_rank,
        min(l.stage_total) as stage_total,
        min(v.entered_at) as reached_at,
        min(case when v.open_stage_key = l.stage_key then v.seq end) as first_visit_seq,
        min(v.final_outcome) as final_outcome,
        bool_or(v.is_last_pipeline) as is_last_pipeline,
        bool_or(v.final_outcome = 'won' or v.level > l.stage_order or v.highest_from_here > l.stage_order) as is_advanced
    from spans as v
    inner join ladder as l
        on l.pipeline_key = v.pipeline_key
        and l.stage_order > v.above_level
        and (l.stage_order < v.level or l.stage_key = v.open_stage_key)
    group by v.deal_key, v.pipeline_key, l.stage_key
),

in_order as (
    select
        *,
        case
            when first_visit_seq > coalesce(
                max(first_visit_seq) over (climb rows between unbounded preceding and 1 preceding), 0
            ) then 1 else 0
        end as is_step
    from reached
    window climb as (partition by deal_key, pipeline_key order by stage_rank)
),

strict as (
    select *, sum(is_step) over (partition by deal_key, pipeline_key order by stage_rank) = stage_rank as is_strict
    from in_order
)

select
    r.deal_key,
    d.source_key,
    coalesce(src.name, d.source_key) as source,
    r.pipeline_key,
    p.pipeline,
    r.stage_key,
    s.stage,
    s.canonical_stage,
    cast(r.stage_order as integer) as stage_order,
    d.unified_deal_id,
    d.is_primary,
    r.reached_at,
    r.first_visit_seq is not null as is_visited,
    r.first_visit_seq is null as is_skipped,
    case
        when r.is_advanced then 'advanced'
        when r.final_outcome = 'lost' then 'lost'
        when r.final_outcome = 'open' and not r.is_last_pipeline then 'moved'
        else 'open'
    end as state,
    r.is_strict,
    r.is_strict and case
        when r.stage_rank = r.stage_total then r.final_outcome = 'won'
        else coalesce(lead(r.is_strict) over (partition by r.deal_key, r.pipeline_key order by r.stage_rank), false)
    end as is_strict_advanced,
    r.final_outcome,
    d.amount_reporting,
    st.as_of_at
from strict as r
inner join living_deals as d on d.deal_key = r.deal_key
inner join main.stages as s on s.stage_key = r.stage_key
left join main.pipelines as p on p.pipeline_key = r.pipeline_key
left join main.sources as src on src.source_key = d.source_key
cross join staging.settings as st
