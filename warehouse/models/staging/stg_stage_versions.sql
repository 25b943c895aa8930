-- One row per stage and version of its settings (label, order, outcome, probability), oldest first. The first version holds from ever.
with listed as (
    select
        r.stage_no,
        s._key as record_key,
        s.name as label,
        s.display_order,
        s.outcome as outcome_flag,
        s.probability,
        coalesce(s.is_archived, false) as is_archived,
        coalesce(s.is_synthetic, false) as is_synthetic,
        coalesce(s.updated_at, s._read_at) as version_at,
        s._read_at as read_at,
        s._mapper_version as mapper_version,
        s._sync_seq as sync_seq,
        s._ordinal as ordinal
    from landing.stages as s
    inner join staging.stg_stage_refs as r
        on r.source_key = s.source_key and r.pipeline_id = s.pipeline_id and r.stage_id = s.stage_id
    union all
    select
        r.stage_no,
        cast(null as varchar) as record_key,
        case
            when r.is_synthetic and r.stage_id = 'won' then 'Won'
            when r.is_synthetic then 'Lost'
            else coalesce(r.history_label, r.stage_id)
        end as label,
        cast(null as bigint) as display_order,
        case when r.is_synthetic then r.stage_id end as outcome_flag,
        cast(null as double) as probability,
        -- of a pipeline whose stages are listed, an unlisted stage that no deal sits in was removed
        r.is_pipeline_listed and not r.is_in_use and not r.is_synthetic as is_archived,
        r.is_synthetic,
        timestamp '1970-01-01' as version_at,
        timestamp '1970-01-01' as read_at,
        0 as mapper_version,
        0 as sync_seq,
        0 as ordinal
    from staging.stg_stage_refs as r
    where not r.is_listed
),

placed as (
    select
        *,
        row_number() over content as place,
        lead(read_at) over content as next_read_at,
        lead(version_at) over content as next_version_at
    from listed
    window content as (partition by stage_no order by version_at, read_at, mapper_version, sync_seq, ordinal)
),

compared as (
    select
        *,
        lag(label) over content as before_label,
        lag(display_order) over content as before_order,
        lag(outcome_flag) over content as before_flag,
        lag(probability) over content as before_probability,
        lag(is_archived) over content as before_archived,
        lag(stage_no) over content as before_stage
    from placed
    where next_read_at is null or next_read_at <> read_at or next_version_at <> version_at
    window content as (partition by stage_no order by place)
),

changed as (
    select
        c.*,
        case when c.before_stage is null then timestamp '1970-01-01' else c.version_at end as valid_from
    from compared as c
    cross join staging.settings as st
    where c.before_stage is null
        or (c.version_at < st.as_of_at and (
            c.label is distinct from c.before_label
            or c.display_order is distinct from c.before_order
            or c.outcome_flag is distinct from c.before_flag
            or c.probability is distinct from c.before_probability
            or c.is_archived is distinct from c.before_archived))
)

select
    r.stage_no,
    cast(row_number() over (partition by r.stage_no order by c.place) as integer) as version,
    r.source_key,
    r.pipeline_id,
    r.stage_id,
    c.record_key,
    c.label,
    c.display_order,
    c.outcome_flag,
    c.probability,
    c.is_archived,
    c.is_synthetic,
    c.valid_from,
    coalesce(lead(c.valid_from) over (partition by r.stage_no order by c.place), timestamp '9999-12-31') as valid_to,
    lead(c.place) over (partition by r.stage_no order by c.place) is null as is_latest
from changed as c
inner join staging.stg_stage_refs as r on r.stage_no = c.stage_no
