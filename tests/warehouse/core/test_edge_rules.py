"""The edge rules of the pipeline model, each with the numbers of its smallest example. P=1 Q=2 R=3 N=4; days count from day 0."""

from __future__ import annotations

import pytest

from tests.warehouse.core.world import World, day, sales_world

OPEN, WON, LOST = "open", "won", "lost"


def history_deal(*events: tuple, stage_id: str | None = None, **settings: float) -> World:
    """One deal of one CRM with this history; its own record agrees with the last event."""
    return sales_world(**settings).deal(stage_id=stage_id or events[-1][0], created=0).history(events)


def test_rule_01_repeats_are_one_visit_from_the_earliest() -> None:
    """Salesforce writes a row for an edit of the amount too: P d0, P d2, Q d5."""
    built = history_deal(("P", 0), ("P", 2), ("Q", 5)).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 5)]
    first = built.visits("crm:1")[0]
    assert (first["entered_at"], first["exited_at"], first["dwell_days"]) == (day(0), day(5), 5.0)
    assert built.changes("crm:1")[1]["days_in_from_stage"] == 5.0


def test_rule_02_two_changes_of_one_instant_are_both_kept_in_the_sources_order() -> None:
    """Q d7, R d7: Q dwells 0 days and was visited. The sequence decides, then the event id; never the order of arrival."""
    by_sequence = history_deal(
        ("P", 0), ("R", 7, {"sequence": 2, "event_id": "a"}), ("Q", 7, {"sequence": 1, "event_id": "b"}), stage_id="R"
    )
    by_event_id = history_deal(("P", 0), ("R", 7, {"event_id": "z9"}), ("Q", 7, {"event_id": "z1"}), stage_id="R")
    for built in (by_sequence.build(), by_event_id.build()):
        assert built.path("crm:1") == [("P", 0), ("Q", 7), ("R", 7)]
        visit = built.visits("crm:1")[1]
        assert (visit["dwell_days"], visit["exit_movement"]) == (0.0, "forward")
        assert built.movements("crm:1") == ["enter", "forward", "forward"]
        assert not built.failed()


def test_rule_02_three_changes_of_one_instant_keep_a_step_there_and_back() -> None:
    """Q, R, Q within one second: three visits in the order of their ids, not two."""
    built = history_deal(
        ("P", 0), ("Q", 7, {"event_id": "c"}), ("R", 7, {"event_id": "b"}), ("Q", 7, {"event_id": "a"}), stage_id="Q"
    ).build()
    assert built.path("crm:1") == [("P", 0), ("Q", 7), ("R", 7), ("Q", 7)]


def test_rule_03_open_deals_are_censored_not_dropped() -> None:
    """4, 5, 6 days finished, 60 and 80 still waiting: five visits, two of them censored."""
    world = sales_world(as_of=100)
    for deal_id, begin, end in [("a", 0, 4), ("b", 0, 5), ("c", 0, 6), ("d", 40, None), ("e", 20, None)]:
        events = [("Q", begin)] + ([("R", end)] if end is not None else [])
        world.deal(deal_id, stage_id=events[-1][0], created=0).history(events, deal_id)
    built = world.build()
    visits = built.rows(
        "select dwell_days, is_censored from main.stage_intervals where stage_key = 'crm:sales:Q' order by 1"
    )
    assert [(v["dwell_days"], v["is_censored"]) for v in visits] == [
        (4.0, False), (5.0, False), (6.0, False), (60.0, True), (80.0, True),
    ]  # fmt: skip


def test_rule_04_a_skipped_stage_has_no_visit_and_is_counted_as_skipped() -> None:
    """P d0 -> R d6: Q was passed, not visited."""
    built = history_deal(("P", 0), ("R", 6)).build()
    assert built.path("crm:1") == [("P", 0), ("R", 6)]
    change = built.changes("crm:1")[1]
    assert (change["movement"], change["stages_skipped"]) == ("forward", 1)
    assert built.visits("crm:1")[1]["is_skip"] is True


