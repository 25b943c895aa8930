-- One row per user of a source who owns deals, people who left included.
with versions as (
    select
        source_key,
        owner_id,
        name,
        email,
        is_active,
        row_number() over (
            partition by source_key, owner_id
            order by coalesce(updated_at, _read_at) desc, _read_at desc, _mapper_version desc, _sync_seq desc, _ordinal desc
        ) as newest_first
    from landing.owners
),

known as (
    select source_key, owner_id, name, email, is_active from versions where newest_first = 1
    union all
    -- an owner that only a deal names
    select distinct d.source_key, d.owner_id, cast(null as varchar) as name, cast(null as varchar) as email, cast(null as boolean) as is_active
    from staging.stg_deal_versions as d
    left join versions as v on v.source_key = d.source_key and v.owner_id = d.owner_id
    where d.owner_id is not null and v.owner_id is null
)

select
    source_key || ':owner:' || owner_id as owner_key,
    source_key,
    owner_id as source_owner_id,
    name,
    email,
    is_active,
    coalesce(nullif(lower(trim(email)), ''), source_key || ':owner:' || owner_id) as person_key
from known
