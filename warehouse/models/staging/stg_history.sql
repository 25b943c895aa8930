-- One row per live event of a deal's stage history, in numbers: the last complete reading replaces earlier ones, later incomplete ones merge by event id.
with events as (
    select
        k.deal_no,
        k.is_merged_history,
        e.changed_at,
        e.sequence,
        e.event_id,
        s.version_no,
        s.stage_no,
        s.era,
        e.to_stage_label as stage_label,
        e.changed_by_id,
        case e.evidence when 'created' then 1 else 0 end as evidence_no,
        case e.precision when 'day' then 1 when 'snapshot' then 2 else 0 end as precision_no,
        e._read_at as read_at,
        e._mapper_version as mapper_version,
        e._sync_seq as sync_seq,
        e._read_ordinal as read_ordinal
    from landing.stage_changes as e
    inner join staging.stg_deals as k
        on k.source_key = e.source_key and k.deal_id = e.deal_id
    inner join staging.stg_stage_lookup as s
        on s.source_key = e.source_key
        and s.pipeline_id = coalesce(e.to_pipeline_id, k.pipeline_id)
        and s.stage_id = e.to_stage_id
        and e.changed_at >= s.valid_from and e.changed_at < s.valid_to
    where k.live_read_at is null
        or (e._read_at, e._mapper_version, e._sync_seq, e._read_ordinal)
            >= (k.live_read_at, k.live_mapper_version, k.live_sync_seq, k.live_ordinal)
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

select deal_no, changed_at, sequence, event_id, version_no, stage_no, era, stage_label, changed_by_id, evidence_no, precision_no
from events
where not is_merged_history
union all
select deal_no, changed_at, sequence, event_id, version_no, stage_no, era, stage_label, changed_by_id, evidence_no, precision_no
from merged
where newest_first = 1