def test_rule_04_a_win_from_the_first_stage_skips_the_three_above_it() -> None:
    built = history_deal(("P", 0), ("Won", 6)).build()
    assert built.changes("crm:1")[1]["stages_skipped"] == 3


def test_rule_05_a_deal_created_mid_pipeline_says_nothing_about_the_stages_before() -> None:
    """First stage R: reached R and later only."""
    built = history_deal(("R", 0), ("N", 4)).build()
    assert built.path("crm:1") == [("R", 0), ("N", 4)]
    deal = built.deal("crm:1")
    assert (deal["entry_stage_order"], deal["is_mid_entry"]) == (3, True)
    assert built.changes("crm:1")[0]["stages_skipped"] == 0


def test_rule_06_a_deal_moved_below_its_entry_visited_that_stage() -> None:
    """Enters R, back to Q, later N: one backward move; the entry stays R."""
    built = history_deal(("R", 0), ("Q", 3), ("N", 9)).build()
    assert built.movements("crm:1") == ["enter", "backward", "forward"]
    assert built.deal("crm:1")["entry_stage_order"] == 3
    assert built.changes("crm:1")[2]["stages_skipped"] == 1
    assert built.visits("crm:1")[1]["is_backward"] is True


def test_rule_07_backward_moves_are_visits_of_their_own() -> None:
    """P Q R Q R N: six visits; the second ones of Q and R carry visit_number 2."""
    built = history_deal(("P", 0), ("Q", 1), ("R", 3), ("Q", 6), ("R", 10), ("N", 15)).build()
    visits = built.visits("crm:1")
    assert [v["visit_number"] for v in visits] == [1, 1, 1, 2, 2, 1]
    assert [v["is_backward"] for v in visits] == [False, False, False, True, False, False]
    assert [v["dwell_days"] for v in visits][:5] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert built.deal("crm:1")["backward_count"] == 1


def test_rule_08_lost_then_reopened_and_open_now_is_not_lost() -> None:
    events = [("P", 0), ("Q", 5), ("Lost", 9), ("Q", 20)]
    open_now = history_deal(*events).build()
    deal = open_now.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["reopened_count"]) == (OPEN, None, 1)
    assert open_now.movements("crm:1") == ["enter", "forward", "lost", "reopen"]
    lost_again = history_deal(*events, ("Lost", 31)).build()
    deal = lost_again.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["last_open_stage_key"]) == (LOST, day(31), "crm:sales:Q")
    assert lost_again.movements("crm:1").count("lost") == 2


def test_rule_09_won_by_mistake_then_lost() -> None:
    """Q d5, Won d9, Lost d12: lost, from Q, on d12."""
    built = history_deal(("Q", 5), ("Won", 9), ("Lost", 12)).build()
    deal = built.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["last_open_stage_key"]) == (LOST, day(12), "crm:sales:Q")
    assert built.movements("crm:1") == ["enter", "won", "lost"]
    assert [v["dwell_days"] for v in built.visits("crm:1")] == [4.0, None, None]


def test_rule_09_a_closing_that_is_taken_back_and_made_again_is_the_second_visit_of_its_stage() -> None:
    """Won, lost, won again, with no open stage in between."""
    built = history_deal(("Q", 5), ("Won", 9), ("Lost", 12), ("Won", 14)).build()
    assert [v["visit_number"] for v in built.visits("crm:1")] == [1, 1, 1, 2]


def test_rule_10_post_sale_is_part_of_the_one_win() -> None:
    """Won d30, Onboarding d34: one win at d30."""
    world = World().source().pipeline(["P", "Q", "Won", "Onboarding", "Lost"])
    built = world.deal(stage_id="Onboarding", created=0).history([("P", 0), ("Won", 30), ("Onboarding", 34)]).build()
    deal = built.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["canonical_stage"]) == (WON, day(30), "post_sale")
    assert built.movements("crm:1") == ["enter", "won", "lateral"]
    assert built.visits("crm:1")[2]["dwell_days"] is None


