-- One row per pipeline, source ('all' pipelines) or everything ('all' sources), and month or quarter: money won per day, by formula and in fact.
with clock as (  -- the last day that has begun at as_of
    select as_of_at, reporting_timezone, local_date(as_of_at - interval 1 microsecond, reporting_timezone) as last_date
    from staging.settings
),

grains as (  -- so many days after the first of a period one is in the next
    select g.period_grain, g.step_days
    from (values ('month', 31), ('quarter', 92)) as g (period_grain, step_days)
),

visits as (  -- first and last day that a deal sat in an open stage; leaving at midnight ends the day before
    select
        v.deal_no,
        v.pipeline_no,
        v.seq,
        v.entered_date as first_date,
        case
            when v.exited_at is null then c.last_date
            when v.exited_at > v.entered_at then local_date(v.exited_at - interval 1 microsecond, c.reporting_timezone)
            else v.entered_date
        end as last_date
    from main.mart_visits as v
    cross join clock as c
    where v.outcome = 'open'
),

stays as (
    select
        *,
        lag(last_date) over (partition by deal_no, pipeline_no order by seq) as before_here,
        lag(last_date) over (partition by deal_no order by seq) as before_anywhere
    from visits
),

monthly as (  -- the one pass; all that follows is small
    select
        d.source_key,
        d.is_primary,
        t.pipeline_no,
        period_start('month', t.first_date) as first_month,
        period_start('month', t.last_date) as last_month,
        period_start('month', t.before_here) as before_here,
        period_start('month', t.before_anywhere) as before_anywhere,
        count(*) as stays
    from stays as t
    inner join main.mart_deals as d on d.deal_no = t.deal_no
    group by 1, 2, 3, 4, 5, 6, 7
),

scoped as (
    select m.source_key, s.pipeline_key, m.first_month, m.last_month, m.before_here as before_month, m.stays
    from monthly as m
    inner join (select distinct pipeline_no, pipeline_key from main.mart_stages) as s on s.pipeline_no = m.pipeline_no
    union all
    select source_key, 'all', first_month, last_month, before_anywhere, stays from monthly
    union all
    select 'all', 'all', first_month, last_month, before_anywhere, stays from monthly where is_primary
),

spans as (  -- the periods in which a stay counts: not those in which an earlier stay of the deal has counted
    select
        s.source_key,
        s.pipeline_key,
        g.period_grain,
        s.stays,
        case
            when period_start(g.period_grain, s.before_month) >= period_start(g.period_grain, s.first_month)
                then period_start(g.period_grain, period_start(g.period_grain, s.before_month) + g.step_days)
            else period_start(g.period_grain, s.first_month)
        end as begins,
        period_start(g.period_grain, period_start(g.period_grain, s.last_month) + g.step_days) as ends
    from scoped as s
    cross join grains as g
),

steps as (
    select source_key, pipeline_key, period_grain, begins as period_start, stays as step from spans where begins < ends
    union all
    select source_key, pipeline_key, period_grain, ends, -stays from spans where begins < ends
    union all  -- every period up to the running one, so that the sum below can be read at each
    select b.source_key, b.pipeline_key, b.period_grain, cast(unnest(generate_series(b.first_start, b.last_start, interval 1 month)) as date), 0
    from (
        select s.source_key, s.pipeline_key, s.period_grain, min(s.begins) as first_start, max(c.last_date) as last_start
        from spans as s
        cross join clock as c
        group by 1, 2, 3
    ) as b
),

worked as (
    select
        source_key,
        pipeline_key,
        period_grain,
        period_start(period_grain, period_start) as period_start,
        sum(sum(step)) over (
            partition by source_key, pipeline_key, period_grain order by period_start(period_grain, period_start)
            rows between unbounded preceding and current row
        ) as worked
    from steps
    group by source_key, pipeline_key, period_grain, period_start(period_grain, period_start)
),

closings as (
    select
        d.source_key,
        d.closing_pipeline_key as pipeline_key,
        d.is_primary,
        period_start('month', local_date(d.closed_at, c.reporting_timezone)) as month_start,
        sum(case when d.outcome = 'won' then 1 else 0 end) as won,
        sum(case when d.outcome = 'lost' then 1 else 0 end) as lost,
        sum(case when d.outcome = 'won' then d.amount_reporting end) as won_amount,
        sum(case when d.outcome = 'won' and d.amount_reporting is null then 1 else 0 end) as won_missing,
        sum(case when d.outcome = 'won' then greatest(ms_between(d.started_at, d.closed_at), 0) end) as cycle_ms
    from main.deals as d
    cross join clock as c
    where d.outcome <> 'open' and not d.is_deleted and d.closed_at is not null
    group by 1, 2, 3, 4
),

