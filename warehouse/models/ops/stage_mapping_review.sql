-- One row per stage whose canonical stage a person should look at: unmapped, doubtful, or contradicted by its own flags.
with current_answers as (
    select
        a.*,
        row_number() over (
            partition by a.source_key, a.pipeline_id, a.stage_id
            order by a.valid_from desc nulls last
        ) as newest_first
    from staging.stage_answers as a
    cross join staging.settings as st
    where a.valid_from is null or a.valid_from < st.as_of_at -- a dated answer whose day has not come is not today's
),

deal_counts as (
    select
        stage_key,
        count(*) as deal_count,
        sum(case when outcome = 'open' then 1 else 0 end) as open_deal_count,
        sum(amount_reporting) as deal_amount,
        sum(case when amount_reporting is null then 1 else 0 end) as amount_missing_count
    from main.deals
    where not is_deleted
    group by stage_key
)

select
    a.source_key,
    s.stage_key,
    p.pipeline,
    s.stage,
    a.canonical_stage,
    a.suggestion as suggested_stage,
    a.candidates,
    a.mapping_method,
    a.mapping_confidence,
    a.mapping_explanation,
    case
        when a.canonical_stage = 'unmapped' and a.mapping_method = 'none' and a.candidates = '[]' then 'unmapped'
        when a.canonical_stage = 'unmapped' then 'low confidence'
        when a.mapping_explanation like 'renamed from %' then 'renamed'
        when a.mapping_explanation like '%could also be %' then 'ambiguous'
        else 'contradiction'
    end as review_reason,
    coalesce(c.deal_count, 0) as deal_count,
    coalesce(c.open_deal_count, 0) as open_deal_count,
    cast(case when c.deal_count is null then 0 else c.deal_amount end as decimal(18, 2)) as deal_amount,
    coalesce(c.amount_missing_count, 0) as amount_missing_count
from current_answers as a
inner join staging.stg_stages as k
    on k.source_key = a.source_key and k.pipeline_id = a.pipeline_id and k.stage_id = a.stage_id
inner join main.stages as s
    on s.stage_key = k.stage_key
inner join main.pipelines as p
    on p.pipeline_key = s.pipeline_key
left join deal_counts as c
    on c.stage_key = s.stage_key
where a.newest_first = 1
    and (a.canonical_stage = 'unmapped' or a.is_flagged)
