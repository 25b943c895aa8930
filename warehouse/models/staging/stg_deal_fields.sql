-- One row per deal: tracked fields as they were at as_of, and how often the close date was put off.
with undone as (  -- old value of the first change at or after as_of
    select c.deal_no, c.field, c.old_value, row_number() over (partition by c.deal_no, c.field order by c.seq) as first_after
    from staging.stg_field_changes as c
    cross join staging.settings as st
    where c.changed_at >= st.as_of_at
),

at_as_of as (
    select
        deal_no,
        max(case when field = 'amount' then 1 else 0 end) = 1 as is_amount_undone,
        max(case when field = 'currency' then 1 else 0 end) = 1 as is_currency_undone,
        max(case when field = 'expected_close_date' then 1 else 0 end) = 1 as is_close_date_undone,
        max(case when field = 'owner' then 1 else 0 end) = 1 as is_owner_undone,
        max(case when field = 'amount' then old_value end) as amount,
        max(case when field = 'currency' then old_value end) as currency,
        max(case when field = 'expected_close_date' then old_value end) as expected_close_date,
        max(case when field = 'owner' then old_value end) as owner_id
    from undone
    where first_after = 1
    group by deal_no
),

counted as (
    select
        c.deal_no,
        max(c.changed_at) as last_field_change_at,
        sum(case when c.field = 'expected_close_date' and day_of(c.new_value) > day_of(c.old_value) then 1 else 0 end) as push_count
    from staging.stg_field_changes as c
    cross join staging.settings as st
    where c.changed_at < st.as_of_at
    group by c.deal_no
)

select
    d.deal_no,
    cast(case when a.is_amount_undone then amount_of(a.amount) else d.amount end as decimal(18, 2)) as amount,
    case when a.is_currency_undone then a.currency else d.currency end as currency,
    case when a.is_close_date_undone then day_of(a.expected_close_date) else d.expected_close_date end as expected_close_date,
    case when a.is_owner_undone then a.owner_id else d.owner_id end as owner_id,
    c.last_field_change_at,
    coalesce(c.push_count, 0) as push_count
from staging.stg_deals as d
left join at_as_of as a on a.deal_no = d.deal_no
left join counted as c on c.deal_no = d.deal_no
