"""Column lineage is read off the SQL itself: which columns each column is computed from, and which only chose its rows."""

from __future__ import annotations

import pytest

from warehouse.build import all_models
from warehouse.lineage import Origin, lineage, through
from warehouse.runner import Description, Model, ModelError, references


def model(name: str, sql: str, *, schema: str = "main", kept: bool = True) -> Model:
    return Model(
        schema=schema,
        name=name,
        layer="core",
        sql=sql,
        about=Description(description="x", kept=kept),
        reads=frozenset(references(sql, where=name)),
    )


def of(sql: str, *before: Model) -> dict[str, set[str]]:
    """Column -> `table.column` of a query over landing and the given models."""
    found = lineage([*before, model("asked", sql)])["main.asked"]
    return {name: {f"{origin.table}.{origin.column}" for origin in origins} for name, origins in found.items()}


STAGES = model("stages", "select s.stage_id as id, s.name as label from landing.stages as s")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select d.name from landing.deals as d", {"name": {"landing.deals.name"}}),
        ("select amount * 2 as twice from landing.deals", {"twice": {"landing.deals.amount"}}),
        ("select x.* exclude (label) from main.stages as x", {"id": {"main.stages.id"}}),
        ("select * from main.stages", {"id": {"main.stages.id"}, "label": {"main.stages.label"}}),
        ("with a (k) as (select id from main.stages) select k from a", {"k": {"main.stages.id"}}),
        (
            "select id as n from main.stages union all select label from main.stages",
            {"n": {"main.stages.id", "main.stages.label"}},
        ),
        ("select q.b from (select label as b from main.stages) as q", {"b": {"main.stages.label"}}),
        ("select (select max(label) from main.stages) as newest", {"newest": {"main.stages.label"}}),
        (
            "select d.name from landing.deals as d join main.stages as s on s.id = d.stage_id",
            {"name": {"landing.deals.name"}},
        ),
        ("select id as a, a || 'x' as b from main.stages", {"a": {"main.stages.id"}, "b": {"main.stages.id"}}),
        ("select st.as_of_at as at from staging.settings as st", {"at": {"staging.settings.as_of_at"}}),
        ("select reporting_currency as c from staging.settings", {"c": {"staging.settings.reporting_currency"}}),
        ("select v.kind from (values ('a'), ('b')) as v (kind)", {"kind": set()}),
        ("select count(*) filter (where label = 'x') as n from main.stages", {"n": set()}),
        ("select row_number() over (partition by id order by label) as n from main.stages", {"n": set()}),
        ("select lag(label) over (order by id) as before from main.stages", {"before": {"main.stages.label"}}),
        (
            (
                "select s.label, q.top from main.stages as s left join lateral (select max(d.name) as top from landing.deals as d "
                "where d.stage_id = s.id) as q on true"
            ),
            {"label": {"main.stages.label"}, "top": {"landing.deals.name"}},
        ),
    ],
)
def test_a_column_comes_from_the_columns_of_its_expression(sql, expected):
    assert of(sql, STAGES) == expected


def test_a_table_that_is_dropped_passes_its_own_origins_on():
    hidden = model(
        "mid", "select amount + home_amount as total, _read_at from landing.deals", schema="staging", kept=False
    )
    last = model("last", "select m.total, m._read_at as seen_at, m.total + m._read_at as mixed from staging.mid as m")
    found = through(lineage([hidden, last]), frozenset({"main.last"}))
    assert set(found) == {"main.last"}
    amounts = {Origin("landing.deals", "amount"), Origin("landing.deals", "home_amount")}
    assert found["main.last"]["total"] == amounts
    assert found["main.last"]["seen_at"] == {Origin("landing.deals", "_read_at")}
    assert found["main.last"]["mixed"] == amounts


def test_a_form_that_is_not_known_is_an_error_and_not_a_gap():
    with pytest.raises(ModelError, match=r"main\.asked: its column lineage cannot be read: TABLE_FUNCTION"):
        of("select x from range(3) as t (x)")


def test_every_published_column_is_traced():
    """The tracer must find the same columns as the descriptions name: a star or an alias read wrongly would show."""
    models = all_models()
    found = lineage(models)
    described = {each.table: set(each.about.columns) for each in models if each.about.kept}
    assert {table: set(found[table]) for table in described} == described


def test_lineage_reaches_the_landing_zone():
    models = all_models()
    found = through(lineage(models), frozenset(each.table for each in models if each.about.kept))
    assert found["main.deals"]["name"] == {Origin("landing.deals", "name")}
    assert Origin("landing.deals", "amount") in found["main.deals"]["amount"]
    assert Origin("main.deals", "amount_reporting") in found["main.win_rates"]["won_amount"]
    # Counts, constants and ranks have no column behind them; nearly everything else has.
    columns = [origins for table in found.values() for origins in table.values()]
    assert sum(1 for origins in columns if not origins) < 0.1 * len(columns)
