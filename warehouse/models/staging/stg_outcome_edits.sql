-- One row per deal that sat in a stage when the stage's outcome was edited: from that instant the visit counts otherwise. Rule 21.
with edits as (
    select e.stage_no, e.version_no, e.era, e.valid_from as edited_at
    from staging.stg_stage_eras as e
    inner join staging.stg_stage_eras as b on b.stage_no = e.stage_no and b.version = e.version - 1
    where b.era <> e.era
),

events as (
    select h.deal_no, h.changed_at, h.sequence, h.event_id, h.version_no, h.stage_no, h.era
    from staging.stg_history as h
    union all
    select o.deal_no, o.changed_at, o.sequence, '' as event_id, o.version_no, o.stage_no, o.era
    from staging.stg_observed_changes as o
),

touched as (
    select distinct t.deal_no, x.stage_no, x.version_no, x.era, x.edited_at
    from edits as x
    inner join events as t on t.stage_no = x.stage_no and t.changed_at < x.edited_at
),

before_edit as (
    select
        t.deal_no,
        t.stage_no as sat_in,
        t.era <> n.era as is_by_status,
        x.stage_no,
        x.version_no,
        x.era,
        x.edited_at,
        row_number() over (
            partition by t.deal_no, x.stage_no, x.edited_at order by t.changed_at desc, t.sequence desc, t.event_id desc
        ) as newest_first
    from touched as x
    inner join events as t on t.deal_no = x.deal_no and t.changed_at < x.edited_at
    inner join staging.stg_stage_eras as n on n.version_no = t.version_no
)

select deal_no, edited_at as changed_at, version_no, era
from before_edit
where newest_first = 1 and sat_in = stage_no and not is_by_status
