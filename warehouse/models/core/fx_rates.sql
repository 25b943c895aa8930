-- One row per currency that occurs: the one rate of this build into the reporting currency, and where it comes from.
with used as (
    select distinct currency from staging.stg_deal_fields where currency is not null
    union
    select reporting_currency as currency from staging.settings
    union
    select home_currency as currency from staging.source_status where home_currency is not null
),

given as (  -- the user's rates: the newest not after as_of
    select
        r.currency, r.rate, r.rate_date, r.source,
        row_number() over (partition by r.currency order by r.rate_date desc nulls last, r.source, r.rate) as newest_first
    from staging.seed_fx_rates as r
    cross join staging.settings as st
    where r.rate_date is null or r.rate_date <= cast(st.as_of_at as date)
),

stated as (  -- the sources' own rates: newest not after as_of, one per source, currency and base
    select
        c.source_key, c.currency, c.base_currency, c.rate, coalesce(c.rate_date, cast(c._read_at as date)) as rate_date,
        row_number() over (
            partition by c.source_key, c.currency, c.base_currency
            order by coalesce(c.rate_date, cast(c._read_at as date)) desc, c._read_at desc, c._mapper_version desc, c._sync_seq desc, c._ordinal desc
        ) as newest_first
    from landing.currency_rates as c
    cross join staging.settings as st
    where c.rate > 0
        and (case when c.rate_date is null then c._read_at < st.as_of_at else c.rate_date <= cast(st.as_of_at as date) end)
),

by_source as (  -- in units of the reporting currency: straight, or through the source's base currency
    select
        s.source_key,
        s.currency,
        case
            when s.base_currency = st.reporting_currency then s.rate
            else cast(cast(s.rate as double) / cast(r.rate as double) as decimal(24, 12))
        end as rate,
        case when r.rate_date > s.rate_date then r.rate_date else s.rate_date end as rate_date
    from stated as s
    cross join staging.settings as st
    left join stated as r
        on r.source_key = s.source_key and r.base_currency = s.base_currency
        and r.currency = st.reporting_currency and r.newest_first = 1
    where s.newest_first = 1 and (s.base_currency = st.reporting_currency or r.rate is not null)
    union all
    select
        r.source_key, r.base_currency as currency, cast(1.0 / cast(r.rate as double) as decimal(24, 12)) as rate, r.rate_date
    from stated as r
    inner join staging.settings as st on st.reporting_currency = r.currency
    where r.newest_first = 1 and r.base_currency <> r.currency
),

ranked as (
    select
        b.*,
        row_number() over (
            partition by b.currency order by coalesce(p.priority, 1000000), b.rate_date desc, b.source_key, b.rate
        ) as best_first
    from by_source as b
    left join staging.seed_source_priority as p on p.source_key = b.source_key
)

select
    u.currency,
    cast(case when u.currency = st.reporting_currency then 1 else coalesce(g.rate, r.rate) end as decimal(24, 12)) as rate,
    case when u.currency = st.reporting_currency then null when g.rate is not null then g.rate_date else r.rate_date end as rate_date,
    case
        when u.currency = st.reporting_currency then 'reporting currency'
        when g.rate is not null then coalesce(g.source, 'rates file')
        when r.rate is not null then r.source_key
    end as rate_source
from used as u
cross join staging.settings as st
left join given as g on g.currency = u.currency and g.newest_first = 1
left join ranked as r on r.currency = u.currency and r.best_first = 1
