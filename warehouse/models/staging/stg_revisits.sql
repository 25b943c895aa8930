-- One row per visit of a stage that the deal had visited before.
with counted as (
    select
        p.deal_no,
        p.seq,
        row_number() over (partition by p.deal_no, e.stage_no order by p.seq) as visit_number
    from staging.stg_path as p
    inner join staging.stg_deal_path as d on d.deal_no = p.deal_no and d.may_revisit
    inner join staging.stg_stage_eras as e on e.version_no = p.version_no
)

select deal_no, seq, cast(visit_number as integer) as visit_number
from counted
where visit_number > 1
