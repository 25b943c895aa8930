-- One row per early open deal that nobody has touched for long and nobody plans to: forgotten_rank 1 is the longest untouched.
with untouched as (
    select
        d.*,
        coalesce(src.name, d.source_key) as source,
        s.stage,
        s.canonical_order,
        s.stage_order,
        days_between(d.last_touch_at, least(st.as_of_at, coalesce(src.data_through_at, src.last_synced_at))) as days_since_touch,
        st.forgotten_days,
        st.as_of_at
    from main.deals as d
    inner join main.stages as s on s.stage_key = d.stage_key
    left join main.sources as src on src.source_key = d.source_key
    cross join staging.settings as st
    where d.outcome = 'open'
        and not d.is_deleted
        and d.presence = 'present'
        and (s.canonical_order <= 40 or s.canonical_stage = 'on_hold')
        and (d.next_activity_at is null or d.next_activity_at < st.as_of_at)
)

select
    u.source_key,
    u.source,
    u.pipeline_key,
    p.pipeline,
    u.stage_key,
    u.stage,
    u.canonical_stage,
    u.stage_order,
    u.deal_key,
    u.name,
    u.deal_url,
    u.unified_deal_id,
    u.is_primary,
    o.person_key,
    o.name as owner,
    u.amount_reporting,
    u.last_touch_at,
    u.days_since_touch,
    case u.canonical_stage
        when 'prospecting' then 'Make contact, or disqualify'
        when 'qualification' then 'Ask the missing questions, or disqualify'
        when 'on_hold' then 'Ask whether it is still on hold; reopen or close it'
        else 'Follow up and agree the next step, or close it'
    end as suggested_action,
    cast(row_number() over (order by u.days_since_touch desc, u.deal_key) as integer) as forgotten_rank,
    u.as_of_at
from untouched as u
left join main.pipelines as p on p.pipeline_key = u.pipeline_key
left join main.owners as o on o.owner_key = u.owner_key
where u.days_since_touch > u.forgotten_days
