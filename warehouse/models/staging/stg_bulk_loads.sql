-- One row per deal that entered together with more than bulk_load_min_deals deals of its source within one minute. Rule 19.
with entries as (
    select d.source_key, d.deal_no, p.first_at, minute_of(p.first_at) as entry_minute
    from staging.stg_deal_path as p
    inner join staging.stg_deals as d on d.deal_no = p.deal_no
    where p.first_evidence_no < 2 and p.first_precision_no = 0
),

minutes as (
    select source_key, entry_minute, count(*) as entry_count
    from entries
    group by source_key, entry_minute
),

busy as (  -- only where two neighbouring minutes together have enough can one minute have them
    select m.source_key, m.entry_minute
    from minutes as m
    left join minutes as b on b.source_key = m.source_key and b.entry_minute = m.entry_minute - interval 1 minute
    left join minutes as a on a.source_key = m.source_key and a.entry_minute = m.entry_minute + interval 1 minute
    cross join staging.settings as st
    where m.entry_count + greatest(coalesce(b.entry_count, 0), coalesce(a.entry_count, 0)) > st.bulk_load_min_deals
),

queued as (
    select
        e.source_key,
        e.deal_no,
        e.first_at,
        row_number() over (partition by e.source_key order by e.first_at, e.deal_no) as place
    from entries as e
    inner join busy as b on b.source_key = e.source_key and b.entry_minute = e.entry_minute
),

begun as (  -- ends_at: enough deals enter from this one on within 60 seconds, the last of them then
    select a.source_key, a.deal_no, a.first_at, a.place, case when ms_between(a.first_at, b.first_at) < 60000 then b.first_at end as ends_at
    from queued as a
    cross join staging.settings as st
    left join queued as b on b.source_key = a.source_key and b.place = a.place + st.bulk_load_min_deals
),

covered as (
    select
        deal_no,
        first_at,
        max(ends_at) over (partition by source_key order by place rows between unbounded preceding and current row) as load_ends_at
    from begun
)

select deal_no
from covered
where first_at <= load_ends_at
