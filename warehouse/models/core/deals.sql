-- One row per deal, as it stood at as_of.
select
    d.deal_key,
    d.source_key,
    d.deal_id as source_deal_id,
    coalesce(g.unified_deal_id, d.deal_key) as unified_deal_id,
    coalesce(g.is_primary, true) as is_primary,
    l.name,
    c.company_key,
    d.owner_key,
    coalesce(e.pipeline_key, d.source_key || ':' || replace(coalesce(d.pipeline_id, 'default'), ':', '%3A')) as pipeline_key,
    e.stage_key,
    coalesce(e.canonical_stage, 'unmapped') as canonical_stage,
    l.lead_source,
    l.deal_type,
    l.lost_reason,
    coalesce(l.url, replace(s.deep_link, '{id}', d.deal_id)) as deal_url,
    d.amount,
    d.currency,
    d.amount_reporting,
    d.fx_rate,
    d.fx_rate_date,
    d.fx_rate_source,
    d.created_at,
    d.started_at,
    coalesce(e.outcome, 'open') as outcome,
    d.closed_at,
    k.pipeline_key as closing_pipeline_key,
    case
        when d.closed_at is null then null
        when w.deal_no is not null then d.source_key || ':owner:' || w.value
        else d.owner_key
    end as closing_owner_key,
    d.expected_close_date,
    o.stage_key as last_open_stage_key,
    cast(d.entry_stage_order as integer) as entry_stage_order,
    coalesce(d.entry_stage_order > 1, false) as is_mid_entry,
    cast(coalesce(d.reopened_count, 0) as integer) as reopened_count,
    cast(coalesce(d.backward_count, 0) as integer) as backward_count,
    cast(d.push_count as integer) as push_count,
    l.probability as crm_probability,
    case when l.last_activity_at < d.as_of_at then l.last_activity_at end as last_activity_at,
    l.next_activity_at,
    greatest(case when l.last_activity_at < d.as_of_at then l.last_activity_at end, d.last_change_at, d.last_field_change_at) as last_touch_at,
    d.is_bulk_load,
    d.is_history_combined,
    d.presence,
    greatest(d.last_read_at, d.seen_at) as last_seen_at,
    d.deleted_at,
    d.deleted_at is not null as is_deleted,
    d.presence = 'archived' as is_archived,
    case when d.deleted_at is not null then d.source_key || ':' || d.survivor end as merged_into_deal_key,
    l.source_file,
    l.source_sheet,
    l.source_row,
    l.custom_fields
from staging.stg_deal_facts as d
inner join landing.deals as l
    on l.source_key = d.source_key and l._sync_seq = d.sync_seq and l._ordinal = d.ordinal
left join staging.source_status as s on s.source_key = d.source_key
left join staging.stg_deal_companies as c on c.deal_no = d.deal_no
left join staging.stg_deal_groups as g on g.deal_no = d.deal_no
left join staging.stg_eras as e on e.era = d.current_era
left join staging.stg_eras as o on o.era = d.last_open_era
left join staging.stg_eras as k on k.era = d.closing_era
left join staging.stg_field_values as w
    on w.deal_no = d.deal_no and w.field = 'owner' and d.closed_at > w.valid_after and d.closed_at <= w.valid_to
