-- One row per pipeline and month in which its open deals are expected to close; overdue and undated deals have rows of their own.
select
    source_key,
    source,
    pipeline_key,
    pipeline,
    timing,
    close_month,
    count(*) as open_count,
    cast(sum(amount_reporting) as decimal(18, 2)) as open_amount,
    count(*) - count(amount_reporting) as amount_missing_count,
    cast(sum(weighted_amount_crm) as decimal(18, 2)) as weighted_amount_crm,
    count(amount_reporting) - count(weighted_amount_crm) as crm_probability_missing_count,
    cast(sum(weighted_amount_historical) as decimal(18, 2)) as weighted_amount_historical,
    cast(sum(gap_amount) as decimal(18, 2)) as gap_amount,
    count(gap_amount) as gap_deals_count,
    as_of_at
from main.forecast_deals
group by source_key, source, pipeline_key, pipeline, timing, close_month, as_of_at
