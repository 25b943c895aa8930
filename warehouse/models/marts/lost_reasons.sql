-- One row per source, last open stage and reason: why deals were lost, in the source's own words, and where they stood before.
with lost as (
    select
        d.source_key,
        coalesce(src.name, d.source_key) as source,
        d.last_open_stage_key as stage_key,
        coalesce(nullif(trim(d.lost_reason), ''), 'unknown') as lost_reason,
        count(*) as deals,
        count(d.amount_reporting) as priced,
        sum(d.amount_reporting) as amount
    from main.deals as d
    left join main.sources as src on src.source_key = d.source_key
    where d.outcome = 'lost' and not d.is_deleted
    group by 1, 2, 3, 4
),

totals as (
    select
        *,
        sum(deals) over (partition by source_key) as source_deals,
        sum(deals) over (partition by source_key, stage_key) as stage_deals
    from lost
)

select
    t.source_key,
    t.source,
    s.pipeline_key,
    p.pipeline,
    t.stage_key,
    s.stage,
    s.stage_order,
    s.canonical_stage,
    t.lost_reason,
    cast(t.deals as bigint) as lost_count,
    cast(t.amount as decimal(18, 2)) as lost_amount,
    cast(t.deals - t.priced as bigint) as amount_missing_count,
    cast(t.source_deals as bigint) as source_lost_count,
    cast(t.deals as double) / t.source_deals as lost_share,
    cast(t.stage_deals as bigint) as stage_lost_count,
    cast(t.deals as double) / t.stage_deals as stage_lost_share,
    t.stage_deals < st.small_sample_below as is_small_sample,
    st.as_of_at
from totals as t
left join main.stages as s on s.stage_key = t.stage_key
left join main.pipelines as p on p.pipeline_key = s.pipeline_key
cross join staging.settings as st
