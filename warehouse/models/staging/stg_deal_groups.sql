-- One row per deal that is linked with another: its group and whether it stands for the group.
select cast(null as bigint) as deal_no, cast(null as varchar) as unified_deal_id, false as is_primary
from staging.stg_deal_pairs
where false