def test_rule_11_won_then_moved_to_an_onboarding_pipeline_stays_won_in_sales() -> None:
    world = sales_world().pipeline(["Onboarding", "Done"], pipeline_id="care")
    world.stage("Done", 2, WON, pipeline_id="care", read=1.0)
    world.deal(stage_id="Onboarding", pipeline_id="care", created=0)
    built = world.history([("P", 0), ("Won", 30), ("Onboarding", 34, {"to_pipeline_id": "care"})]).build()
    deal = built.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["closing_pipeline_key"]) == (WON, day(30), "crm:sales")
    assert (deal["pipeline_key"], deal["last_open_stage_key"]) == ("crm:care", "crm:sales:P")
    assert built.movements("crm:1") == ["enter", "won", "pipeline_move"]
    assert built.one("select is_post_sale from main.pipelines where pipeline_key = 'crm:care'") is True
    assert built.one("select is_post_sale from main.pipelines where pipeline_key = 'crm:sales'") is False


def test_rule_12_a_pipeline_move_while_open_and_back_again() -> None:
    world = sales_world().pipeline(["P", "Q"], pipeline_id="renewals").deal(stage_id="R", created=0)
    built = world.history([("Q", 0), ("Q", 4, {"to_pipeline_id": "renewals"}), ("R", 9)]).build()
    assert built.movements("crm:1") == ["enter", "pipeline_move", "pipeline_move"]
    assert [v["pipeline_key"] for v in built.visits("crm:1")] == ["crm:sales", "crm:renewals", "crm:sales"]
    assert [v["visit_number"] for v in built.visits("crm:1")] == [1, 1, 1]
    assert (built.deal("crm:1")["outcome"], built.deal("crm:1")["reopened_count"]) == (OPEN, 0)


def test_rule_13_a_deleted_deal_is_kept_and_marked_from_the_day_it_was_deleted() -> None:
    world = sales_world(as_of=100).deal(stage_id="Q", created=0, amount=500).history([("P", 0), ("Q", 5)], read=20)
    built = world.gone("deleted", read=50, gone=40).build()
    deal = built.deal("crm:1")
    assert (deal["is_deleted"], deal["deleted_at"], deal["presence"]) == (True, day(40), "deleted")
    last = built.visits("crm:1")[1]
    assert (last["dwell_days"], last["exited_at"], last["is_deleted_deal"]) == (35.0, None, True)


def test_rule_13_a_deletion_after_as_of_has_not_happened() -> None:
    world = sales_world(as_of=30).deal(stage_id="Q", created=0).history([("P", 0), ("Q", 5)], read=20)
    deal = world.gone("deleted", read=50, gone=40).build().deal("crm:1")
    assert (deal["is_deleted"], deal["deleted_at"], deal["presence"]) == (False, None, "present")


def test_rule_14_a_renamed_stage_keeps_its_key_and_its_history() -> None:
    world = sales_world().stage("Q", 2, OPEN, name="Kualifikasi", read=10)
    built = world.deal(stage_id="R", created=0).history([("P", 0), ("Q", 5), ("R", 12), ("Q", 14), ("R", 15)]).build()
    stage = built.rows("select * from main.stages where stage_key = 'crm:sales:Q'")[0]
    assert (stage["stage"], stage["previous_labels"]) == ("Kualifikasi", "Q")
    assert [c["to_stage_then"] for c in built.changes("crm:1")] == ["P", "Q", "R", "Kualifikasi", "R"]
    versions = built.rows(
        "select stage, valid_from, valid_to from main.stage_versions where stage_key = 'crm:sales:Q' order by version"
    )
    assert [tuple(v.values()) for v in versions] == [("Q", None, day(10)), ("Kualifikasi", day(10), None)]


