-- One row per pair of neighbouring visits that occurs: from where to where, and what kind of move that is.
with pairs as (
    select before_era, era, count(*) as move_count
    from staging.stg_path
    group by before_era, era
),

named as (
    select
        p.before_era,
        p.era,
        t.source_key,
        f.pipeline_key as from_pipeline_key,
        f.stage_key as from_stage_key,
        f.canonical_stage as from_canonical_stage,
        f.outcome as from_outcome,
        f.rung as from_rung,
        f.used_up_to as from_used_up_to,
        f.used_total as from_used_total,
        t.pipeline_key as to_pipeline_key,
        t.stage_key as to_stage_key,
        t.canonical_stage as to_canonical_stage,
        t.outcome as to_outcome,
        t.stage_order as to_order,
        t.rung as to_rung,
        t.used_before as to_used_before
    from pairs as p
    inner join staging.stg_eras as t on t.era = p.era
    left join staging.stg_eras as f on f.era = p.before_era
),

classed as (
    select
        *,
        case
            when from_stage_key is null then 'enter'
            when from_pipeline_key <> to_pipeline_key then 'pipeline_move'
            when to_outcome = 'won' then case when from_outcome = 'won' then 'lateral' else 'won' end
            when to_outcome = 'lost' then case when from_outcome = 'lost' then 'lateral' else 'lost' end
            when from_outcome <> 'open' then 'reopen'
            when from_rung is null or to_rung is null or from_rung = to_rung then 'lateral'
            when to_rung > from_rung then 'forward'
            else 'backward'
        end as movement
    from named
)

select
    coalesce(before_era, 0) as before_era,
    era,
    source_key,
    from_pipeline_key,
    from_stage_key,
    from_canonical_stage,
    from_outcome,
    to_pipeline_key,
    to_stage_key,
    to_canonical_stage,
    to_outcome,
    to_order,
    movement,
    cast(case
        when movement = 'forward' then to_used_before - from_used_up_to
        when movement = 'won' and from_rung is not null then from_used_total - from_used_up_to
        else 0
    end as integer) as stages_skipped
from classed
