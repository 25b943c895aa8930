-- One row per field that a source has: its code, the label people see, its type, and whether Muara reads it.
with latest as (
    select
        f.*,
        row_number() over (
            partition by f.source_key, f._key
            order by f._read_at desc, f._sync_seq desc, f._ordinal desc
        ) as newest_first
    from landing.field_defs as f
)

select
    source_key,
    object_type,
    code as field_code,
    label as field_label,
    field_type,
    is_custom,
    is_calculated,
    is_read,
    _read_at as last_read_at
from latest
where newest_first = 1
