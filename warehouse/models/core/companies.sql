-- One row per customer organisation of a source; one that only deals name is made from its name.
with versions as (
    select
        source_key,
        company_id,
        name,
        domain,
        country,
        industry,
        row_number() over (
            partition by source_key, company_id
            order by coalesce(updated_at, _read_at) desc, _read_at desc, _mapper_version desc, _sync_seq desc, _ordinal desc
        ) as newest_first
    from landing.companies
),

named_by_deals as (
    select c.company_key, c.source_key, max(c.company_id) as company_id, max(c.company_name) as name
    from staging.stg_deal_companies as c
    where c.company_key is not null
    group by c.company_key, c.source_key
),

known as (
    select source_key || ':company:' || company_id as company_key, source_key, company_id, name, domain, country, industry
    from versions
    where newest_first = 1
    union all
    select
        n.company_key, n.source_key, n.company_id, n.name,
        cast(null as varchar) as domain, cast(null as varchar) as country, cast(null as varchar) as industry
    from named_by_deals as n
    left join versions as v on v.source_key = n.source_key and v.company_id = n.company_id
    where v.company_id is null
)

select
    company_key,
    source_key,
    company_id as source_company_id,
    name,
    domain,
    country,
    industry,
    coalesce(bare_domain(domain), fold_company(name)) as company_norm
from known
