-- One row per visit whose owner or value at entry was not today's; the value in the reporting currency at this build's one rate.
with then_values as (
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
)

select
    t.deal_no,
    t.seq,
    case when t.has_owner then d.source_key || ':owner:' || t.owner_id else d.owner_key end as owner_key,
    round_half_up((case when t.has_amount then t.amount else d.amount end) * r.rate) as amount_reporting
from then_values as t
inner join staging.stg_deal_facts as d on d.deal_no = t.deal_no
left join main.fx_rates as r on r.currency = case when t.has_currency then coalesce(t.currency, d.valued_in) else d.valued_in end
