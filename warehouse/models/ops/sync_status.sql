-- One row per source and table: how many rows, how fresh, how complete.
with row_counts as (
    select source_key, 'pipelines' as stream, count(*) as row_count from main.pipelines group by source_key
    union all
    select p.source_key, 'stages' as stream, count(*) as row_count
    from main.stages as s inner join main.pipelines as p on p.pipeline_key = s.pipeline_key group by p.source_key
    union all
    select source_key, 'deals' as stream, count(*) as row_count from main.deals group by source_key
    union all
    select d.source_key, 'stage_changes' as stream, count(*) as row_count
    from main.stage_changes as c inner join main.deals as d on d.deal_key = c.deal_key group by d.source_key
    union all
    select d.source_key, 'field_changes' as stream, count(*) as row_count
    from main.deal_field_changes as c inner join main.deals as d on d.deal_key = c.deal_key group by d.source_key
    union all
    select source_key, 'owners' as stream, count(*) as row_count from main.owners group by source_key
    union all
    select source_key, 'companies' as stream, count(*) as row_count from main.companies group by source_key
),

streams as (
    select distinct stream from row_counts
)

select
    s.source_key,
    t.stream,
    coalesce(c.row_count, 0) as row_count,
    s.last_sync_status,
    s.last_sync_reasons,
    s.last_synced_at,
    s.data_through_at,
    s.last_sync_status <> 'complete' as is_partial,
    s.is_stale
from staging.source_status as s
cross join streams as t
left join row_counts as c
    on c.source_key = s.source_key and c.stream = t.stream
