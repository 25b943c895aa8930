"""The made-up world as a landing zone would hold it, and the whole warehouse built from that: staging, core and marts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import duckdb

from tests.warehouse.core.world import core_models, landing_columns
from tests.warehouse.independent.world import PILOT_EDIT, Deal, Event, Stage, World
from tests.warehouse.marts.harness import load, marts
from warehouse.runner import MODELS, AnyModel, Description, PythonModel, in_order, run_models
from warehouse.seeds import create_settings
from warehouse.settings import load_settings

Rows = dict[str, list[dict[str, Any]]]
PILOT = "force:sales:Pilot"
READ_AT = datetime.fromisoformat("2026-02-01")


def told_by_history(world: World) -> World:
    """The same world, with every move but a deal's last one seen by its CRM: an `observed` last move stays a gap in the history."""
    deals = []
    for deal in world.deals:
        known = [event for event in deal.events if event.at < world.as_of]
        gap = (
            known[-1] if len(known) > 1 and known[-1].at > known[-2].at and known[-1].stage != known[-2].stage else None
        )
        events = [
            replace(event, evidence="exact")
            if event.evidence == "observed" and event is not gap and not _is_edit(event)
            else event
            for event in (known if gap and gap.evidence == "observed" else deal.events)
        ]
        deals.append(replace(deal, events=events))
    return replace(world, deals=deals)


def _is_edit(event: Event) -> bool:
    return event.stage == PILOT and event.at == PILOT_EDIT


def landing_rows(world: World) -> Rows:
    """Rows of every landing view. Edits of stages and a last `observed` move are left for the build to find."""
    ordinals = iter(range(10**9))

    def row(source: str, key: str, read_at: datetime, /, **values: Any) -> dict[str, Any]:
        number = next(ordinals)
        meta = {
            "source_key": source,
            "_key": key,
            "_read_at": read_at,
            "_sync_seq": number,
            "_ordinal": number,
            "_mapper_version": 1,
        }
        return {**meta, **values}

    landed: Rows = {name: [] for name in ("pipelines", "stages", "owners", "companies", "deals", "history_reads")}
    landed |= {name: [] for name in ("stage_changes", "field_changes", "presence", "sources", "currency_rates")}
    for pipeline in world.pipelines:
        ident = pipeline.key.split(":")[1]
        landed["pipelines"].append(
            row(
                pipeline.source, ident, READ_AT, pipeline_id=ident, name=pipeline.name, is_active=True, is_deleted=False
            )
        )
    for stage in world.stages:
        _land_stage(landed, row, stage)
    for owner, (person, name) in world.people.items():
        source, _, ident = owner.split(":")
        email = person if "@" in person else None
        landed["owners"].append(row(source, ident, READ_AT, owner_id=ident, name=name, email=email, is_active=True))
    for company, industry in world.companies.items():
        source, _, ident = company.split(":")
        landed["companies"].append(
            row(source, ident, READ_AT, company_id=ident, name=f"{source} {ident}", industry=industry)
        )
    for deal in world.deals:
        _land_deal(landed, row, deal)
    return landed


def _land_stage(landed: Rows, row: Any, stage: Stage) -> None:
    source, pipeline, ident = stage.key.split(":")
    base = {
        "pipeline_id": pipeline,
        "stage_id": ident,
        "name": ident,
        "display_order": stage.order,
        "outcome": stage.outcome,
    }
    base |= {"is_archived": stage.is_archived, "is_synthetic": False, "probability": stage.probability}
    if stage.key == PILOT:  # open until it was edited into a win
        landed["stages"].append(
            row(source, f"{pipeline}:{ident}", datetime.fromisoformat("2024-01-01"), **{**base, "outcome": "open"})
        )
        landed["stages"].append(row(source, f"{pipeline}:{ident}", PILOT_EDIT, **base))
        return
    landed["stages"].append(row(source, f"{pipeline}:{ident}", datetime.fromisoformat("2024-01-01"), **base))


def _land_deal(landed: Rows, row: Any, deal: Deal) -> None:
    source, ident = deal.key.split(":")
    last = deal.events[-1]
    told = [event for event in deal.events if event.evidence != "observed"]
    seen_at = last.at if last.evidence == "observed" and not _is_edit(last) else READ_AT
    values = {
        "deal_id": ident,
        "name": f"Deal {deal.key}",
        "pipeline_id": last.stage.split(":")[1],
        "stage_id": last.stage.split(":")[2],
        "amount": deal.amount,
        "currency": "USD",
        "created_at": deal.created_at,
        "expected_close_date": deal.close_date,
        "owner_id": deal.owner and deal.owner.split(":")[2],
        "company_id": deal.company and deal.company.split(":")[2],
        "lead_source": deal.lead_source,
        "deal_type": deal.deal_type,
        "lost_reason": deal.lost_reason,
        "probability": deal.probability,
        "last_activity_at": deal.last_activity_at,
        "next_activity_at": deal.next_activity_at,
        "presence": "present",
        "url": f"https://crm.example/{deal.key}",
        "dates_only": source == "sheet",
        "foreign_ids": "{}",
        "custom_fields": "{}",
    }
    landed["deals"].append(row(source, ident, seen_at, **values))
    reading = row(source, ident, seen_at, deal_id=ident, complete=True, is_combined=False)
    landed["history_reads"].append(reading)
    for event in told:
        landed["stage_changes"].append(
            row(
                source,
                f"{ident}:e{event.sequence:03}",
                seen_at,
                _read_ordinal=reading["_ordinal"],
                deal_id=ident,
                event_id=f"e{event.sequence:03}",
                changed_at=event.at,
                to_pipeline_id=event.stage.split(":")[1],
                to_stage_id=event.stage.split(":")[2],
                sequence=event.sequence,
                evidence=event.evidence,
                precision="instant",
            )
        )
    for number, change in enumerate(deal.changes):
        old, new = (
            (value and value.split(":")[-1]) if change.field == "owner" else value for value in (change.old, change.new)
        )
        landed["field_changes"].append(
            row(
                source,
                f"{ident}:f{number:03}",
                seen_at,
                _read_ordinal=reading["_ordinal"],
                deal_id=ident,
                event_id=f"f{number:03}",
                field=change.field,
                changed_at=change.at,
                old_value=old,
                new_value=new,
                sequence=number,
            )
        )
    if deal.presence != "present":
        landed["presence"].append(
            row(
                source,
                f"deals:{ident}",
                READ_AT + timedelta(days=1) if deal.deleted_at else READ_AT,
                stream="deals",
                key=ident,
                kind=deal.presence,
                gone_at=deal.deleted_at or deal.events[0].at,
                survivor=deal.merged_into and deal.merged_into.split(":")[1],
            )
        )


