"""Every check of the core tables catches the broken input that it is for, and is silent on a sound world."""

from __future__ import annotations

from functools import cache

import pytest

from tests.warehouse.core.world import Built, World, core_models, day

CHECKS = {check.name: check for model in core_models() for check in model.checks()}
GRAINS = {f"{model.name}_key": model for model in core_models() if model.about.grain}


@cache
def sound() -> Built:
    """Two sources, six deals, nothing wrong with them."""
    world = World(as_of=100).source("sf", "salesforce").source("hs", "hubspot")
    for key in ("sf", "hs"):
        world.pipeline(["P", "Q", "R", "Won", "Lost"], source_key=key)
        world.stage("Q", 2, "open", source_key=key, name="Kualifikasi", read=20)
        for number in range(3):
            events = [("P", number), ("Q", 5 + number), ("Won", 9)] if number else [("P", 0), ("R", 6)]
            made = {
                "name": f"Deal {number}",
                "company_name": "Maju",
                "amount": 10 + number,
                "currency": "USD",
                "owner_id": "o",
            }
            made["foreign_ids"] = f'{{"salesforce": "{number}"}}' if key == "hs" else "{}"
            world.deal(str(number), source_key=key, stage_id=events[-1][0], created=0, **made)
            change = {"field": "amount", "day": 3, "old_value": "5", "new_value": str(10 + number)}
            world.history(events, str(number), source_key=key, fields=[change])
    world.deal(
        "a", source_key="sf", stage_id="P", created=50, name="Alike", company_name="Maju", amount=70, currency="USD"
    )
    world.deal(
        "b", source_key="hs", stage_id="P", created=50, name="Alike", company_name="Maju", amount=99, currency="USD"
    )
    return world.gone("hidden", "b", source_key="hs", read=60).build()


BROKEN = {
    "deals_and_stages_are_in_known_pipelines": "delete from main.pipelines where pipeline_key = 'sf:sales'",
    "every_visited_stage_is_known": "delete from main.stages where source_stage_id = 'Won'",
    "stage_order_counts_from_one": "update main.stages set stage_order = 7 where stage_order = 3",
    "stage_versions_follow_each_other": "update main.stage_versions set valid_to = '2025-06-01' where version = 1 and valid_to is not null",
    "deals_have_known_owners": "delete from main.owners",
    "deals_have_known_companies": "delete from main.companies where source_key = 'hs'",
    "stage_changes_join_up": "update main.stage_changes set from_stage_key = 'sf:sales:R' where deal_key = 'sf:1' and seq = 2",
    "visits_equal_stage_changes": "delete from main.stage_intervals where deal_key = 'hs:2' and seq = 1",
    "visits_are_contiguous": "update main.stage_intervals set exited_at = exited_at + interval 1 second where deal_key = 'hs:1' and seq = 1",
    "dwell_is_never_negative": "update main.stage_intervals set dwell_days = -1 where deal_key = 'hs:1' and seq = 1",
    "field_changes_change_something": "update main.deal_field_changes set old_value = new_value",
    "every_deal_is_kept": "delete from main.deals where deal_key = 'sf:0'",
    "closing_instant_and_outcome_agree": "update main.deals set closed_at = null where deal_key = 'sf:1'",
    "deals_stand_where_their_path_ends": "update main.deals set outcome = 'lost' where deal_key = 'sf:1'",
    "one_primary_per_unified_deal": "update main.deals set is_primary = true",
    "linked_deals_share_one_unified_deal": "update main.deals set unified_deal_id = deal_key",
    "amount_reporting_is_amount_times_rate": "update main.deals set amount_reporting = amount + 1",
}


def broken_rows(statement: str, check: str) -> list[dict]:
    built = sound()
    built.con.execute("begin")
    try:
        built.con.execute(statement)
        return built.rows(CHECKS[check].sql)
    finally:
        built.con.execute("rollback")


def test_a_sound_world_passes_every_check() -> None:
    assert sound().failed() == {}
    assert sound().one("select count(*) from main.deal_match_candidates") == 1


@pytest.mark.parametrize("check", sorted(BROKEN))
def test_the_check_catches_what_it_is_for(check: str) -> None:
    assert broken_rows(BROKEN[check], check)


@pytest.mark.parametrize("check", sorted(GRAINS))
def test_a_repeated_key_is_caught(check: str) -> None:
    table = GRAINS[check].table
    assert broken_rows(f"insert into {table} select * from {table} limit 1", check)


def test_a_source_that_was_not_read_whole_for_two_days_is_listed_as_late() -> None:
    """A18: how late two days are is a setting."""
    since = "update main.sources set data_through_at = data_through_at - interval {} hour where source_key = 'sf'"
    assert broken_rows(since.format(48), "late_sources") == []
    assert [row["source_key"] for row in broken_rows(since.format(49), "late_sources")] == ["sf"]


def test_every_error_check_is_tried_here() -> None:
    errors = {name for name, check in CHECKS.items() if check.severity == "error"}
    assert errors == set(BROKEN) | set(GRAINS)


def test_checks_that_blame_a_source_name_it() -> None:
    """The one-source fallback of a build leans on source_key."""
    rows = broken_rows(BROKEN["closing_instant_and_outcome_agree"], "closing_instant_and_outcome_agree")
    assert [row["source_key"] for row in rows] == ["sf"]
    assert day(9) == sound().deal("sf:1")["closed_at"]
