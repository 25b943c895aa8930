-- One row per source (or all) and month in which deals began: what has become of them.
with begun as (
    select
        d.source_key,
        d.is_primary,
        period_start('month', local_date(d.started_at, st.reporting_timezone)) as cohort_date,
        d.outcome,
        d.amount_reporting
    from main.deals as d
    cross join staging.settings as st
    where not d.is_deleted
),

counted as (
    select
        case when x.is_all then 'all' else b.source_key end as source_key,
        b.cohort_date,
        count(*) as deals,
        sum(case when b.outcome = 'won' then 1 else 0 end) as won,
        sum(case when b.outcome = 'lost' then 1 else 0 end) as lost,
        count(b.amount_reporting) as priced,
        sum(b.amount_reporting) as amount,
        sum(case when b.outcome = 'won' then b.amount_reporting end) as won_amount
    from begun as b
    cross join (values (false), (true)) as x (is_all)
    where b.is_primary or not x.is_all
    group by 1, 2
)

select
    c.source_key,
    case when c.source_key = 'all' then 'all' else coalesce(src.name, c.source_key) end as source,
    c.cohort_date,
    cast(c.deals as bigint) as deal_count,
    cast(c.won as bigint) as won_count,
    cast(c.lost as bigint) as lost_count,
    cast(c.deals - c.won - c.lost as bigint) as open_count,
    cast(c.won as double) / c.deals as win_rate_to_date,
    cast(c.won as double) / nullif(c.won + c.lost, 0) as win_rate,
    wilson_low(c.won, c.won + c.lost) as win_rate_low,
    wilson_high(c.won, c.won + c.lost) as win_rate_high,
    cast(c.won + c.lost as double) / c.deals as maturity,
    cast(c.won + c.lost as double) / c.deals >= st.mature_at as is_mature,
    cast(c.amount as decimal(18, 2)) as started_amount,
    cast(case when c.won = 0 then 0 else c.won_amount end as decimal(18, 2)) as won_amount,
    cast(c.deals - c.priced as bigint) as amount_missing_count,
    c.deals < st.small_sample_below as is_small_sample,
    st.as_of_at
from counted as c
left join main.sources as src on src.source_key = c.source_key
cross join staging.settings as st
