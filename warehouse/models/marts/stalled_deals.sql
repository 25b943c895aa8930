-- One row per open deal that somebody can act on: how long it has stood still, against what is usual in its stage. stalled_rank 1 is the worst.
with current_visits as (
    select deal_key, stage_key, entered_at, dwell_days, is_left_censored, entry_movement
    from main.stage_intervals
    where is_current and outcome = 'open'
),

actionable as (  -- absent, hidden and archived deals stay in totals but nobody can work on them here
    select
        d.deal_key,
        d.name,
        d.deal_url,
        d.source_key,
        coalesce(src.name, d.source_key) as source,
        coalesce(v.stage_key, d.stage_key) as stage_key,
        d.owner_key,
        d.unified_deal_id,
        d.is_primary as is_primary,
        d.amount_reporting,
        d.expected_close_date,
        d.last_activity_at,
        coalesce(d.push_count, 0) as push_count,
        v.entered_at,
        case when v.dwell_days < 0 then 0.0 else v.dwell_days end as days_in_stage,
        coalesce(v.is_left_censored, false) as is_age_lower_bound,
        coalesce(v.entry_movement = 'backward', false) as is_moved_backward,
        case  -- greatest() would turn an unknown activity into 0 days
            when d.last_activity_at is not null
                then greatest(days_between(d.last_activity_at, least(st.as_of_at, coalesce(src.data_through_at, src.last_synced_at))), 0.0)
        end as days_since_activity,
        local_date(st.as_of_at, st.reporting_timezone) as as_of_date
    from main.deals as d
    left join main.sources as src on src.source_key = d.source_key
    left join current_visits as v on v.deal_key = d.deal_key
    cross join staging.settings as st
    where d.outcome = 'open'
        and not d.is_deleted
        and d.presence = 'present'
),

measured as (
    select
        a.*,
        case
            when sd.completed_count >= st.stalled_min_completed and sd.dwell_p90_days is not null then sd.dwell_p90_days
            else cast(st.stalled_default_days as double)
        end as threshold_days,
        case
            when sd.completed_count >= st.stalled_min_completed and sd.dwell_p90_days is not null then 'km_p90'
            else 'default'
        end as threshold_basis,
        s.pipeline_key,
        p.pipeline,
        s.stage,
        s.canonical_stage,
        s.stage_order,
        o.person_key,
        o.name as owner,
        st.no_activity_days,
        st.push_limit,
        st.as_of_at
    from actionable as a
    left join main.stages as s on s.stage_key = a.stage_key
    left join main.pipelines as p on p.pipeline_key = s.pipeline_key
    left join main.owners as o on o.owner_key = a.owner_key
    left join main.stage_dwell as sd on sd.stage_key = a.stage_key
    cross join staging.settings as st
),

flagged as (
    select
        *,
        coalesce(days_in_stage > threshold_days, false) as is_stage_age,
        coalesce(expected_close_date < as_of_date, false) as is_overdue,
        coalesce(days_since_activity > no_activity_days, false) as is_no_activity,
        push_count >= push_limit as is_pushed_repeatedly,
        amount_reporting is null as is_missing_amount,
        case  -- whole days, unless the difference would vanish
            when floor(days_in_stage) > ceil(threshold_days) then cast(cast(floor(days_in_stage) as bigint) as varchar)
            else cast(cast(days_in_stage as decimal(18, 1)) as varchar)
        end as days_text,
        case
            when floor(days_in_stage) > ceil(threshold_days) then cast(cast(ceil(threshold_days) as bigint) as varchar)
            else cast(cast(threshold_days as decimal(18, 1)) as varchar)
        end as threshold_text
    from measured
),

worded as (
    select
        *,
        is_stage_age or is_overdue or is_no_activity as is_stalled,
        concat(
            case when is_stage_age then ', stage_age' else '' end,
            case when is_overdue then ', overdue_close_date' else '' end,
            case when is_no_activity then ', no_activity' else '' end,
            case when is_pushed_repeatedly then ', pushed_repeatedly' else '' end,
            case when is_moved_backward then ', moved_backward' else '' end,
            case when is_missing_amount then ', missing_amount' else '' end
        ) as reason_list,
        concat(
            case
                when not is_stage_age then ''
                when threshold_basis = 'default'
                    then concat('; ', days_text, ' days in ', stage, '; the limit is ', threshold_text)
                else concat('; ', days_text, ' days in ', stage, '; 90 % leave within ', threshold_text)
            end,
            case when is_overdue then concat('; close date ', cast(expected_close_date as varchar), ' has passed') else '' end,
            case when is_no_activity then concat('; no activity for ', cast(cast(floor(days_since_activity) as bigint) as varchar), ' days') else '' end,
            case when is_pushed_repeatedly then concat('; close date moved later ', cast(push_count as varchar), ' times') else '' end,
            case when is_moved_backward then '; moved back into this stage' else '' end,
            case when is_missing_amount then '; no amount' else '' end
        ) as reason_words
    from flagged
)

select
    source_key,
    source,
    pipeline_key,
    pipeline,
    stage_key,
    stage,
    canonical_stage,
    stage_order,
    deal_key,
    name,
    deal_url,
    unified_deal_id,
    is_primary,
    person_key,
    owner,
    amount_reporting,
    expected_close_date,
    entered_at,
    days_in_stage,
    is_age_lower_bound,
    threshold_days,
    threshold_basis,
    days_since_activity,
    push_count,
    is_stalled,
    is_overdue,
    case when reason_list <> '' then substr(reason_list, 3) end as reasons,
    case when reason_words <> '' then substr(reason_words, 3) end as reason_text,
    days_in_stage / nullif(threshold_days, 0) as severity,
    cast(row_number() over (
        order by is_stalled desc, days_in_stage / nullif(threshold_days, 0) desc nulls last, days_in_stage desc nulls last, deal_key
    ) as integer) as stalled_rank,
    as_of_at
from worded
