"""The dated stage dictionary: renames, moves, removals and dated mapping entries between two syncs leave past months as they were."""

from __future__ import annotations

import pytest

from connectors.sdk.errors import ConfigError
from tests.warehouse.core.world import Built, World, day
from warehouse.stages import StageMapping

NAMES = {
    "S1": "Lead",
    "S2": "Qualification",
    "S3": "Proposal",
    "S4": "Negotiation",
    "S5": "Closed Won",
    "S6": "Closed Lost",
}
FLAGS = {"S5": "won", "S6": "lost"}
NONE = StageMapping()
MONTHS = """
select v.stage_key, date_trunc('month', v.entered_at) as month, v.canonical_stage, v.outcome, count(*) as visits, sum(v.dwell_days) as days
from main.stage_intervals as v where v.exited_at is not null and v.entered_at < ? group by all order by all
"""


def crm() -> World:
    """Six stages with ids, read on day 0, and one deal that went the whole way before day 60, one that sits in S3."""
    world = World(as_of=200).source().pipeline([])
    for order, (ident, name) in enumerate(NAMES.items(), start=1):
        world.stage(ident, order, FLAGS.get(ident, "open"), name=name, read=0)
    world.deal("1", stage_id="S5", created=0).history([("S1", 0), ("S2", 5), ("S3", 20), ("S4", 40), ("S5", 50)], "1")
    return world.deal("2", stage_id="S3", created=0).history([("S1", 0), ("S3", 30)], "2")


def past(built: Built) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in built.rows(MONTHS, day(60))]


def versions(built: Built, stage: str) -> list[tuple[object, ...]]:
    columns = "stage, display_order, canonical_stage, outcome, is_archived, valid_from"
    sql = f"select {columns} from main.stage_versions where stage_key = 'crm:sales:{stage}' order by version"
    return [tuple(row.values()) for row in built.rows(sql)]


def mapped(text: str) -> StageMapping:
    return StageMapping.parse("stages:\n" + text)


def test_a_rename_between_two_syncs_is_listed_and_changes_no_past_month() -> None:
    before = past(crm().build(mapping=NONE))
    built = crm().stage("S3", 3, "open", name="Contract sent", read=60).build(mapping=NONE)
    assert past(built) == before
    assert versions(built, "S3") == [
        ("Proposal", 3, "proposal", "open", False, None),
        ("Contract sent", 3, "proposal", "open", False, day(60)),
    ]
    change = built.rows(
        "select c.to_stage_then, s.stage from main.stage_changes as c inner join main.stages as s on s.stage_key = c.to_stage_key "
        "where c.deal_key = 'crm:2' and c.seq = 2"
    )[0]
    assert tuple(change.values()) == ("Proposal", "Contract sent")


def test_a_renamed_stage_that_reads_otherwise_is_kept_and_asks_for_a_decision() -> None:
    built = crm().stage("S3", 3, "open", name="Contract sent", read=60).build(mapping=NONE)
    answer = built.rows("select * from staging.stage_answers where stage_id = 'S3' order by valid_from")[-1]
    assert (answer["canonical_stage"], answer["is_flagged"]) == ("proposal", True)
    assert answer["mapping_explanation"] == (
        "renamed from 'Proposal', which counted as proposal; the new label reads as negotiation → proposal kept"
    )
    entry = "  - {label: Contract sent, canonical_stage: negotiation}\n"
    decided = crm().stage("S3", 3, "open", name="Contract sent", read=60).build(mapping=mapped(entry))
    assert past(decided) == past(built)
    assert [row[2] for row in versions(decided, "S3")] == ["proposal", "negotiation"]


def test_a_label_that_says_nothing_keeps_the_stage_without_asking() -> None:
    built = crm().stage("S3", 3, "open", name="Zxqv", read=60).stage("S3", 2, "open", name="Zxqv", read=70)
    rows = built.build(mapping=NONE).rows(
        "select * from staging.stage_answers where stage_id = 'S3' order by valid_from"
    )
    assert [(row["canonical_stage"], row["is_flagged"]) for row in rows] == [("proposal", False)] * 3


def test_a_move_between_two_syncs_is_listed_and_changes_no_past_month() -> None:
    before = past(crm().build(mapping=NONE))
    built = crm().stage("S3", 5, "open", name="Proposal", read=60).build(mapping=NONE)
    assert past(built) == before
    assert [row[1] for row in versions(built, "S3")] == [3, 5]
    order = built.rows("select source_stage_id from main.stages where stage_order is not null order by stage_order")
    assert [row["source_stage_id"] for row in order] == ["S1", "S2", "S4", "S3"]


def test_a_deletion_between_two_syncs_keeps_the_stage_and_its_past_months() -> None:
    before = past(crm().build(mapping=NONE))
    built = crm().gone("purged", "sales:S2", stream="stages", read=60).build(mapping=NONE)
    assert past(built) == before
    stage = built.rows("select stage, is_archived, stage_order from main.stages where source_stage_id = 'S2'")[0]
    assert tuple(stage.values()) == ("Qualification", True, None)


def test_a_dated_entry_of_the_mapping_file_comes_into_force_on_its_day() -> None:
    """The CRM changed nothing; the file alone cuts the version."""
    entry = "  - {stage: S3, canonical_stage: nurture, valid_from: 2025-01-26}\n"
    built = crm().build(mapping=mapped(entry))
    assert [(row[2], row[5]) for row in versions(built, "S3")] == [("proposal", None), ("nurture", day(25))]
    seen = built.rows(
        "select deal_key, canonical_stage from main.stage_intervals where stage_key = 'crm:sales:S3' order by 1"
    )
    assert [tuple(row.values()) for row in seen] == [("crm:1", "proposal"), ("crm:2", "nurture")]


