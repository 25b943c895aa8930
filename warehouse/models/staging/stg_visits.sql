-- One row per visit that the events tell: events that repeat the stage before them are gone.
with compared as (
    select
        *,
        lag(era) over path as before_era,
        lead(era) over path as next_era
    from staging.stg_events
    window path as (partition by deal_no order by changed_at, sequence, event_id)
)

select
    deal_no,
    changed_at,
    sequence,
    event_id,
    version_no,
    era,
    stage_label,
    changed_by_id,
    evidence_no,
    precision_no,
    before_era is null or before_era <> era as is_change,
    next_era is null as is_last
from compared
where before_era is null or before_era <> era or next_era is null
