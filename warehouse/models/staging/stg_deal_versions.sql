-- One row per deal and version of its content that still counts, oldest first: what the deal said and when that was first seen.
with versions as (
    select
        k.deal_no,
        d.source_key,
        d._sync_seq as sync_seq,
        d._ordinal as ordinal,
        d._read_at as read_at,
        coalesce(d.updated_at, d._read_at) as version_at,
        d._mapper_version as mapper_version,
        d.pipeline_id,
        d.stage_id,
        d.status,
        d.created_at,
        d.stage_entered_at,
        d.closed_at,
        d.amount,
        d.currency,
        d.expected_close_date,
        d.owner_id,
        coalesce(d.dates_only, false) as dates_only
    from landing.deals as d
    inner join staging.stg_deal_keys as k
        on k.source_key = d.source_key and k.deal_id = d.deal_id
),

placed as (  -- content order; a state is known from the first reading that shows it or something newer
    select
        *,
        lead(read_at) over content as next_read_at,
        lead(version_at) over content as next_version_at,
        min(read_at) over (content rows between current row and unbounded following) as shown_at
    from versions
    window content as (partition by deal_no order by version_at, read_at, mapper_version, sync_seq, ordinal)
)

select
    deal_no,
    source_key,
    sync_seq,
    ordinal,
    read_at,
    version_at,
    mapper_version,
    shown_at,
    next_read_at is null as is_latest,
    pipeline_id,
    stage_id,
    status,
    created_at,
    stage_entered_at,
    closed_at,
    amount,
    currency,
    expected_close_date,
    owner_id,
    dates_only
from placed
-- the same reading mapped again replaces its earlier mapping
where next_read_at is null or next_read_at <> read_at or next_version_at <> version_at