closed_in as (
    select
        case when x.side = 'all' then 'all' else k.source_key end as source_key,
        case when x.side = 'pipeline' then k.pipeline_key else 'all' end as pipeline_key,
        g.period_grain,
        period_start(g.period_grain, k.month_start) as period_start,
        sum(k.won) as won,
        sum(k.lost) as lost,
        sum(k.won_amount) as won_amount,
        sum(k.won_missing) as won_missing,
        sum(k.cycle_ms) as cycle_ms
    from closings as k
    cross join (values ('pipeline'), ('source'), ('all')) as x (side)
    cross join grains as g
    where k.is_primary or x.side <> 'all'
    group by 1, 2, 3, 4
),

cells as (
    select
        coalesce(w.source_key, k.source_key) as source_key,
        coalesce(w.pipeline_key, k.pipeline_key) as pipeline_key,
        coalesce(w.period_grain, k.period_grain) as period_grain,
        coalesce(w.period_start, k.period_start) as period_start,
        cast(coalesce(w.worked, 0) as bigint) as worked_count,
        cast(coalesce(k.won, 0) as bigint) as won_count,
        cast(coalesce(k.lost, 0) as bigint) as lost_count,
        cast(case when coalesce(k.won, 0) = 0 then 0 else k.won_amount end as decimal(18, 2)) as won_amount,
        cast(coalesce(k.won_missing, 0) as bigint) as won_amount_missing_count,
        coalesce(k.won - k.won_missing, 0) as priced_count,
        cast(k.cycle_ms as double) / 86400000.0 / nullif(k.won, 0) as avg_cycle_days
    from worked as w
    full join closed_in as k
        on k.source_key = w.source_key
        and k.pipeline_key = w.pipeline_key
        and k.period_grain = w.period_grain
        and k.period_start = w.period_start
    where coalesce(w.worked, 0) > 0 or coalesce(k.won + k.lost, 0) > 0
),

rated as (
    select
        c.*,
        cast(c.won_count as double) / nullif(c.won_count + c.lost_count, 0) as win_rate,
        cast(  -- half up to the cent, in whole cents: a division in floating point would miss exact halves
            sign(c.won_amount)
            * floor((2 * round(abs(cast(c.won_amount as double)) * 100) + c.priced_count) / (2.0 * nullif(c.priced_count, 0))) / 100
            as decimal(18, 2)
        ) as avg_won_amount,
        date_diff('day', c.period_start, least(period_start(c.period_grain, c.period_start + g.step_days), t.last_date + 1)) as period_days,
        period_start(c.period_grain, c.period_start + g.step_days) > t.last_date as is_partial,
        t.as_of_at
    from cells as c
    inner join grains as g on g.period_grain = c.period_grain
    cross join clock as t
)

select
    r.source_key,
    case when r.source_key = 'all' then 'all' else coalesce(src.name, r.source_key) end as source,
    r.pipeline_key,
    case when r.pipeline_key = 'all' then 'all' else p.pipeline end as pipeline,
    r.period_grain,
    r.period_start,
    r.is_partial,
    cast(r.period_days as double) as period_days,
    r.worked_count,
    r.won_count,
    r.lost_count,
    r.won_count + r.lost_count as closed_count,
    r.win_rate,
    r.won_amount,
    r.won_amount_missing_count,
    r.avg_won_amount,
    r.avg_cycle_days,
    case when r.worked_count > 0 and r.win_rate > 0 and r.avg_won_amount > 0 and r.avg_cycle_days > 0
        then r.worked_count * r.win_rate * cast(r.avg_won_amount as double) / r.avg_cycle_days end as velocity_per_day,
    cast(r.won_amount as double) / r.period_days as realised_per_day,
    r.won_count + r.lost_count < st.small_sample_below as is_small_sample,
    r.as_of_at
from rated as r
left join main.sources as src on src.source_key = r.source_key
left join main.pipelines as p on p.pipeline_key = r.pipeline_key
cross join staging.settings as st