def test_rule_15_a_removed_stage_stays_with_its_visits_and_without_an_order() -> None:
    """A stage that only history names, and one that the source listed and then listed no more."""
    world = sales_world().stage("Demo", 2, OPEN).gone("purged", "sales:Demo", stream="stages", read=8)
    world.deal("1", stage_id="R", created=0).history([("P", 0), ("Old", 2), ("R", 5)])
    built = world.deal("2", stage_id="R", created=0).history([("P", 0), ("Demo", 2), ("R", 5)], "2").build()
    for stage_id in ("Old", "Demo"):
        stage = built.rows("select * from main.stages where source_stage_id = ?", stage_id)[0]
        assert (stage["is_archived"], stage["stage_order"]) == (True, None)
    for deal_key in ("crm:1", "crm:2"):
        assert built.movements(deal_key) == ["enter", "lateral", "lateral"]
        assert [v["dwell_days"] for v in built.visits(deal_key)][:2] == [2.0, 3.0]
    assert [
        row["stage_order"]
        for row in built.rows(
            "select stage_order from main.stages where source_stage_id in ('P', 'Q', 'R', 'N') order by 1"
        )
    ] == [1, 2, 3, 4]


def test_rule_16_first_seen_at_the_created_stage_entered_when_created() -> None:
    """No history: the first reading shows P, the stage in which deals are created."""
    built = sales_world(as_of=100).deal(stage_id="P", created=3, read=20).build()
    change = built.changes("crm:1")[0]
    assert (change["changed_at"], change["evidence"]) == (day(3), "created")
    visit = built.visits("crm:1")[0]
    assert (visit["is_left_censored"], visit["dwell_days"]) == (False, 97.0)


def test_rule_16_first_seen_in_a_later_stage_is_left_censored() -> None:
    """No history: R at first sight; when it got there nobody knows."""
    built = sales_world(as_of=100).deal(stage_id="R", created=3, read=20).deal(stage_id="N", created=3, read=50).build()
    assert built.path("crm:1") == [("R", 20), ("N", 50)]
    assert [c["evidence"] for c in built.changes("crm:1")] == ["observed", "observed"]
    assert [v["is_left_censored"] for v in built.visits("crm:1")] == [True, True]
    assert built.deal("crm:1")["started_at"] == day(3)


def test_rule_16_a_created_stage_without_a_created_date_is_only_observed() -> None:
    built = sales_world().deal(stage_id="P", created=None, read=20).build()
    assert (built.changes("crm:1")[0]["evidence"], built.deal("crm:1")["started_at"]) == ("observed", None)


def test_rule_17_closed_at_first_sight_reaches_no_stage_but_counts_as_won() -> None:
    built = sales_world().deal(stage_id="Won", created=0, closed=12, read=20).build()
    assert built.path("crm:1") == [("Won", 12)]
    deal = built.deal("crm:1")
    assert (deal["outcome"], deal["closed_at"], deal["last_open_stage_key"]) == (WON, day(12), None)


def test_rule_19_more_than_fifty_entries_within_a_minute_are_a_bulk_load() -> None:
    """51 deals within 60 s, spread over two minutes of the clock: their entry is only observed. 50 are not a load."""
    second = 1 / 86_400

    def world(count: int, **event: object) -> World:
        made = sales_world()
        for number in range(count):
            at = 10 + 30 * second + number * second
            made.deal(str(number), stage_id="P", created=10).history([("P", at, dict(event))], str(number))
        return made

    loaded = world(51).build()
    assert loaded.one("select count(*) from main.deals where is_bulk_load") == 51
    assert loaded.one("select count(*) from main.stage_intervals where is_left_censored") == 51
    assert loaded.one("select count(*) from main.stage_changes where evidence = 'observed'") == 51
    assert world(50).build().one("select count(*) from main.deals where is_bulk_load") == 0
    assert world(60, precision="day").build().one("select count(*) from main.deals where is_bulk_load") == 0


def test_rule_20_clock_trouble_is_kept_clipped_and_counted() -> None:
    """Created after it was closed; and nobody's dwell is negative."""
    built = sales_world().deal(stage_id="Won", created=50).history([("P", 10), ("Won", 30)]).build()
    deal = built.deal("crm:1")
    assert (deal["created_at"], deal["started_at"], deal["closed_at"]) == (day(50), day(10), day(30))
    assert built.one("select min(dwell_days) from main.stage_intervals") == 20.0
    assert [row["deal_key"] for row in built.check("deals_with_clock_trouble")] == ["crm:1"]


