-- One row per source (or 'all'), canonical stage and entry cohort (quarter or all): of the deals that reached it, what became of them.
with ladder as (  -- the canonical stages each pipeline has; removed and unordered stages included
    select distinct source_key, pipeline_no, canonical_stage, canonical_order
    from main.mart_stages
    where outcome = 'open' and canonical_order is not null
),

reached as (  -- the one pass over the facts; quarters then add up to all, sources to 'all'
    select
        source_key,
        canonical_stage,
        is_primary,
        period_start('quarter', reached_date) as quarter_start,
        count(*) as reached,
        sum(case when is_visited then 1 else 0 end) as visited,
        sum(case when state = 'advanced' then 1 else 0 end) as advanced,
        sum(case when state = 'lost' then 1 else 0 end) as lost,
        sum(case when state = 'open' then 1 else 0 end) as still_open,
        sum(case when final_outcome = 'won' then 1 else 0 end) as won,
        sum(case when final_outcome = 'lost' then 1 else 0 end) as final_lost,
        sum(amount_reporting) as reached_amount,
        sum(case when state = 'advanced' then amount_reporting end) as advanced_amount,
        sum(case when state = 'lost' then amount_reporting end) as lost_amount,
        sum(case when state = 'open' then amount_reporting end) as open_amount,
        count(amount_reporting) as priced
    from main.deal_canonical_facts
    group by 1, 2, 3, 4
),

deals as (
    select deal_no, min(pipeline_no) as first_pipeline_no, max(pipeline_no) as last_pipeline_no, min(entered_date) as entered_date
    from main.mart_visits
    group by deal_no
),

settled as (  -- deals that never left their pipeline: counted before they meet its stages
    select d.first_pipeline_no as pipeline_no, m.is_primary, period_start('quarter', d.entered_date) as quarter_start, count(*) as deals
    from deals as d
    inner join main.mart_deals as m on m.deal_no = d.deal_no
    where d.first_pipeline_no = d.last_pipeline_no
    group by 1, 2, 3
),

wanderers as (  -- the others: when they first came into a pipeline that has the stage
    select v.deal_no, l.source_key, l.canonical_stage, min(v.entered_date) as entered_date
    from deals as d
    inner join main.mart_visits as v on v.deal_no = d.deal_no
    inner join ladder as l on l.pipeline_no = v.pipeline_no
    where d.first_pipeline_no <> d.last_pipeline_no
    group by 1, 2, 3
),

offered as (
    select l.source_key, l.canonical_stage, s.is_primary, s.quarter_start, s.deals
    from settled as s
    inner join ladder as l on l.pipeline_no = s.pipeline_no
    union all
    select w.source_key, w.canonical_stage, m.is_primary, period_start('quarter', w.entered_date), count(*)
    from wanderers as w
    inner join main.mart_deals as m on m.deal_no = w.deal_no
    group by 1, 2, 3, 4
),

sides as (  -- every copy of a deal counts for its own source, only the primary one for 'all'
    select g.period_grain, side.is_all
    from (values ('quarter'), ('all')) as g (period_grain)
    cross join (values (false), (true)) as side (is_all)
),

chances as (
    select
        case when x.is_all then 'all' else o.source_key end as source_key,
        o.canonical_stage,
        x.period_grain,
        period_start(x.period_grain, o.quarter_start) as period_start,
        sum(o.deals) as deals
    from offered as o
    cross join sides as x
    where o.is_primary or not x.is_all
    group by 1, 2, 3, 4
),

cells as (  -- a stage nobody reached keeps an empty row in 'all'
    select
        case when x.is_all then 'all' else l.source_key end as source_key,
        l.source_key as counted_source_key,
        l.canonical_stage,
        l.canonical_order,
        x.period_grain,
        period_start(x.period_grain, r.quarter_start) as period_start,
        coalesce(r.reached, 0) as reached,
        coalesce(r.visited, 0) as visited,
        coalesce(r.advanced, 0) as advanced,
        coalesce(r.lost, 0) as lost,
        coalesce(r.still_open, 0) as still_open,
        coalesce(r.won, 0) as won,
        coalesce(r.final_lost, 0) as final_lost,
        coalesce(r.priced, 0) as priced,
        r.reached_amount,
        r.advanced_amount,
        r.lost_amount,
        r.open_amount
    from (select distinct source_key, canonical_stage, canonical_order from ladder) as l
    cross join sides as x
    left join reached as r
        on r.source_key = l.source_key and r.canonical_stage = l.canonical_stage and (r.is_primary or not x.is_all)
    where r.quarter_start is not null or x.period_grain = 'all'
),

counted as (
    select
        source_key,
        canonical_stage,
        min(canonical_order) as canonical_order,
        period_grain,
        period_start,
        cast(sum(reached) as bigint) as reached_count,
        cast(sum(visited) as bigint) as visited_count,
        cast(sum(advanced) as bigint) as advanced_count,
        cast(sum(lost) as bigint) as lost_count,
        cast(sum(still_open) as bigint) as open_count,
        cast(sum(won) as bigint) as won_count,
        cast(sum(final_lost) as bigint) as final_lost_count,
        sum(reached_amount) as reached_amount,
        sum(advanced_amount) as advanced_amount,
        sum(lost_amount) as lost_amount,
        sum(open_amount) as open_amount,
        cast(sum(reached) - sum(priced) as bigint) as amount_missing_count,
        count(distinct case when reached > 0 then counted_source_key end) as sources_count
    from cells
    group by source_key, canonical_stage, period_grain, period_start
)

select
    c.source_key,
    case when c.source_key = 'all' then 'all' else coalesce(src.name, c.source_key) end as source,
    c.canonical_stage,
    c.canonical_order,
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
    c.sources_count,
    cast(coalesce(o.deals, 0) as bigint) as deals_with_stage_count,
    c.advanced_count + c.lost_count < st.small_sample_below as is_small_sample,
    st.as_of_at
from counted as c
left join chances as o
    on o.source_key = c.source_key
    and o.canonical_stage = c.canonical_stage
    and o.period_grain = c.period_grain
    and (o.period_start = c.period_start or c.period_grain = 'all')
left join main.sources as src on src.source_key = c.source_key
cross join staging.settings as st
