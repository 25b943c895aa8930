-- One row per visit whose owner, amount or currency at entry was not today's.
select
    p.deal_no,
    p.seq,
    max(case when v.field = 'owner' then 1 else 0 end) = 1 as has_owner,
    max(case when v.field = 'amount' then 1 else 0 end) = 1 as has_amount,
    max(case when v.field = 'currency' then 1 else 0 end) = 1 as has_currency,
    max(case when v.field = 'owner' then v.value end) as owner_id,
    amount_of(max(case when v.field = 'amount' then v.value end)) as amount,
    max(case when v.field = 'currency' then v.value end) as currency
from staging.stg_field_values as v
inner join staging.stg_path as p
    on p.deal_no = v.deal_no and p.changed_at > v.valid_after and p.changed_at <= v.valid_to
group by p.deal_no, p.seq
