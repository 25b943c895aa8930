-- One row per stage and dated version of its settings.
select
    s.stage_key,
    s.source_key,
    e.version,
    e.label as stage,
    cast(e.display_order as integer) as display_order,
    e.canonical_stage,
    e.outcome,
    e.probability as crm_probability,
    e.is_archived,
    case when e.version > 1 then e.valid_from end as valid_from,
    case when not e.is_latest then e.valid_to end as valid_to,
    e.is_latest as is_current
from staging.stg_stage_eras as e
inner join staging.stg_stages as s on s.stage_no = e.stage_no
