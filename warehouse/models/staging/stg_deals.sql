-- One row per deal: its latest content, narrow, and where its live history begins. Wide columns are fetched from landing at the end.
select
    k.deal_no,
    k.source_key,
    k.deal_id,
    k.first_read_at,
    k.last_read_at,
    k.version_count,
    k.live_read_at,
    k.live_mapper_version,
    k.live_sync_seq,
    k.live_ordinal,
    k.last_history_read_at,
    k.is_merged_history,
    k.is_history_combined,
    v.sync_seq,
    v.ordinal,
    v.read_at,
    coalesce(v.pipeline_id, 'default') as pipeline_id,
    v.stage_id,
    v.status,
    v.created_at,
    v.stage_entered_at,
    v.closed_at,
    v.amount,
    v.currency,
    v.expected_close_date,
    v.owner_id,
    v.dates_only
from staging.stg_deal_keys as k
inner join staging.stg_deal_versions as v
    on v.deal_no = k.deal_no and v.is_latest
