-- One row per deal with a path: where it began, where it stands, where it closed. Visits are packed as seq * 2^32 + era, so one pass finds them.
select
    p.deal_no,
    count(*) as visit_count,
    min(p.changed_at) as first_at,
    max(p.changed_at) as last_at,
    max(case when p.seq = 1 then p.evidence_no end) as first_evidence_no,
    max(case when p.seq = 1 then p.precision_no end) as first_precision_no,
    mod(max(p.seq * 4294967296 + p.era), 4294967296) as current_era,
    mod(max(case when mod(p.era, 4) = 0 then p.seq * 4294967296 + p.era end), 4294967296) as last_open_era,
    -- the last change into a closed outcome: begin of the final run, when the deal is closed
    mod(max(case when mod(p.era, 4) <> 0 and m.from_outcome is distinct from m.to_outcome then p.seq * 4294967296 + p.era end), 4294967296) as closing_era,
    max(case when mod(p.era, 4) <> 0 and m.from_outcome is distinct from m.to_outcome then p.changed_at end) as closing_at,
    mod(min(case when m.to_order is not null then p.seq * 4294967296 + m.to_order end), 4294967296) as entry_stage_order,
    sum(case when m.movement = 'reopen' then 1 else 0 end) as reopened_count,
    sum(case when m.movement = 'backward' then 1 else 0 end) as backward_count,
    -- only up the ladder and out of it once: then no stage comes twice
    bool_or(not (m.movement in ('enter', 'forward')
        or (m.movement in ('won', 'lost') and m.from_outcome = 'open' and m.from_stage_key <> m.to_stage_key))) as may_revisit
from staging.stg_path as p
inner join staging.stg_moves as m
    on m.before_era = coalesce(p.before_era, 0) and m.era = p.era
group by p.deal_no
