"""What the readings of a deal tell where no history does: sheets, status columns, gaps (A3, D-user needs on honest history)."""

from __future__ import annotations

import pytest

from tests.warehouse.core.world import Built, World, day, sales_world


def evidence(built: Built, deal_key: str = "crm:1") -> list[str]:
    return [change["evidence"] for change in built.changes(deal_key)]


def test_a_change_between_two_readings_is_observed_at_the_later_one() -> None:
    world = sales_world().deal(stage_id="P", created=0, read=10).deal(stage_id="Q", created=0, read=20)
    built = world.deal(stage_id="Won", created=0, read=30).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 20), ("Won", 30)]
    assert evidence(built) == ["created", "observed", "observed"]
    assert [c["precision"] for c in built.changes("crm:1")] == ["instant", "snapshot", "snapshot"]


def test_a_stage_date_between_two_readings_gives_the_day() -> None:
    """A column "in this stage since" counts when it lies after the last reading that showed the old stage."""
    world = sales_world().deal(stage_id="P", created=0, read=10, dates_only=True)
    built = world.deal(stage_id="Q", created=0, stage_entered=14, read=20, dates_only=True).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 14)]
    assert (evidence(built)[1], built.changes("crm:1")[1]["precision"]) == ("exact", "day")
    assert built.visits("crm:1")[1]["is_left_censored"] is False


@pytest.mark.parametrize("entered", [5, 25])
def test_a_stage_date_outside_the_two_readings_is_not_believed(entered: float) -> None:
    world = (
        sales_world()
        .deal(stage_id="P", created=0, read=10)
        .deal(stage_id="Q", created=0, stage_entered=entered, read=20)
    )
    built = world.build()
    assert (built.path("crm:1")[1], evidence(built)[1]) == (("Q", 20), "observed")


def test_a_late_older_snapshot_takes_its_right_place() -> None:
    """Snapshots of d10 and d30 were landed first; the one of d20 comes later (higher sequence)."""
    world = (
        sales_world()
        .deal(stage_id="P", created=0, read=10, sync_seq=1)
        .deal(stage_id="R", created=0, read=30, sync_seq=1)
    )
    built = world.deal(stage_id="Q", created=0, read=20, sync_seq=2).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 20), ("R", 30)]


def test_a_reading_mapped_again_replaces_its_earlier_mapping() -> None:
    world = (
        sales_world()
        .deal(stage_id="Lost", created=0, read=10, mapper=1)
        .deal(stage_id="P", created=0, read=10, mapper=2, sync_seq=99)
    )
    assert world.build().path("crm:1") == [("P", 0)]


def test_a_stale_reading_does_not_undo_a_newer_version() -> None:
    """The source's own version stamp orders content; the old version was read again later."""
    world = (
        sales_world()
        .deal(stage_id="P", created=0, updated=1, read=10)
        .deal(stage_id="Q", created=0, updated=15, read=20)
    )
    built = world.deal(stage_id="P", created=0, updated=2, amount=5, read=30).build()
    assert built.deal("crm:1")["stage_key"] == "crm:sales:Q"
    assert built.path("crm:1") == [("P", 0), ("Q", 20)]


def test_an_edit_of_another_field_is_no_stage_change() -> None:
    world = (
        sales_world()
        .deal(stage_id="R", status="won", created=0, read=10)
        .deal(stage_id="R", status="won", created=0, amount=9, read=20)
    )
    assert world.build().path("crm:1") == [("R", 10), ("won", 10)]


def test_a_blank_stage_cell_invents_nothing() -> None:
    world = sales_world().deal(stage_id=None, created=0, read=10)
    built = world.deal("2", stage_id="P", created=0, read=10).deal("2", stage_id=None, created=0, read=20).build()
    deal = built.deal("crm:1")
    assert (built.changes("crm:1"), deal["stage_key"], deal["outcome"], deal["canonical_stage"]) == (
        [],
        None,
        "open",
        "unmapped",
    )
    assert built.path("crm:2") == [("P", 0)]
    assert not built.failed("error")
    assert [row["source_key"] for row in built.check("deals_without_a_stage")] == ["crm"]


# -- status columns -----------------------------------------------------------------------------------------------------


def board() -> World:
    """A tracker whose stages say nothing of won and lost; a status column does."""
    return World().source(source_type="spreadsheet").pipeline([("P", None), ("Q", None), ("R", None)])


def test_a_status_makes_a_closing_stage_and_keeps_the_last_real_stage() -> None:
    world = board().deal(stage_id="Q", status="open", created=0, read=10)
    built = world.deal(stage_id="Q", status="lost", created=0, closed=14, read=20).build()
    deal = built.deal("crm:1")
    assert (deal["outcome"], deal["stage_key"], deal["closed_at"]) == ("lost", "crm:sales:lost", day(14))
    assert deal["last_open_stage_key"] == "crm:sales:Q"
    assert built.movements("crm:1") == ["enter", "lost"]
    stage = built.rows("select * from main.stages where stage_key = 'crm:sales:lost'")[0]
    assert (stage["is_synthetic"], stage["outcome"], stage["stage_order"], stage["stage"]) == (
        True,
        "lost",
        None,
        "Lost",
    )


def test_a_deal_first_seen_closed_by_status_sat_in_its_stage_at_an_unknown_time() -> None:
    built = board().deal(stage_id="Q", status="lost", created=0, closed=14, read=20).build()
    visits = built.visits("crm:1")
    assert built.path("crm:1") == [("Q", 14), ("lost", 14)]
    assert (visits[0]["is_left_censored"], built.deal("crm:1")["last_open_stage_key"]) == (True, "crm:sales:Q")