def test_rule_20_an_entry_after_the_data_ends_dwells_zero_days() -> None:
    world = World(as_of=100).source(data_through_at=day(40)).pipeline(["P", "Q", "Won", "Lost"])
    built = world.deal(stage_id="P", created=45).history([("P", 45)]).build()
    assert built.visits("crm:1")[0]["dwell_days"] == 0.0


def test_rule_21_an_edited_outcome_changes_no_past_month() -> None:
    """N becomes a won stage on d50: who left before keeps an open visit; who sits there gets one observed change that day."""
    world = sales_world().stage("N", 4, WON, read=50, updated_at=day(50))
    world.deal("left", stage_id="Lost", created=0).history([("N", 10), ("Lost", 20)], "left")
    world.deal("sits", stage_id="N", created=0).history([("P", 5), ("N", 10), ("N", 70)], "sits")
    built = world.deal("late", stage_id="N", created=0).history([("P", 5), ("N", 60)], "late").build()
    assert [v["outcome"] for v in built.visits("crm:left")] == [OPEN, LOST]
    sits = built.changes("crm:sits")
    assert [(c["movement"], c["changed_at"], c["evidence"]) for c in sits[1:]] == [
        ("forward", day(10), "exact"),
        ("won", day(50), "observed"),
    ]
    assert [(v["outcome"], v["dwell_days"]) for v in built.visits("crm:sits")] == [
        (OPEN, 5.0),
        (OPEN, 40.0),
        (WON, None),
    ]
    assert (built.deal("crm:sits")["outcome"], built.deal("crm:sits")["closed_at"]) == (WON, day(50))
    assert built.movements("crm:late") == ["enter", "won"]
    before = sales_world(as_of=45).stage("N", 4, WON, read=50, updated_at=day(50))
    assert before.deal(stage_id="N", created=0).history([("P", 5), ("N", 10)]).build().deal("crm:1")["outcome"] == OPEN


def test_rule_22_a_merged_away_deal_leaves_totals_and_names_its_survivor() -> None:
    world = sales_world().deal("a", stage_id="Q", created=0).history([("P", 0), ("Q", 5)], "a")
    world.deal("b", stage_id="Q", created=0).history([("P", 0), ("Q", 3)], "b", is_combined=True)
    built = world.gone("merged", "a", read=310, survivor="b").build()
    gone, stays = built.deal("crm:a"), built.deal("crm:b")
    assert (gone["is_deleted"], gone["presence"], gone["merged_into_deal_key"]) == (True, "merged", "crm:b")
    assert (stays["is_deleted"], stays["is_history_combined"]) == (False, True)
    assert built.path("crm:b") == [("P", 0), ("Q", 3)]


def test_rule_23_a_history_gap_gets_one_observed_change_at_the_reading_that_shows_it() -> None:
    """History ends in Q; readings on d30 and d40 show R."""
    world = sales_world(as_of=100).deal(stage_id="Q", created=0, read=20).history([("P", 0), ("Q", 5)], read=20)
    world.deal(stage_id="R", created=0, read=30).deal(stage_id="R", created=0, amount=7, read=40)
    built = world.build()
    assert built.path("crm:1") == [("P", 0), ("Q", 5), ("R", 30)]
    last = built.changes("crm:1")[-1]
    assert (last["evidence"], last["movement"], last["days_in_from_stage"]) == ("observed", "forward", 25.0)
    assert built.deal("crm:1")["stage_key"] == "crm:sales:R"
    assert [row["deal_key"] for row in built.check("deals_with_a_history_gap")] == ["crm:1"]


@pytest.mark.parametrize(("zone", "due"), [("UTC", "2025-03-31"), ("America/Phoenix", "2025-03-31")])
def test_rule_24_a_close_date_is_a_day_in_every_session_zone(zone: str, due: str) -> None:
    built = sales_world().deal(stage_id="P", created=0, expected_close_date=due).build(session_zone=zone)
    assert str(built.deal("crm:1")["expected_close_date"]) == due
