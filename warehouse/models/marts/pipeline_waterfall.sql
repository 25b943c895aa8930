-- One row per kind, pipeline (or all), and month or quarter: how the open pipeline of its begin became that of its end, to the cent.
with clock as (
    select
        as_of_at,
        month_number(local_date(as_of_at, reporting_timezone)) as as_of_month,
        month_number(local_date(as_of_at - interval 1 microsecond, reporting_timezone)) as last_month
    from staging.settings
),

tallied as (  -- the one pass; all that follows is small
    select
        d.source_key,
        d.is_primary,
        m.scope_no,
        m.period_months,
        m.period_no,
        m.entry_no,
        m.exit_no,
        m.was_open,
        m.is_open,
        m.was_due,
        m.is_due,
        m.is_due_in_between,
        count(*) as deals,
        count(m.amount_a) as priced_a,
        count(m.amount_b) as priced_b,
        sum(m.amount_a) as amount_a,
        sum(m.amount_b) as amount_b,
        sum(case when coalesce(m.amount_b, 0) > coalesce(m.amount_a, 0) then 1 else 0 end) as grown,
        sum(case when coalesce(m.amount_b, 0) < coalesce(m.amount_a, 0) then 1 else 0 end) as shrunk,
        sum(greatest(coalesce(m.amount_b, 0) - coalesce(m.amount_a, 0), 0)) as growth,
        sum(greatest(coalesce(m.amount_a, 0) - coalesce(m.amount_b, 0), 0)) as shrinkage
    from main.mart_period_moves as m
    inner join (
        select deal_no, source_key, is_primary from main.mart_deals
        union all
        select deal_no, source_key, is_primary from main.mart_gone_deals
    ) as d on d.deal_no = m.deal_no
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
),

sided as (  -- pipeline 0: all
    select
        k.kind,
        case when x.side = 'all' then 'all' else t.source_key end as scope_source,
        case when x.side = 'pipeline' then abs(t.scope_no) else 0 end as pipeline_no,
        case when k.kind = 'total' then t.was_open else t.was_due end as is_in_a,
        case when k.kind = 'total' then t.is_open else t.is_due end as is_in_b,
        t.*
    from tallied as t
    cross join (values ('total'), ('closing_in_period')) as k (kind)
    cross join (values ('pipeline'), ('source'), ('all')) as x (side)
    where (k.kind = 'total' or t.was_due or t.is_due or t.is_due_in_between)
        and case x.side when 'pipeline' then t.scope_no <> 0 when 'source' then t.scope_no >= 0 else t.scope_no >= 0 and t.is_primary end
),

cells as (
    select
        kind,
        scope_source,
        pipeline_no,
        period_months,
        period_no,
        sum(case when is_in_a then deals else 0 end) as opening_count,
        sum(case when is_in_a then priced_a else 0 end) as opening_priced,
        sum(case when is_in_a then amount_a end) as opening_amount,
        sum(case when not is_in_a and entry_no = 1 then deals else 0 end) as new_count,
        sum(case when not is_in_a and entry_no = 1 then amount_b end) as new_amount,
        sum(case when not is_in_a and entry_no = 2 then deals else 0 end) as reopened_count,
        sum(case when not is_in_a and entry_no = 2 then amount_b end) as reopened_amount,
        sum(case when not is_in_a and entry_no = 3 then deals else 0 end) as transferred_in_count,
        sum(case when not is_in_a and entry_no = 3 then amount_b end) as transferred_in_amount,
        sum(case when not is_in_a and entry_no = 4 then deals else 0 end) as pulled_in_count,
        sum(case when not is_in_a and entry_no = 4 then amount_b end) as pulled_in_amount,
        sum(case when not is_in_a and entry_no = 5 then deals else 0 end) as slipped_in_count,
        sum(case when not is_in_a and entry_no = 5 then amount_b end) as slipped_in_amount,
        sum(case when not is_in_b and exit_no = 8 then deals else 0 end) as won_count,
        sum(case when not is_in_b and exit_no = 8 then amount_b end) as won_amount,
        sum(case when not is_in_b and exit_no = 9 then deals else 0 end) as lost_count,
        sum(case when not is_in_b and exit_no = 9 then amount_b end) as lost_amount,
        sum(case when not is_in_b and exit_no = 10 then deals else 0 end) as pushed_out_count,
        sum(case when not is_in_b and exit_no = 10 then amount_b end) as pushed_out_amount,
        sum(case when not is_in_b and exit_no = 11 then deals else 0 end) as moved_earlier_count,
        sum(case when not is_in_b and exit_no = 11 then amount_b end) as moved_earlier_amount,
        sum(case when not is_in_b and exit_no = 12 then deals else 0 end) as transferred_out_count,
        sum(case when not is_in_b and exit_no = 12 then amount_b end) as transferred_out_amount,
        sum(case when not is_in_b and exit_no = 13 then deals else 0 end) as deleted_count,
        sum(case when not is_in_b and exit_no = 13 then amount_b end) as deleted_amount,
        sum(case when is_in_a then grown else 0 end) as increase_count,
        sum(case when is_in_a then growth else 0 end) as increase_amount,
        sum(case when is_in_a then shrunk else 0 end) as decrease_count,
        sum(case when is_in_a then shrinkage else 0 end) as decrease_amount,
        sum(case when is_in_b then deals else 0 end) as closing_count,
        sum(case when is_in_b then priced_b else 0 end) as closing_priced,
        sum(case when is_in_b then amount_b end) as closing_amount,
        sum(case when not is_in_b then deals - priced_b else 0 end) as left_unpriced
    from sided
    group by 1, 2, 3, 4, 5
),

