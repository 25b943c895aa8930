-- One row per open stage of a pipeline (removed and unordered ones included): waiting, flow, rework, losses and how much of a bottleneck it is.
with visits as (  -- ages in milliseconds before as_of; of a visit whose entry nobody saw only its presence counts
    select
        v.stage_no,
        d.amount_reporting,
        v.is_current,
        v.is_timed,
        v.exited_at is not null as is_exit,
        v.dwell_days,
        v.visit_number,
        v.exit_movement,
        ms_between(v.entered_at, st.as_of_at) as entry_age_ms,
        ms_between(coalesce(v.exited_at, least(st.as_of_at, coalesce(src.data_through_at, src.last_synced_at))), st.as_of_at) as exit_age_ms,
        cast(st.flow_window_days as bigint) * 86400000 as window_ms
    from main.mart_visits as v
    inner join main.mart_deals as d on d.deal_no = v.deal_no
    left join main.sources as src on src.source_key = d.source_key
    cross join staging.settings as st
    where v.outcome = 'open'
),

flow as (
    select
        stage_no,
        sum(case when is_current then 1 else 0 end) as wip,
        sum(case when is_current then amount_reporting end) as wip_amount,
        sum(case when is_current and amount_reporting is null then 1 else 0 end) as wip_amount_missing,
        quantile_cont(case when is_current then dwell_days end, 0.5) as wip_median_age_days,
        sum(case when is_timed and entry_age_ms <= window_ms then 1 else 0 end) as arrivals,
        sum(case when is_timed and is_exit and exit_age_ms <= window_ms then 1 else 0 end) as departures,
        sum(greatest(least(entry_age_ms, window_ms) - greatest(exit_age_ms, 0), 0)) as deal_ms,
        sum(case when is_timed and visit_number > 1 then 1 else 0 end) as rework,
        sum(case when is_timed and is_exit and exit_movement = 'backward' then 1 else 0 end) as backward_exits,
        sum(case when is_timed and is_exit and exit_movement = 'lost' then 1 else 0 end) as lost_exits
    from visits
    group by stage_no
),

losses as (
    select
        last_open_stage_key as stage_key,
        count(*) as lost_from,
        sum(amount_reporting) as lost_amount,
        sum(case when amount_reporting is null then 1 else 0 end) as lost_amount_missing
    from main.deals
    where outcome = 'lost' and not is_deleted
    group by last_open_stage_key
),

stalled as (
    select stage_key, sum(case when is_stalled then 1 else 0 end) as stalled
    from main.stalled_deals
    group by stage_key
),

stages as (
    select
        sd.*,
        cast(coalesce(f.wip, 0) as bigint) as wip_count,
        case when coalesce(f.wip, 0) = 0 then 0 else f.wip_amount end as wip_amount,
        cast(coalesce(f.wip_amount_missing, 0) as bigint) as wip_amount_missing_count,
        f.wip_median_age_days,
        cast(coalesce(t.stalled, 0) as bigint) as stalled_count,
        cast(coalesce(f.arrivals, 0) as bigint) as arrivals_90d,
        cast(coalesce(f.departures, 0) as bigint) as departures_90d,
        coalesce(f.deal_ms, 0) as deal_ms,
        coalesce(f.deal_ms, 0) / 86400000.0 / st.flow_window_days as avg_wip_90d,
        cast(coalesce(f.rework, 0) as bigint) as rework_count,
        cast(coalesce(f.backward_exits, 0) as bigint) as backward_exit_count,
        cast(coalesce(f.lost_exits, 0) as bigint) as lost_exit_count,
        coalesce(l.lost_from, 0) as lost_from_count,
        case when coalesce(l.lost_from, 0) = 0 then 0 else l.lost_amount end as lost_amount,
        cast(coalesce(l.lost_amount_missing, 0) as bigint) as lost_amount_missing_count,
        st.flow_window_days,
        st.bottleneck_weight_time as weight_time,
        st.bottleneck_weight_loss as weight_loss,
        st.bottleneck_weight_queue as weight_queue,
        st.bottleneck_weight_rework as weight_rework
    from main.stage_dwell as sd
    inner join main.mart_stages as s on s.stage_key = sd.stage_key
    left join flow as f on f.stage_no = s.stage_no
    left join stalled as t on t.stage_key = sd.stage_key
    left join losses as l on l.stage_key = sd.stage_key
    cross join staging.settings as st
),

