-- One row per deal that exists at as_of: everything that is computed about it, in numbers; wording and wide columns follow in deals.
with currencies as (  -- does a source state any currency at all?
    select source_key, max(case when currency is not null then 1 else 0 end) = 1 as has_currency
    from staging.stg_deals
    group by source_key
),

joined as (
    select
        d.deal_no,
        d.source_key,
        d.deal_id,
        d.sync_seq,
        d.ordinal,
        d.pipeline_id,
        d.status,
        d.created_at,
        d.first_read_at,
        d.last_read_at,
        d.is_history_combined,
        f.amount,
        f.currency,
        f.expected_close_date,
        f.owner_id,
        f.last_field_change_at,
        f.push_count,
        p.first_at,
        p.last_at as last_change_at,
        p.current_era,
        p.last_open_era,
        case when mod(p.current_era, 4) <> 0 then p.closing_era end as closing_era,
        case when mod(p.current_era, 4) <> 0 then p.closing_at end as closed_at,
        p.entry_stage_order,
        p.reopened_count,
        p.backward_count,
        p.may_revisit,
        case when b.deal_no is not null then 2 else p.first_evidence_no end as entry_evidence_no,
        b.deal_no is not null as is_bulk_load,
        coalesce(g.presence, 'present') as presence,
        case when g.presence in ('deleted', 'purged', 'merged') then g.deleted_at end as deleted_at,
        g.survivor,
        g.seen_at,
        coalesce(f.currency, s.home_currency, case when not c.has_currency then st.reporting_currency end) as valued_in,
        case when f.currency is null and s.home_currency is null and not c.has_currency then true else false end as is_currency_assumed,
        least(st.as_of_at, coalesce(s.data_through_at, s.last_synced_at, st.as_of_at)) as known_until_at,
        st.as_of_at
    from staging.stg_deals as d
    inner join staging.stg_deal_fields as f on f.deal_no = d.deal_no
    left join staging.stg_deal_path as p on p.deal_no = d.deal_no
    left join staging.stg_bulk_loads as b on b.deal_no = d.deal_no
    left join staging.stg_presence as g
        on g.source_key = d.source_key and g.stream = 'deals' and g.record_key = d.deal_id
    left join staging.source_status as s on s.source_key = d.source_key
    left join currencies as c on c.source_key = d.source_key
    cross join staging.settings as st
)

select
    j.*,
    j.source_key || ':' || j.deal_id as deal_key,
    j.source_key || ':owner:' || j.owner_id as owner_key,
    r.rate as fx_rate,
    r.rate_date as fx_rate_date,
    case when j.is_currency_assumed then 'assumed' else r.rate_source end as fx_rate_source,
    round_half_up(j.amount * r.rate) as amount_reporting,
    case
        when entry_evidence_no = 2 then created_at
        else least(coalesce(created_at, first_at), coalesce(first_at, created_at))
    end as started_at
from joined as j
left join main.fx_rates as r on r.currency = j.valued_in
where coalesce(least(coalesce(created_at, first_at), coalesce(first_at, created_at)), first_read_at) < as_of_at
