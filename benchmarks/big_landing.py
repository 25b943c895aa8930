"""A landing zone of any size, written by DuckDB: made-up deals and stage changes in the declared columns, two sources.

Every figure is derived from the row's number by hashing, so two runs give the same files. About six stage changes a deal, with skips, steps
back, reopenings, repeats and open deals; amounts missing now and then. The last change of a deal's history is where the deal stands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb

STAGES = ("lead", "qualified", "meeting", "proposal", "negotiation", "contract", "won", "lost")
NAMES = (
    "Prospecting",
    "Qualified",
    "Meeting held",
    "Proposal sent",
    "Negotiation",
    "Contract sent",
    "Closed won",
    "Closed lost",
)

_DEALS = """
create or replace temp table d as
select i,
       hash(i * 7 + {salt}) % 1000 / 1000.0 as u1,
       1 + (hash(i * 17 + {salt}) % 11)::int as n_changes,
       timestamp '2023-01-01' + to_seconds((hash(i * 19 + {salt}) % 78883200)::bigint) as created_at
from range({first}, {last}) as r(i)
"""

# Up by one most of the time, sometimes by two, sometimes back by one, at the top to and fro; hours to two weeks between changes, so that
# times rise with k and the last change of the latest deal lies before the reading of 2026-01-01. One row in 30 repeats its stage, as rows
# written for another field do.
_CHANGES = """
create or replace temp table c as
with steps as (
    select i, k, n_changes, u1, created_at,
           case when k = 0 then hash(i * 43) % 2 else 3600 + hash(i * 31 + k) % 1292400 end::bigint as seconds,
           case when k = 0 then (hash(i * 43) % 4 = 0)::int
                when hash(i * 41 + k) % 30 < 20 then 1 when hash(i * 41 + k) % 30 < 24 then 2 when hash(i * 41 + k) % 30 < 29 then -1
                else 0 end as step
    from d, unnest(range(0, d.n_changes)) as s(k)
),
walked as (
    select i, k, n_changes, u1,
           created_at + to_seconds(sum(seconds) over path) as changed_at,
           greatest(sum(step) over path, 0)::int as height
    from steps
    window path as (partition by i order by k)
)
select i, k, n_changes, changed_at,
       case when k = n_changes - 1 and n_changes > 3 and u1 < 0.30 then 6
            when k = n_changes - 1 and n_changes > 3 and u1 < 0.75 then 7
            when k = n_changes - 3 and n_changes > 6 and u1 > 0.95 then 7
            when height > 5 then 5 - height % 2
            else height end as stage_index
