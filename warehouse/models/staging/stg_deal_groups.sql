-- One row per deal that is linked with another: the key of its group, and whether it stands for the group in totals.
with edges as (
    select p.deal_no, p.other_deal_no from staging.stg_deal_pairs as p where p.is_link
    union all
    select p.other_deal_no as deal_no, p.deal_no as other_deal_no from staging.stg_deal_pairs as p where p.is_link
),

members as (
    select distinct e.deal_no, f.deal_key as label
    from edges as e
    inner join staging.stg_deal_facts as f on f.deal_no = e.deal_no
),

-- each round a deal takes the smallest label among its neighbours; a check finds groups longer than the rounds
round_1 as (
    select m.deal_no, least(m.label, min(n.label)) as label
    from members as m inner join edges as e on e.deal_no = m.deal_no inner join members as n on n.deal_no = e.other_deal_no
    group by m.deal_no, m.label
),

round_2 as (
    select m.deal_no, least(m.label, min(n.label)) as label
    from round_1 as m inner join edges as e on e.deal_no = m.deal_no inner join round_1 as n on n.deal_no = e.other_deal_no
    group by m.deal_no, m.label
),

round_3 as (
    select m.deal_no, least(m.label, min(n.label)) as label
    from round_2 as m inner join edges as e on e.deal_no = m.deal_no inner join round_2 as n on n.deal_no = e.other_deal_no
    group by m.deal_no, m.label
),

round_4 as (
    select m.deal_no, least(m.label, min(n.label)) as label
    from round_3 as m inner join edges as e on e.deal_no = m.deal_no inner join round_3 as n on n.deal_no = e.other_deal_no
    group by m.deal_no, m.label
)

select
    r.deal_no,
    r.label as unified_deal_id,
    row_number() over (
        partition by r.label
        order by
            case when f.deleted_at is null then 0 else 1 end,
            coalesce(p.priority, 1000000),
            f.created_at nulls last,
            f.deal_key
    ) = 1 as is_primary
from round_4 as r
inner join staging.stg_deal_facts as f on f.deal_no = r.deal_no
left join staging.seed_source_priority as p on p.source_key = f.source_key
