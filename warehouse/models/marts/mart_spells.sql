-- One row per spell: a stretch of a deal's life in one stage, with one amount and one expected close date; gone before publishing.
with deals as (
    select n.deal_no, d.deal_key, d.amount, d.fx_rate, d.amount_reporting, d.expected_close_date
    from (
        select deal_no, deal_key from main.mart_deals
        union all
        select deal_no, deal_key from main.mart_gone_deals
    ) as n
    inner join main.deals as d on d.deal_key = n.deal_key
),

gone_visits as (  -- a deal is nowhere from the instant of its deletion on
    select
        g.deal_no,
        iv.seq,
        s.stage_no,
        s.pipeline_no,
        iv.outcome,
        iv.outcome = 'open' and iv.entry_movement in ('forward', 'backward', 'lateral') as is_step,
        iv.entered_at,
        local_date(iv.entered_at, st.reporting_timezone) as entered_date,
        least(coalesce(iv.exited_at, g.deleted_at), g.deleted_at) as exited_at,
        g.deleted_at
    from main.stage_intervals as iv
    inner join main.mart_gone_deals as g on g.deal_key = iv.deal_key
    inner join main.mart_stages as s on s.stage_key = iv.stage_key
    cross join staging.settings as st
    where iv.is_deleted_deal and iv.entered_at < g.deleted_at
),

visits as (
    select deal_no, seq, stage_no, pipeline_no, outcome, is_step, entered_at, entered_date, exited_at from main.mart_visits
    union all
    select deal_no, seq, stage_no, pipeline_no, outcome, is_step, entered_at, entered_date, exited_at from gone_visits
    union all
    select g.deal_no, 1000000, null, max(g.pipeline_no), 'gone', false, g.deleted_at, local_date(g.deleted_at, max(st.reporting_timezone)), null
    from gone_visits as g
    cross join staging.settings as st
    group by g.deal_no, g.deleted_at
),

changes as (  -- an old value holds at every instant in (before_at, changed_at]
    select
        d.deal_no,
        c.field,
        c.changed_at,
        coalesce(lag(c.changed_at) over (partition by d.deal_no, c.field order by c.seq), timestamp '0001-01-01') as before_at,
        c.old_value
    from main.deal_field_changes as c
    inner join deals as d on d.deal_key = c.deal_key
    where c.field in ('amount', 'currency', 'expected_close_date')
),

cuts as (
    select deal_no, changed_at as valid_to from changes
    union
    select deal_no, null from changes
),

spans as (  -- the life of a deal of which anything changed, cut at each change
    select
        deal_no,
        cast(row_number() over (partition by deal_no order by valid_to nulls last) as integer) as span,
        lag(valid_to) over (partition by deal_no order by valid_to nulls last) as valid_after,
        valid_to
    from cuts
),

valued as (
    select
        s.deal_no,
        s.span,
        coalesce(s.valid_after, timestamp '0001-01-01') as valid_after,
        coalesce(s.valid_to, timestamp '9999-12-31') as valid_to,
        case
            when a.deal_no is null and c.deal_no is null then d.amount_reporting
            else round_half_up(
                (case when a.deal_no is null then d.amount else amount_of(a.old_value) end)
                * (case when c.old_value is null then d.fx_rate else r.rate end))
        end as amount,
        case when e.deal_no is null then d.expected_close_date else day_of(e.old_value) end as close_date
    from spans as s
    inner join deals as d on d.deal_no = s.deal_no
    left join changes as a
        on a.deal_no = s.deal_no and a.field = 'amount' and s.valid_to <= a.changed_at and s.valid_to > a.before_at
    left join changes as c
        on c.deal_no = s.deal_no and c.field = 'currency' and s.valid_to <= c.changed_at and s.valid_to > c.before_at
    left join changes as e
        on e.deal_no = s.deal_no and e.field = 'expected_close_date' and s.valid_to <= e.changed_at and s.valid_to > e.before_at
    left join main.fx_rates as r on r.currency = c.old_value
)

select
    v.deal_no,
    cast(v.seq as bigint) * 1000000 + coalesce(t.span, 0) as place,
    v.stage_no,
    v.pipeline_no,
    case v.outcome when 'open' then 0 when 'won' then 1 when 'lost' then 2 else 3 end as state,
    v.is_step and (t.deal_no is null or t.valid_after < v.entered_at) as is_step,
    case when t.valid_after > v.entered_at then local_date(t.valid_after, st.reporting_timezone) else v.entered_date end as began_date,
    case
        when t.valid_to < coalesce(v.exited_at, timestamp '9999-12-31') then local_date(t.valid_to, st.reporting_timezone)
        else local_date(v.exited_at, st.reporting_timezone)
    end as ended_date,
    case when t.deal_no is null then d.amount_reporting else t.amount end as amount,
    case when t.deal_no is null then d.expected_close_date else t.close_date end as close_date
from visits as v
inner join deals as d on d.deal_no = v.deal_no
left join valued as t  -- the spans that share an instant with the visit; one, for a visit that began and ended in the same instant
    -- comparisons without `or`: anything else makes DuckDB compare every visit with every span
    on t.deal_no = v.deal_no
    and t.valid_after < coalesce(v.exited_at, timestamp '9999-12-31')
    and t.valid_to > case when v.exited_at = v.entered_at then v.entered_at - interval 1 microsecond else v.entered_at end
cross join staging.settings as st
