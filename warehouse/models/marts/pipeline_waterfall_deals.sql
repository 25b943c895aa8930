-- One row per kind, month or quarter, pipeline and deal that came in, went out or changed its amount: the ledger behind pipeline_waterfall.
with buckets as (  -- as numbered in mart_period_moves
    select b.bucket_no, b.bucket
    from (values
        (1, 'new'), (2, 'reopened'), (3, 'transferred_in'), (4, 'pulled_in'), (5, 'slipped_in'),
        (8, 'won'), (9, 'lost'), (10, 'pushed_out'), (11, 'moved_earlier'), (12, 'transferred_out'), (13, 'deleted')
    ) as b (bucket_no, bucket)
),

moves as (
    select
        k.kind,
        m.*,
        case when k.kind = 'total' then m.was_open else m.was_due end as is_in_a,
        case when k.kind = 'total' then m.is_open else m.is_due end as is_in_b
    from main.mart_period_moves as m
    cross join (values ('total'), ('closing_in_period')) as k (kind)
    where k.kind = 'total' or m.was_due or m.is_due or m.is_due_in_between
)

select
    m.kind,
    case m.period_months when 1 then 'month' else 'quarter' end as period_grain,
    month_begin(m.period_no * m.period_months) as period_start,
    d.source_key,
    d.source,
    coalesce(p.pipeline_key, 'all') as pipeline_key,
    coalesce(p.pipeline, 'all') as pipeline,
    d.deal_key,
    m.scope_no >= 0 as is_in_all,
    d.is_primary,
    i.bucket as entry_bucket,
    o.bucket as exit_bucket,
    case when m.is_in_a then m.amount_a end as opening_amount,
    cast(case when m.is_in_a then coalesce(m.amount_b, 0) - coalesce(m.amount_a, 0) else 0 end as decimal(18, 2)) as change_amount,
    m.amount_b as end_amount,
    st.as_of_at
from moves as m
inner join (
    select deal_no, deal_key, source_key, source, is_primary from main.mart_deals
    union all
    select deal_no, deal_key, source_key, source, is_primary from main.mart_gone_deals
) as d on d.deal_no = m.deal_no
left join (select distinct pipeline_no, pipeline_key, pipeline from main.mart_stages) as p on p.pipeline_no = abs(m.scope_no)
left join buckets as i on i.bucket_no = m.entry_no and not m.is_in_a
left join buckets as o on o.bucket_no = m.exit_no and not m.is_in_b
cross join staging.settings as st
where m.is_in_a <> m.is_in_b or not m.is_in_a or coalesce(m.amount_a, 0) <> coalesce(m.amount_b, 0)
