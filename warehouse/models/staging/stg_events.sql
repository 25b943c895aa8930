-- One row per event of a deal's stage path, from the source's history and from readings, in numbers: what the path is sorted from.
with told as (
    select
        h.deal_no,
        h.changed_at,
        h.sequence,
        h.event_id,
        e.version_no,
        e.stage_no,
        e.era,
        h.stage_label,
        h.changed_by_id,
        case h.evidence when 'created' then 1 else 0 end as evidence_no,
        case h.precision when 'day' then 1 when 'snapshot' then 2 else 0 end as precision_no
    from staging.stg_history as h
    inner join staging.stg_stage_eras as e
        on e.source_key = h.source_key
        and e.pipeline_id = h.pipeline_id
        and e.stage_id = h.stage_id
        and h.changed_at >= e.valid_from and h.changed_at < e.valid_to
    union all
    select
        o.deal_no,
        o.changed_at,
        o.sequence,
        '' as event_id,
        o.version_no,
        e.stage_no,
        o.era,
        cast(null as varchar) as stage_label,
        cast(null as varchar) as changed_by_id,
        case o.evidence when 'exact' then 0 when 'created' then 1 else 2 end as evidence_no,
        case o.precision when 'day' then 1 when 'snapshot' then 2 else 0 end as precision_no
    from staging.stg_observed_changes as o
    inner join staging.stg_stage_eras as e on e.version_no = o.version_no
)

select * from told
