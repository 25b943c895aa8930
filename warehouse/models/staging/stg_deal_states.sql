-- One row per deal version that says where the deal stands: its real stage, and its closing stage where only the status closes it.
with resolved as (
    select
        v.deal_no,
        v.version_at,
        v.read_at,
        v.mapper_version,
        v.sync_seq,
        v.ordinal,
        v.shown_at,
        v.is_latest,
        v.created_at,
        v.stage_entered_at,
        v.closed_at,
        v.dates_only,
        v.status,
        e.version_no as real_version,
        e.outcome as stage_outcome,
        -- the status decides the outcome: an open status on a closed stage makes an open visit of it
        case when v.status = 'open' then e.stage_no * 4 else e.era end as real_era,
        c.version_no as closing_version,
        c.stage_no * 4 + case v.status when 'won' then 1 else 2 end as closing_era
    from staging.stg_deal_versions as v
    left join staging.stg_stage_eras as e
        on e.source_key = v.source_key
        and e.pipeline_id = coalesce(v.pipeline_id, 'default')
        and e.stage_id = v.stage_id
        and v.shown_at >= e.valid_from and v.shown_at < e.valid_to
    left join staging.stg_stage_eras as c
        on c.source_key = v.source_key
        and c.pipeline_id = coalesce(v.pipeline_id, 'default')
        and c.stage_id = v.status
        and v.status in ('won', 'lost')
        and v.shown_at >= c.valid_from and v.shown_at < c.valid_to
),

stated as (
    select
        *,
        -- a closed stage under another closed status is not believed; under the same one it is the closing stage
        case when status in ('won', 'lost') and stage_outcome <> 'open' and stage_outcome <> status then null else real_era end as open_or_own_era,
        case when status in ('won', 'lost') and (stage_outcome is null or stage_outcome <> status) then closing_era end as status_era
    from resolved
    where real_era is not null or status in ('won', 'lost')
)

select
    deal_no,
    cast(row_number() over content as integer) as state_no,
    shown_at,
    is_latest,
    created_at,
    stage_entered_at,
    closed_at,
    dates_only,
    real_version,
    open_or_own_era as real_era,
    closing_version,
    status_era as closing_era,
    coalesce(status_era, open_or_own_era) as era,
    lag(shown_at) over content as before_shown_at,
    lag(open_or_own_era) over content as before_real_era,
    lag(status_era) over content as before_closing_era,
    lag(coalesce(status_era, open_or_own_era)) over content as before_era,
    coalesce(status = 'open' and stage_outcome <> 'open', false) as is_opened_by_status,
    status is not null and stage_outcome is not null and (
        (status = 'open' and stage_outcome <> 'open')
        or (status <> 'open' and stage_outcome <> 'open' and stage_outcome <> status)
    ) as is_contradicted
from stated
window content as (partition by deal_no order by version_at, read_at, mapper_version, sync_seq, ordinal)
