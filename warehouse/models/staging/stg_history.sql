-- One row per live event of a deal's stage history: the last complete reading replaces earlier ones, later incomplete ones merge by event id.
with events as (
    select
        d.deal_no,
        k.is_merged_history,
        e.source_key,
        coalesce(e.to_pipeline_id, d.pipeline_id, 'default') as pipeline_id,
        e.to_stage_id as stage_id,
        e.to_stage_label as stage_label,
        e.changed_at,
        e.sequence,
        e.event_id,
        e.changed_by_id,
        e.evidence,
        e.precision,
        e._read_at as read_at,
        e._mapper_version as mapper_version,
        e._sync_seq as sync_seq,
        e._read_ordinal as read_ordinal
    from landing.stage_changes as e
    inner join staging.stg_deal_keys as k
        on k.source_key = e.source_key and k.deal_id = e.deal_id
    inner join staging.stg_deals as d
        on d.deal_no = k.deal_no
    where k.live_read_at is null
        or e._read_at > k.live_read_at
        or (e._read_at = k.live_read_at and (
            e._mapper_version > k.live_mapper_version
            or (e._mapper_version = k.live_mapper_version and (
                e._sync_seq > k.live_sync_seq
                or (e._sync_seq = k.live_sync_seq and e._read_ordinal >= k.live_ordinal)))))
),

merged as (
    select
        *,
        row_number() over (
            partition by deal_no, event_id
            order by read_at desc, mapper_version desc, sync_seq desc, read_ordinal desc
        ) as newest_first
    from events
    where is_merged_history
)

select
    deal_no, source_key, pipeline_id, stage_id, stage_label, changed_at, sequence, event_id, changed_by_id, evidence, precision
from events
where not is_merged_history
union all
select
    deal_no, source_key, pipeline_id, stage_id, stage_label, changed_at, sequence, event_id, changed_by_id, evidence, precision
from merged
where newest_first = 1
