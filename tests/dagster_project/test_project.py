"""What a project's YAML may say, and what a person is told when it says something else."""

from pathlib import Path

import pytest

from connectors.sdk.errors import ConfigError
from dagster_project.project import find_project, home_folder, landing_place, read_project

SOURCE = """\
type: dagster_project.components.CrmSource
attributes:
  source: {source}
  connector: spreadsheet
  config:
    path: deals.csv
"""


def project(tmp_path: Path, text: str, name: str = "crm") -> Path:
    folder = tmp_path / "defs" / name
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(text)
    (tmp_path / "dg.toml").touch()
    return tmp_path


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_project(project(tmp_path, text))
    return str(caught.value)


def test_two_accounts_in_one_file_are_two_sources(tmp_path):
    """A35."""
    text = SOURCE.format(source="one") + "---\n" + SOURCE.format(source="two")
    found = read_project(project(tmp_path, text))
    assert [spec.source for spec in found.sources] == ["one", "two"]
    assert found.sources[1].where == "defs/crm/defs.yaml line 9 (document 2 of 2)"


def test_dates_stay_text_as_dagster_reads_them(tmp_path):
    text = SOURCE.format(source="one") + "    snapshot_date: 2017-12-31\n"
    assert read_project(project(tmp_path, text)).sources[0].config["snapshot_date"] == "2017-12-31"


def test_env_references_are_kept_as_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "planted-secret")
    text = SOURCE.format(source="one") + "    access_token: {env: TOKEN}\n"
    found = read_project(project(tmp_path, text))
    assert found.sources[0].config["access_token"] == {"env": "TOKEN"}
    assert "planted-secret" not in repr(found)


def test_a_name_used_twice_is_refused_with_both_places(tmp_path):
    root = project(tmp_path, SOURCE.format(source="crm_a"), "a")
    project(root, SOURCE.format(source="crm_a"), "b")
    with pytest.raises(
        ConfigError, match=r"defs/b/defs\.yaml line 2.*'crm_a' is already configured at defs/a/defs\.yaml"
    ):
        read_project(root)


def test_other_components_are_left_alone(tmp_path):
    text = "type: somebody.else.Component\nattributes: {a: 1}\n---\n" + SOURCE.format(source="one")
    assert [spec.source for spec in read_project(project(tmp_path, text)).sources] == ["one"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("# nothing but words\n", "describes nothing"), ("---\n---\n" + SOURCE, "an empty document")],
)
def test_what_dagster_refuses_is_refused_in_words(tmp_path, text, expected):
    assert expected in error_of(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("connector:", "conector:"),
            "defs/crm/defs.yaml line 4: unknown attribute 'conector'. Did you mean 'connector'?",
        ),
        (("  connector: spreadsheet\n", ""), "`connector:` is missing"),
        (("source: one", "source: One-Two"), "line 3: source 'One-Two': use a-z"),
        (("source: one", "source: warehouse"), "this name is Muara's own"),
        (("CrmSource", "CrmSourc"), "line 1: unknown type 'dagster_project.components.CrmSourc'. Did you mean"),
        (("attributes:", "attribute:"), "line 2: unknown key 'attribute' beside `type`"),
        (("    path: deals.csv", '    path: "{{ env.PATH }}"'), "line 6: {{ … }} is not resolved here"),
        (("    path: deals.csv", "    path: a\n    path: b"), "line 7: key 'path' is written twice (first on line 6)"),
        (("  config:", "  schedule: hourly\n  config:"), "line 5: schedule must be a cron line"),
        (("  config:", "  translation: {grp: x}\n  config:"), "translation: Object contains unknown field `grp`"),
        (("type: ", "type: ["), "not valid YAML"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path, change, expected):
    """A20: messages say what to change."""
    assert expected in error_of(tmp_path, SOURCE.format(source="one").replace(*change, 1))


def test_an_unknown_source_is_answered_with_the_nearest(tmp_path):
    found = read_project(project(tmp_path, SOURCE.format(source="hubspot_eu")))
    with pytest.raises(ConfigError, match="Did you mean 'hubspot_eu'"):
        found.select(["hubspot_ue"])


def test_the_project_is_named_by_flag_then_variable_then_folder(tmp_path):
    flag, variable, cwd = (project(tmp_path / name, SOURCE.format(source="a")) for name in ("flag", "variable", "cwd"))
    env = {"MUARA_PROJECT": str(variable)}
    assert find_project(flag, env, cwd) == flag
    assert find_project(None, env, cwd) == variable
    assert find_project(None, {}, cwd) == cwd
    with pytest.raises(ConfigError, match=r"is no Muara project.*muara init"):
        find_project(None, {}, tmp_path)


def test_home_and_landing_are_relative_to_the_project(tmp_path):
    assert home_folder(tmp_path, {}) == tmp_path / ".muara"
    assert home_folder(tmp_path, {"MUARA_HOME": "data"}) == tmp_path / "data"
    assert landing_place(tmp_path, {}) is None
    assert landing_place(tmp_path, {"MUARA_LANDING": "l"}) == tmp_path / "l"


def test_landing_on_object_storage_takes_the_usual_variables(tmp_path):
    env = {
        "MUARA_LANDING": "s3://deals/crm/landing/",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_DEFAULT_REGION": "us-east-2",
        "AWS_REGION": "eu-central-1",
        "MUARA_LANDING_CACHE_GB": "0.5",
    }
    place = landing_place(tmp_path, env)
    assert (place.name, place.prefix, place.url) == ("deals", "crm/landing", "s3://deals/crm/landing")
    assert place.options == {"access_key_id": "key", "region": "eu-central-1"}
    assert place.cache_bytes == 500_000_000


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"MUARA_LANDING": "ftp://deals"}, "expected a folder, or s3://bucket/prefix"),
        ({"MUARA_LANDING": "s3://"}, "expected a folder, or s3://bucket/prefix"),
        ({"AWS_ENDPOINT_URL": "http://minio.example.com"}, "would send deals unencrypted"),
        ({"MUARA_LANDING_CACHE_GB": "lots"}, "is no number of gigabytes"),
    ],
)
def test_a_wrong_place_for_landing_is_said_at_once(tmp_path, changed, said):
    with pytest.raises(ConfigError, match=said):
        landing_place(tmp_path, {"MUARA_LANDING": "s3://deals", **changed})


def test_plain_http_reaches_a_store_on_this_machine_or_where_it_is_allowed(tmp_path):
    env = {"MUARA_LANDING": "s3://deals", "AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}
    assert landing_place(tmp_path, env).options["endpoint"] == "http://127.0.0.1:9000"
    lan = {**env, "AWS_ENDPOINT_URL_S3": "http://minio.example.com", "AWS_ALLOW_HTTP": "true"}
    assert landing_place(tmp_path, lan).options["endpoint"] == "http://minio.example.com"
