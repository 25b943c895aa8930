-- One row per stage change that no history tells but the readings of a deal show: rule 16, and closings that only a status states.
with moves as (  -- states of deals without history in which stage or closing differ from the state before
    select
        s.*,
        s.before_era is null as is_first,
        s.real_era is not null and (
            s.before_era is null
            or (s.closing_era is null and s.before_era <> s.real_era)
            or (s.closing_era is not null and s.before_closing_era is null and s.before_real_era is distinct from s.real_era)
        ) as is_real_move,
        s.closing_era is not null and s.before_closing_era is distinct from s.closing_era as is_closing_move
    from staging.stg_deal_states as s
    left join staging.stg_history_deals as h on h.deal_no = s.deal_no
    where h.deal_no is null and s.before_era is distinct from s.era
),

dated as (
    select
        m.*,
        g.stage_order = 1 and g.outcome = 'open' as is_entry_stage,
        g.outcome <> 'open' as is_closed_stage,
        -- what the source says counts when it lies between the last reading that did not show it and the first that does
        case
            when m.stage_entered_at <= m.shown_at and (m.is_first or m.stage_entered_at > m.before_shown_at) then m.stage_entered_at
            when m.dates_only and m.stage_entered_at <= m.shown_at and m.stage_entered_at + interval 1 day > m.before_shown_at
                then m.before_shown_at
        end as stated_at,
        case
            when m.closed_at <= m.shown_at and (m.is_first or m.closed_at > m.before_shown_at) then m.closed_at
            when m.dates_only and m.closed_at <= m.shown_at and m.closed_at + interval 1 day > m.before_shown_at then m.before_shown_at
        end as stated_closed_at
    from moves as m
    left join staging.stg_stage_eras as e on e.version_no = m.real_version
    left join staging.stg_stages as g on g.stage_no = e.stage_no
),

timed as (
    select
        *,
        coalesce(case when is_closing_move then stated_closed_at end, shown_at) as latest_at,
        case when is_closed_stage then coalesce(stated_at, stated_closed_at) else stated_at end as real_stated_at
    from dated
),

real_moves as (
    select
        deal_no,
        state_no * 2 as sequence,
        real_version as version_no,
        real_era as era,
        case
            when is_first and is_entry_stage and created_at <= latest_at then created_at
            when real_stated_at <= latest_at then real_stated_at
            else latest_at
        end as changed_at,
        case
            when is_first and is_entry_stage and created_at <= latest_at then 'created'
            when real_stated_at <= latest_at then 'exact'
            else 'observed'
        end as evidence,
        dates_only
    from timed
    where is_real_move
),

closings as (
    select
        deal_no,
        state_no * 2 + 1 as sequence,
        closing_version as version_no,
        closing_era as era,
        case
            when stated_closed_at is not null then stated_closed_at
            when not is_real_move and stated_at is not null then stated_at
            else shown_at
        end as changed_at,
        case when stated_closed_at is not null or (not is_real_move and stated_at is not null) then 'exact' else 'observed' end as evidence,
        dates_only
    from timed
    where is_closing_move
)

select
    b.deal_no,
    b.changed_at,
    b.sequence,
    b.version_no,
    e.stage_no,
    b.era,
    case b.evidence when 'exact' then 0 when 'created' then 1 else 2 end as evidence_no,
    case when b.evidence = 'observed' then 2 when b.dates_only then 1 else 0 end as precision_no
from (select * from real_moves union all select * from closings) as b
inner join staging.stg_stage_eras as e on e.version_no = b.version_no
