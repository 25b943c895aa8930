-- One row per deal and canonical stage that the deal reached anywhere on its path: the deals behind every cell of cross_system_conversion.
with entries as (  -- where the deal first stood on the ladder: place in the path and rung in one number
    select deal_no, min(case when rung is not null then cast(seq as bigint) * 2000000 + rung end) % 2000000 as entry_rung
    from main.mart_visits
    group by deal_no
),

rungs as (
    select canonical_order, min(canonical_stage) as canonical_stage
    from main.mart_stages
    where outcome = 'open' and canonical_order is not null
    group by canonical_order
),

ladders as (  -- which rungs a pipeline has, removed and unordered stages included
    select
        r.canonical_order,
        s.pipeline_no,
        max(case when s.outcome = 'open' and s.canonical_order = r.canonical_order then 1 else 0 end) = 1 as is_offered
    from rungs as r
    cross join main.mart_stages as s
    group by r.canonical_order, s.pipeline_no
),

hits as (  -- every rung against the visits on it or above; a rung is passed by implication only in a pipeline that has it
    select
        v.deal_no,
        l.canonical_order,
        min(case when v.rung = l.canonical_order or (l.is_offered and e.entry_rung < l.canonical_order) then v.seq end) as hit_seq,
        min(case when v.rung = l.canonical_order or (l.is_offered and e.entry_rung < l.canonical_order) then v.entered_at end) as reached_at,
        min(case when v.rung = l.canonical_order or (l.is_offered and e.entry_rung < l.canonical_order) then v.entered_date end)
            as reached_date,
        bool_or(v.rung = l.canonical_order) as is_visited,
        max(case when v.rung > l.canonical_order then v.seq end) as last_seq_above
    from main.mart_visits as v
    inner join entries as e on e.deal_no = v.deal_no
    inner join ladders as l on l.pipeline_no = v.pipeline_no and l.canonical_order <= v.rung
    group by v.deal_no, l.canonical_order
)

select
    d.deal_key,
    d.source_key,
    d.source,
    r.canonical_stage,
    h.canonical_order,
    d.is_primary,
    h.reached_at,
    h.reached_date,
    h.is_visited,
    not h.is_visited as is_skipped,
    case
        when h.last_seq_above >= h.hit_seq or d.outcome = 'won' then 'advanced'
        when d.outcome = 'lost' then 'lost'
        else 'open'
    end as state,
    d.outcome as final_outcome,
    d.amount_reporting,
    st.as_of_at
from hits as h
inner join main.mart_deals as d on d.deal_no = h.deal_no
inner join rungs as r on r.canonical_order = h.canonical_order
cross join staging.settings as st
where h.hit_seq is not null