from walked
"""


def write(
    folder: Path, *, deals: int, rows_per_part: int = 250_000, memory: str = "2GB"
) -> dict[str, dict[str, list[Path]]]:
    """Write parts below `folder` for sources crm_a and crm_b; returns source -> stream -> files (in writing order)."""
    found: dict[str, dict[str, list[Path]]] = {}
    with duckdb.connect() as con:
        con.execute(f"set memory_limit = '{memory}'; set threads = 2; set preserve_insertion_order = false")
        con.execute(f"set temp_directory = '{folder / 'spill'}'")
        con.execute(
            "create table stage_names as select * from (values "
            + ", ".join(
                f"({index}, '{stage}', '{name}')" for index, (stage, name) in enumerate(zip(STAGES, NAMES, strict=True))
            )
            + ") as t(stage_index, stage_id, name)"
        )
        for salt, source in enumerate(("crm_a", "crm_b")):
            half = deals // 2
            found[source] = _source(con, folder / source, salt, salt * half, half, rows_per_part)
    return found


def _source(
    con: duckdb.DuckDBPyConnection, folder: Path, salt: int, first: int, count: int, step: int
) -> dict[str, list[Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[Path]] = {"deals": [], "stage_changes": [], "history_reads": []}
    stamps = "timestamp '2026-01-01' as _read_at, 1::bigint as _sync_seq, i as _ordinal, 1::bigint as _mapper_version, '' as _hash"
    for number, start in enumerate(range(first, first + count, step)):
        con.execute(_DEALS.format(salt=salt, first=start, last=min(start + step, first + count)))
        con.execute(_CHANGES)
        last = "(select i, arg_max(stage_index, k) as stage_index, max(changed_at) as updated_at from c group by i)"
        _copy(
            con,
            files,
            folder,
            "deals",
            number,
            f"""
            select i::varchar as _key, {stamps}, i::varchar as deal_id, 'Deal ' || i as name, 'p' || (i % 2) as pipeline_id,
                   s.stage_id, case when hash(i * 3) % 10 = 0 then null else (hash(i * 5) % 100000)::decimal(18, 4) end as amount,
                   'USD' as currency, created_at, l.updated_at, (created_at + interval 90 day)::date as expected_close_date,
                   'o' || (i % 50) as owner_id, 'c' || (i % 20000) as company_id, 'web' as lead_source, 'new' as deal_type,
                   'present' as presence, false as dates_only, '{{}}' as foreign_ids, '{{"Region": "' || (i % 9) || '"}}' as custom_fields,
                   '{{"Id": "' || i || '", "Text": "' || repeat(md5(i::varchar), 8) || '"}}' as raw
            from d join {last} as l using (i) join stage_names as s using (stage_index)""",
        )
        _copy(
            con,
            files,
            folder,
            "stage_changes",
            number,
            f"""
            select i || ':' || i || '-' || k as _key, {stamps}, i::bigint as _read_ordinal,
                   i || '-' || k as event_id, i::varchar as deal_id, changed_at,
                   s.stage_id as to_stage_id, 'p' || (i % 2) as to_pipeline_id, 'o' || (i % 50) as changed_by_id, k::bigint as sequence,
                   'exact' as evidence, 'instant' as "precision", '{{"Id": "' || i || '-' || k || '", "StageName": "' || s.name || '"}}' as raw
            from c join stage_names as s using (stage_index)""",
        )
        _copy(
            con,
            files,
            folder,
            "history_reads",
            number,
            f"""
            select i::varchar as _key, {stamps}, i::varchar as deal_id, true as complete, false as is_combined from d""",
        )
    return files | _reference(con, folder, stamps)


def _reference(con: duckdb.DuckDBPyConnection, folder: Path, stamps: str) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {"pipelines": [], "stages": [], "owners": [], "companies": [], "sources": []}
    _copy(
        con,
        files,
        folder,
        "pipelines",
        0,
        f"""
        select 'p' || i as _key, {stamps}, 'p' || i as pipeline_id, 'Pipeline ' || i as name, i as display_order, true as is_active,
               false as is_deleted, '{{}}' as raw from range(2) as r(i)""",
    )
    _copy(
        con,
        files,
        folder,
        "stages",
        0,
        f"""
        select 'p' || i || ':' || stage_id as _key, {stamps}, 'p' || i as pipeline_id, stage_id, name, stage_index::bigint as display_order,
               case stage_index when 6 then 'won' when 7 then 'lost' else 'open' end as outcome,
               case stage_index when 6 then 1.0 when 7 then 0.0 else 0.1 * (stage_index + 1) end as probability,
               false as is_archived, false as is_synthetic, '{{}}' as raw from range(2) as r(i), stage_names""",
    )
    _copy(
        con,
        files,
        folder,
        "owners",
        0,
        f"""
        select 'o' || i as _key, {stamps}, 'o' || i as owner_id, 'Owner ' || i as name, 'o' || i || '@example.com' as email, true as is_active,
               '{{}}' as raw from range(50) as r(i)""",
    )
    _copy(
        con,
        files,
        folder,
        "companies",
        0,
        f"""
        select 'c' || i as _key, {stamps}, 'c' || i as company_id, 'Company ' || i || ' ' || '{folder.name}' as name, '{{}}' as raw
        from range(20000) as r(i)""",
    )
    _copy(
        con,
        files,
        folder,
        "sources",
        0,
        f"""
        select 'acc' as _key, {stamps}, 'acc' as account_id, '{folder.name}' as name, '{{}}' as raw from range(1) as r(i)""",
    )
    return files


def _copy(
    con: duckdb.DuckDBPyConnection, files: dict[str, list[Path]], folder: Path, stream: str, number: int, sql: str
) -> None:
    path = folder / stream / f"{number:06d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"copy ({sql}) to '{path}' (format parquet, compression zstd)")
    files[stream].append(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--deals", type=int, default=1_000_000)
    given = parser.parse_args()
    for source, streams in write(given.folder, deals=given.deals).items():
        for stream, paths in streams.items():
            print(source, stream, len(paths), f"{sum(p.stat().st_size for p in paths) / 1e6:.1f} MB")
