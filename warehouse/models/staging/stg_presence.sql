-- One row per key that was ever said to be gone (deal, stage, pipeline): what the newest reading before as_of says of it.
with judged as (  -- keys of which something else than plainly present was ever said
    select source_key, stream, key as record_key from landing.presence
    union
    select source_key, 'deals' as stream, _key as record_key from landing.deals where presence <> 'present'
),

said as (
    select
        p.source_key,
        p.stream,
        p.key as record_key,
        p.kind,
        case when p.kind = 'present' then p._read_at else coalesce(p.gone_at, p._read_at) end as happened_at,
        p.survivor,
        p._read_at as read_at,
        p._sync_seq as sync_seq,
        p._ordinal as ordinal
    from landing.presence as p
    union all
    -- a deal may carry its own presence; and a deal that was read again is there again
    select
        d.source_key,
        'deals' as stream,
        d._key as record_key,
        d.presence as kind,
        case when d.presence = 'deleted' then least(coalesce(d.updated_at, d._read_at), d._read_at) else d._read_at end as happened_at,
        null as survivor,
        d._read_at as read_at,
        d._sync_seq as sync_seq,
        d._ordinal as ordinal
    from landing.deals as d
    inner join judged as j
        on j.source_key = d.source_key and j.stream = 'deals' and j.record_key = d._key
),

known as (
    select
        s.*,
        case when s.kind in ('deleted', 'purged', 'merged') then 1 else 0 end as is_gone
    from said as s
    cross join staging.settings as st
    where s.happened_at < st.as_of_at
),

runs as (  -- readings after the last one that did not say gone
    select
        *,
        row_number() over (partition by source_key, stream, record_key order by read_at desc, sync_seq desc, ordinal desc) as newest_first,
        sum(1 - is_gone) over (
            partition by source_key, stream, record_key
            order by read_at desc, sync_seq desc, ordinal desc
            rows between unbounded preceding and current row
        ) as livings_since
    from known
)

select
    source_key,
    stream,
    record_key,
    max(case when newest_first = 1 then kind end) as presence,
    max(case when kind in ('present', 'archived') then read_at end) as seen_at,
    min(case when livings_since = 0 then happened_at end) as deleted_at,
    max(case when livings_since = 0 then survivor end) as survivor
from runs
group by source_key, stream, record_key
