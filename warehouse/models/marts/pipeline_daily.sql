-- One row per day and open stage in which a deal stood at the end of the day: how many deals and how much money were open.
with clock as (  -- the last day that has begun at as_of
    select
        as_of_at,
        local_date(as_of_at, reporting_timezone) as as_of_date,
        local_date(as_of_at - interval 1 microsecond, reporting_timezone) as last_date
    from staging.settings
),

open_spells as (  -- those that lasted over the end of a day
    select stage_no, began_date, ended_date, amount
    from main.mart_spells
    where state = 0 and (ended_date is null or began_date < ended_date)
),

steps as (  -- what each day added to a stage and took away
    select stage_no, began_date as step_date, count(*) as deals, count(amount) as priced, sum(amount) as amount
    from open_spells
    group by 1, 2
    union all
    select stage_no, ended_date, -count(*), -count(amount), -sum(amount)
    from open_spells
    where ended_date is not null
    group by 1, 2
),

levels as (  -- the running sums hold up to the next day on which anything changed
    select
        stage_no,
        step_date,
        lead(step_date) over path as next_date,
        sum(sum(deals)) over path as deals,
        sum(sum(priced)) over path as priced,
        sum(sum(amount)) over path as amount
    from steps
    group by stage_no, step_date
    window path as (partition by stage_no order by step_date rows between unbounded preceding and current row)
),

days as (
    select
        l.*,
        cast(unnest(generate_series(l.step_date, coalesce(l.next_date - 1, c.last_date), interval 1 day)) as date) as snapshot_date,
        c.as_of_at,
        c.as_of_date
    from levels as l
    cross join clock as c
    where l.deals > 0
)

select
    d.snapshot_date,
    n.source_key,
    n.source,
    n.pipeline_key,
    n.pipeline,
    n.stage_key,
    n.stage,
    n.stage_order,
    n.canonical_stage,
    cast(d.deals as bigint) as open_count,
    cast(case when d.priced > 0 then d.amount end as decimal(18, 2)) as open_amount,
    cast(d.deals - d.priced as bigint) as amount_missing_count,
    k.crm_probability as stage_probability,
    case when d.priced > 0 then round_half_up(cast(d.amount as decimal(24, 2)) * cast(k.crm_probability as decimal(14, 12))) end as weighted_amount,
    b.amount_basis,
    d.snapshot_date = d.as_of_date as is_partial,
    d.as_of_at
from days as d
inner join main.mart_stages as n on n.stage_no = d.stage_no
inner join main.stages as k on k.stage_key = n.stage_key
left join main.mart_amount_basis as b on b.source_key = n.source_key
