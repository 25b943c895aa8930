-- One row per deal that a source ever gave: a short number to join and sort by, and where its live history begins.
with versions as (
    select source_key, deal_id, min(_read_at) as first_read_at, max(_read_at) as last_read_at, count(*) as version_count
    from landing.deals
    group by source_key, deal_id
),

reads as (  -- position of every reading of a deal's history, newest first among the complete ones
    select
        source_key,
        deal_id,
        complete,
        is_combined,
        _read_at,
        _mapper_version,
        _sync_seq,
        _ordinal,
        row_number() over (
            partition by source_key, deal_id, complete
            order by _read_at desc, _mapper_version desc, _sync_seq desc, _ordinal desc
        ) as newest_first
    from landing.history_reads
),

live_from as (
    select
        source_key,
        deal_id,
        max(case when complete and newest_first = 1 then _read_at end) as live_read_at,
        max(case when complete and newest_first = 1 then _mapper_version end) as live_mapper_version,
        max(case when complete and newest_first = 1 then _sync_seq end) as live_sync_seq,
        max(case when complete and newest_first = 1 then _ordinal end) as live_ordinal,
        max(_read_at) as last_history_read_at,
        count(*) as read_count,
        sum(case when complete then 0 else 1 end) as incomplete_count,
        max(case when is_combined then 1 else 0 end) as combined
    from reads
    group by source_key, deal_id
)

select
    any_number() as deal_no,
    v.source_key,
    v.deal_id,
    v.first_read_at,
    v.last_read_at,
    v.version_count,
    l.live_read_at,
    l.live_mapper_version,
    l.live_sync_seq,
    l.live_ordinal,
    l.last_history_read_at,
    l.incomplete_count > 0 as is_merged_history,
    coalesce(l.combined, 0) = 1 as is_history_combined
from versions as v
left join live_from as l
    on l.source_key = v.source_key and l.deal_id = v.deal_id
