-- One row per open deal: what the CRM thinks it is worth, and what deals that reached its stage turned out to be worth.
with pipelines as (  -- how deals of a pipeline end; where none has ended, how deals end at all
    select
        w.dimension_value as pipeline_key,
        w.win_rate
    from main.win_rates as w
    where w.dimension = 'pipeline' and w.period_grain = 'all'
),

pooled as (
    select max(win_rate) as win_rate
    from main.win_rates
    where dimension = 'all' and period_grain = 'all'
),

stages as (
    select stage_key, won_count, final_lost_count
    from main.stage_conversion
    where period_grain = 'all'
),

deals as (
    select
        d.deal_key,
        d.name,
        d.deal_url,
        d.unified_deal_id,
        d.is_primary,
        d.owner_key,
        d.source_key,
        d.pipeline_key,
        d.stage_key,
        d.amount_reporting,
        d.expected_close_date,
        coalesce(d.crm_probability, s.crm_probability) as crm_probability,
        s.stage,
        s.canonical_stage,
        s.stage_order,
        coalesce(c.won_count, 0) as won_count,
        coalesce(c.won_count + c.final_lost_count, 0) as resolved_count,
        coalesce(p.win_rate, a.win_rate) as prior,
        local_date(st.as_of_at, st.reporting_timezone) as as_of_date,
        st.as_of_at
    from main.deals as d
    left join main.stages as s on s.stage_key = d.stage_key
    left join stages as c on c.stage_key = d.stage_key
    left join pipelines as p on p.pipeline_key = d.pipeline_key
    cross join pooled as a
    cross join staging.settings as st
    where d.outcome = 'open' and not d.is_deleted
),

judged as (  -- ten imagined deals of the pipeline steady the rate of a stage that few have passed
    select *, (won_count + 10 * prior) / (resolved_count + 10) as historical_probability
    from deals
),

priced as (
    select
        *,
        round_half_up(cast(amount_reporting as decimal(24, 2)) * cast(crm_probability as decimal(14, 12))) as weighted_amount_crm,
        round_half_up(cast(amount_reporting as decimal(24, 2)) * cast(historical_probability as decimal(14, 12))) as weighted_amount_historical
    from judged
)

select
    d.source_key,
    coalesce(src.name, d.source_key) as source,
    d.pipeline_key,
    p.pipeline,
    d.stage_key,
    d.stage,
    d.canonical_stage,
    d.stage_order,
    d.deal_key,
    d.name,
    d.deal_url,
    d.unified_deal_id,
    d.is_primary,
    o.person_key,
    o.name as owner,
    d.amount_reporting,
    d.expected_close_date,
    case
        when d.expected_close_date is null then 'undated'
        when d.expected_close_date < d.as_of_date then 'overdue'
        else 'dated'
    end as timing,
    case when d.expected_close_date >= d.as_of_date then period_start('month', d.expected_close_date) end as close_month,
    d.crm_probability,
    d.weighted_amount_crm,
    d.won_count,
    d.resolved_count,
    d.prior as pipeline_win_rate,
    d.historical_probability,
    d.weighted_amount_historical,
    d.weighted_amount_historical - d.weighted_amount_crm as gap_amount,
    d.resolved_count < st.small_sample_below as is_small_sample,
    d.as_of_at
from priced as d
left join main.pipelines as p on p.pipeline_key = d.pipeline_key
left join main.sources as src on src.source_key = d.source_key
left join main.owners as o on o.owner_key = d.owner_key
cross join staging.settings as st