def test_an_entry_that_ends_gives_way_to_the_dictionary_again() -> None:
    entry = "  - {label: Proposal, canonical_stage: nurture, valid_from: 2025-01-10, valid_to: 2025-01-20}\n"
    built = crm().build(mapping=mapped(entry))
    assert [(row[2], row[5]) for row in versions(built, "S3")] == [
        ("proposal", None),
        ("nurture", day(9)),
        ("proposal", day(19)),
    ]


def test_a_dated_outcome_changes_no_past_month() -> None:
    """Rule 21 by the mapping file: from day 60 on S3 counts as won."""
    entry = "  - {stage: S3, canonical_stage: won, outcome: won, valid_from: 2025-03-02}\n"
    before = past(crm().build(mapping=NONE))
    built = crm().build(mapping=mapped(entry))
    left = [row for row in past(built) if row[0] != "crm:sales:S3"]
    assert left == [row for row in before if row[0] != "crm:sales:S3"]
    # the deal that sat there left the open stage on that very day: its visit of 30 days joins the one that ended before
    assert [row[3:] for row in past(built) if row[0] == "crm:sales:S3"] == [("open", 2, 50.0)]
    sits = built.changes("crm:2")
    assert [(c["movement"], c["changed_at"], c["evidence"]) for c in sits[-1:]] == [("won", day(60), "observed")]


def test_an_entry_whose_day_has_not_come_waits() -> None:
    entry = "  - {stage: S3, canonical_stage: nurture, valid_from: 2030-01-01}\n"
    assert [row[2] for row in versions(crm().build(mapping=mapped(entry)), "S3")] == ["proposal"]


# --- sources without ids: a label that was changed in the sheet


def sheet() -> World:
    """On day 60 the sheet calls "Proposal" "Offer out"; deal 1 sat in it, deal 2 had left it, deal 3 comes later."""
    world = World(as_of=200).source("sheet", "spreadsheet")
    world.pipeline([], source_key="sheet", pipeline_id="default")
    place = {"source_key": "sheet", "pipeline_id": "default"}
    names = {"lead": ("Lead", 1), "proposal": ("Proposal", 2), "won": ("Won", 3)}
    for ident, (name, order) in names.items():
        world.stage(ident, order, None, name=name, read=0, **place)
    world.stage("offer out", 2, None, name="Offer out", read=60, **place)
    for deal, steps in {
        "1": [("lead", 0), ("proposal", 20), ("offer out", 60)],
        "2": [("proposal", 0), ("won", 30)],
    }.items():
        for stage, at in steps:
            world.deal(deal, stage_id=stage, created=0, read=at, **place)
    return world.deal("3", stage_id="offer out", created=70, read=70, **place)


RENAME = "  - {source: sheet, label: proposal, renamed_to: OFFER OUT}\n"


def test_a_mapping_row_joins_two_labels_of_a_sheet_into_one_stage() -> None:
    """Rule 14 for sources without ids."""
    apart = sheet().build(mapping=NONE)
    assert apart.path("sheet:1") == [("lead", 0), ("proposal", 20), ("offer out", 60)]
    built = sheet().build(mapping=mapped(RENAME))
    assert built.path("sheet:1") == [("lead", 0), ("offer out", 20)]
    assert built.path("sheet:2")[0] == ("offer out", 0)
    stage = built.rows("select stage, previous_labels from main.stages where source_stage_id = 'offer out'")[0]
    assert tuple(stage.values()) == ("Offer out", "Proposal")
    assert built.one("select count(*) from main.stages where source_stage_id = 'proposal'") == 0
    change = built.rows("select to_stage_then from main.stage_changes where deal_key = 'sheet:1' order by seq")
    assert [row["to_stage_then"] for row in change] == ["Lead", "Proposal"]


def test_an_earlier_label_that_old_rows_still_carry_is_no_later_version() -> None:
    world = sheet().stage("proposal", 5, None, name="Proposal", read=90, source_key="sheet", pipeline_id="default")
    built = world.build(mapping=mapped(RENAME))
    assert built.one("select stage from main.stages where source_stage_id = 'offer out'") == "Offer out"


def test_renames_in_a_chain_end_at_todays_label() -> None:
    chain = "  - {label: Lead, renamed_to: Proposal}\n  - {label: Proposal, renamed_to: Offer out}\n"
    assert sheet().build(mapping=mapped(chain)).path("sheet:1") == [("offer out", 0)]


def test_renames_in_a_circle_are_refused() -> None:
    circle = "  - {label: Proposal, renamed_to: Offer out}\n  - {label: Offer out, renamed_to: Proposal}\n"
    with pytest.raises(ConfigError, match=r"the renames of sheet lead from .* back to"):
        sheet().build(mapping=mapped(circle))


def test_a_rename_to_a_label_that_the_source_does_not_have_names_those_it_has() -> None:
    with pytest.raises(
        ConfigError, match=r"no stage of the label 'Ofer out'\. Its stages: Lead, Offer out, Proposal, Won"
    ):
        sheet().build(mapping=mapped("  - {label: Proposal, renamed_to: Ofer out}\n"))
