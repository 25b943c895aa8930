-- Table functions for whoever reads the published file. Created last, when every table is there; a name without a catalogue is looked up in
-- the reader's own database: attached under another name, say `use <name>` first.

-- One row per deal that was open at the end of a day of the reporting time zone (on the day of as_of: at as_of): the deals behind pipeline_daily.
create or replace macro pipeline_as_of(day) as table
with clock as (
    select
        cast(day as date) as snapshot_date,
        least(st.as_of_at, timezone('UTC', timezone(st.reporting_timezone, cast(cast(day as date) + 1 as timestamp)))) as until_at,
        st.as_of_at
    from staging.settings as st
    where timezone('UTC', timezone(st.reporting_timezone, cast(cast(day as date) as timestamp))) < st.as_of_at
),

open_visits as (
    select iv.deal_key, iv.stage_key, iv.entered_at, iv.is_left_censored, c.snapshot_date, c.until_at, c.as_of_at
    from main.stage_intervals as iv
    cross join clock as c
    where iv.outcome = 'open'
        and iv.entered_at < c.until_at
        and (iv.exited_at is null or iv.exited_at >= c.until_at)
        and (iv.deleted_at is null or iv.deleted_at >= c.until_at)
),

undone as (  -- what changed later is taken back
    select deal_key, field, old_value
    from (
        select f.deal_key, f.field, f.old_value, row_number() over (partition by f.deal_key, f.field order by f.seq) as first_after
        from main.deal_field_changes as f
        inner join open_visits as v on v.deal_key = f.deal_key
        where f.changed_at >= v.until_at
    ) as c
    where first_after = 1
),

valued as (
    select
        v.*,
        d.source_key,
        d.name,
        d.deal_url,
        d.is_primary,
        d.outcome as outcome_now,
        d.closed_at,
        d.is_deleted,
        case when a.deal_key is null then d.amount else try_cast(a.old_value as decimal(18, 2)) end as amount,
        case when k.old_value is null then d.currency else k.old_value end as currency,
        case
            when a.deal_key is null and k.deal_key is null then d.amount_reporting
            else cast(round(
                (case when a.deal_key is null then d.amount else try_cast(a.old_value as decimal(18, 2)) end)
                * (case when k.old_value is null then d.fx_rate else r.rate end), 2) as decimal(18, 2))
        end as amount_reporting,
        case when e.deal_key is null then d.expected_close_date else try_cast(e.old_value as date) end as expected_close_date,
        case when o.deal_key is null then d.owner_key else d.source_key || ':owner:' || o.old_value end as owner_key
    from open_visits as v
    inner join main.deals as d on d.deal_key = v.deal_key
    left join undone as a on a.deal_key = v.deal_key and a.field = 'amount'
    left join undone as k on k.deal_key = v.deal_key and k.field = 'currency'
    left join undone as e on e.deal_key = v.deal_key and e.field = 'expected_close_date'
    left join undone as o on o.deal_key = v.deal_key and o.field = 'owner'
    left join main.fx_rates as r on r.currency = k.old_value
)

select
    v.snapshot_date,
    v.source_key,
    coalesce(src.name, v.source_key) as source,
    s.pipeline_key,
    p.pipeline,
    v.stage_key,
    s.stage,
    s.stage_order,
    s.canonical_stage,
    v.deal_key,
    v.name,
    v.deal_url,
    v.is_primary,
    v.owner_key,
    u.person_key,
    u.name as owner,
    v.amount,
    v.currency,
    v.amount_reporting,
    v.expected_close_date,
    s.crm_probability as stage_probability,
    greatest(date_diff('millisecond', v.entered_at, least(v.until_at, coalesce(src.data_through_at, v.until_at))), 0) / 86400000.0 as days_in_stage,
    v.is_left_censored as is_age_lower_bound,
    v.outcome_now,
    v.closed_at,
    v.is_deleted,
    v.as_of_at
from valued as v
inner join main.stages as s on s.stage_key = v.stage_key
left join main.pipelines as p on p.pipeline_key = s.pipeline_key
left join main.sources as src on src.source_key = v.source_key
left join main.owners as u on u.owner_key = v.owner_key;

comment on macro table pipeline_as_of is 'The deals that were open at the end of a day, with stage, owner, amount and close date as they were then: select * from pipeline_as_of(date ''2025-01-31''). Adds up to pipeline_daily.';
