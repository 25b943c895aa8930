-- One row per kind, deal, scope and month or quarter in which the deal was open and came, left, was worth another amount or was due; gone before publishing.
with clock as (
    select month_number(local_date(as_of_at - interval 1 microsecond, reporting_timezone)) as last_month from staging.settings
),

grains as (
    select g.period_months from (values (1), (3)) as g (period_months)
),

movers as (  -- deals that were in several pipelines
    select deal_no from main.mart_spells group by deal_no having min(pipeline_no) <> max(pipeline_no)
),

homes as (
    select distinct s.deal_no, s.pipeline_no
    from main.mart_spells as s
    inner join movers as m on m.deal_no = s.deal_no
),

spells as (  -- months are numbered; no close date counts as one far in the future; what is looked up by place travels with it in one number
    select
        deal_no,
        pipeline_no,
        state,
        is_step,
        amount,
        month_number(began_date) as began_month,
        month_number(ended_date) as ended_month,
        coalesce(month_number(close_date), 131071) as close_month,
        place * 1048576 + coalesce(month_number(close_date), 131071) * 8 as place_and_date
    from main.mart_spells
),

scoped as (  -- the path of a deal of one pipeline; of a mover once as a whole (scope 0) and once as seen from each pipeline (below zero; 4: elsewhere)
    select s.deal_no, s.pipeline_no as scope_no, s.state, s.is_step, s.amount, s.began_month, s.ended_month, s.close_month, s.place_and_date
    from spells as s
    left join movers as m on m.deal_no = s.deal_no
    where m.deal_no is null
    union all
    select s.deal_no, 0, s.state, s.is_step, s.amount, s.began_month, s.ended_month, s.close_month, s.place_and_date
    from spells as s
    inner join movers as m on m.deal_no = s.deal_no
    union all
    select
        s.deal_no, -h.pipeline_no, case when s.state < 3 and s.pipeline_no <> h.pipeline_no then 4 else s.state end,
        s.is_step, s.amount, s.began_month, s.ended_month, s.close_month, s.place_and_date
    from spells as s
    inner join homes as h on h.deal_no = s.deal_no
),

sightings as (  -- what the deal was from an instant of the period on
    select s.deal_no, s.scope_no, g.period_months, s.began_month // g.period_months as period_no, s.state = 0 as is_opening, s.amount, s.place_and_date + s.state as seen
    from scoped as s
    cross join grains as g
    where not s.is_step
    union all  -- in the period of its close date also a deal to which nothing happens: open at its begin, or at its end
    select s.deal_no, s.scope_no, g.period_months, s.close_month // g.period_months, false, s.amount, s.place_and_date + s.state
    from scoped as s
    cross join grains as g
    cross join clock as c
    where s.state = 0
        and s.close_month <= c.last_month // g.period_months * g.period_months + g.period_months - 1
        and s.began_month // g.period_months <= s.close_month // g.period_months
        and (
            s.ended_month is null
            or s.ended_month // g.period_months > s.close_month // g.period_months
            or (s.ended_month // g.period_months = s.close_month // g.period_months and s.began_month // g.period_months < s.close_month // g.period_months)
        )
),

grouped as (
    select
        deal_no,
        scope_no,
        period_months,
        period_no,
        min(seen) % 8 as first_state,
        max(seen) as last_seen,
        max(case when seen % 8 < 3 then seen end) % 8 as last_state_here,
        max(case when seen % 8 = 0 then seen end) as last_seen_open,
        max(case when is_opening then 1 else 0 end) = 1 as has_opening,
        value_at_last(amount, seen) as amount_b
    from sightings
    group by 1, 2, 3, 4
),

bounded as (  -- a: the begin of the period, which is the end of the one before
    select
        *,
        lag(last_seen) over path as seen_a,
        lag(amount_b) over path as amount_a
    from grouped
    window path as (partition by deal_no, scope_no, period_months order by period_no)
),

read as (
    select
        *,
        seen_a % 8 as state_a,
        last_seen % 8 as state_b,
        seen_a % 1048576 // 8 // period_months as due_a,
        last_seen % 1048576 // 8 // period_months as due_b,
        coalesce(last_seen_open, seen_a) % 1048576 // 8 // period_months as due_at_closing
    from bounded
),

judged as (
    select
        *,
        coalesce(state_a = 0, false) as was_open,
        state_b = 0 as is_open,
        coalesce(state_a = 0 and due_a = period_no, false) as was_due,
        state_b = 0 and due_b = period_no as is_due,
        case
            when state_a is null then case when first_state = 4 then 3 else 1 end
            when state_a = 4 then 3
            when state_a <> 0 then 2
            when due_a < period_no then 5
            else 4
        end as entry_no,
        case
            when state_b = 3 then 13
            when state_b = 1 or (state_b = 4 and last_state_here = 1) then 8
            when state_b = 2 or (state_b = 4 and last_state_here = 2) then 9
            when state_b = 4 then 12
            when due_b < period_no then 11
            else 10
        end as exit_no
    from read
    where state_a = 0 or has_opening or state_b = 0
)

select
    deal_no,
    scope_no,
    cast(period_months as tinyint) as period_months,
    cast(period_no as integer) as period_no,
    cast(entry_no as tinyint) as entry_no,
    cast(exit_no as tinyint) as exit_no,
    was_open,
    is_open,
    was_due,
    is_due,
    -- closed within its period, or won in it, without having been due at its begin or end
    exit_no = 8 or (exit_no = 9 and due_at_closing = period_no) as is_due_in_between,
    cast(case when was_open then amount_a end as decimal(18, 2)) as amount_a,
    cast(amount_b as decimal(18, 2)) as amount_b
from judged
where was_open <> is_open or not was_open or amount_a is distinct from amount_b or was_due or is_due
