-- One row per pair of deals in two sources that may be one and the same, but are not surely so.
select
    a.deal_key,
    b.deal_key as other_deal_key,
    a.source_key,
    b.source_key as other_source_key,
    p.reason,
    p.is_same_name,
    p.is_same_amount,
    p.days_apart
from staging.stg_deal_pairs as p
inner join staging.stg_deal_facts as a on a.deal_no = p.deal_no
inner join staging.stg_deal_facts as b on b.deal_no = p.other_deal_no
where not p.is_link