def build_whole(world: World) -> duckdb.DuckDBPyConnection:
    """Staging, core and marts of a world, in memory."""
    con = duckdb.connect(config={"threads": "1"})
    for schema in ("landing", "staging", "ops"):
        con.execute(f"create schema {schema}")
    con.execute((MODELS / "macros.sql").read_text(encoding="utf-8"))
    landed = landing_rows(world)
    for stream, found in landed.items():
        load(con, f"landing.{stream}", landing_columns(stream), found)
    create_settings(con, load_settings({"reporting_timezone": world.zone}), as_of=str(world.as_of))
    _seed(con, world)
    models: list[AnyModel] = [*core_models(), *marts(), _answers(world)]
    run_models(con, in_order(models))
    return con


def _seed(con: duckdb.DuckDBPyConnection, world: World) -> None:
    status = {
        "source_key": "VARCHAR",
        "source_type": "VARCHAR",
        "account_id": "VARCHAR",
        "name": "VARCHAR",
        "deep_link": "VARCHAR",
    }
    status |= {
        "time_zone": "VARCHAR",
        "home_currency": "VARCHAR",
        "last_synced_at": "TIMESTAMP",
        "data_through_at": "TIMESTAMP",
    }
    status |= {
        "history_starts_at": "TIMESTAMP",
        "last_sync_status": "VARCHAR",
        "last_sync_reasons": "VARCHAR",
        "is_stale": "BOOLEAN",
    }
    load(
        con,
        "staging.source_status",
        status,
        [
            {
                "source_key": s.key,
                "source_type": "crm",
                "name": s.name,
                "last_synced_at": READ_AT,
                "data_through_at": s.data_through,
            }
            for s in world.sources
        ],
    )
    load(
        con,
        "staging.seed_fx_rates",
        {"currency": "VARCHAR", "rate": "DECIMAL(24,12)", "rate_date": "DATE", "source": "VARCHAR"},
        [],
    )
    priorities = [{"source_key": key, "priority": rank} for rank, key in enumerate(("force", "spot", "sheet"), start=1)]
    load(con, "staging.seed_source_priority", {"source_key": "VARCHAR", "priority": "INTEGER"}, priorities)
    links = [
        {"source_key": d.source, "source_deal_id": d.key.split(":")[1], "link_group": d.unified, "is_match": True}
        for d in world.deals
        if d.unified.startswith("one:")
    ]
    kinds = {"source_key": "VARCHAR", "source_deal_id": "VARCHAR", "link_group": "VARCHAR", "is_match": "BOOLEAN"}
    load(con, "staging.seed_deal_links", kinds, links)
    stages = {stage.canonical: (stage.ladder, stage.outcome) for stage in world.stages}
    columns = {
        "canonical_stage": "VARCHAR",
        "canonical_order": "INTEGER",
        "list_order": "INTEGER",
        "outcome": "VARCHAR",
        "temperature": "VARCHAR",
    }
    rows = [
        {"canonical_stage": name, "canonical_order": order, "outcome": outcome}
        for name, (order, outcome) in stages.items()
    ]
    load(con, "staging.seed_canonical_stages", columns, rows)


def _answers(world: World) -> PythonModel:
    """A normaliser that knows every stage of the world."""

    def run(con: duckdb.DuckDBPyConnection) -> None:
        known = {stage.key: stage for stage in world.stages}
        labels = con.execute(
            "select source_key, pipeline_id, stage_id, valid_from, outcome_flag from staging.stg_stage_labels"
        ).fetchall()
        columns = {
            "source_key": "VARCHAR",
            "pipeline_id": "VARCHAR",
            "stage_id": "VARCHAR",
            "valid_from": "TIMESTAMP",
            "canonical_stage": "VARCHAR",
        }
        columns |= {
            "outcome": "VARCHAR",
            "mapping_method": "VARCHAR",
            "mapping_confidence": "DOUBLE",
            "mapping_explanation": "VARCHAR",
        }
        answers = [
            {
                "source_key": source,
                "pipeline_id": pipeline,
                "stage_id": stage,
                "valid_from": valid_from,
                "canonical_stage": known[f"{source}:{pipeline}:{stage}"].canonical,
                "outcome": flag,
                "mapping_method": "dictionary",
                "mapping_confidence": 1.0,
            }
            for source, pipeline, stage, valid_from, flag in labels
        ]
        load(con, "staging.stage_answers", columns, answers)

    return PythonModel(
        schema="staging",
        name="stage_answers",
        reads=frozenset({"staging.stg_stage_labels"}),
        run=run,
        about=Description(description="Every stage of the world, known beforehand."),
    )
