-- One row per deal and canonical stage that the deal reached anywhere on its path: the deals behind every cell of cross_system_conversion.
with living_deals as (
    select
        deal_key,
        source_key,
        unified_deal_id,
        coalesce(is_primary, true) as is_primary,
        outcome,
        amount_reporting
    from main.deals
    where not coalesce(is_deleted, false) and merged_into_deal_key is null
),

offered as (  -- canonical stages that a pipeline has, removed and unordered stages included
    select distinct pipeline_key, canonical_stage, canonical_order
    from main.stages
    where outcome = 'open' and canonical_order is not null
),

visits as (  -- 1000000 stands for +infinity; a win counts only when the deal's outcome is won
    select
        iv.deal_key,
        iv.pipeline_key,
        iv.seq,
        iv.entered_at,
        case when iv.outcome = 'open' and s.canonical_order is not null then s.canonical_stage end as own_stage,
        case
            when iv.outcome = 'open' then s.canonical_order
            when iv.outcome = 'won' and d.outcome = 'won' then 1000000
        end as level
    from main.stage_intervals as iv
    inner join living_deals as d on d.deal_key = iv.deal_key
    inner join main.stages as s on s.stage_key = iv.stage_key
),

paths as (
    select
        *,
        first_value(level ignore nulls) over (path rows between unbounded preceding and unbounded following) as first_level,
        lag(level) over path as previous_level,
        lag(pipeline_key) over path as previous_pipeline_key,
        max(level) over (path rows between current row and unbounded following) as highest_from_here
    from visits
    window path as (partition by deal_key order by seq)
),

spans as (  -- a visit reaches its own stage and, when it climbs, the stages between that its own pipeline has
    select
        *,
        case
            when first_level = 1000000 or level <= first_level then level - 1
            when previous_pipeline_key = pipeline_key and previous_level >= level then level - 1
            when previous_pipeline_key = pipeline_key and previous_level > first_level then previous_level
            else first_level
        end as above_level
    from paths
    where level is not null
),

reached as (
    select
        v.deal_key,
        o.canonical_stage,
        min(o.canonical_order) as canonical_order,
        min(v.entered_at) as reached_at,
        bool_or(o.canonical_stage = v.own_stage) as is_visited,
        bool_or(v.highest_from_here > o.canonical_order) as is_advanced
    from spans as v
    inner join offered as o
        on o.pipeline_key = v.pipeline_key
        and o.canonical_order > v.above_level
        and o.canonical_order <= v.level
    group by v.deal_key, o.canonical_stage
)

select
    r.deal_key,
    d.source_key,
    coalesce(src.name, d.source_key) as source,
    r.canonical_stage,
    cast(r.canonical_order as integer) as canonical_order,
    d.unified_deal_id,
    d.is_primary,
    r.reached_at,
    coalesce(r.is_visited, false) as is_visited,
    not coalesce(r.is_visited, false) as is_skipped,
    case
        when r.is_advanced or d.outcome = 'won' then 'advanced'
        when d.outcome = 'lost' then 'lost'
        else 'open'
    end as state,
    d.outcome as final_outcome,
    d.amount_reporting,
    st.as_of_at
from reached as r
inner join living_deals as d on d.deal_key = r.deal_key
left join main.sources as src on src.source_key = d.source_key
cross join staging.settings as st
