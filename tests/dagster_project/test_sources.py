"""`muara sources`: what is there, another name, and away, without losing a row or a comment of the YAML."""

import json

import pytest

from tests.dagster_project.conftest import SOURCE

TWO = """\
# Sales keeps these sheets.
{one}
---
# The other team.
{two}"""


@pytest.fixture
def two(shell):
    """Two sources in one file, both synced."""
    shell.add("tracker", yaml=TWO.format(one=SOURCE.format(source="tracker"), two=SOURCE.format(source="pilot")))
    (shell.root / "sheets" / "pilot.csv").write_text((shell.root / "sheets" / "tracker.csv").read_text())
    assert shell("sync").code == 0
    return shell


def landed(shell, source):
    return shell.root / ".muara" / "landing" / source


def test_the_list_shows_what_is_configured_and_what_is_landed(two):
    text = two("sources", "list").out
    assert "tracker  spreadsheet" in text
    assert "defs/tracker/defs.yaml line 3 (document 1 of 2)" in text
    rows = {row["source"]: row for row in two("sources", "list", "--json").data}
    assert rows["pilot"]["rows"] == rows["tracker"]["rows"] > 3
    (two.root / "defs" / "tracker" / "defs.yaml").write_text(SOURCE.format(source="tracker"))
    text = two("sources", "list").out
    assert "not configured" in text
    assert "muara sources remove NAME" in text


def test_a_damaged_manifest_is_told_and_hides_no_other_source(two):
    (landed(two, "pilot") / "state.json").write_text("{")
    done = two("sources", "list")
    assert done.code == 1
    assert "pilot: " in done.out
    assert "tracker  spreadsheet" in done.out


def test_renaming_moves_landing_yaml_and_tokens_and_the_next_sync_finds_nothing_new(two):
    tokens = two.root / ".muara" / "secrets"
    (tokens / "tracker.json").write_text("{}")
    done = two("sources", "rename", "tracker", "sales")
    assert done.code == 0, done.err
    assert "tracker is now sales" in done.out
    assert "still named in: defs/tracker/defs.yaml:7" in done.out  # its sheet's path
    assert not landed(two, "tracker").exists()
    assert [path.name for path in tokens.iterdir()] == ["sales.json"]
    yaml = (two.root / "defs" / "tracker" / "defs.yaml").read_text()
    assert yaml.replace("source: sales", "source: tracker") == TWO.format(
        one=SOURCE.format(source="tracker"), two=SOURCE.format(source="pilot")
    )
    run = two("sync", "sales", "--full", "--json").data["sources"][0]
    assert run["status"] == "complete"
    assert [
        counts["new"] + counts["changed"] for stream, counts in run["report"]["rows"].items() if stream == "deals"
    ] == [0]
    two("build")
    assert json.loads(two("show", "sales:1", "--json").out)["published"]["name"] == "Alpha"
    assert two("doctor").code == 0


def test_all_reports_of_a_renamed_source_carry_its_new_name(two):
    for _ in range(2):
        two.clock.advance(hours=1)
        two("sync", "tracker")
    two("sources", "rename", "tracker", "sales")
    said = "".join(path.read_text() for path in landed(two, "sales").rglob("*.json"))
    assert '"source_key":"sales"' in said
    assert '"source_key":"tracker"' not in said.replace(" ", "")


def test_renaming_also_works_when_the_yaml_was_changed_first(two):
    file = two.root / "defs" / "tracker" / "defs.yaml"
    file.write_text(file.read_text().replace("source: tracker", "source: sales"))
    done = two("sources", "rename", "tracker", "sales", "--json")
    assert (done.code, done.data["yaml"]) == (0, None)
    assert (landed(two, "sales") / "state.json").is_file()


def test_a_renaming_that_was_cut_off_is_finished_by_the_next(two, monkeypatch):
    def cut(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dagster_project.sources._move_secrets", cut)
        assert two("sources", "rename", "tracker", "sales").code == 1
    assert two("sync", "sales").code == 0
    assert two("sources", "rename", "tracker", "sales").code == 0
    assert not landed(two, "tracker").exists()
    assert {row["source"] for row in two("sources", "list", "--json").data} == {"pilot", "sales"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["rename", "trackr", "sales"], "Did you mean 'tracker'?"),
        (["rename", "tracker", "pilot"], "'pilot' is configured already"),
        (["rename", "tracker", "Sales"], "use a-z, 0-9 and _"),
        (["rename", "tracker", "warehouse"], "this name is Muara's own"),
        (["remove", "trackr", "--yes"], "Did you mean 'tracker'?"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(two, argv, said):
    before = {path: path.read_bytes() for path in two.root.rglob("*.yaml")}
    done = two("sources", *argv)
    assert done.code == 1
    assert said in done.err
    assert before == {path: path.read_bytes() for path in two.root.rglob("*.yaml")}
    assert (landed(two, "tracker") / "state.json").is_file()


def test_the_data_of_another_source_is_never_overwritten(two):
    (two.root / "defs" / "tracker" / "defs.yaml").write_text(SOURCE.format(source="tracker"))
    done = two("sources", "rename", "tracker", "pilot")
    assert done.code == 1
    assert "holds the data of another source" in done.err


def test_removing_asks_first_and_keeps_what_is_landed(two):
    asked = two("sources", "remove", "tracker")
    assert asked.code == 2
    assert "would be removed" in asked.out
    assert "Nothing was done. Add --yes" in asked.out
    assert "source: tracker" in (two.root / "defs" / "tracker" / "defs.yaml").read_text()
    done = two("sources", "remove", "tracker", "--yes")
    assert done.code == 0
    assert "rows stay in" in done.out
    assert (two.root / "defs" / "tracker" / "defs.yaml").read_text() == "# The other team.\n" + SOURCE.format(
        source="pilot"
    )
    assert (landed(two, "tracker") / "state.json").is_file()
    gone = two("sources", "remove", "tracker", "--yes", "--delete-data", "--json").data
    assert gone["freed_bytes"] > 0
    assert not landed(two, "tracker").exists()
    assert [row["source"] for row in two("sources", "list", "--json").data] == ["pilot"]


def test_the_last_document_of_a_file_takes_the_file_with_it(hub):
    assert hub("sources", "remove", "tracker", "--yes").code == 0
    assert not (hub.root / "defs" / "tracker").exists()
    assert "no source is configured" in hub("sources", "list").out


def test_the_second_document_goes_alone(two):
    assert two("sources", "remove", "pilot", "--yes").code == 0
    text = (two.root / "defs" / "tracker" / "defs.yaml").read_text()
    assert text.rstrip() == ("# Sales keeps these sheets.\n" + SOURCE.format(source="tracker")).rstrip()


def test_yaml_that_cannot_be_changed_by_itself_is_put_back(two):
    file = two.root / "defs" / "tracker" / "defs.yaml"
    written = file.read_text().replace("source: tracker", "source:\n    tracker", 1)
    file.write_text(written)
    done = two("sources", "rename", "tracker", "sales")
    assert done.code == 1
    assert "Change it by hand" in done.err
    assert file.read_text() == written
    assert not (landed(two, "sales") / "state.json").exists()
