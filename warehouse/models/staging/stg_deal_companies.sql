-- One row per deal: its name, the company it names (by id where it has one, else by folded name), and its ids elsewhere.
with latest as (
    select
        d.deal_no,
        d.source_key,
        l.name,
        l.company_id,
        nullif(trim(l.company_name), '') as company_name,
        case when l.foreign_ids <> '{}' then l.foreign_ids end as foreign_ids
    from staging.stg_deals as d
    inner join landing.deals as l
        on l.source_key = d.source_key and l._sync_seq = d.sync_seq and l._ordinal = d.ordinal
)

select
    deal_no,
    source_key,
    name,
    company_id,
    company_name,
    case
        when company_id is not null then source_key || ':company:' || company_id
        when company_name is not null then source_key || ':company:name=' || coalesce(fold_company(company_name), company_name)
    end as company_key,
    foreign_ids
from latest
