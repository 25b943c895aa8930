-- One row per dimension, value and period (month, quarter or all) of closing: deals won and lost, by number and by amount.
with deals as (  -- open deals add nothing to the counts; they only keep a value without closed deals in sight, with a NULL rate
    select
        d.source_key,
        coalesce(d.closing_pipeline_key, case when d.outcome = 'open' then d.pipeline_key end) as pipeline_key,
        coalesce(o.person_key, 'unknown') as person_key,
        coalesce(d.lead_source, 'unknown') as lead_source,
        coalesce(d.deal_type, 'unknown') as deal_type,
        coalesce(c.industry, 'unknown') as company_segment,
        case
            when d.amount_reporting is null then 'unknown'
            when d.amount_reporting < 1000 then '<1k'
            when d.amount_reporting < 10000 then '1k-10k'
            when d.amount_reporting < 100000 then '10k-100k'
            else '>=100k'
        end as amount_band,
        d.is_primary as is_primary,
        d.outcome,
        d.amount_reporting,
        case when d.outcome <> 'open' then period_start('month', local_date(d.closed_at, st.reporting_timezone)) end as month_start
    from main.deals as d
    left join main.owners as o
        on o.owner_key = coalesce(d.closing_owner_key, case when d.outcome = 'open' then d.owner_key end)
    left join main.companies as c on c.company_key = d.company_key
    cross join staging.settings as st
    where not d.is_deleted
),

monthly as (  -- one pass to cells that then add up; copies of a deal count where the dimension is the source's own
    select
        v.dimension,
        case v.dimension
            when 'all' then 'all'
            when 'source' then d.source_key
            when 'pipeline' then coalesce(d.pipeline_key, 'unknown')
            when 'owner' then d.person_key
            when 'lead_source' then d.lead_source
            when 'deal_type' then d.deal_type
            when 'amount_band' then d.amount_band
            else d.company_segment
        end as dimension_value,
        d.month_start,
        sum(case when d.outcome = 'won' then 1 else 0 end) as won,
        sum(case when d.outcome = 'lost' then 1 else 0 end) as lost,
        sum(case when d.outcome = 'won' then d.amount_reporting end) as won_amount,
        sum(case when d.outcome = 'lost' then d.amount_reporting end) as lost_amount,
        sum(case when d.outcome = 'won' and d.amount_reporting is null then 1 else 0 end) as won_missing,
        sum(case when d.outcome = 'lost' and d.amount_reporting is null then 1 else 0 end) as lost_missing
    from deals as d
    cross join (
        values ('all'), ('source'), ('pipeline'), ('owner'), ('lead_source'), ('deal_type'), ('amount_band'), ('company_segment')
    ) as v (dimension)
    where d.is_primary or v.dimension in ('source', 'pipeline')
    group by 1, 2, 3
),

counted as (
    select
        m.dimension,
        m.dimension_value,
        g.period_grain,
        period_start(g.period_grain, m.month_start) as period_start,
        cast(sum(m.won) as bigint) as won_count,
        cast(sum(m.lost) as bigint) as lost_count,
        sum(m.won_amount) as won_amount,
        sum(m.lost_amount) as lost_amount,
        cast(sum(m.won_missing) as bigint) as won_amount_missing_count,
        cast(sum(m.lost_missing) as bigint) as lost_amount_missing_count
    from monthly as m
    cross join (values ('month'), ('quarter'), ('all')) as g (period_grain)
    where m.month_start is not null or g.period_grain = 'all'
    group by 1, 2, 3, 4
),

sums as (  -- nothing closed: 0.00; closed but no amount known: NULL
    select
        *,
        cast(case when won_count = 0 then 0 else won_amount end as decimal(18, 2)) as won_sum,
        cast(case when lost_count = 0 then 0 else lost_amount end as decimal(18, 2)) as lost_sum,
        won_count - won_amount_missing_count as priced_won_count
    from counted
),

people as (
    select person_key, min(coalesce(name, person_key)) as name
    from main.owners
    group by person_key
),

pipelines as (
    select p.pipeline_key, concat(coalesce(src.name, p.source_key), ' / ', p.pipeline) as label
    from main.pipelines as p
    left join main.sources as src on src.source_key = p.source_key
)

select
    s.dimension,
    s.dimension_value,
    coalesce(src.name, p.label, o.name, s.dimension_value) as dimension_label,
    s.period_grain,
    s.period_start,
    s.won_count,
    s.lost_count,
    s.won_count + s.lost_count as closed_count,
    cast(s.won_count as double) / nullif(s.won_count + s.lost_count, 0) as win_rate,
    wilson_low(s.won_count, s.won_count + s.lost_count) as win_rate_low,
    wilson_high(s.won_count, s.won_count + s.lost_count) as win_rate_high,
    s.won_sum as won_amount,
    s.lost_sum as lost_amount,
    s.won_amount_missing_count,
    s.lost_amount_missing_count,
    cast(s.won_sum as double) / nullif(cast(s.won_sum + s.lost_sum as double), 0) as win_rate_value,
    cast(  -- half up to the cent, in whole cents: a division in floating point would miss exact halves
        sign(s.won_sum) * floor((2 * round(abs(cast(s.won_sum as double)) * 100) + s.priced_won_count) / (2.0 * nullif(s.priced_won_count, 0))) / 100
        as decimal(18, 2)
    ) as avg_won_amount,
    s.won_count + s.lost_count < st.small_sample_below as is_small_sample,
    st.as_of_at
from sums as s
left join main.sources as src on s.dimension = 'source' and src.source_key = s.dimension_value
left join pipelines as p on s.dimension = 'pipeline' and p.pipeline_key = s.dimension_value
left join people as o on s.dimension = 'owner' and o.person_key = s.dimension_value
cross join staging.settings as st
