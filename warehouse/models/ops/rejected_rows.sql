-- One row per input row that did not become a record, with the reason; repaired ones are gone from here. Rows in = rows kept + rows here.
with latest as (
    select
        r.*,
        row_number() over (
            partition by r.source_key, r._key
            order by r._read_at desc, r._mapper_version desc, r._sync_seq desc, r._ordinal desc
        ) as newest_first
    from landing.rejects as r
),

settled as (  -- whatever as_of is: this is about what we know, not about when something happened
    select
        source_key,
        key,
        kind,
        row_number() over (partition by source_key, key order by _read_at desc, _sync_seq desc, _ordinal desc) as newest_first
    from landing.presence
    where stream = 'rejects'
)

select
    r.source_key,
    r.stream,
    r.reason,
    r.detail,
    r.is_dropped,
    r.key as row_key,
    r.source_file,
    r.source_sheet,
    r.source_row,
    r._read_at as read_at
from latest as r
left join settled as s
    on s.source_key = r.source_key and s.key = r._key and s.newest_first = 1
where r.newest_first = 1
    and coalesce(s.kind, 'present') = 'present'
