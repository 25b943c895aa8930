-- One row per pair of deals of two sources that share something: links (is_link) and mere candidates. deal_no is the smaller key's.
with shared_norms as (  -- companies that more than one source knows
    select company_norm
    from main.companies
    where company_norm is not null
    group by company_norm
    having count(distinct source_key) > 1
),

comparable as (
    select
        f.deal_no,
        f.source_key,
        f.deal_key,
        c.company_norm,
        fold(t.name) as folded_name,
        f.amount,
        case when not f.is_currency_assumed then f.valued_in end as currency,
        f.created_at
    from staging.stg_deal_facts as f
    inner join staging.stg_deal_companies as t on t.deal_no = f.deal_no
    inner join main.companies as c on c.company_key = t.company_key
    inner join shared_norms as s on s.company_norm = c.company_norm
    where f.deleted_at is null
),

crowds as (  -- a name that very many deals of one company bear tells nothing
    select
        source_key, company_norm, folded_name,
        count(*) as name_count,
        sum(count(*)) over (partition by source_key, company_norm) as company_count
    from comparable
    group by source_key, company_norm, folded_name
),

sized as (
    select d.*, k.name_count, k.company_count
    from comparable as d
    inner join crowds as k
        on k.source_key = d.source_key and k.company_norm = d.company_norm and k.folded_name is not distinct from d.folded_name
),

beside as (
    select a.deal_no, b.deal_no as other_deal_no
    from sized as a
    inner join sized as b
        on b.company_norm = a.company_norm and b.folded_name = a.folded_name and b.source_key <> a.source_key and a.deal_key < b.deal_key
    where a.name_count <= 100 and b.name_count <= 100
    union
    select a.deal_no, b.deal_no as other_deal_no
    from sized as a
    inner join sized as b
        on b.company_norm = a.company_norm and b.source_key <> a.source_key and a.deal_key < b.deal_key
    where a.company_count <= 50 and b.company_count <= 50
),

graded as (
    select
        p.deal_no,
        p.other_deal_no,
        coalesce(a.folded_name = b.folded_name, false) as is_same_name,
        coalesce(a.currency = b.currency
            and abs(a.amount - b.amount) <= st.match_amount_tolerance * greatest(abs(a.amount), abs(b.amount)), false) as is_same_amount,
        abs(days_between(a.created_at, b.created_at)) as days_apart,
        coalesce(abs(days_between(a.created_at, b.created_at)) <= st.match_window_days, false) as is_near
    from beside as p
    inner join sized as a on a.deal_no = p.deal_no
    inner join sized as b on b.deal_no = p.other_deal_no
    cross join staging.settings as st
),

said_elsewhere as (  -- a deal that stores the other's id; the map names a system or a source
    select t.deal_no, s.source_key, foreign_id(t.foreign_ids, n.system) as deal_id
    from staging.stg_deal_companies as t
    cross join (
        select source_key, source_type as system from staging.source_status
        union
        select source_key, source_key as system from staging.source_status
    ) as n
    inner join staging.source_status as s on s.source_key = n.source_key
    where t.foreign_ids is not null
),

explicit as (
    select distinct
        case when a.deal_key < b.deal_key then a.deal_no else b.deal_no end as deal_no,
        case when a.deal_key < b.deal_key then b.deal_no else a.deal_no end as other_deal_no
    from said_elsewhere as e
    inner join staging.stg_deal_facts as a on a.deal_no = e.deal_no
    inner join staging.stg_deal_facts as b on b.source_key = e.source_key and b.deal_id = e.deal_id
    where a.source_key <> b.source_key
),

decided as (  -- the user's word on pairs
    select a.deal_no, b.deal_no as other_deal_no, min(case when l.is_match and m.is_match then 1 else 0 end) = 1 as is_match
    from staging.seed_deal_links as l
    inner join staging.seed_deal_links as m on m.link_group = l.link_group
    inner join staging.stg_deal_facts as a on a.source_key = l.source_key and a.deal_id = l.source_deal_id
    inner join staging.stg_deal_facts as b on b.source_key = m.source_key and b.deal_id = m.source_deal_id
    where a.deal_key < b.deal_key
    group by a.deal_no, b.deal_no
),

all_pairs as (
    select deal_no, other_deal_no from graded where is_same_name or (is_same_amount and is_near)
    union
    select deal_no, other_deal_no from explicit
    union
    select deal_no, other_deal_no from decided
),

judged as (
    select
        p.deal_no,
        p.other_deal_no,
        a.source_key,
        b.source_key as other_source_key,
        u.is_match,
        e.deal_no is not null as is_explicit,
        coalesce(g.is_same_name and g.is_same_amount and g.is_near, false) as is_sure,
        coalesce(g.is_same_name, false) as is_same_name,
        coalesce(g.is_same_amount, false) as is_same_amount,
        g.days_apart
    from all_pairs as p
    inner join staging.stg_deal_facts as a on a.deal_no = p.deal_no
    inner join staging.stg_deal_facts as b on b.deal_no = p.other_deal_no
    left join graded as g on g.deal_no = p.deal_no and g.other_deal_no = p.other_deal_no
    left join explicit as e on e.deal_no = p.deal_no and e.other_deal_no = p.other_deal_no
    left join decided as u on u.deal_no = p.deal_no and u.other_deal_no = p.other_deal_no
),

rivals as (  -- an automatic match must be the only one on both sides, and yields to what is stated
    select
        *,
        sum(case when is_match or is_explicit then 1 else 0 end) over (partition by deal_no, other_source_key) as stated_here,
        sum(case when is_match or is_explicit then 1 else 0 end) over (partition by other_deal_no, source_key) as stated_there,
        sum(case when is_sure and coalesce(is_match, true) then 1 else 0 end) over (partition by deal_no, other_source_key) as sure_here,
        sum(case when is_sure and coalesce(is_match, true) then 1 else 0 end) over (partition by other_deal_no, source_key) as sure_there
    from judged
)

select
    deal_no,
    other_deal_no,
    case
        when is_match then 'stated by the user'
        when is_explicit then 'stored id'
        when is_sure and stated_here = 0 and stated_there = 0 and sure_here = 1 and sure_there = 1 then 'automatic'
        when is_sure then 'several deals fit'
        when is_same_name and is_same_amount then 'same name and amount, created far apart'
        when is_same_name then 'same name'
        else 'same amount'
    end as reason,
    coalesce(is_match, is_explicit or (is_sure and stated_here = 0 and stated_there = 0 and sure_here = 1 and sure_there = 1)) as is_link,
    is_same_name,
    is_same_amount,
    days_apart
from rivals
where coalesce(is_match, true)
