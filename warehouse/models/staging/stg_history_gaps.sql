-- One row per change that a deal's history lacks: the history ends elsewhere than where the deal was last seen. Rule 23.
with present as (  -- where the deal stands now, and the first reading that shows it
    select
        deal_no,
        max(case when before_era is null or before_era <> era then shown_at end) as since_at,
        max(case when is_latest then shown_at end) as latest_at
    from staging.stg_deal_states
    group by deal_no
),

ends as (
    select
        v.deal_no,
        v.changed_at as last_changed_at,
        v.era as last_era,
        s.real_version,
        s.real_era,
        s.closing_version,
        s.closing_era,
        s.stage_entered_at,
        s.closed_at,
        s.dates_only,
        case when p.since_at < v.changed_at then v.changed_at else p.since_at end as shown_at
    from staging.stg_visits as v
    inner join staging.stg_deal_states as s
        on s.deal_no = v.deal_no and s.is_latest
    inner join present as p
        on p.deal_no = v.deal_no
    inner join staging.stg_history_deals as h
        on h.deal_no = v.deal_no
    where v.is_last
        and p.latest_at >= v.changed_at
        and v.era <> s.era
        -- not a gap: closed alike by a stage of the history's own; the same stage whose outcome was edited since
        and not (s.closing_era is not null and mod(v.era, 4) = mod(s.closing_era, 4))
        and not (s.closing_era is null and not s.is_opened_by_status and v.era - mod(v.era, 4) = s.era - mod(s.era, 4))
),

dated as (  -- a closing date counts for a closing status, and for a real stage that is itself closed
    select
        *,
        case when stage_entered_at > last_changed_at and stage_entered_at <= shown_at then stage_entered_at end as stated_at,
        case
            when closed_at >= last_changed_at and closed_at <= shown_at then closed_at
            when dates_only and closed_at <= shown_at and closed_at + interval 1 day > last_changed_at then last_changed_at
        end as stated_closed_at,
        real_era is not null and last_era <> real_era as is_real_move,
        coalesce(mod(real_era, 4) <> 0, false) as is_real_closed
    from ends
),

moved as (
    select
        *,
        case when is_real_closed then coalesce(stated_at, stated_closed_at) else stated_at end as real_stated_at,
        coalesce(case when closing_era is not null then stated_closed_at end, shown_at) as latest_at
    from dated
)

select
    deal_no,
    case when real_stated_at <= latest_at then real_stated_at else latest_at end as changed_at,
    1 as step,
    real_version as version_no,
    real_era as era,
    case when real_stated_at <= latest_at then 0 else 2 end as evidence_no,
    case when real_stated_at <= latest_at then case when dates_only then 1 else 0 end else 2 end as precision_no,
    -- a closing that the deal's record dates itself leaves no gap in what is known
    not (is_real_closed and coalesce(real_stated_at <= latest_at, false)) as is_gap
from moved
where is_real_move
union all
select
    deal_no,
    coalesce(stated_closed_at, case when not is_real_move then stated_at end, shown_at) as changed_at,
    2 as step,
    closing_version as version_no,
    closing_era as era,
    case when stated_closed_at is not null or (not is_real_move and stated_at is not null) then 0 else 2 end as evidence_no,
    case when stated_closed_at is null and (is_real_move or stated_at is null) then 2 when dates_only then 1 else 0 end as precision_no,
    false as is_gap
from moved
where closing_era is not null
