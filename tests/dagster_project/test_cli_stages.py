"""`muara stages` and `muara sheets`: names looked at, decided, frozen; sheets understood before they count."""

import pytest

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


@pytest.fixture
def doubtful(hub):
    """A published project with one stage that nobody knows."""
    sheet = hub.root / "sheets" / "tracker.csv"
    sheet.write_text(sheet.read_text() + "4,Delta,Umbrella,Zxqv,100,2026-01-08,Ann\n")
    assert hub("run").code == 0
    return hub


def test_unmapped_stages_are_listed_with_their_deals(doubtful):
    """B6."""
    rows = doubtful("stages", "unmapped", "--json").data
    assert [(row["stage"], row["deal_count"]) for row in rows] == [("Zxqv", 1)]
    assert "Zxqv" in doubtful("stages", "unmapped").out


def test_list_says_what_each_stage_counts_as_and_why(doubtful):
    rows = {row["stage"]: row for row in doubtful("stages", "list", "--json").data}
    assert rows["Closed Won"]["canonical_stage"] == "won"
    assert "dictionary" in doubtful("stages", "list").out


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
