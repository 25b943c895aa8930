"""The `ops` tables that come from outside the models: sync reports, check results, what a build was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse.runner import Check, CheckResult, Description, add_comments, insert_rows
from warehouse.seeds import threshold_descriptions

if TYPE_CHECKING:
    from warehouse.landing.reading import Snapshot

#: Columns of `staging.source_status` and their types.
SOURCE_STATUS = {
    "source_key": "VARCHAR",
    "source_type": "VARCHAR",
    "account_id": "VARCHAR",
    "name": "VARCHAR",
    "deep_link": "VARCHAR",
    "time_zone": "VARCHAR",
    "home_currency": "VARCHAR",
    "last_synced_at": "TIMESTAMP",
    "data_through_at": "TIMESTAMP",
    "history_starts_at": "TIMESTAMP",
    "last_sync_status": "VARCHAR",
    "last_sync_reasons": "VARCHAR",
    "is_stale": "BOOLEAN",
}

_SYNC_RUNS = {
    "source_key": "VARCHAR",
    "sync_id": "VARCHAR",
    "status": "VARCHAR",
    "reasons": "VARCHAR",
    "started_at": "TIMESTAMP",
    "ended_at": "TIMESTAMP",
    "is_full": "BOOLEAN",
    "rows_read": "BIGINT",
    "rows_new": "BIGINT",
    "rows_changed": "BIGINT",
    "rows_deleted": "BIGINT",
    "rows_rejected": "BIGINT",
    "calls": "BIGINT",
    "quota_left": "BIGINT",
    "rows_by_stream": "VARCHAR",
    "calls_by_endpoint": "VARCHAR",
    "cursors_before": "VARCHAR",
    "cursors_after": "VARCHAR",
    "warnings": "VARCHAR",
}

_DRIFT = {
    "source_key": "VARCHAR",
    "found_at": "TIMESTAMP",
    "object_type": "VARCHAR",
    "field_code": "VARCHAR",
    "change": "VARCHAR",
    "detail": "VARCHAR",
}

_CHECKS = {
    "check_name": "VARCHAR",
    "table_name": "VARCHAR",
    "severity": "VARCHAR",
    "status": "VARCHAR",
    "failing_count": "BIGINT",
    "description": "VARCHAR",
    "source_keys": "VARCHAR",
    "sample": "VARCHAR",
    "as_of_at": "TIMESTAMP",
}

#: Checks on tables of this module.
CHECKS = [
    Check(
        name="canonical_stage_unchanged_since_last_build",
        table="main.stages",
        severity="warn",
        description="A returned row is a stage that counts as another canonical stage than in the last published build, so past figures "
        "change. If that is meant, the next build is silent; if not, `muara stages pin` freezes the old answers.",
        sql="select p.source_key, s.stage_key, s.stage, b.canonical_stage as before, s.canonical_stage as now "
        "from ops.previous_stage_answers as b inner join main.stages as s on s.stage_key = b.stage_key "
        "inner join main.pipelines as p on p.pipeline_key = s.pipeline_key where s.canonical_stage <> b.canonical_stage",
    )
]

_COMMENTS = {
    "ops.sync_runs": Description(
        description="One row per sync of a source: what it read, what it cost, whether it was complete. Newest last by started_at.",
        columns={
            "source_key": "The source, as named in its YAML.",
            "sync_id": "Id of the sync; its full report lies in the landing folder under this name.",
            "status": "complete, partial (stopped early, the rest follows), suspicious (something vanished or fell), failed or running.",
            "reasons": "Why it was not complete, in words.",
            "started_at": "Start, UTC.",
            "ended_at": "End, UTC; NULL when it was interrupted.",
            "is_full": "True for a full re-read.",
            "rows_read": "Records that the source gave.",
            "rows_new": "Of these, keys not held before.",
            "rows_changed": "Of these, new versions of keys held before.",
            "rows_deleted": "Keys marked as gone.",
            "rows_rejected": "Rows put aside with a reason (ops.rejected_rows).",
            "calls": "API calls (or tokens, where the vendor counts those) that it used.",
            "quota_left": "What the vendor said is left of the account's daily quota; NULL when it does not say.",
            "rows_by_stream": "The same row counts by stream, JSON.",
            "calls_by_endpoint": "Calls by endpoint, JSON.",
            "cursors_before": "Cursors at the start, JSON.",
            "cursors_after": "Cursors at the end, JSON.",
            "warnings": "What a person should know, one per line.",
        },
    ),
    "ops.schema_drift": Description(
        description="One row per change of a source's fields between two syncs: new, gone, renamed, retyped. Old rows keep their values.",
        columns={
            "source_key": "The source, as named in its YAML.",
            "found_at": "Start of the sync that found it, UTC.",
            "object_type": "What the field belongs to.",
            "field_code": "The vendor's own name of the field.",
            "change": "new, gone, renamed or retyped.",
            "detail": "Before and after, in words.",
        },
    ),
    "ops.checks": Description(
        description="One row per check of this build. An error would have kept the build from being published; a warn is for you to read.",
        columns={
            "check_name": "Name of the check, unique.",
            "table_name": "The table it is about.",
            "severity": "error or warn.",
            "status": "pass or fail.",
            "failing_count": "How many offending rows it found.",
            "description": "What an offending row means and what to do.",
            "source_keys": "Sources that the offending rows belong to, JSON list; NULL when they cannot be told apart.",
            "sample": "Up to 20 offending rows, JSON.",
            "as_of_at": "The build's as_of, UTC.",
        },
    ),
    "ops.build_info": Description(
        description="One row per fact about this build: every input, setting and version it was made from.",
        columns={"item": "What the fact is.", "value": "Its value as text (JSON where it has parts)."},
    ),
    "ops.previous_stage_answers": Description(
        description="One row per stage of the last published build with its canonical stage then, to notice when an answer changes.",
        columns={
            "stage_key": "Key of the stage.",
            "canonical_stage": "What it counted as in the last published build.",
        },
    ),
}

_STAGING_COMMENTS = {
    "staging.settings": Description(
        description="One row: the settings of this build that the models use.",
        columns={
            "as_of_at": "Events at or after this UTC instant do not exist for this build.",
            "reporting_currency": "Currency of every *_amount in the marts.",
            "reporting_timezone": "Zone in which days, months and quarters begin.",
        },
    ),
    "staging.source_status": Description(
        description="One row per configured source: account facts and how far its data goes. Read by main.sources.",
        columns={
            "source_key": "The source, as named in its YAML.",
            "source_type": "The connector: salesforce, hubspot, pipedrive, spreadsheet or a plug-in's name.",
            "account_id": "The vendor's id of the account.",
            "name": "Name of the account.",
            "deep_link": "Address of a deal in the CRM with {id} for its id.",
            "time_zone": "The account's time zone.",
            "home_currency": "The account's own currency.",
            "last_synced_at": "End of the last sync that stored anything, UTC.",
            "data_through_at": "Start of the last complete sync, UTC; of dated sheets the end of the newest one's day.",
            "history_starts_at": "First instant for which the source's stage history is complete, UTC; NULL when unknown.",
            "last_sync_status": "Status of the last sync.",
            "last_sync_reasons": "Why it was not complete, in words.",
            "is_stale": "True when this build shows the source at an older state.",
        },
    ),
    "staging.seed_fx_rates": Description(
        description="One row per line of the project's rates file.",
        columns={
            "currency": "ISO code.",
            "rate": "Units of the reporting currency per one unit.",
            "rate_date": "Day of the rate.",
            "source": "Where the rate comes from.",
        },
    ),
    "staging.seed_source_priority": Description(
        description="One row per source in the order in which copies of one deal are preferred.",
        columns={"source_key": "The source.", "priority": "1 is best."},
    ),
    "staging.seed_canonical_stages": Description(
        description="One row per canonical stage.",
        columns={
            "canonical_stage": "Its name.",
            "canonical_order": "Its rung on the open ladder; NULL off the ladder.",
            "list_order": "Order in lists.",
            "outcome": "open, won or lost.",
            "temperature": "cold, warm or hot when nothing else is known.",
        },
    ),
    "staging.seed_deal_links": Description(
        description="One row per line of the project's deal_links file: deals joined or parted by hand.",
        columns={
            "source_key": "The source.",
            "source_deal_id": "The deal's own id there.",
            "link_group": "Lines with the same group are one deal.",
            "is_match": "False parts a deal from the group.",
        },
    ),
}


def create_source_status(
    con: duckdb.DuckDBPyConnection, snapshot: Snapshot, connectors: Mapping[str, str], *, at_sequence: Mapping[str, int]
) -> None:
    """`staging.source_status`: one row per configured source, also for one that never synced. The `landing` views must be there."""
    facts = {row["source_key"]: row for row in snapshot.source_facts(at_sequence)}
    rows = [
        {**facts.get(key, {}), "source_key": key, "source_type": connector, "is_stale": key in at_sequence}
        for key, connector in sorted(connectors.items())
    ]
    insert_rows(con, "staging.source_status", SOURCE_STATUS, rows)
    con.execute(_DATED_SOURCES)


#: However late a dated sheet is read, it tells what was so on its day and nothing after it. A source counts as dated when the deals that
#: were landed last are; an older snapshot that comes later takes nothing back.
_DATED_SOURCES = """
    update staging.source_status as s
    set data_through_at = least(s.data_through_at, d.through_at)
    from (
        select l.source_key, max(l.read_at) + interval 1 day as through_at
        from landing.deals as l
        inner join (select source_key, max(_sync_seq) as newest from landing.deals group by source_key) as n
            on n.source_key = l.source_key
        group by l.source_key
        having sum(case when l._sync_seq = n.newest and l.read_at is null then 1 else 0 end) = 0
    ) as d
    where d.source_key = s.source_key and s.data_through_at is not null
