-- One row per change of a deal's amount, currency, expected close date, owner or pipeline.
select
    d.deal_key,
    d.source_key,
    c.field,
    c.seq,
    c.changed_at,
    c.old_value,
    c.new_value,
    c.origin
from staging.stg_field_changes as c
inner join staging.stg_deal_facts as d on d.deal_no = c.deal_no
where c.changed_at < d.as_of_at
