-- One row per deal, pipeline and ordered open stage that the deal reached there: the deals behind every cell of stage_conversion.
with passages as (  -- a deal's way through one pipeline: how it ended, and where it first stood on the ladder
    select
        deal_no,
        pipeline_no,
        max(seq * 4 + case outcome when 'won' then 1 when 'lost' then 2 else 0 end) % 4 as final_no,
        bool_or(is_current) as is_last_pipeline,
        min(case when level < 1000000 then cast(seq as bigint) * 2000000 + level end) as first_open,  -- seq and level in one number
        min(case when level = 1000000 then cast(seq as bigint) * 2000000 end) as first_won
    from main.mart_visits
    group by deal_no, pipeline_no
),

entries as (  -- a deal that began with its win has no entry level: it says nothing about the stages below
    select
        *,
        case when final_no = 1 and first_won < first_open then null else first_open % 2000000 end as entry_level
    from passages
),

ladder as (  -- what a visit says of which stages: of its own, of all below, and of the one above (for the strict order)
    select
        v.stage_no as visited_no,
        v.level,
        l.stage_no,
        l.stage_order,
        v.level > l.stage_order as is_below,
        coalesce(l.stage_rank = v.stage_rank, false) as is_here,
        coalesce(l.stage_rank = v.stage_rank + 1, false) as is_next,
        coalesce(l.stage_rank = v.stage_rank - 1, false) as is_last
    from (select distinct pipeline_no, stage_no, level, stage_rank from main.mart_visits where level is not null) as v
    inner join main.mart_stages as l
        on l.pipeline_no = v.pipeline_no
        and (l.stage_order < v.level or l.stage_rank = v.stage_rank or l.stage_rank = v.stage_rank + 1)
    where l.stage_rank is not null
),

counted as (  -- a won visit counts only when the deal's last visit in the pipeline is won
    select v.deal_no, v.stage_no, v.level, v.seq, v.entered_at, v.entered_date, e.entry_level, e.final_no, e.is_last_pipeline
    from main.mart_visits as v
    inner join entries as e on e.deal_no = v.deal_no and e.pipeline_no = v.pipeline_no
    where v.level < 1000000 or e.final_no = 1
),

hits as (
    select
        v.deal_no,
        l.stage_no,
        min(case when l.is_here or (l.is_below and v.entry_level < l.stage_order) then v.seq end) as hit_seq,
        min(case when l.is_here or (l.is_below and v.entry_level < l.stage_order) then v.entered_at end) as reached_at,
        min(case when l.is_here or (l.is_below and v.entry_level < l.stage_order) then v.entered_date end) as reached_date,
        max(case when l.is_below then v.seq end) as last_seq_above,
        min(case when l.is_here then v.seq end) as first_visit_seq,
        min(case when l.is_next then v.seq end) as first_visit_below_seq,
        min(case when l.is_last then v.seq end) as first_visit_above_seq,
        min(v.final_no) as final_no,
        bool_or(v.is_last_pipeline) as is_last_pipeline
    from counted as v
    inner join ladder as l on l.visited_no = v.stage_no and l.level = v.level
    group by v.deal_no, l.stage_no
),

reached as (
    select h.*, s.pipeline_no, s.stage_rank
    from hits as h
    inner join main.mart_stages as s on s.stage_no = h.stage_no
    where h.hit_seq is not null
),

breaks as (  -- the first stage that breaks the strict order: not visited, or not for the first time after the one below
    select
        deal_no,
        pipeline_no,
        min(case
            when first_visit_seq is null or (stage_rank > 1 and coalesce(first_visit_below_seq, first_visit_seq) >= first_visit_seq)
                then stage_rank
        end) as broken_rank
    from reached
    group by deal_no, pipeline_no
)

select
    d.deal_key,
    d.source_key,
    s.source,
    s.pipeline_key,
    s.pipeline,
    s.stage_key,
    s.stage,
    s.canonical_stage,
    s.stage_order,
    d.is_primary,
    r.reached_at,
    r.reached_date,
    r.first_visit_seq is not null as is_visited,
    r.first_visit_seq is null as is_skipped,
    case
        when r.last_seq_above >= r.hit_seq then 'advanced'
        when r.final_no = 2 then 'lost'
        when r.final_no = 0 and not r.is_last_pipeline then 'moved'
        else 'open'
    end as state,
    coalesce(r.stage_rank < x.broken_rank, true) as is_strict,
    coalesce(r.stage_rank < x.broken_rank, true) and case
        when r.stage_rank = s.stage_total then r.final_no = 1
        else coalesce(r.first_visit_above_seq > r.first_visit_seq, false)
    end as is_strict_advanced,
    case r.final_no when 0 then 'open' when 1 then 'won' else 'lost' end as final_outcome,
    d.amount_reporting,
    st.as_of_at
from reached as r
inner join breaks as x on x.deal_no = r.deal_no and x.pipeline_no = r.pipeline_no
inner join main.mart_deals as d on d.deal_no = r.deal_no
inner join main.mart_stages as s on s.stage_no = r.stage_no
cross join staging.settings as st
