"""What a later reading means: history replaced or merged, presence by read time alone, fields compared between versions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from tests.warehouse.core.world import World, day, sales_world


def test_a_corrected_date_counts_once() -> None:
    """A complete reading replaces the earlier events of its deal (A8: a corrected history row counts once)."""
    world = sales_world().deal(stage_id="Q", created=0).history([("P", 0), ("Q", 5)], read=10)
    built = world.history([("P", 0), ("Q", 4, {"event_id": "new"})], read=20).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 4)]


def test_an_incomplete_reading_merges_by_event_id() -> None:
    """e001 is corrected, e002 added, e000 stays; the older of two incomplete readings that arrives later changes nothing."""
    world = sales_world().deal(stage_id="R", created=0).history([("P", 0), ("Q", 5)], read=10)
    world.history([("Q", 6, {"event_id": "e001"}), ("R", 9, {"event_id": "e002"})], read=30, complete=False)
    world.history([("Q", 8, {"event_id": "e001"})], read=20, complete=False, sync_seq=99)
    assert world.build().path("crm:1") == [("P", 0), ("Q", 6), ("R", 9)]


def test_incomplete_readings_before_a_complete_one_are_replaced() -> None:
    world = sales_world().deal(stage_id="Q", created=0).history([("N", 3, {"event_id": "x"})], read=10, complete=False)
    assert world.history([("P", 0), ("Q", 5)], read=20).build().path("crm:1") == [("P", 0), ("Q", 5)]


def test_a_reading_mapped_again_replaces_its_events() -> None:
    world = sales_world().deal(stage_id="Q", created=0).history([("P", 0), ("N", 5)], read=10, mapper=1)
    assert world.history([("P", 0), ("Q", 5)], read=10, mapper=2).build().path("crm:1") == [("P", 0), ("Q", 5)]


def test_an_empty_complete_reading_leaves_the_readings_of_the_deal() -> None:
    world = sales_world().deal(stage_id="P", created=2, read=10).history([("Q", 5)], read=10).history([], read=20)
    built = world.build()
    assert (built.path("crm:1"), built.changes("crm:1")[0]["evidence"]) == ([("P", 2)], "created")


def test_an_event_without_a_pipeline_is_of_the_deals_pipeline() -> None:
    world = sales_world().deal(stage_id="Q", created=0)
    built = world.history([("P", 0, {"to_pipeline_id": None}), ("Q", 5, {"to_pipeline_id": None})]).build()
    assert [c["to_stage_key"] for c in built.changes("crm:1")] == ["crm:sales:P", "crm:sales:Q"]


def test_an_event_without_a_pipeline_is_where_its_stage_is_when_only_one_pipeline_has_it() -> None:
    world = sales_world().pipeline(["A", "B"], pipeline_id="old").deal(stage_id="Q", created=0)
    built = world.history([("A", 0, {"to_pipeline_id": None}), ("Q", 5, {"to_pipeline_id": None})]).build()
    assert [c["to_stage_key"] for c in built.changes("crm:1")] == ["crm:old:A", "crm:sales:Q"]
    assert built.movements("crm:1") == ["enter", "pipeline_move"]


def test_the_label_of_then_is_the_events_own_where_it_has_one() -> None:
    world = sales_world().deal(stage_id="Q", created=0)
    built = world.history([("P", 0, {"to_stage_label": "Prospek"}), ("Q", 5)]).build()
    assert [c["to_stage_then"] for c in built.changes("crm:1")] == ["Prospek", "Q"]


def test_history_of_a_deal_that_was_never_given_is_counted() -> None:
    built = sales_world().history([("P", 0)], "ghost").build()
    assert built.one("select count(*) from main.deals") == 0
    assert built.check("history_of_unknown_deals") == [{"source_key": "crm", "deals": 1}]


# -- presence -----------------------------------------------------------------------------------------------------------


def presence(world: World) -> tuple[str, bool, bool]:
    deal = world.build().deal("crm:1")
    return deal["presence"], deal["is_deleted"], deal["is_archived"]


def test_a_hidden_deal_that_is_visible_again_comes_back() -> None:
    world = sales_world().deal(stage_id="P", created=0, read=10).gone("hidden", read=20)
    assert presence(world) == ("hidden", False, False)
    assert presence(world.gone("present", read=30)) == ("present", False, False)


def test_presence_goes_by_read_time_not_by_arrival() -> None:
    world = sales_world().deal(stage_id="P", created=0, read=10).deal(stage_id="P", created=0, amount=3, read=40)
    assert presence(world.gone("purged", read=30)) == ("present", False, False)


def test_a_record_that_says_deleted_and_then_is_there_again() -> None:
    world = (
        sales_world()
        .deal(stage_id="P", created=0, read=10)
        .deal(stage_id="P", created=0, presence="deleted", updated=15, read=20)
    )
    built = world.build()
    assert (built.deal("crm:1")["deleted_at"], built.deal("crm:1")["presence"]) == (day(15), "deleted")
    assert presence(world.deal(stage_id="P", created=0, updated=25, read=30)) == ("present", False, False)


def test_archived_and_absent_deals_stay_in_totals() -> None:
    world = sales_world().deal(stage_id="P", created=0, read=10).gone("absent", read=20)
    assert presence(world) == ("absent", False, False)
    archived = sales_world().deal(stage_id="P", created=0, presence="archived", read=10)
    assert presence(archived) == ("archived", False, True)


def test_the_deletion_counts_from_its_first_sign() -> None:
    world = (
        sales_world().deal(stage_id="P", created=0, read=10).gone("deleted", read=20, gone=18).gone("purged", read=50)
    )
    deal = world.build().deal("crm:1")
    assert (deal["presence"], deal["deleted_at"]) == ("purged", day(18))


# -- fields -------------------------------------------------------------------------------------------------------------


def field_rows(world: World, field: str = "amount") -> list[tuple]:
    rows = world.build().rows(
        "select changed_at, old_value, new_value, origin from main.deal_field_changes where field = ? order by seq",
        field,
    )
    return [tuple(row.values()) for row in rows]


def test_fields_without_history_are_compared_between_versions() -> None:
    world = sales_world().deal(stage_id="P", created=0, amount=100, owner_id="a", read=10)
    world.deal(
        stage_id="P", created=0, amount=Decimal("150.5"), owner_id="b", expected_close_date="2025-03-31", read=20
    )
    assert field_rows(world) == [(day(20), "100.00", "150.50", "snapshot_diff")]
    assert field_rows(world, "owner") == [(day(20), "a", "b", "snapshot_diff")]
    assert field_rows(world, "expected_close_date") == [(day(20), None, "2025-03-31", "snapshot_diff")]


def test_a_field_with_history_is_not_compared_up_to_its_last_reading() -> None:
    """Amount: history says d12. Readings of d10 and d20 differ too, but that is the same change; the one of d30 is new."""
    change = {"field": "amount", "day": 12, "old_value": "100", "new_value": "150"}
    world = (
        sales_world()
        .deal(stage_id="P", created=0, amount=100, read=10)
        .deal(stage_id="P", created=0, amount=150, read=20)
    )
    world.history([("P", 0)], read=20, fields=[change]).deal(stage_id="P", created=0, amount=175, read=30)
    assert field_rows(world) == [
        (day(12), "100.00", "150.00", "history"),
        (day(30), "150.00", "175.00", "snapshot_diff"),
    ]


def test_values_at_as_of_and_at_entry() -> None:
    """Value at T = old value of the first change at or after T."""
    fields = [
        {"field": "amount", "day": 5, "old_value": "100", "new_value": "200"},
        {"field": "amount", "day": 20, "old_value": "200", "new_value": "300"},
        {"field": "owner", "day": 9, "old_value": "ana", "new_value": "budi"},
        {"field": "expected_close_date", "day": 3, "old_value": "2025-03-01", "new_value": "2025-04-01"},
        {"field": "expected_close_date", "day": 4, "old_value": "2025-04-01", "new_value": "2025-03-20"},
        {"field": "expected_close_date", "day": 30, "old_value": "2025-03-20", "new_value": "2025-05-20"},
    ]

    def world(as_of: float) -> World:
        made = sales_world(as_of=as_of).deal(
            stage_id="Won", created=0, amount=300, currency="USD", owner_id="budi", expected_close_date="2025-05-20"
        )
        return made.history([("P", 0), ("Q", 5), ("R", 7), ("Won", 9)], fields=fields)

    now, then = world(100).build(), world(10).build()
    assert [v["amount_at_entry"] for v in now.visits("crm:1")] == [100, 100, 200, 200]
    assert [v["owner_key"] for v in now.visits("crm:1")] == ["crm:owner:ana"] * 4
    deal = now.deal("crm:1")
    assert (deal["amount"], deal["owner_key"], deal["closing_owner_key"]) == (300, "crm:owner:budi", "crm:owner:ana")
    assert (deal["push_count"], deal["expected_close_date"], deal["last_touch_at"]) == (2, date(2025, 5, 20), day(30))
    deal = then.deal("crm:1")
    assert (deal["amount"], deal["expected_close_date"], deal["push_count"]) == (200, date(2025, 3, 20), 1)
    assert then.one("select count(*) from main.deal_field_changes") == 4


# -- money --------------------------------------------------------------------------------------------------------------


def test_amounts_are_rounded_half_up_at_one_rate() -> None:
    world = sales_world().deal("a", stage_id="P", created=0, amount=Decimal("10.01"), currency="EUR")
    world.deal("b", stage_id="P", created=0, currency="EUR").deal(
        "c", stage_id="P", created=0, amount=5, currency="XAU"
    )
    world.rates = [{"currency": "EUR", "rate": "1.5", "rate_date": "2025-01-01", "source": "ECB"}]
    built = world.build()
    deal = built.deal("crm:a")
    assert (deal["amount_reporting"], deal["fx_rate"], deal["fx_rate_source"]) == (
        Decimal("15.02"),
        Decimal("1.5"),
        "ECB",
    )
    assert (built.deal("crm:b")["amount"], built.deal("crm:b")["amount_reporting"]) == (None, None)
    assert built.deal("crm:c")["amount_reporting"] is None
    assert built.check("currencies_without_a_rate") == [{"source_key": "crm", "currency": "XAU", "deals": 1}]


def test_a_deal_without_a_currency_is_in_the_accounts_own() -> None:
    world = World().source(home_currency="IDR").pipeline(["P", "Won"]).deal(stage_id="P", created=0, amount=1_000_000)
    world.rates = [{"currency": "IDR", "rate": "0.0000625", "rate_date": "2025-01-01", "source": "bank"}]
    deal = world.build().deal("crm:1")
    assert (deal["currency"], deal["amount_reporting"], deal["fx_rate_source"]) == (None, Decimal("62.50"), "bank")


def test_a_source_that_never_names_a_currency_is_taken_at_face_value_and_reported() -> None:
    built = sales_world().deal(stage_id="P", created=0, amount=7).build()
    assert (built.deal("crm:1")["amount_reporting"], built.deal("crm:1")["fx_rate_source"]) == (7, "assumed")
    assert built.check("amounts_without_a_currency") == [{"source_key": "crm", "deals": 1}]
    mixed = (
        sales_world()
        .deal(stage_id="P", created=0, amount=7)
        .deal("2", stage_id="P", created=0, amount=7, currency="USD")
        .build()
    )
    assert mixed.deal("crm:1")["amount_reporting"] is None
    assert mixed.check("amounts_in_an_unknown_currency") == [{"source_key": "crm", "deals": 1}]
