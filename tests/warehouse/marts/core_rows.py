"""Core tables of a made-up world, as the core models would build them, for tests of the marts alone."""

from __future__ import annotations

from typing import Any

from tests.warehouse.independent.history import Story, field_at, pushes, stories
from tests.warehouse.independent.world import World

Rows = dict[str, list[dict[str, Any]]]


def core_rows(world: World) -> Rows:
    """Rows of every core table, by `schema.table`."""
    told = stories(world)
    return {
        "main.sources": [
            {"source_key": s.key, "name": s.name, "data_through_at": s.data_through, "source_type": s.key}
            for s in world.sources
        ],
        "main.pipelines": [
            {"pipeline_key": p.key, "source_key": p.source, "pipeline": p.name} for p in world.pipelines
        ],
        "main.stages": [
            {
                "stage_key": s.key,
                "source_key": s.pipeline.split(":")[0],
                "pipeline_key": s.pipeline,
                "stage": s.label,
                "canonical_stage": s.canonical,
                "canonical_order": s.ladder,
                "stage_order": s.order,
                "outcome": s.outcome,
                "is_archived": s.is_archived,
                "crm_probability": s.probability,
            }
            for s in world.stages
        ],
        "main.owners": [
            {"owner_key": key, "person_key": person, "name": name, "source_key": key.split(":")[0]}
            for key, (person, name) in world.people.items()
        ],
        "main.companies": [
            {"company_key": key, "industry": industry, "source_key": key.split(":")[0]}
            for key, industry in world.companies.items()
        ],
        "main.deals": [_deal(story) for story in told],
        "main.deal_field_changes": [
            {
                "deal_key": story.key,
                "source_key": story.deal.source,
                "field": c.field,
                "seq": number,
                "changed_at": c.at,
                "old_value": c.old,
                "new_value": c.new,
                "origin": "history",
            }
            for story in told
            for number, c in enumerate(story.deal.changes, start=1)
        ],
        "main.fx_rates": [{"currency": "USD", "rate": 1}],
        "main.stage_changes": [row for story in told for row in _changes(story)],
        "main.stage_intervals": [row for story in told for row in _intervals(story)],
    }


def _deal(story: Story) -> dict[str, Any]:
    deal, last = story.deal, story.visits[-1]
    touches = [deal.last_activity_at, last.entered, *(change.at for change in deal.changes)]
    return {
        "deal_key": deal.key,
        "source_key": deal.source,
        "source_deal_id": deal.key.split(":")[1],
        "unified_deal_id": deal.unified,
        "is_primary": deal.is_primary,
        "name": f"Deal {deal.key}",
        "company_key": deal.company,
        "owner_key": deal.owner,
        "pipeline_key": last.stage.pipeline,
        "stage_key": last.stage.key,
        "canonical_stage": last.stage.canonical,
        "lead_source": deal.lead_source,
        "deal_type": deal.deal_type,
        "lost_reason": deal.lost_reason,
        "deal_url": f"https://crm.example/{deal.key}",
        "amount": deal.amount,
        "amount_reporting": deal.amount,
        "currency": "USD",
        "fx_rate": 1,
        "created_at": deal.created_at,
        "started_at": story.started_at,
        "outcome": story.outcome,
        "closed_at": story.closed_at,
        "closing_pipeline_key": story.closing_pipeline,
        "closing_owner_key": story.closing_owner,
        "expected_close_date": deal.close_date,
        "last_open_stage_key": story.last_open_stage,
        "push_count": pushes(story),
        "last_activity_at": deal.last_activity_at,
        "next_activity_at": deal.next_activity_at,
        "last_touch_at": max(touch for touch in touches if touch is not None),
        "crm_probability": deal.probability,
        "presence": deal.presence,
        "deleted_at": deal.deleted_at,
        "is_deleted": deal.deleted_at is not None,
        "is_archived": deal.presence == "archived",
        "merged_into_deal_key": deal.merged_into,
    }


def _intervals(story: Story) -> list[dict[str, Any]]:
    return [
        {
            "deal_key": story.key,
            "source_key": story.deal.source,
            "seq": number,
            "pipeline_key": visit.stage.pipeline,
            "stage_key": visit.stage.key,
            "canonical_stage": visit.stage.canonical,
            "outcome": visit.outcome,
            "visit_number": visit.number,
            "entered_at": visit.entered,
            "exited_at": visit.exited,
            "is_current": visit.exited is None,
            "entry_movement": visit.movement,
            "exit_movement": visit.exit_movement,
            "is_backward": visit.movement == "backward",
            "is_reopen": visit.movement == "reopen",
            "is_censored": visit.is_open and visit.exited is None,
            "is_left_censored": visit.unseen_entry,
            "is_deleted_deal": story.deal.deleted_at is not None,
            "deleted_at": story.deal.deleted_at,
            "dwell_ms": visit.milliseconds if visit.is_open else None,
            "dwell_days": visit.days if visit.is_open else None,
            "owner_key": field_at(story.deal, "owner", visit.entered),
        }
        for number, visit in enumerate(story.visits, start=1)
    ]


def _changes(story: Story) -> list[dict[str, Any]]:
    rows = []
    for number, visit in enumerate(story.visits, start=1):
        before = story.visits[number - 2] if number > 1 else None
        rows.append(
            {
                "deal_key": story.key,
                "source_key": story.deal.source,
                "seq": number,
                "changed_at": visit.entered,
                "from_pipeline_key": before.stage.pipeline if before else None,
                "from_stage_key": before.stage.key if before else None,
                "to_pipeline_key": visit.stage.pipeline,
                "to_stage_key": visit.stage.key,
                "to_canonical_stage": visit.stage.canonical,
                "movement": visit.movement,
                "days_in_from_stage": before.days if before else None,
                "evidence": "observed" if visit.unseen_entry else "exact",
            }
        )
    return rows
