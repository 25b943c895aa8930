-- One row per deal with a live event of stage history.
select deal_no, count(*) as event_count
from staging.stg_history
group by deal_no
