-- One row per source: an account of a CRM, or a set of files.
select
    s.source_key,
    s.source_type,
    coalesce(s.name, s.source_key) as name,
    s.account_id,
    s.deep_link as deep_link_template,
    cast(coalesce(p.priority, 1000000) as integer) as priority,
    s.time_zone,
    s.home_currency,
    s.last_synced_at,
    s.data_through_at,
    s.history_starts_at,
    coalesce(s.is_stale, false) as is_stale
from staging.source_status as s
left join staging.seed_source_priority as p on p.source_key = s.source_key
