-- One row per living deal (not deleted, not merged away), with a short number that stands in for its key; gone before publishing.
select
    cast(any_number() as integer) as deal_no,
    d.deal_key,
    d.source_key,
    coalesce(src.name, d.source_key) as source,
    d.is_primary,
    d.outcome,
    d.amount_reporting
from main.deals as d
left join main.sources as src on src.source_key = d.source_key
where not d.is_deleted
