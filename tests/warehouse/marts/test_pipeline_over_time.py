"""The pipeline by day and its waterfalls on stories small enough to check by hand, and the deals behind a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.independent.world import PIPELINES, STAGES, Deal, Event, FieldChange, Source, World, make_world
from tests.warehouse.marts.core_rows import core_rows
from tests.warehouse.marts.harness import marts, rows, warehouse
from warehouse.runner import MODELS, run_check

AS_OF = datetime.fromisoformat("2025-03-15T12:00")
SALES, PARTNERS = "spot:default:", "spot:partners:"
FIRST, SECOND, DONE, DEAD = (SALES + name for name in ("Appointment", "Qualified", "won", "lost"))

#: the marts under test and what they read
BASE = (
    "mart_deals",
    "mart_stages",
    "mart_visits",
    "mart_gone_deals",
    "mart_amount_basis",
    "mart_spells",
    "mart_period_moves",
)
MODELS_USED = [model for model in marts() if model.name in BASE or model.name.startswith("pipeline_")]

Con = Any
Amounts = dict[str, Decimal | None]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-{text}")


def deal(number: int, *moves: tuple[str, str], amount: int | None = 100, due: str | None = None, **more: Any) -> Deal:
    """A deal of source spot; moves are (month-day[Thour], stage)."""
    events = [Event(at(when), place, stage) for place, (when, stage) in enumerate(moves)]
    values: dict[str, Any] = {"owner": None, "lead_source": None, "deal_type": None, "company": None}
    return Deal(
        key=f"spot:{number}",
        source="spot",
        events=events,
        created_at=events[0].at,
        amount=None if amount is None else Decimal(amount),
        close_date=None if due is None else date.fromisoformat(f"2025-{due}"),
        unified=f"spot:{number}",
        **{**values, **more},
    )


@pytest.fixture
def built():
    """Build the marts over some deals; zone UTC, as_of 15 March 2025 at noon. Every check must pass."""
    opened = []

    def build(*deals: Deal, as_of: datetime = AS_OF, change: Callable[[dict[str, Any]], None] | None = None) -> Con:
        tables = core_rows(
            World([Source("spot", "Spot", as_of)], PIPELINES, STAGES, {}, {}, list(deals), as_of=as_of, zone="UTC")
        )
        if change:
            change(tables)
        con = warehouse(tables, as_of=str(as_of), models=MODELS_USED)
        opened.append(con)
        results = [run_check(con, check) for model in MODELS_USED for check in model.checks()]
        assert [result.name for result in results if not result.passed] == []
        con.execute((MODELS / "readers.sql").read_text(encoding="utf-8"))
        return con

    yield build
    for con in opened:
        con.close()


def moves(
    con: Con, start: str, *, kind: str = "total", pipeline: str = "spot:default", grain: str = "month"
) -> Amounts:
    """One row of the waterfall without the buckets that are empty, as bucket -> amount; the balance is checked on the way."""
    found = rows(
        con,
        "select * from main.pipeline_waterfall where kind = ? and source_key = 'spot' and pipeline_key = ? and period_grain = ? and period_start = ?",
        kind,
        pipeline,
        grain,
        f"2025-{start}",
    )
    if not found:
        return {}
    row = found[0]
    assert row["check_amount"] == 0
    names = [name.removesuffix("_count") for name in row if name.endswith("_count") and name != "amount_missing_count"]
    return {name: row[f"{name}_amount"] for name in names if row[f"{name}_count"]}


def days(con: Con, first: str, last: str) -> dict[str, tuple[int, Decimal | None]]:
    """Open deals and amount by day, over all stages."""
    found = rows(
        con,
        "select snapshot_date as day, sum(open_count) as deals, sum(open_amount) as amount from main.pipeline_daily "
        "where snapshot_date between ? and ? group by all order by all",
        f"2025-{first}",
        f"2025-{last}",
    )
    return {str(row["day"])[5:]: (row["deals"], row["amount"]) for row in found}


def test_the_example_of_the_specification(built) -> None:
    raised = FieldChange(at("02-05"), "amount", "1000.00", "1200.00")
    con = built(
        deal(1, ("01-10", FIRST), ("02-20", DONE), amount=1200, changes=[raised]),
        deal(2, ("02-03", FIRST), ("02-09", DEAD), amount=500),
    )
    assert moves(con, "02-01") == {"opening": 1000, "increase": 200, "won": 1200, "new": 500, "lost": 500}
    assert moves(con, "01-01") == {"new": 1000, "closing": 1000}
    assert moves(con, "03-01") == {}
    assert moves(con, "01-01", grain="quarter") == {"new": 1700, "won": 1200, "lost": 500}
    assert days(con, "02-03", "02-06") == {
        "02-03": (2, 1500),
        "02-04": (2, 1500),
        "02-05": (2, 1700),
        "02-06": (2, 1700),
    }


def test_a_reopened_deal_comes_back_and_one_reopened_within_the_month_never_left(built) -> None:
    con = built(
        deal(1, ("01-10", FIRST), ("01-20", DEAD), ("02-10", FIRST)),
        deal(2, ("01-10", FIRST), ("02-10", DEAD), ("02-12", SECOND), amount=30),
    )
    assert moves(con, "01-01") == {"new": 130, "lost": 100, "closing": 30}
    assert moves(con, "02-01") == {"opening": 30, "reopened": 100, "closing": 130}
    assert days(con, "02-09", "02-12") == {"02-09": (1, 30), "02-10": (1, 100), "02-11": (1, 100), "02-12": (2, 130)}


def test_a_win_by_mistake_is_lost_in_the_month_in_which_it_was_corrected(built) -> None:
    con = built(
        deal(1, ("01-10", FIRST), ("02-05", DONE), ("02-08", DEAD)),
        deal(2, ("01-10", FIRST), ("02-05", DONE), ("03-08", DEAD), amount=7),
    )
    assert moves(con, "02-01") == {"opening": 107, "lost": 100, "won": 7}
    assert moves(con, "03-01") == {}


def test_deleted_and_merged_deals_stay_in_the_days_before_and_leave_through_their_own_bucket(built) -> None:
    con = built(
        deal(1, ("01-10", FIRST), deleted_at=at("02-10T08:00"), presence="deleted"),
        deal(2, ("01-10", FIRST), amount=30, deleted_at=at("02-10T08:00"), presence="merged", merged_into="spot:3"),
        deal(3, ("01-12", FIRST), amount=5),
        deal(4, ("01-10", FIRST), ("02-01", DONE), amount=900, deleted_at=at("02-10"), presence="deleted"),
    )
    assert moves(con, "01-01") == {"new": 1035, "closing": 1035}
    assert moves(con, "02-01") == {"opening": 1035, "deleted": 1030, "closing": 5}
    assert days(con, "02-08", "02-11") == {"02-08": (3, 135), "02-09": (3, 135), "02-10": (1, 5), "02-11": (1, 5)}


def test_an_amount_counts_as_it_was_and_an_unknown_one_is_not_0(built) -> None:
    told = FieldChange(at("02-10"), "amount", None, "80.00")
    cut = FieldChange(at("03-01"), "amount", "500.00", "400.00")
    con = built(
        deal(1, ("01-10", FIRST), amount=80, changes=[told]),
        deal(2, ("01-20", SECOND), amount=400, changes=[cut]),
        deal(3, ("03-02", FIRST), amount=None),
    )
    assert moves(con, "02-01") == {"opening": 500, "increase": 80, "closing": 580}
    # the change at midnight belongs to the month that begins then
    assert moves(con, "03-01") == {"opening": 580, "decrease": 100, "new": None, "closing": 480}
    row = rows(con, "select * from main.pipeline_daily where snapshot_date = '2025-01-10'")[0]
    assert (row["open_count"], row["open_amount"], row["amount_missing_count"]) == (1, None, 1)
    assert row["amount_basis"] == "history"


def test_a_deal_without_a_usable_currency_counts_without_an_amount(built) -> None:
    def in_yen(tables: dict[str, Any]) -> None:
        tables["main.fx_rates"] += [{"currency": "EUR", "rate": 2}, {"currency": "JPY", "rate": None}]
        tables["main.deals"][0] |= {"currency": "JPY", "fx_rate": None, "amount_reporting": None}
        tables["main.deal_field_changes"].append(
            {
                "deal_key": "spot:2",
                "source_key": "spot",
                "field": "currency",
                "seq": 1,
                "changed_at": at("02-10"),
                "old_value": "EUR",
                "new_value": "USD",
                "origin": "history",
            }
        )

    con = built(deal(1, ("01-10", FIRST)), deal(2, ("01-10", FIRST), amount=30), change=in_yen)
    assert days(con, "02-09", "02-10") == {"02-09": (2, 60), "02-10": (2, 30)}
    assert moves(con, "02-01") == {"opening": 60, "decrease": 30, "closing": 30}
    assert con.execute("select distinct amount_missing_count from main.pipeline_daily").fetchall() == [(1,)]


def test_a_deal_moved_to_another_pipeline_is_transferred_and_for_the_source_as_a_whole_it_stays(built) -> None:
    con = built(
        deal(1, ("01-10", FIRST), ("02-10", PARTNERS + "Intro")),
        deal(2, ("01-10", FIRST), ("02-10", DONE), ("02-12", "spot:care:Setup"), amount=30),
        deal(3, ("02-01", FIRST), ("02-03", PARTNERS + "Intro"), ("02-04", FIRST), amount=7),
    )
    assert moves(con, "02-01") == {"opening": 130, "transferred_out": 100, "won": 30, "new": 7, "closing": 7}
    partners = moves(con, "02-01", pipeline="spot:partners")
    assert partners == {"transferred_in": 107, "transferred_out": 7, "closing": 100}
    assert moves(con, "02-01", pipeline="all") == {"opening": 130, "won": 30, "new": 7, "closing": 107}


def test_the_deals_due_in_a_month_come_and_go_with_their_close_date(built) -> None:
    def dated(when: str, old: str | None, new: str | None) -> list[FieldChange]:
        full = [None if day is None else f"2025-{day}" for day in (old, new)]
        return [FieldChange(at(when), "expected_close_date", *full)]

    con = built(
        deal(
            1, ("01-10", FIRST), due="04-30", amount=1, changes=dated("02-10", "02-28", "04-30")
        ),  # pushed out of February
        deal(2, ("01-10", FIRST), due="02-20", amount=10, changes=dated("02-10", "05-31", "02-20")),  # pulled in
        deal(3, ("01-10", FIRST), due="02-20", amount=100, changes=dated("02-10", "01-31", "02-20")),  # was overdue
        deal(4, ("01-10", FIRST), due="01-15", amount=1000, changes=dated("02-10", "02-20", "01-15")),  # moved earlier
        deal(
            5, ("01-10", FIRST), ("02-10", DONE), due="04-01", amount=10_000
        ),  # won ahead of its date: a booking of February
        deal(
            6, ("01-10", FIRST), ("02-10", DEAD), due="04-01", amount=100_000
        ),  # lost ahead of its date: not due in February
        # lost when due; the date that the CRM overwrote in the very instant of the loss does not count
        deal(
            7,
            ("01-10", FIRST),
            ("02-10", DEAD),
            due="06-30",
            amount=1_000_000,
            changes=dated("02-10", "02-28", "06-30"),
        ),
    )
    expected = {
        "opening": 1 + 1000 + 1_000_000, "pulled_in": 10 + 10_000, "slipped_in": 100, "won": 10_000, "lost": 1_000_000,
        "pushed_out": 1, "moved_earlier": 1000, "closing": 110,
    }  # fmt: skip
    assert moves(con, "02-01", kind="closing_in_period") == expected
    assert moves(con, "04-01", kind="closing_in_period") == {}  # has not begun


def test_as_of_within_a_day_ends_the_running_day_and_month_there(built) -> None:
    con = built(
        deal(1, ("03-15T11:59", FIRST)),
        deal(2, ("03-14", FIRST), ("03-15T11:00", DEAD), amount=7),
        deal(3, ("03-14", FIRST), ("03-15T12:00", DONE), amount=30),  # at as_of itself: has not happened
    )
    assert days(con, "03-13", "03-16") == {"03-14": (2, 37), "03-15": (2, 130)}
    partial = rows(con, "select distinct snapshot_date, is_partial from main.pipeline_daily order by 1")
    assert [row["is_partial"] for row in partial] == [False, True]
    assert moves(con, "03-01") == {"new": 137, "lost": 7, "closing": 130}
    assert con.execute("select bool_and(is_partial) from main.pipeline_waterfall").fetchone() == (True,)


def test_as_of_at_midnight_ends_the_day_before_whole(built) -> None:
    con = built(deal(1, ("02-27", FIRST)), as_of=at("03-01"))
    assert days(con, "02-26", "03-02") == {"02-27": (1, 100), "02-28": (1, 100)}
    assert con.execute("select bool_or(is_partial) from main.pipeline_daily").fetchone() == (False,)
    assert con.execute(
        "select bool_or(is_partial) from main.pipeline_waterfall where period_grain = 'month'"
    ).fetchone() == (False,)


def test_a_deal_opened_and_won_in_one_instant_is_new_and_won(built) -> None:
    con = built(deal(1, ("02-10", FIRST), ("02-10", DONE)))
    assert moves(con, "02-01") == {"new": 100, "won": 100}
    assert days(con, "02-09", "02-11") == {}


def test_copies_of_a_deal_count_once_over_all_sources(built) -> None:
    con = built(deal(1, ("02-10", FIRST)), replace(deal(2, ("02-10", FIRST), amount=101), is_primary=False))
    closing = (
        "select source_key, closing_amount from main.pipeline_waterfall "
        "where pipeline_key = 'all' and period_grain = 'month' and period_start = '2025-02-01' order by 1"
    )
    assert con.execute(closing).fetchall() == [("all", 100), ("spot", 201)]


def test_the_deals_of_a_day_have_the_stage_owner_amount_and_date_of_that_day(built) -> None:
    changes = [
        FieldChange(at("02-10"), "amount", "50.00", "100.00"),
        FieldChange(at("02-10"), "expected_close_date", "2025-02-28", "2025-06-30"),
        FieldChange(at("02-10"), "owner", "u1", "u2"),
    ]
    con = built(deal(1, ("02-01", FIRST), ("02-11", SECOND), due="06-30", owner="spot:owner:u2", changes=changes))
    columns = "stage, owner_key, amount, amount_reporting, expected_close_date, days_in_stage, outcome_now"
    before = con.execute(f"select {columns} from pipeline_as_of(date '2025-02-09')").fetchall()
    after = con.execute(f"select {columns} from pipeline_as_of('2025-02-11')").fetchall()
    assert before == [("Appointment", "spot:owner:u1", 50, 50, date(2025, 2, 28), 9, "open")]
    assert after == [("Qualified", "spot:owner:u2", 100, 100, date(2025, 6, 30), 1, "open")]
    assert con.execute("select count(*) from pipeline_as_of(date '2025-01-31')").fetchone() == (0,)
    assert con.execute("select days_in_stage, as_of_at from pipeline_as_of(date '2025-03-15')").fetchall() == [
        (32.5, AS_OF)
    ]
    assert con.execute("select count(*) from pipeline_as_of(date '2025-03-16')").fetchone() == (0,)


def test_the_deals_of_any_day_add_up_to_that_day() -> None:
    world = make_world(seed=11, deals=250)
    settings = {"reporting_timezone": world.zone}
    with warehouse(core_rows(world), as_of=str(world.as_of), settings=settings, models=MODELS_USED) as con:
        con.execute((MODELS / "readers.sql").read_text(encoding="utf-8"))
        sums = "stage_key, count(*), cast(sum(amount_reporting) as decimal(18, 2)), count(*) - count(amount_reporting)"
        for day in (world.as_of.date() - timedelta(days=n) for n in (0, 1, 2, 30, 120, 300)):
            whole = con.execute(
                "select stage_key, open_count, open_amount, amount_missing_count from main.pipeline_daily where snapshot_date = ? order by 1",
                [day],
            ).fetchall()
            assert whole
            assert (
                con.execute(f"select {sums} from pipeline_as_of(date '{day}') group by 1 order by 1").fetchall()
                == whole
            )