def test_a_status_taken_back_is_a_reopening() -> None:
    world = (
        board()
        .deal(stage_id="Q", status="lost", created=0, closed=5, read=10)
        .deal(stage_id="Q", status="open", created=0, read=20)
    )
    built = world.build()
    assert built.path("crm:1") == [("Q", 5), ("lost", 5), ("Q", 20)]
    assert (built.deal("crm:1")["outcome"], built.deal("crm:1")["reopened_count"]) == ("open", 1)


def test_a_card_that_wanders_on_after_the_sale_stays_won() -> None:
    world = (
        board()
        .deal(stage_id="Q", status="won", created=0, closed=5, read=10)
        .deal(stage_id="R", status="won", created=0, closed=5, read=20)
    )
    built = world.build()
    assert built.path("crm:1") == [("Q", 5), ("won", 5)]
    assert (built.deal("crm:1")["closed_at"], built.deal("crm:1")["last_open_stage_key"]) == (day(5), "crm:sales:Q")


def test_the_status_decides_and_the_clash_is_counted() -> None:
    """Won beside a lost stage; open beside a won stage; won while still in the first stage of the board."""
    world = sales_world().deal("a", stage_id="Lost", status="won", created=0, read=10)
    world.deal("b", stage_id="Won", status="open", created=0, read=10).deal(
        "c", stage_id="P", status="won", created=0, read=10
    )
    built = world.deal("d", stage_id="Won", status="won", created=0, read=10).build()
    outcomes = {row["deal_key"]: row["outcome"] for row in built.rows("select deal_key, outcome from main.deals")}
    assert outcomes == {"crm:a": "won", "crm:b": "open", "crm:c": "won", "crm:d": "won"}
    assert built.deal("crm:b")["stage_key"] == "crm:sales:Won"
    assert built.path("crm:d") == [("Won", 10)]
    assert sorted(row["deal_key"] for row in built.check("status_contradicts_stage")) == ["crm:a", "crm:b", "crm:c"]
    assert not built.failed("error")


def test_a_status_closes_a_deal_whose_history_knows_stages_only() -> None:
    """Pipedrive and log sheets: the path comes from history, the closing from status and its date; that is no history gap."""
    world = (
        board().deal(stage_id="R", status="won", created=0, closed=30, read=40).history([("P", 0), ("R", 12)], read=40)
    )
    built = world.build()
    assert built.path("crm:1") == [("P", 0), ("R", 12), ("won", 30)]
    assert evidence(built) == ["exact", "exact", "exact"]
    assert not built.check("deals_with_a_history_gap")


def test_history_that_tells_the_closing_itself_is_not_closed_twice() -> None:
    events = [("P", 0), ("R", 12), ("won", 30), ("R", 33), ("won", 35)]
    built = board().deal(stage_id="R", status="won", created=0, closed=35, read=40).history(events, read=40).build()
    assert built.path("crm:1") == events
    assert built.movements("crm:1") == ["enter", "forward", "won", "reopen", "won"]
    own_stage = sales_world().deal(stage_id="Won", status="won", created=0).history([("P", 0), ("Won", 9)]).build()
    assert own_stage.path("crm:1") == [("P", 0), ("Won", 9)]


# -- gaps ---------------------------------------------------------------------------------------------------------------


def test_a_gap_into_another_stage_and_out_by_status_is_two_changes() -> None:
    world = board().deal(stage_id="R", status="lost", created=0, closed=30, read=40).history([("P", 0)], read=20)
    built = world.build()
    assert built.path("crm:1") == [("P", 0), ("R", 30), ("lost", 30)]
    assert evidence(built) == ["exact", "observed", "exact"]
    assert [row["deal_key"] for row in built.check("deals_with_a_history_gap")] == ["crm:1"]


def test_history_newer_than_the_deal_wins() -> None:
    """The deal was read on d10; its history, read on d20, moved on since."""
    world = sales_world().deal(stage_id="P", created=0, read=10).history([("P", 0), ("Q", 15)], read=20)
    built = world.build()
    assert built.deal("crm:1")["stage_key"] == "crm:sales:Q"
    assert not built.check("deals_with_a_history_gap")


def test_a_stated_stage_date_dates_the_gap() -> None:
    world = (
        sales_world().deal(stage_id="R", created=0, stage_entered=17, read=40).history([("P", 0), ("Q", 5)], read=40)
    )
    assert world.build().path("crm:1") == [("P", 0), ("Q", 5), ("R", 17)]


# -- as_of --------------------------------------------------------------------------------------------------------------


def test_a_build_as_of_the_past_sees_the_past() -> None:
    def world(as_of: float) -> World:
        made = sales_world(as_of=as_of).deal("h", stage_id="Won", created=0, read=300)
        made.history([("P", 0), ("Q", 5), ("Won", 9)], "h")
        return made.deal("s", stage_id="P", created=2, read=10).deal("s", stage_id="R", created=2, read=20)

    early = world(6).build()
    assert (early.deal("crm:h")["outcome"], early.deal("crm:h")["stage_key"]) == ("open", "crm:sales:Q")
    assert early.visits("crm:h")[1]["dwell_days"] == 1.0
    assert early.path("crm:s") == [("P", 2)]
    assert world(20).build().path("crm:s") == [("P", 2)], "an event at as_of has not happened"
    assert world(20.5).build().path("crm:s") == [("P", 2), ("R", 20)]
    assert world(1).build().rows("select deal_key from main.deals") == [{"deal_key": "crm:h"}]


def test_dwell_of_open_deals_ends_with_the_sources_data() -> None:
    world = World(as_of=100).source(data_through_at=day(60)).pipeline(["P", "Q", "Won", "Lost"])
    built = world.deal(stage_id="P", created=0, read=50).history([("P", 10)], read=50).build()
    assert built.visits("crm:1")[0]["dwell_days"] == 50.0
