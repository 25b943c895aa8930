-- One row per person who owns open deals or closed some lately: how much is on their desk and how fast it clears. Copies of a deal count once.
with deals as (
    select d.deal_key, coalesce(o.person_key, 'unknown') as person_key, d.amount_reporting
    from main.deals as d
    left join main.owners as o on o.owner_key = d.owner_key
    where d.outcome = 'open' and d.is_primary and not d.is_deleted
),

open_deals as (
    select
        d.person_key,
        count(*) as open_count,
        sum(d.amount_reporting) as open_amount,
        sum(case when d.amount_reporting is null then 1 else 0 end) as missing,
        sum(case when s.is_stalled then 1 else 0 end) as stalled,
        sum(case when s.is_overdue then 1 else 0 end) as overdue
    from deals as d
    left join main.stalled_deals as s on s.deal_key = d.deal_key
    group by d.person_key
),

closed_deals as (
    select
        coalesce(o.person_key, 'unknown') as person_key,
        count(*) as closed,
        sum(case when d.outcome = 'won' then 1 else 0 end) as won
    from main.deals as d
    left join main.owners as o on o.owner_key = d.closing_owner_key
    cross join staging.settings as st
    where d.outcome <> 'open'
        and d.is_primary
        and not d.is_deleted
        and ms_between(d.closed_at, st.as_of_at) <= cast(st.flow_window_days as bigint) * 86400000
    group by 1
),

people as (
    select person_key, min(coalesce(name, person_key)) as owner
    from main.owners
    group by person_key
),

team as (  -- until a capacity is configured: three quarters of those with open deals have no more than this
    select quantile_cont(open_count, 0.75) as capacity
    from open_deals
    where person_key <> 'unknown'
),

desks as (
    select
        coalesce(a.person_key, b.person_key) as person_key,
        coalesce(a.open_count, 0) as open_count,
        case when a.person_key is null then 0 else a.open_amount end as open_amount,
        coalesce(a.missing, 0) as missing,
        coalesce(a.stalled, 0) as stalled,
        coalesce(a.overdue, 0) as overdue,
        coalesce(b.closed, 0) as closed,
        coalesce(b.won, 0) as won
    from open_deals as a
    full join closed_deals as b on b.person_key = a.person_key
)

select
    d.person_key,
    coalesce(p.owner, d.person_key) as owner,
    d.open_count,
    cast(d.open_amount as decimal(18, 2)) as open_amount,
    cast(d.missing as bigint) as amount_missing_count,
    cast(d.stalled as bigint) as stalled_count,
    cast(d.overdue as bigint) as overdue_count,
    d.closed as closed_90d,
    cast(d.won as bigint) as won_90d,
    d.closed * 7.0 / st.flow_window_days as closes_per_week,
    cast(case when d.person_key <> 'unknown' then t.capacity end as double) as capacity,
    cast(case when d.person_key <> 'unknown' then d.open_count / t.capacity end as double) as load_ratio,
    cast(d.open_count as double) * st.flow_window_days / 7.0 / nullif(d.closed, 0) as weeks_to_clear,
    coalesce(d.person_key <> 'unknown' and d.open_count > t.capacity, false) as is_over_capacity,
    st.as_of_at
from desks as d
cross join team as t
left join people as p on p.person_key = d.person_key
cross join staging.settings as st