shares as (
    select
        *,
        sum(deal_ms) over (partition by pipeline_key) as pipeline_deal_ms,
        cast(sum(lost_amount) over (partition by pipeline_key) as double) as pipeline_lost_amount
    from stages
),

scores as (  -- each term 0..1, 0 where it is undefined
    select
        *,
        coalesce(cast(deal_ms as double) / nullif(pipeline_deal_ms, 0), 0) as score_time,
        least(greatest(coalesce(cast(lost_amount as double) / nullif(pipeline_lost_amount, 0), 0), 0), 1) as score_loss,
        coalesce(cast(greatest(arrivals_90d - departures_90d, 0) as double) / nullif(arrivals_90d, 0), 0) as score_queue,
        coalesce(cast(rework_count as double) / nullif(visits_count, 0), 0) as score_rework
    from shares
),

scored as (
    select
        *,
        100 * (weight_time * score_time + weight_loss * score_loss + weight_queue * score_queue + weight_rework * score_rework)
            as bottleneck_score,
        greatest(weight_time * score_time, weight_loss * score_loss, weight_queue * score_queue, weight_rework * score_rework)
            as largest_term
    from scores
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
    visits_count,
    completed_count,
    censored_count,
    censored_share,
    dwell_median_days,
    dwell_p75_days,
    dwell_p90_days,
    dwell_median_completed_days,
    dwell_mean_completed_days,
    cif_advanced_90d,
    cif_lost_90d,
    cif_other_90d,
    wip_count,
    cast(wip_amount as decimal(18, 2)) as wip_amount,
    wip_amount_missing_count,
    wip_median_age_days,
    stalled_count,
    arrivals_90d,
    departures_90d,
    arrivals_90d * 7.0 / flow_window_days as arrival_rate_per_week,
    departures_90d * 7.0 / flow_window_days as departure_rate_per_week,
    cast(arrivals_90d as double) / nullif(departures_90d, 0) as load_ratio,
    avg_wip_90d,
    avg_wip_90d * flow_window_days / nullif(departures_90d, 0) as littles_dwell_days,
    rework_count,
    cast(rework_count as double) / nullif(visits_count, 0) as rework_rate,
    backward_exit_count,
    lost_exit_count,
    cast(lost_exit_count as double) / nullif(completed_count, 0) as loss_rate,
    wilson_low(lost_exit_count, completed_count) as loss_rate_low,
    wilson_high(lost_exit_count, completed_count) as loss_rate_high,
    lost_from_count,
    cast(lost_amount as decimal(18, 2)) as lost_amount,
    lost_amount_missing_count,
    score_time,
    score_loss,
    score_queue,
    score_rework,
    weight_time,
    weight_loss,
    weight_queue,
    weight_rework,
    bottleneck_score,
    cast(row_number() over (
        partition by pipeline_key order by round(bottleneck_score, 9) desc, stage_order nulls last, stage_key
    ) as integer) as bottleneck_rank,
    case
        when largest_term = 0 then null
        when weight_time * score_time = largest_term
            then concat(cast(cast(round(100 * score_time) as bigint) as varchar), ' % of deal-days sit here')
        when weight_loss * score_loss = largest_term and lost_exit_count > 0
            then concat(lost_exit_count, ' of ', number_of(completed_count, 'exit'), case when lost_exit_count = 1 then ' is a loss' else ' are losses' end)
        when weight_loss * score_loss = largest_term
            then concat(number_of(lost_from_count, 'deal'), case when lost_from_count = 1 then ' was' else ' were' end, ' lost from here')
        when weight_queue * score_queue = largest_term
            then concat(number_of(arrivals_90d, 'deal'), ' came in, ', departures_90d, ' left in ', number_of(flow_window_days, 'day'))
        else concat(rework_count, ' of ', number_of(visits_count, 'visit'), case when rework_count = 1 then ' is a repeat' else ' are repeats' end)
    end as bottleneck_reason,
    is_small_sample,
    as_of_at
from scored
