"""One deal in two systems (rule 18): stored ids, automatic matches, candidates, and the user's word."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.warehouse.core.world import World


def two_sources() -> World:
    world = World().source("sf", "salesforce", home_currency="USD").source("hs", "hubspot", home_currency="USD")
    for key in ("sf", "hs"):
        world.pipeline(["P", "Q", "Won", "Lost"], source_key=key)
    return world


def copy(world: World, source_key: str, deal_id: str = "1", **values: object) -> World:
    base = {"name": "Big Order", "company_name": "PT Maju Jaya Tbk", "amount": 1000, "created": 5, "stage_id": "P"}
    return world.deal(deal_id, source_key=source_key, **{**base, **values})


def groups(world: World) -> dict[str, tuple[str, bool]]:
    rows = world.build().rows("select deal_key, unified_deal_id, is_primary from main.deals order by 1")
    return {row["deal_key"]: (row["unified_deal_id"], row["is_primary"]) for row in rows}


def test_rule_18_a_stored_id_links_whatever_else_differs() -> None:
    world = copy(two_sources(), "sf", "006A")
    copy(world, "hs", "77", name="Other", company_name="Else", amount=3, foreign_ids='{"salesforce": "006A"}')
    assert groups(world) == {"sf:006A": ("hs:77", False), "hs:77": ("hs:77", True)}


def test_rule_18_same_company_name_amount_and_day_match_by_themselves() -> None:
    """Company and name are compared folded, the amount within 1 %, creation within 14 days."""
    world = copy(two_sources(), "sf", created=5, amount=1000)
    copy(world, "hs", created=18, amount=Decimal("1009.50"), name="big-order", company_name="Maju Jaya")
    world.priorities = [{"source_key": "sf", "priority": 1}, {"source_key": "hs", "priority": 2}]
    assert groups(world) == {"hs:1": ("hs:1", False), "sf:1": ("hs:1", True)}


@pytest.mark.parametrize(
    ("difference", "reason"),
    [
        ({"amount": 1020}, "same name"),
        ({"created": 20}, "same name and amount, created far apart"),
        ({"created": None}, "same name and amount, created far apart"),
        ({"amount": None}, "same name"),
        ({"currency": "EUR"}, "same name"),
        ({"name": "Service"}, "same amount"),
    ],
)
def test_rule_18_a_weaker_likeness_is_only_a_candidate(difference: dict, reason: str) -> None:
    built = copy(copy(two_sources(), "sf"), "hs", **difference).build()
    assert built.one("select count(distinct unified_deal_id) from main.deals where is_primary") == 2
    found = built.rows("select deal_key, other_deal_key, reason from main.deal_match_candidates")
    assert [tuple(row.values()) for row in found] == [("hs:1", "sf:1", reason)]


def test_rule_18_two_equal_deals_in_one_source_are_not_matched_by_chance() -> None:
    built = copy(copy(copy(two_sources(), "sf"), "hs"), "hs", "2").build()
    assert built.one("select count(distinct unified_deal_id) from main.deals") == 3
    assert built.one("select count(*) from main.deal_match_candidates where reason = 'several deals fit'") == 2


def test_rule_18_deals_of_one_source_are_never_matched() -> None:
    built = copy(copy(two_sources(), "sf", "1"), "sf", "2").build()
    assert built.one("select count(distinct unified_deal_id) from main.deals") == 2
    assert built.one("select count(*) from main.deal_match_candidates") == 0


def test_rule_18_the_user_joins_and_parts_deals() -> None:
    world = copy(copy(two_sources(), "sf"), "hs")
    copy(world, "sf", "2", name="A", company_name="B")
    copy(world, "hs", "2", name="C", company_name="D")
    link = {"is_match": False, "link_group": "x"}
    world.links = [{"source_key": key, "source_deal_id": "1", **link} for key in ("sf", "hs")]
    world.links += [
        {"source_key": key, "source_deal_id": "2", "link_group": "y", "is_match": True} for key in ("sf", "hs")
    ]
    built = world.build()
    assert built.one("select count(*) from main.deal_match_candidates") == 0
    pairs = built.rows("select deal_key, unified_deal_id from main.deals order by 1")
    assert [row["unified_deal_id"] for row in pairs] == ["hs:1", "hs:2", "sf:1", "hs:2"]


def test_rule_18_a_deleted_copy_never_stands_for_a_living_one() -> None:
    world = copy(copy(two_sources(), "sf", "006A", created=1), "hs", foreign_ids='{"salesforce": "006A"}')
    world.priorities = [{"source_key": "sf", "priority": 1}]
    world.gone("deleted", "006A", source_key="sf", read=310)
    assert groups(world)["hs:1"] == ("hs:1", True)


def test_rule_18_a_chain_of_links_is_one_group() -> None:
    world = World()
    for number in range(5):
        world.source(f"s{number}", f"type{number}").pipeline(["P", "Won"], source_key=f"s{number}")
        ids = f'{{"type{number + 1}": "d"}}'
        world.deal("d", source_key=f"s{number}", stage_id="P", created=0, foreign_ids=ids)
    built = world.build()
    assert built.rows("select distinct unified_deal_id from main.deals") == [{"unified_deal_id": "s0:d"}]
    assert built.one("select count(*) from main.deals where is_primary") == 1
    assert not built.failed("error")
