"""The made-up company: the same for everybody, with every awkward case in it."""

import datetime as dt
from decimal import Decimal

import pytest

from connectors.sandbox.world import DELETED, LOST, OPEN, PURGED, WON, LockedDealError, World, to_datetime
from connectors.sandbox.worldcases import CASES


@pytest.fixture
def world():
    return World(seed=3, deals=120)


def picture(world):
    deals = [
        (d.id, d.name, d.stage_id, d.amount, d.presence, d.stamp_ms, [(e.id, e.at_ms, e.changes) for e in d.events])
        for d in world.deals.values()
    ]
    return deals, [(c.id, c.name) for c in world.companies.values()], world.now_ms


def names(world, case):
    return [world.stages[v.stage_id].name for v in world.stage_path(world.cases[case])]


def test_the_same_seed_gives_the_same_company_and_the_same_days():
    one, two = World(seed=5, deals=90), World(seed=5, deals=90)
    assert picture(one) == picture(two)
    assert one.advance(days=2, changes=40) == two.advance(days=2, changes=40)
    assert picture(one) == picture(two)
    assert picture(one) != picture(World(seed=6, deals=90))


def test_every_case_is_there_and_lies_in_the_past(world):
    assert set(world.cases) == set(CASES)
    assert len(world.deals) == 120
    for deal in world.deals.values():
        times = [e.at_ms for e in deal.events]
        assert times == sorted(times)
        assert times[0] == deal.created_ms
        assert times[-1] <= deal.stamp_ms <= world.now_ms
        assert deal.modified_ms <= deal.stamp_ms


def test_the_last_visit_agrees_with_the_deal(world):
    world.advance(days=3, changes=60)
    for deal in world.deals.values():
        assert world.stage_path(deal.id)[-1][1:] == (deal.pipeline_id, deal.stage_id)
        assert (world.closed_ms(deal) is None) == (world.stages[deal.stage_id].outcome == OPEN)
        assert world.field_path(deal.id, "amount")[-1][1] == deal.amount


def test_the_stories_are_what_their_names_say(world):
    assert names(world, "never_moved") == ["Prospecting"]
    assert names(world, "skipped") == ["Prospecting", "Negotiation"]
    assert names(world, "backward")[-2:] == ["Proposal", "Qualification"]
    assert names(world, "lost_reopened_lost")[-3:] == ["Closed Lost", "Qualification", "Closed Lost"]
    assert names(world, "won_reopened_won")[-3:] == ["Closed Won", "Negotiation", "Closed Won"]
    assert "Verbal Yes" in names(world, "gone_stage")
    assert names(world, "born_closed") == ["Closed Won"]
    equal = world.stage_path(world.cases["equal_stage_moved_pipeline"])
    assert [v.pipeline_id for v in equal] == [1, 1, 2]
    ties = world.deals[world.cases["ties"]].events
    assert len({e.at_ms // 1000 for e in ties[1:]}) == 1
    assert world.deals[world.cases["unknown_amount"]].amount is None
    assert world.deals[world.cases["zero_amount"]].amount == Decimal(0)
    assert world.deals[world.cases["reopened"]].lost_reason is None
    assert world.deals[world.cases["lost"]].lost_reason == "Competitor"
    assert world.deals[world.cases["merged"]].merged_into == world.cases["merge_survivor"]
    assert world.owners[world.deals[world.cases["deleted_owner"]].owner_id].deleted


def test_two_pipelines_share_stage_names_at_different_places(world):
    one = {s.name: s.order for s in world.pipeline_stages(1)}
    two = {s.name: s.order for s in world.pipeline_stages(2)}
    assert {"Qualification", "Proposal", "Closed Won", "Closed Lost"} <= set(one) & set(two)
    assert (one["Qualification"] < one["Proposal"]) != (two["Qualification"] < two["Proposal"])
    assert "Verbal Yes" not in one
    assert any(s.label != s.name for s in world.pipeline_stages(1))


def test_a_single_currency_company_has_one_currency():
    world = World(seed=3, deals=120, multi_currency=False)
    world.advance(days=5, changes=30)
    assert {d.currency for d in world.deals.values()} == {"USD"}


def test_advance_makes_exactly_the_asked_number_of_changes(world):
    before = world.now
    news = world.advance(days=1, changes=50)
    touched = [deal_id for ids in news.values() for deal_id in ids]
    assert len(touched) == len(set(touched)) == 50
    assert world.now - before == dt.timedelta(days=1)
    assert {i for kind, i in world.journal if kind == "deal"} == set(touched)


def test_a_late_commit_shows_up_after_its_own_timestamp(world):
    deal_id, before = world.cases["open"], world.now_ms
    world.late_commit(deal_id, by=300, amount=Decimal(1))
    world.late_commit(None, by=60, name="late newcomer")
    world.tick(30)
    assert world.deals[deal_id].amount != 1
    with pytest.raises(LockedDealError):
        world.edit(deal_id, amount=Decimal(2))
    world.tick(30)
    newcomer = max(world.deals)
    assert world.deals[newcomer].created_ms == before
    world.tick(240)
    assert world.deals[deal_id].amount == 1
    assert world.deals[deal_id].stamp_ms == before


def test_presence_moves_and_the_truth_remembers(world):
    first, second, third = [d.id for d in world.live()][-3:]
    world.delete(first)
    world.purge(second)
    world.hide([third])
    live = {d.id for d in world.live("api")}
    assert not {first, second, third} & live
    assert world.tombstones()[first] == DELETED
    assert world.tombstones()[second] == PURGED
    assert third not in world.tombstones()
    world.restore(first)
    world.unhide()
    assert {first, third} <= {d.id for d in world.live("api")}


def test_a_tie_flood_is_one_instant(world):
    flooded = world.tie_flood(80)
    assert len({world.deals[i].stamp_ms for i in flooded}) == 1
    assert len(flooded) == 80


def test_touches_move_only_the_system_stamp(world):
    deal = world.deals[world.cases["open"]]
    modified = deal.modified_ms
    world.tick(60)
    world.touch([deal.id])
    assert (deal.modified_ms, deal.stamp_ms) == (modified, world.now_ms)


def test_merged_companies_take_their_deals_along(world):
    loser = next(d.company_id for d in world.live() if d.company_id)
    deals = [d.id for d in world.deals.values() if d.company_id == loser]
    survivor = next(c for c in world.companies if c != loser)
    world.merge_companies(loser, survivor)
    assert world.companies[loser].merged_into == survivor
    assert {world.deals[i].company_id for i in deals} == {survivor}


def test_stages_can_be_renamed_removed_and_reordered(world):
    proposal = world.stage(1, "Proposal")
    world.rename_stage(proposal.id, "Quote")
    assert world.stage(1, "Quote").name == "Proposal"
    world.remove_stage(proposal.id, gone=True)
    assert proposal.id not in [s.id for s in world.pipeline_stages(1)]
    ids = [s.id for s in world.pipeline_stages(1)]
    world.reorder_stages(1, ids[::-1])
    assert [s.id for s in world.pipeline_stages(1)] == ids[::-1]
    assert {s.outcome for s in world.pipeline_stages(1)} == {OPEN, WON, LOST}


def test_times_without_a_zone_are_refused(world):
    with pytest.raises(ValueError, match="zone"):
        world.advance(to=dt.datetime(2027, 1, 1))  # noqa: DTZ001
    assert to_datetime(world.now_ms).tzinfo is dt.UTC