"""


def create_sync_runs(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """`ops.sync_runs` and `ops.schema_drift`, from the sync reports."""
    insert_rows(con, "ops.sync_runs", _SYNC_RUNS, snapshot.sync_rows())
    insert_rows(con, "ops.schema_drift", _DRIFT, snapshot.drift_rows())


def create_previous_answers(con: duckdb.DuckDBPyConnection, answers: Mapping[str, str]) -> None:
    """`ops.previous_stage_answers`: the stage answers of the last published build."""
    rows = [{"stage_key": key, "canonical_stage": stage} for key, stage in sorted(answers.items())]
    insert_rows(con, "ops.previous_stage_answers", {"stage_key": "VARCHAR", "canonical_stage": "VARCHAR"}, rows)


def create_checks(con: duckdb.DuckDBPyConnection, results: Sequence[CheckResult], *, as_of: str) -> None:
    """`ops.checks`: every check of this build with its result."""
    rows = [
        {
            "check_name": result.name,
            "table_name": result.table,
            "severity": result.severity,
            "status": "pass" if result.passed else "fail",
            "failing_count": result.failing,
            "description": result.description,
            "source_keys": None if result.source_keys is None else json.dumps(list(result.source_keys)),
            "sample": json.dumps(list(result.sample), default=str, ensure_ascii=False),
            "as_of_at": as_of,
        }
        for result in results
    ]
    insert_rows(con, "ops.checks", _CHECKS, rows)


def create_build_info(con: duckdb.DuckDBPyConnection, info: Mapping[str, Any]) -> None:
    """`ops.build_info`: one row per fact."""
    rows = [{"item": item, "value": value} for item, value in info.items()]
    insert_rows(con, "ops.build_info", {"item": "VARCHAR", "value": "VARCHAR"}, rows)


def add_own_comments(con: duckdb.DuckDBPyConnection) -> None:
    """Comments of the tables made here and in `warehouse.seeds`."""
    for table, about in {**_COMMENTS, **_STAGING_COMMENTS}.items():
        add_comments(con, table, about)
    add_comments(
        con,
        "staging.settings",
        Description(description=_STAGING_COMMENTS["staging.settings"].description, columns=threshold_descriptions()),
    )
