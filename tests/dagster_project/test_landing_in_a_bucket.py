"""The command line on `MUARA_LANDING=s3://...`: every command that touches landing works there, and the credentials are shown nowhere."""

import logging
import urllib.request

import pytest

server = pytest.importorskip("moto.server", reason="moto is part of the dev extra")
pytest.importorskip("obstore")
SECRET = "planted-s3-secret"


@pytest.fixture
def there(hub):
    """A project with one sheet whose landing zone lies in a bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    endpoint = f"http://127.0.0.1:{running.get_host_and_port()[1]}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/deals", method="PUT"), timeout=10).close()
    hub.env |= {
        "MUARA_LANDING": "s3://deals/landing",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    yield hub
    running.stop()


def test_every_command_that_touches_landing_works_on_a_bucket(there, tmp_path):
    said = [
        there("run"),
        there("replay", "tracker"),
        there("show", "tracker:1"),
        there("doctor"),
        there("plan"),
        there("check"),
    ]
    assert [one.code for one in said] == [0] * 6, [one.err for one in said]
    assert "s3://deals/landing" in said[3].out
    assert not (there.root / ".muara" / "landing").exists()
    renamed = there("sources", "rename", "tracker", "sales")
    assert renamed.code == 0, renamed.err
    # Another machine, with nothing but the project and the bucket.
    there.env["MUARA_HOME"] = str(tmp_path / "fresh")
    again = there("sync", "--full", "--json")
    assert [run["status"] for run in again.data["sources"]] == ["complete"]
    rows = there("sources", "list", "--json").data
    assert [(row["source"], row["rows"] > 3) for row in rows] == [("sales", True)]
    assert there("sources", "remove", "sales", "--yes", "--delete-data").code == 0
    assert there("sources", "list", "--json").data == []
    text = "".join(one.out + one.err for one in said) + renamed.out + again.out
    assert SECRET not in text
    written = [path for folder in (there.root, tmp_path / "fresh") for path in folder.rglob("*") if path.is_file()]
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_a_bucket_that_cannot_be_reached_is_one_sentence(there, monkeypatch):
    monkeypatch.setattr("warehouse.landing.object_store._RETRIES", {"max_retries": 0})
    there.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    for argv in (["sync"], ["build"], ["sources", "list"]):
        done = there(*argv)
        assert done.code == 1
        assert "s3://deals/landing/" in done.out + done.err
        assert "cannot be reached" in done.out + done.err
        assert len((done.err or done.out).splitlines()) <= 5
    found = [row for row in there("doctor", "--json").data if row["what"] == "landing zone"]
    assert found[0]["level"] == "error"
