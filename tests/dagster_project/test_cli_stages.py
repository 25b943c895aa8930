"""`muara stages` and `muara sheets`: names looked at, decided, frozen; sheets understood before they count."""

import pytest

from tests.dagster_project.conftest import SHEET, Shell, copied
from warehouse.published import query

LABELS = "id,label,note\n7,Penawaran dikirim,x\n8,Closed Won,y\n9,Zxqv,z\n"


def test_classify_needs_no_project_and_keeps_every_column(shell, tmp_path):
    shell.root = tmp_path
    done = shell("stages", "classify", stdin=LABELS)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "id,label,note,canonical_stage,confidence,method,explanation"
    assert lines[1].startswith("7,Penawaran dikirim,x,proposal,")
    assert lines[2].startswith("8,Closed Won,y,won,")
    assert lines[3].startswith("9,Zxqv,z,unmapped,")
    assert shell("stages", "classify", "--json", stdin=LABELS).data[1]["canonical_stage"] == "won"


def test_classify_says_what_is_wrong_with_the_csv(shell):
    assert "there is no column `label`" in shell("stages", "classify", stdin="name\nLead\n").err


def test_a_mapping_file_wins_over_the_dictionary(shell):
    (shell.root / "mine.yaml").write_text("stages:\n  - label: Closed Won\n    canonical_stage: post_sale\n")
    done = shell("stages", "classify", "--mapping", "mine.yaml", stdin=LABELS)
    assert ",post_sale," in done.out.splitlines()[2]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published project with one stage that nobody knows, built once for all tests that only look."""
    found = Shell(tmp_path_factory.mktemp("doubtful"))
    assert found("init", ".").code == 0
    found.add("tracker", SHEET + "4,Delta,Umbrella,Zxqv,100,2026-01-08,Ann\n")
    assert found("run").code == 0
    return found


@pytest.fixture
def doubtful(published, tmp_path):
    """The same, to be changed."""
    return copied(published, tmp_path / "hub")


def test_unmapped_stages_are_listed_with_their_deals(published):
    """B6."""
    rows = published("stages", "unmapped", "--json").data
    assert [(row["stage"], row["deal_count"]) for row in rows] == [("Zxqv", 1)]
    assert "Zxqv" in published("stages", "unmapped").out


def test_list_says_what_each_stage_counts_as_and_why(published):
    rows = {row["stage"]: row for row in published("stages", "list", "--json").data}
    assert rows["Closed Won"]["canonical_stage"] == "won"
    assert "dictionary" in published("stages", "list").out


def test_a_suggestion_edited_and_built_places_the_stage(doubtful):
    """B7: editing the mapping recomputes the tables without calling any source."""
    assert "Zxqv" in doubtful("stages", "suggest").out
    done = doubtful("stages", "suggest", "--write")
    assert "not in force yet" in done.out
    path = doubtful.root / "stage_mapping.yaml"
    path.write_text("stages:\n  - source: tracker\n    label: Zxqv\n    canonical_stage: negotiation\n")
    settings = doubtful.root / "defs" / "warehouse" / "defs.yaml"
    settings.write_text(settings.read_text() + "  stage_mapping: stage_mapping.yaml\n")
    (doubtful.root / "sheets" / "tracker.csv").unlink()
    assert doubtful("build").code == 0
    rows = {row["stage"]: row for row in doubtful("stages", "list", "--json").data}
    assert (rows["Zxqv"]["canonical_stage"], rows["Zxqv"]["mapping_method"]) == ("negotiation", "mapping")
    assert doubtful("stages", "unmapped").out == "Every stage is placed.\n"


def test_pin_keeps_what_stood_in_the_file(doubtful):
    path = doubtful.root / "stage_mapping.yaml"
    path.write_text("# ours\nstages: []\n")
    assert doubtful("stages", "pin", "--write").code == 0
    assert "canonical_stage: won" in path.read_text()
    assert path.with_name("stage_mapping.yaml.before").read_text().startswith("# ours")


def test_a_sheet_is_shown_before_it_counts(hub):
    done = hub("sheets", "inspect", "sheets/tracker.csv")
    assert done.code == 0
    assert "key        Deal ID" in done.out
    assert "type: dagster_project.components.CrmSource" in done.out
    assert "path: sheets/tracker.csv" in done.out
    assert hub("sheets", "inspect", "sheets/tracker.csv", "--json").data["deal_count"] == 3


def test_a_sheet_that_cannot_be_read_says_why_and_exits_with_1(hub):
    (hub.root / "empty.csv").write_text("")
    done = hub("sheets", "inspect", "empty.csv")
    assert done.code == 1
    assert "empty" in done.out


def test_settings_may_be_tried_on_a_sheet(hub):
    done = hub("sheets", "inspect", "sheets/tracker.csv", "--set", "key=[Deal, Company]")
    assert "key        Deal, Company" in done.out or "Deal + Company" in done.out
    assert "unknown setting 'lokale'" in hub("sheets", "inspect", "sheets/tracker.csv", "--set", "lokale=id").err
    assert "write it as setting=value" in hub("sheets", "inspect", "sheets/tracker.csv", "--set", "locale").err


def test_unmapped_deals_stay_in_every_table_under_their_own_label(published):
    """B6: they are counted and listed with amounts and what to do, and a warning names the stage."""
    rows = published("stages", "unmapped", "--json").data
    assert (rows[0]["deal_amount"], rows[0]["review_reason"], rows[0]["candidates"]) == ("100.00", "unmapped", "[]")
    out = published("stages", "unmapped").out
    assert "Zxqv: none: no word of the label is in the dictionary → unmapped" in out
    assert "`muara stages suggest --write`" in out
    file = published.root / ".muara" / "muara.duckdb"
    deals = query(file, "select stage_key, canonical_stage, outcome from main.deals where name = 'Delta'").rows
    assert deals == (("tracker:default:zxqv", "unmapped", "open"),)
    for table in ("stage_intervals", "stage_bottlenecks", "stalled_deals"):
        found = query(file, f"select count(*) from main.{table} where stage_key = 'tracker:default:zxqv'").rows
        assert found[0][0] >= 1, table
    check = query(
        file, "select severity, failing_count, sample from ops.checks where check_name = 'unmapped_stages'"
    ).rows
    assert check[0][:2] == ("warn", 1)
    assert "Zxqv" in check[0][2]


def test_a_changed_answer_warns_once_and_pins_freeze_the_present_ones(doubtful):
    """A better dictionary must not rewrite last year in silence: the mapping file stands in for it here."""
    settings = doubtful.root / "defs" / "warehouse" / "defs.yaml"
    settings.write_text(settings.read_text() + "  stage_mapping: stage_mapping.yaml\n")
    path = doubtful.root / "stage_mapping.yaml"
    path.write_text("stages:\n  - {label: Lead, canonical_stage: nurture}\n")
    assert doubtful("build").code == 0
    check = (
        "select failing_count, sample from ops.checks where check_name = 'canonical_stage_unchanged_since_last_build'"
    )
    warned = query(doubtful.root / ".muara" / "muara.duckdb", check).rows[0]
    assert warned[0] == 1
    assert "prospecting" in warned[1]
    assert "nurture" in warned[1]
    assert doubtful("stages", "pin", "--write").code == 0
    assert doubtful("build").code == 0
    assert query(doubtful.root / ".muara" / "muara.duckdb", check).rows[0][0] == 0
    rows = {row["stage"]: row for row in doubtful("stages", "list", "--json").data}
    assert (rows["Closed Won"]["canonical_stage"], rows["Closed Won"]["mapping_method"]) == ("won", "mapping")
    assert (rows["Lead"]["canonical_stage"], rows["Zxqv"]["canonical_stage"]) == ("nurture", "unmapped")


def test_a_broken_mapping_file_stops_the_build_with_line_and_advice(hub):
    settings = hub.root / "defs" / "warehouse" / "defs.yaml"
    settings.write_text(settings.read_text() + "  stage_mapping: stage_mapping.yaml\n")
    (hub.root / "stage_mapping.yaml").write_text("stages:\n  - label: Zxqv\n    canonical_stage: negotation\n")
    done = hub("build")
    assert done.code == 1
    assert "stage_mapping.yaml, entry 1 (line 2): canonical_stage is 'negotation'; it must be one of" in done.err
