"""The command line as a person or a script meets it: results, exit codes, --json, and errors read cold."""

import subprocess
import sys
from pathlib import Path

import pytest

from dagster_project.cli import COMMANDS, build_parser
from tests.dagster_project.conftest import Shell, copied

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project with one sheet, synced and built once for all tests that only look; `said` is what `run` answered."""
    found = Shell(tmp_path_factory.mktemp("built"))
    assert found("init", ".").code == 0
    found.add("tracker")
    found.said = found("run", "--json").data
    return found


def test_init_sync_build_run_make_one_thread(shell):
    shell.add("tracker")
    done = shell("run", "--as-of", "2026-02-15T00:00:00Z")
    assert done.code == 0, done.err
    assert "tracker  complete" in done.out
    assert "published" in done.out
    assert (shell.root / ".muara" / "muara.duckdb").is_file()


def test_json_is_given_by_every_command_that_works_on_a_project(built, hub):
    assert built.said["sources"][0]["report"]["rows"]["deals"]["new"] == 3
    assert built.said["build"]["status"] == "published"
    assert built.said["build"]["tables"]["main.deals"] == 3
    assert built("report", "--json").data["totals"]["deals"] == 3
    assert built("show", "tracker:1", "--json").data["published"]["name"] == "Alpha"
    assert hub("check", "--json").data[0]["findings"][0]["level"] == "ok"
    assert hub("plan", "--json").data[0]["lines"][0]["stream"] == "deals"
    assert {row["name"] for row in hub("connectors", "--json").data} >= {"spreadsheet"}


def test_flags_work_before_and_after_the_command(hub, tmp_path):
    before = hub("--json", "--project", str(hub.root), "sync")
    assert before.data["sources"][0]["source"] == "tracker"
    hub.root = tmp_path
    assert hub("sync", "--json", "--project", str(tmp_path / "hub")).code == 0


def test_a_second_sync_finds_nothing_new(hub):
    assert hub("sync").code == 0
    again = hub("sync", "--json").data["sources"][0]["report"]
    assert again["rows"].get("deals", {"new": 0, "changed": 0})["new"] == 0


def test_one_broken_source_does_not_stop_the_others(hub):
    """A19, and exit code 1 although the warehouse was published."""
    hub.add("broken", sheet="no,stage,here\n1,2,3\n")
    done = hub("run", "--json")
    statuses = {run["source"]: run["status"] for run in done.data["sources"]}
    assert statuses == {"broken": "failed", "tracker": "complete"}
    assert done.data["build"]["status"] == "published"
    assert done.code == 1


def test_a_partial_sync_exits_with_3(hub):
    """A14: two files, one of which cannot be read: what could be read is kept, and it is not a success."""
    source = hub.root / "defs" / "tracker" / "defs.yaml"
    source.write_text(
        source.read_text()
        .replace("sheets/tracker.csv", "sheets/day_*.csv")
        .replace("    snapshot_date: 2026-02-01\n", "")
    )
    sheet = (hub.root / "sheets" / "tracker.csv").read_text()
    (hub.root / "sheets" / "day_2026-01-10.csv").write_text(sheet)
    (hub.root / "sheets" / "day_2026-01-11.csv").write_text("")
    done = hub("sync")
    assert done.code == 3
    assert "partial" in done.out
    assert "day_2026-01-11.csv" in done.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sync", "trackr"], "no source 'trackr' in defs/. Did you mean 'tracker'?"),
        (["build", "--as-of", "yesterday"], "--as-of 'yesterday' is not an instant. Write it as 2026-07-01T00:00:00Z."),
        (["build", "--as-of", "2026-01-01"], "has no time zone. Add Z"),
        (["show", "tracker"], "'tracker' is no deal key. Write source:id"),
        (["show", "tracker:9"], "no deal '9' of source 'tracker' was ever read"),
        (["report"], "nothing was published. Run `muara run` first."),
        (["rollback"], "no older build is kept"),
        (["replay", "nope"], "no source 'nope'"),
        (["init", "."], "dg.toml is there already"),
        (["connectors", "hubspott"], "connector 'hubspott' is not installed. Did you mean 'hubspot'?"),
        (["sync", "--project", "elsewhere"], "is no Muara project: neither dg.toml nor defs/ is there"),
    ],
)
def test_errors_are_one_sentence_that_says_what_to_do(hub, argv, said):
    """A20: read cold, without a traceback."""
    done = hub(*argv)
    assert done.code == 1
    assert done.err.startswith("muara: ")
    assert said in done.err
    assert "Traceback" not in done.err
    as_json = hub(*argv, "--json")
    assert said in as_json.data["error"]


def test_wrong_usage_exits_with_2(hub, capsys):
    assert hub("synk").code == 2
    assert hub().code == 2
    assert "invalid choice: 'synk'" in capsys.readouterr().err


def test_an_empty_project_says_how_to_add_a_source(shell):
    done = shell("sync")
    assert done.code == 1
    assert "no source is configured" in done.err
    assert "dagster_project.components.CrmSource" in done.err


def test_a_bug_is_named_as_one_and_debug_shows_where(hub, monkeypatch):
    def bug(*args, **kwargs):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("dagster_project.cli_sync.sync_sources", bug)
    done = hub("sync")
    assert done.code == 1
    assert "ZeroDivisionError: oh. This is a bug" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in hub("sync", "--debug").err


def test_a_missing_variable_breaks_that_sync_only_and_is_named(hub):
    hub.add("other")
    source = hub.root / "defs" / "other" / "defs.yaml"
    source.write_text(source.read_text().replace("key: Deal ID", "key: {env: NO_SUCH_VARIABLE}"))
    done = hub("sync", "--json")
    runs = {run["source"]: run for run in done.data["sources"]}
    assert "environment variable NO_SUCH_VARIABLE is not set" in runs["other"]["error"]
    assert runs["tracker"]["status"] == "complete"


def test_a_landing_folder_elsewhere_is_used(hub, tmp_path):
    hub.env["MUARA_LANDING"] = str(tmp_path / "landing")
    assert hub("sync").code == 0
    assert (tmp_path / "landing" / "tracker" / "state.json").is_file()
    assert not (hub.root / ".muara" / "landing").exists()


def test_the_home_can_be_moved(hub, tmp_path):
    hub.env["MUARA_HOME"] = str(tmp_path / "elsewhere")
    assert hub("sync").code == 0
    assert (tmp_path / "elsewhere" / "landing" / "tracker" / "state.json").is_file()
    assert [path.name for path in (hub.root / ".muara").iterdir()] == ["dagster"], "only what init wrote"


def test_rollback_goes_back_one_build(built, tmp_path):
    hub = copied(built, tmp_path / "hub")
    hub.clock.advance(minutes=5)
    newest = hub("build", "--json").data["build_id"]
    back = hub("rollback", "--json").data["build"]["build_id"]
    assert back < newest


def test_replay_asks_no_source(hub):
    hub("sync")
    (hub.root / "sheets" / "tracker.csv").unlink()
    done = hub("replay", "tracker", "--json")
    assert done.code == 0
    assert done.data["report"]["kind"] == "replay"


def test_doctor_finds_a_damaged_landing_part(hub):
    hub("sync")
    assert not [
        row for row in hub("doctor", "--json").data if row["what"].startswith("landing") and row["level"] != "ok"
    ]
    part = next((hub.root / ".muara" / "landing" / "tracker").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    damaged = [row for row in hub("doctor", "--json").data if row["what"] == "landing of tracker"]
    assert damaged[0]["level"] == "error"
    assert part.name in damaged[0]["message"]


def test_doctor_warns_of_a_dagster_yaml_that_leaves_pools_taken(hub):
    def said():
        return [(row["level"], row["message"]) for row in hub("doctor", "--json").data if row["what"] == "dagster.yaml"]

    file = hub.root / ".muara" / "dagster" / "dagster.yaml"
    assert said()[0][0] == "ok", "init writes a good one"
    file.unlink()
    assert said() == []
    file.write_text("run_monitoring: {enabled: true}\n")
    assert said()[0][0] == "warning"
    assert "a cancelled sync would block its source" in said()[0][1]
    file.write_text("run_monitoring: [")
    assert said()[0][0] == "error"


def test_show_tells_how_each_step_is_known(built):
    text = built("show", "tracker:2").out
    assert "Bravo" in text
    assert "observed: first seen by a sync; it happened earlier" in text
    assert '"Deal ID": "2"' in text


def test_export_writes_every_table_for_analysts_as_parquet(built):
    """B21: not every tool opens a DuckDB file."""
    rows = built("export", "out", "--json").data["rows"]
    assert rows["deals"] == 3
    assert {path.name for path in (built.root / "out").iterdir()} == {f"{name}.parquet" for name in rows}


def test_every_command_explains_itself():
    parser = build_parser()
    group = next(action for action in parser._actions if action.choices)
    assert set(group.choices) == set(COMMANDS)
    for name, child in group.choices.items():
        assert child.description, name


@pytest.mark.parametrize("argv", [["--help"], ["sync", "--help"]])
def test_help_starts_without_duckdb_or_dagster(argv):
    code = (
        "import sys\nfrom dagster_project.cli import main\n"
        f"main({argv!r})\n"
        "heavy = [name for name in ('dagster', 'duckdb', 'requests') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=False)
    assert done.returncode == 0, done.stderr


def test_a_sync_does_not_import_dagster(hub):
    """C9: a connector runs from the command line without Dagster."""
    code = (
        "import sys\nfrom dagster_project.cli import main\n"
        f"assert main(['sync', '--project', {str(hub.root)!r}]) == 0\n"
        "found = sorted(name for name in sys.modules if name == 'dagster' or name.startswith('dagster.'))\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=False)
    assert done.returncode == 0, done.stderr
