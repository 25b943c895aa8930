-- One row per source (or 'all'), canonical stage and entry cohort (quarter or all): of the deals that reached it, what became of them.
with ladder as (  -- the canonical stages each source has; removed and unordered stages included
    select p.source_key, s.pipeline_key, s.canonical_stage, min(s.canonical_order) as canonical_order
    from main.stages as s
    inner join main.pipelines as p on p.pipeline_key = s.pipeline_key
    where s.outcome = 'open' and s.canonical_order is not null
    group by 1, 2, 3
),

deal_pipelines as (
    select deal_key, pipeline_key, min(entered_at) as entered_at
    from main.stage_intervals
    group by 1, 2
),

offers as (  -- when a deal first came into a pipeline that has the stage
    select d.deal_key, d.source_key, coalesce(d.is_primary, true) as is_primary, l.canonical_stage, min(dp.entered_at) as offered_at
    from deal_pipelines as dp
    inner join main.deals as d on d.deal_key = dp.deal_key
    inner join ladder as l on l.pipeline_key = dp.pipeline_key
    where not coalesce(d.is_deleted, false) and d.merged_into_deal_key is null
    group by 1, 2, 3, 4
),

events as (  -- deals reaching a stage, deals that came to have the chance, and an empty row for a stage nobody reached
    select source_key, canonical_stage, is_primary, reached_at as happened_at, 1 as is_reached, 0 as is_offered,
        is_visited, state, final_outcome, amount_reporting
    from main.deal_canonical_facts
    union all
    select source_key, canonical_stage, is_primary, offered_at, 0, 1, null, null, null, null from offers
    union all
    select distinct source_key, canonical_stage, true, cast(null as timestamp), 0, 0, null, null, null, null from ladder
),

quarterly as (  -- the one pass; quarters then add up to all, sources to 'all'
    select
        e.source_key,
        e.canonical_stage,
        e.is_primary,
        period_start('quarter', local_date(e.happened_at, st.reporting_timezone)) as quarter_start,
        sum(e.is_reached) as reached,
        sum(e.is_offered) as offered,
        sum(case when e.is_visited then 1 else 0 end) as visited,
        sum(case when e.state = 'advanced' then 1 else 0 end) as advanced,
        sum(case when e.state = 'lost' then 1 else 0 end) as lost,
        sum(case when e.state = 'open' then 1 else 0 end) as still_open,
        sum(case when e.final_outcome = 'won' then 1 else 0 end) as won,
        sum(case when e.final_outcome = 'lost' then 1 else 0 end) as final_lost,
        sum(e.amount_reporting) as reached_amount,
        sum(case when e.state = 'advanced' then e.amount_reporting end) as advanced_amount,
        sum(case when e.state = 'lost' then e.amount_reporting end) as lost_amount,
        sum(case when e.state = 'open' then e.amount_reporting end) as open_amount,
        sum(case when e.is_reached = 1 and e.amount_reporting is null then 1 else 0 end) as amount_missing
    from events as e
    cross join staging.settings as st
    group by 1, 2, 3, 4
),

cells as (  -- every copy of a deal counts for its own source, only the primary one for 'all'
    select
        q.*,
        g.period_grain,
        period_start(g.period_grain, q.quarter_start) as period_start,
        case when side.is_all then 'all' else q.source_key end as side_key
    from quarterly as q
    cross join (values ('quarter'), ('all')) as g (period_grain)
    cross join (values (false), (true)) as side (is_all)
    where (q.quarter_start is not null or g.period_grain = 'all') and (q.is_primary or not side.is_all)
),

counted as (
    select
        side_key as source_key,
        canonical_stage,
        period_grain,
        period_start,
        cast(sum(reached) as bigint) as reached_count,
        cast(sum(visited) as bigint) as visited_count,
        cast(sum(advanced) as bigint) as advanced_count,
        cast(sum(lost) as bigint) as lost_count,
        cast(sum(still_open) as bigint) as open_count,
        cast(sum(won) as bigint) as won_count,
        cast(sum(final_lost) as bigint) as final_lost_count,
        cast(sum(offered) as bigint) as deals_with_stage_count,
        count(distinct case when reached > 0 then source_key end) as sources_count,
        sum(reached_amount) as reached_amount,
        sum(advanced_amount) as advanced_amount,
        sum(lost_amount) as lost_amount,
        sum(open_amount) as open_amount,
        cast(sum(amount_missing) as bigint) as amount_missing_count
    from cells
    group by 1, 2, 3, 4
),

orders as (
    select canonical_stage, min(canonical_order) as canonical_order
    from ladder
    group by 1
)

select
    c.source_key,
    case when c.source_key = 'all' then 'all' else coalesce(src.name, c.source_key) end as source,
    c.canonical_stage,
    cast(o.canonical_order as integer) as canonical_order,
    c.period_grain,
    c.period_start,
    c.reached_count,
    c.visited_count,
    c.reached_count - c.visited_count as skipped_count,
    c.advanced_count,
    c.lost_count,
    c.open_count,
    c.advanced_count + c.lost_count as resolved_count,
    cast(c.advanced_count as double) / nullif(c.reached_count, 0) as conversion_rate,
    cast(c.advanced_count as double) / nullif(c.advanced_count + c.lost_count, 0) as conversion_rate_resolved,
    wilson_low(c.advanced_count, c.advanced_count + c.lost_count) as conversion_low,
    wilson_high(c.advanced_count, c.advanced_count + c.lost_count) as conversion_high,
    cast(c.advanced_count + c.lost_count as double) / nullif(c.reached_count, 0) as maturity,
    coalesce(cast(c.advanced_count + c.lost_count as double) / nullif(c.reached_count, 0) >= st.mature_at, false) as is_mature,
    c.won_count,
    c.final_lost_count,
    cast(c.won_count as double) / nullif(c.won_count + c.final_lost_count, 0) as win_rate_from_stage,
    cast(case when c.reached_count = 0 then 0 else c.reached_amount end as decimal(18, 2)) as reached_amount,
    cast(case when c.advanced_count = 0 then 0 else c.advanced_amount end as decimal(18, 2)) as advanced_amount,
    cast(case when c.lost_count = 0 then 0 else c.lost_amount end as decimal(18, 2)) as lost_amount,
    cast(case when c.open_count = 0 then 0 else c.open_amount end as decimal(18, 2)) as open_amount,
    c.amount_missing_count,
    cast(c.sources_count as bigint) as sources_count,
    c.deals_with_stage_count,
    c.advanced_count + c.lost_count < st.small_sample_below as is_small_sample,
    st.as_of_at
from counted as c
inner join orders as o on o.canonical_stage = c.canonical_stage
left join main.sources as src on src.source_key = c.source_key
cross join staging.settings as st
where c.period_grain = 'all' or c.reached_count > 0
