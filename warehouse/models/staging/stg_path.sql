-- One row per visit of a deal before as_of, numbered, with its neighbours: the path in numbers, from which the published tables are worded.
with steps as (
    select deal_no, place, changed_at, version_no, era, stage_label, changed_by_id, evidence_no, precision_no
    from staging.stg_visits
    where is_change
    union all
    -- what history lacks comes after all that it tells
    select
        deal_no, 9000000000000000000 + step as place, changed_at, version_no, era,
        cast(null as varchar) as stage_label, cast(null as varchar) as changed_by_id, evidence_no, precision_no
    from staging.stg_history_gaps
)

select
    s.deal_no,
    cast(row_number() over path as integer) as seq,
    s.changed_at,
    s.version_no,
    s.era,
    s.stage_label,
    s.changed_by_id,
    s.evidence_no,
    s.precision_no,
    lag(s.era) over path as before_era,
    lag(s.version_no) over path as before_version_no,
    lag(s.changed_at) over path as before_at,
    lag(s.evidence_no) over path as before_evidence_no,
    lead(s.era) over path as next_era,
    lead(s.changed_at) over path as next_at
from steps as s
cross join staging.settings as st
where s.changed_at < st.as_of_at
window path as (partition by s.deal_no order by s.place)
