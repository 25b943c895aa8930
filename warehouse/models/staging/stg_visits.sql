-- One row per visit that the events tell: events that repeat the stage before them are gone.
with events as (
    select deal_no, changed_at, sequence, event_id, version_no, era, stage_label, changed_by_id, evidence_no, precision_no
    from staging.stg_history
    union all
    select
        deal_no, changed_at, sequence, '' as event_id, version_no, era,
        cast(null as varchar) as stage_label, cast(null as varchar) as changed_by_id, evidence_no, precision_no
    from staging.stg_observed_changes
    union all
    -- an edit of the stage comes before anything else of that instant
    select
        deal_no, changed_at, -9000000000000000000 as sequence, '' as event_id, version_no, era,
        cast(null as varchar) as stage_label, cast(null as varchar) as changed_by_id, 2 as evidence_no, 2 as precision_no
    from staging.stg_outcome_edits
),

compared as (
    select
        *,
        row_number() over path as place,
        lag(era) over path as before_era,
        lead(era) over path as next_era
    from events
    window path as (partition by deal_no order by changed_at, sequence, event_id, era)
)

select
    deal_no,
    place,
    changed_at,
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
