-- One row per source: how far back the amounts of its deals are known; gone before publishing.
select
    s.source_key,
    case max(case c.origin when 'history' then 2 when 'snapshot_diff' then 1 else 0 end)
        when 2 then 'history'
        when 1 then 'snapshot_diff'
        else 'current'
    end as amount_basis
from main.sources as s
left join (
    select distinct source_key, origin from main.deal_field_changes where field in ('amount', 'currency')
) as c on c.source_key = s.source_key
group by s.source_key
