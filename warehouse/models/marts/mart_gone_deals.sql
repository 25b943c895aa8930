-- One row per deal that was deleted or merged away, numbered below zero beside the living ones of mart_deals; gone before publishing.
select
    -cast(any_number() as integer) as deal_no,
    d.deal_key,
    d.source_key,
    coalesce(src.name, d.source_key) as source,
    d.is_primary,
    d.deleted_at
from main.deals as d
left join main.sources as src on src.source_key = d.source_key
where d.is_deleted