periods as (  -- `total` has a row for every period from the first on, also where nothing moved
    select
        kind, scope_source, pipeline_no, period_months,
        cast(unnest(generate_series(min(period_no), max(c.last_month // period_months))) as integer) as period_no
    from cells
    cross join clock as c
    where kind = 'total'
    group by 1, 2, 3, 4
    union all
    select kind, scope_source, pipeline_no, period_months, period_no from cells where kind <> 'total'
),

levelled as (  -- in `total` what is open is the sum of all that came and went; deals that did not move are in no cell
    select
        p.kind,
        p.scope_source,
        p.pipeline_no,
        p.period_months,
        p.period_no,
        coalesce(c.new_count, 0) as new_count,
        case when c.new_count > 0 then c.new_amount else 0 end as new_amount,
        coalesce(c.reopened_count, 0) as reopened_count,
        case when c.reopened_count > 0 then c.reopened_amount else 0 end as reopened_amount,
        coalesce(c.transferred_in_count, 0) as transferred_in_count,
        case when c.transferred_in_count > 0 then c.transferred_in_amount else 0 end as transferred_in_amount,
        coalesce(c.pulled_in_count, 0) as pulled_in_count,
        case when c.pulled_in_count > 0 then c.pulled_in_amount else 0 end as pulled_in_amount,
        coalesce(c.slipped_in_count, 0) as slipped_in_count,
        case when c.slipped_in_count > 0 then c.slipped_in_amount else 0 end as slipped_in_amount,
        coalesce(c.won_count, 0) as won_count,
        case when c.won_count > 0 then c.won_amount else 0 end as won_amount,
        coalesce(c.lost_count, 0) as lost_count,
        case when c.lost_count > 0 then c.lost_amount else 0 end as lost_amount,
        coalesce(c.pushed_out_count, 0) as pushed_out_count,
        case when c.pushed_out_count > 0 then c.pushed_out_amount else 0 end as pushed_out_amount,
        coalesce(c.moved_earlier_count, 0) as moved_earlier_count,
        case when c.moved_earlier_count > 0 then c.moved_earlier_amount else 0 end as moved_earlier_amount,
        coalesce(c.transferred_out_count, 0) as transferred_out_count,
        case when c.transferred_out_count > 0 then c.transferred_out_amount else 0 end as transferred_out_amount,
        coalesce(c.deleted_count, 0) as deleted_count,
        case when c.deleted_count > 0 then c.deleted_amount else 0 end as deleted_amount,
        coalesce(c.increase_count, 0) as increase_count,
        coalesce(c.increase_amount, 0) as increase_amount,
        coalesce(c.decrease_count, 0) as decrease_count,
        coalesce(c.decrease_amount, 0) as decrease_amount,
        coalesce(c.left_unpriced, 0) as left_unpriced,
        case when p.kind = 'total' then coalesce(sum(c.closing_count - c.opening_count) over before, 0) else c.opening_count end as opening_count,
        case when p.kind = 'total' then coalesce(sum(c.closing_priced - c.opening_priced) over before, 0) else c.opening_priced end as opening_priced,
        case when p.kind = 'total' then sum(coalesce(c.closing_amount, 0) - coalesce(c.opening_amount, 0)) over before else c.opening_amount end as opening_sum,
        case when p.kind = 'total' then coalesce(sum(c.closing_count - c.opening_count) over up_to, 0) else c.closing_count end as closing_count,
        case when p.kind = 'total' then coalesce(sum(c.closing_priced - c.opening_priced) over up_to, 0) else c.closing_priced end as closing_priced,
        case when p.kind = 'total' then sum(coalesce(c.closing_amount, 0) - coalesce(c.opening_amount, 0)) over up_to else c.closing_amount end as closing_sum
    from periods as p
    left join cells as c
        on c.kind = p.kind
        and c.scope_source = p.scope_source
        and c.pipeline_no = p.pipeline_no
        and c.period_months = p.period_months
        and c.period_no = p.period_no
    window
        before as (partition by p.kind, p.scope_source, p.pipeline_no, p.period_months order by p.period_no rows between unbounded preceding and 1 preceding),
        up_to as (partition by p.kind, p.scope_source, p.pipeline_no, p.period_months order by p.period_no rows between unbounded preceding and current row)
),

full_rows as (  -- NULL where there are deals and none has a known amount, 0 where there are none
    select
        *,
        case when opening_count = 0 then 0 when opening_priced > 0 then opening_sum end as opening_amount,
        case when closing_count = 0 then 0 when closing_priced > 0 then closing_sum end as closing_amount
    from levelled
),

basis as (
    select source_key, amount_basis from main.mart_amount_basis
    union all
    select 'all', case when min(amount_basis) = max(amount_basis) then min(amount_basis) else 'mixed' end from main.mart_amount_basis
)

select
    f.kind,
    f.scope_source as source_key,
    case when f.scope_source = 'all' then 'all' else coalesce(src.name, f.scope_source) end as source,
    case when f.pipeline_no = 0 then 'all' else p.pipeline_key end as pipeline_key,
    case when f.pipeline_no = 0 then 'all' else p.pipeline end as pipeline,
    case f.period_months when 1 then 'month' else 'quarter' end as period_grain,
    month_begin(f.period_no * f.period_months) as period_start,
    f.period_no = c.as_of_month // f.period_months as is_partial,
    cast(f.opening_count as bigint) as opening_count,
    cast(f.opening_amount as decimal(18, 2)) as opening_amount,
    cast(f.new_count as bigint) as new_count,
    cast(f.new_amount as decimal(18, 2)) as new_amount,
    cast(f.reopened_count as bigint) as reopened_count,
    cast(f.reopened_amount as decimal(18, 2)) as reopened_amount,
    cast(f.transferred_in_count as bigint) as transferred_in_count,
    cast(f.transferred_in_amount as decimal(18, 2)) as transferred_in_amount,
    cast(f.pulled_in_count as bigint) as pulled_in_count,
    cast(f.pulled_in_amount as decimal(18, 2)) as pulled_in_amount,
    cast(f.slipped_in_count as bigint) as slipped_in_count,
    cast(f.slipped_in_amount as decimal(18, 2)) as slipped_in_amount,
    cast(f.increase_count as bigint) as increase_count,
    cast(f.increase_amount as decimal(18, 2)) as increase_amount,
    cast(f.decrease_count as bigint) as decrease_count,
    cast(f.decrease_amount as decimal(18, 2)) as decrease_amount,
    cast(f.won_count as bigint) as won_count,
    cast(f.won_amount as decimal(18, 2)) as won_amount,
    cast(f.lost_count as bigint) as lost_count,
    cast(f.lost_amount as decimal(18, 2)) as lost_amount,
    cast(f.pushed_out_count as bigint) as pushed_out_count,
    cast(f.pushed_out_amount as decimal(18, 2)) as pushed_out_amount,
    cast(f.moved_earlier_count as bigint) as moved_earlier_count,
    cast(f.moved_earlier_amount as decimal(18, 2)) as moved_earlier_amount,
    cast(f.transferred_out_count as bigint) as transferred_out_count,
    cast(f.transferred_out_amount as decimal(18, 2)) as transferred_out_amount,
    cast(f.deleted_count as bigint) as deleted_count,
    cast(f.deleted_amount as decimal(18, 2)) as deleted_amount,
    cast(f.closing_count as bigint) as closing_count,
    cast(f.closing_amount as decimal(18, 2)) as closing_amount,
    cast(f.closing_count - f.closing_priced + f.left_unpriced as bigint) as amount_missing_count,
    cast(coalesce(f.opening_amount, 0) + coalesce(f.new_amount, 0) + coalesce(f.reopened_amount, 0) + coalesce(f.transferred_in_amount, 0) + coalesce(f.pulled_in_amount, 0) + coalesce(f.slipped_in_amount, 0) + coalesce(f.increase_amount, 0) - coalesce(f.decrease_amount, 0) - coalesce(f.won_amount, 0) - coalesce(f.lost_amount, 0) - coalesce(f.pushed_out_amount, 0) - coalesce(f.moved_earlier_amount, 0) - coalesce(f.transferred_out_amount, 0) - coalesce(f.deleted_amount, 0) - coalesce(f.closing_amount, 0) as decimal(18, 2)) as check_amount,
    b.amount_basis,
    c.as_of_at
from full_rows as f
cross join clock as c
left join main.sources as src on src.source_key = f.scope_source
left join (select distinct pipeline_no, pipeline_key, pipeline from main.mart_stages) as p on p.pipeline_no = f.pipeline_no
left join basis as b on b.source_key = f.scope_source
where f.opening_count + f.closing_count > 0
    or f.new_count + f.reopened_count + f.transferred_in_count + f.pulled_in_count + f.slipped_in_count > 0
