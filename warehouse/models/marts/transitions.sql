-- One row per pair of stages that deals moved between, kind of movement and period (month of the move, or all); plus virtual starts and ends.
with steps as (
    select
        deal_no,
        seq,
        stage_no,
        outcome,
        entered_at,
        entered_date,
        exited_at,
        exit_movement,
        is_current,
        case  -- unknown when nobody saw the entry
            when is_timed then dwell_days
            when outcome <> 'open' and exited_at > entered_at then days_between(entered_at, exited_at)
            when outcome <> 'open' and exited_at is not null then 0
        end as days,
        lead(stage_no) over path as next_stage_no,
        lead(entered_date) over path as exited_date
    from main.mart_visits
    window path as (partition by deal_no order by seq)
),

movements as (
    select *
    from (values (1, 'enter'), (2, 'forward'), (3, 'backward'), (4, 'lateral'), (5, 'won'), (6, 'lost'), (7, 'reopen'), (8, 'pipeline_move'),
        (9, 'still_open')) as m (movement_no, movement)
),

moves as (
    select s.deal_no, s.stage_no as from_no, s.next_stage_no as to_no, m.movement_no, s.exited_date as moved_date, s.days
    from steps as s
    inner join movements as m on m.movement = s.exit_movement
    where s.exited_at is not null
    union all
    select deal_no, null, stage_no, 1, entered_date, null
    from steps
    where seq = 1
    union all
    select deal_no, stage_no, null, 9, null, null
    from steps
    where is_current and outcome = 'open'
),

counted as (  -- a month, or NULL for all
    select
        m.from_no,
        m.to_no,
        m.movement_no,
        case when g.is_monthly then period_start('month', m.moved_date) end as period_start,
        count(*) as transition_count,
        count(distinct m.deal_no) as deal_count,
        count(m.days) as days_count,
        -- summed in whole milliseconds, so that the order of rows cannot change the last digit
        sum(cast(round(m.days * 86400000.0) as bigint)) / 86400000.0 / nullif(count(m.days), 0) as mean_days,
        quantile_cont(m.days, 0.5) as median_days,
        quantile_cont(m.days, 0.9) as p90_days,
        min(m.days) as min_days,
        max(m.days) as max_days,
        sum(d.amount_reporting) as amount,
        count(d.amount_reporting) as priced_count
    from moves as m
    inner join main.mart_deals as d on d.deal_no = m.deal_no
    cross join (values (false), (true)) as g (is_monthly)
    where m.moved_date is not null or not g.is_monthly
    group by 1, 2, 3, 4
),

named as (
    select
        c.*,
        m.movement,
        m.movement in ('enter', 'still_open') as is_virtual,
        case when c.period_start is null then 'all' else 'month' end as period_grain
    from counted as c
    inner join movements as m on m.movement_no = c.movement_no
),

shared as (
    select
        *,
        cast(case when not is_virtual then
            sum(case when is_virtual then 0 else transition_count end) over (partition by from_no, period_start)
        end as bigint) as from_exit_count
    from named
)

select
    coalesce(f.source_key, o.source_key) as source_key,
    coalesce(f.source, o.source) as source,
    f.pipeline_key as from_pipeline_key,
    f.pipeline as from_pipeline,
    f.stage_key as from_stage_key,
    case when t.from_no is null then 'start' else f.stage end as from_stage,
    f.canonical_stage as from_canonical_stage,
    f.stage_order as from_stage_order,
    o.pipeline_key as to_pipeline_key,
    o.pipeline as to_pipeline,
    o.stage_key as to_stage_key,
    case when t.to_no is null then 'still open' else o.stage end as to_stage,
    o.canonical_stage as to_canonical_stage,
    o.stage_order as to_stage_order,
    t.movement,
    t.period_grain,
    t.period_start,
    t.is_virtual,
    t.transition_count,
    t.deal_count,
    t.from_exit_count,
    cast(t.transition_count as double) / t.from_exit_count as share_of_from,
    t.days_count,
    t.mean_days,
    t.median_days,
    t.p90_days,
    t.min_days,
    t.max_days,
    cast(t.amount as decimal(18, 2)) as amount,
    t.transition_count - t.priced_count as amount_missing_count,
    t.from_exit_count < st.small_sample_below as is_small_sample,
    st.as_of_at
from shared as t
left join main.mart_stages as f on f.stage_no = t.from_no
left join main.mart_stages as o on o.stage_no = t.to_no
cross join staging.settings as st
