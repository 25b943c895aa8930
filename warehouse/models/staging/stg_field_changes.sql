-- One row per change of a tracked field of a deal, numbered per deal and field; changes at or after as_of are still in here.
with told as (
    select
        k.deal_no,
        k.is_merged_history,
        e.source_key,
        e.field,
        e.changed_at,
        e.sequence,
        e.event_id,
        case when e.field = 'amount' then cast(amount_of(e.old_value) as varchar) else e.old_value end as old_value,
        case when e.field = 'amount' then cast(amount_of(e.new_value) as varchar) else e.new_value end as new_value,
        e._read_at as read_at,
        e._mapper_version as mapper_version,
        e._sync_seq as sync_seq,
        e._read_ordinal as read_ordinal
    from landing.field_changes as e
    inner join staging.stg_deals as k
        on k.source_key = e.source_key and k.deal_id = e.deal_id
    where k.live_read_at is null
        or (e._read_at, e._mapper_version, e._sync_seq, e._read_ordinal)
            >= (k.live_read_at, k.live_mapper_version, k.live_sync_seq, k.live_ordinal)
),

merged as (
    select
        *,
        row_number() over (
            partition by deal_no, field, event_id
            order by read_at desc, mapper_version desc, sync_seq desc, read_ordinal desc
        ) as newest_first
    from told
    where is_merged_history
),

history as (
    select deal_no, source_key, field, changed_at, sequence, event_id, old_value, new_value from told where not is_merged_history
    union all
    select deal_no, source_key, field, changed_at, sequence, event_id, old_value, new_value from merged where newest_first = 1
),

kept_fields as (  -- fields whose history the source keeps
    select distinct source_key, field from history
),

versions as (
    select
        v.deal_no,
        v.source_key,
        v.shown_at,
        v.read_at,
        k.last_history_read_at,
        row_number() over content as version_no,
        v.amount,
        v.currency,
        v.expected_close_date,
        v.owner_id,
        v.pipeline_id,
        lag(v.amount) over content as before_amount,
        lag(v.currency) over content as before_currency,
        lag(v.expected_close_date) over content as before_close_date,
        lag(v.owner_id) over content as before_owner_id,
        lag(v.pipeline_id) over content as before_pipeline_id
    from staging.stg_deal_versions as v
    inner join staging.stg_deals as k
        on k.deal_no = v.deal_no and k.version_count > 1
    window content as (partition by v.deal_no order by v.version_at, v.read_at, v.mapper_version, v.sync_seq, v.ordinal)
),

differing as (
    select deal_no, source_key, read_at, last_history_read_at, shown_at, version_no, 'amount' as field,
        cast(cast(before_amount as decimal(18, 2)) as varchar) as old_value, cast(cast(amount as decimal(18, 2)) as varchar) as new_value
    from versions where version_no > 1 and before_amount is distinct from amount
    union all
    select deal_no, source_key, read_at, last_history_read_at, shown_at, version_no, 'currency' as field, before_currency, currency
    from versions where version_no > 1 and before_currency is distinct from currency
    union all
    select deal_no, source_key, read_at, last_history_read_at, shown_at, version_no, 'expected_close_date' as field,
        cast(before_close_date as varchar), cast(expected_close_date as varchar)
    from versions where version_no > 1 and before_close_date is distinct from expected_close_date
    union all
    select deal_no, source_key, read_at, last_history_read_at, shown_at, version_no, 'owner' as field, before_owner_id, owner_id
    from versions where version_no > 1 and before_owner_id is distinct from owner_id
    union all
    select deal_no, source_key, read_at, last_history_read_at, shown_at, version_no, 'pipeline' as field, before_pipeline_id, pipeline_id
    from versions where version_no > 1 and before_pipeline_id is distinct from pipeline_id
),

both_kinds as (
    select deal_no, field, changed_at, sequence, event_id, old_value, new_value, 'history' as origin
    from history
    where old_value is distinct from new_value
    union all
    -- where the source keeps history, only what changed since its history was last read
    select d.deal_no, d.field, d.shown_at, d.version_no, '' as event_id, d.old_value, d.new_value, 'snapshot_diff' as origin
    from differing as d
    left join kept_fields as h on h.source_key = d.source_key and h.field = d.field
    where d.old_value is distinct from d.new_value
        and (h.field is null or d.last_history_read_at is null or d.read_at > d.last_history_read_at)
)

select
    deal_no,
    field,
    cast(row_number() over path as integer) as seq,
    changed_at,
    lag(changed_at) over path as before_at,
    old_value,
    new_value,
    origin
from both_kinds
window path as (partition by deal_no, field order by changed_at, origin, sequence, event_id, new_value)
