"""Alerts: each thing is told once, to whoever listens; nobody listening breaks nothing."""

import http.server
import json
import threading

import pytest

from dagster_project.alerts import AlertSettings, Known, stalled_news

ALERTS = """\
type: dagster_project.components.Alerts
attributes:
  url: {{env: HOOK}}
  format: {form}
{more}"""
STALLED = """\
Deal ID,Deal,Company,Stage,Amount,Created,Owner,Expected close
1,Alpha,Acme,Qualified,1000,2025-11-05,Ann,2025-12-01
2,Bravo,Globex,Closed Won,2500,2026-01-06,Bob,
3,<!channel> Charlie,Initech,Lead,,2025-11-07,Ann,2025-12-02
"""


class Receiver:
    """A webhook on loopback that keeps what it is sent, or refuses it."""

    def __init__(self):
        outer = self
        self.got, self.status = [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status == 200:
                    outer.got.append(json.loads(body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/planted-hook-secret"

    def taken(self):
        """What came since the last look."""
        found, self.got = self.got, []
        return found


@pytest.fixture
def receiver():
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def told(shell, receiver):
    """A project with a sheet of stalled deals, and alerts as JSON."""
    shell.add("tracker", sheet=STALLED)
    alerts(shell, "json")
    shell.env["HOOK"] = receiver.url
    return shell


def alerts(shell, form, more=""):
    (shell.root / "defs" / "alerts").mkdir(exist_ok=True)
    (shell.root / "defs" / "alerts" / "defs.yaml").write_text(ALERTS.format(form=form, more=more))


def events(messages, event):
    return [message for message in messages if message["event"] == event]


def test_only_newly_stalled_deals_are_told(told, receiver):
    assert told("run").code == 0
    first = events(receiver.taken(), "stalled_deals")
    assert [item["deal_key"] for item in first[0]["items"]] == ["tracker:3", "tracker:1"]
    assert "2 deals have stalled" in first[0]["text"]
    told("run")
    assert receiver.taken() == []
    sheet = told.root / "sheets" / "tracker.csv"
    sheet.write_text(STALLED + "4,Delta,Umbrella,Lead,10,2025-11-08,Bob,2025-12-03\n")
    told.clock.advance(hours=1)
    told("run")
    assert [item["deal_key"] for item in events(receiver.taken(), "stalled_deals")[0]["items"]] == ["tracker:4"]


def test_a_failed_sync_is_told_once_and_its_recovery_once(told, receiver):
    sheet = told.root / "sheets" / "tracker.csv"
    good = sheet.read_text()
    sheet.write_text("no,stage,here\n1,2,3\n")
    for _ in range(2):
        assert told("sync").code == 1
    messages = receiver.taken()
    assert [message["text"].splitlines()[0] for message in messages] == ["Sync of tracker failed"]
    assert messages[0]["items"][0]["reasons"]
    sheet.write_text(good)
    for _ in range(2):
        assert told("sync").code == 0
    assert [message["text"] for message in receiver.taken()] == ["Sync of tracker is well again (it was failed)"]


def test_an_error_before_anything_is_read_is_told_too(told, receiver):
    source = told.root / "defs" / "tracker" / "defs.yaml"
    source.write_text(source.read_text().replace("key: Deal ID", "key: {env: NO_SUCH_VARIABLE}"))
    told("sync")
    assert "NO_SUCH_VARIABLE is not set" in receiver.taken()[0]["text"]


def test_failing_checks_are_told_once_and_when_they_pass_again(told, receiver):
    told.add("other", sheet=STALLED.replace("Lead", "Zxqv"))
    told("run")
    failing = events(receiver.taken(), "checks")[0]["items"]
    assert {item["status"] for item in failing} == {"fail"}
    told("build")
    assert receiver.taken() == []
    (told.root / "defs" / "other" / "defs.yaml").unlink()
    (told.root / "defs" / "other").rmdir()
    told("build")
    assert "pass" in {item["status"] for item in events(receiver.taken(), "checks")[0]["items"]}


def test_a_receiver_that_is_down_breaks_nothing_and_is_told_later(told, receiver, caplog):
    receiver.status = 500
    done = told("run")
    assert done.code == 0
    assert "not told; the next run tries again" in caplog.text
    receiver.status = 200
    told("build")
    assert events(receiver.taken(), "stalled_deals")[0]["items"]
    told.env["HOOK"] = "http://127.0.0.1:9/x"
    assert told("run").code == 0
    del told.env["HOOK"]
    assert told("run").code == 0
    assert "HOOK is not set" in caplog.text


def test_the_address_is_in_no_output_and_no_file(told, receiver, caplog):
    receiver.status = 404
    said = [told("run"), told("run", "--json"), told("doctor"), told("build", "--debug")]
    text = "".join(one.out + one.err for one in said) + caplog.text
    assert "planted-hook" not in text
    written = [path for path in (told.root / ".muara").rglob("*") if path.is_file()]
    assert [path for path in written if b"planted-hook" in path.read_bytes()] == []


def test_slack_gets_text_that_no_deal_name_can_turn_into_a_mention(told, receiver):
    alerts(told, "slack", "  events: [stalled_deals]\n")
    told("run")
    messages = receiver.taken()
    assert [list(message) for message in messages] == [["text"]]
    assert messages[0]["text"].startswith("[hub] 2 deals have stalled\n")
    assert "&lt;!channel&gt; Charlie" in messages[0]["text"]


def test_only_the_sources_and_events_asked_for_are_told(told, receiver):
    told.add("other", sheet=STALLED)
    alerts(told, "json", "  sources: [other]\n  events: [stalled_deals]\n")
    told("run")
    (message,) = receiver.taken()
    assert {item["source_key"] for item in message["items"]} == {"other"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  chanel: x\n", "unknown field `chanel`"),
        ("  events: [deals]\n", "Invalid enum value 'deals'"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_with_file_and_keys(told, more, said):
    alerts(told, "json", more)
    done = told("sync")
    assert done.code == 1
    assert "defs/alerts/defs.yaml line 1" in done.err
    assert said in done.err


def test_plain_http_is_for_this_machine_only(told, caplog):
    told.env["HOOK"] = "http://hooks.example.com/x"
    assert told("run").code == 0
    assert "url must begin with https://" in caplog.text


def test_a_deal_that_moves_on_and_stalls_again_is_told_again():
    settings = AlertSettings(url="https://x", format="slack")
    row = {
        "deal_key": "a:1",
        "source_key": "a",
        "stage_key": "s1",
        "stage": "Lead",
        "name": "A|B",
        "deal_url": "https://crm/1",
    }
    row |= {
        "days_in_stage": 40.0,
        "threshold_days": 30.0,
        "amount_reporting": 1200.0,
        "reporting_currency": "USD",
        "owner": None,
    }
    first, known = stalled_news([row], settings, Known())
    assert first.lines == ["- <https://crm/1|A¦B>: 40 days in Lead (usual limit 30), 1,200 USD"]
    assert stalled_news([row], settings, known)[0] is None
    gone = stalled_news([], settings, known)[1]
    assert stalled_news([row], settings, gone)[0] is not None
    assert stalled_news([{**row, "stage_key": "s2"}], settings, known)[0] is not None


def test_a_long_list_is_cut_with_its_number():
    settings = AlertSettings(url="https://x", format="discord")
    base = {
        "source_key": "a",
        "stage_key": "s1",
        "stage": "Lead",
        "name": "@everyone",
        "deal_url": None,
        "owner": "Ann",
    }
    base |= {"days_in_stage": 40.0, "threshold_days": 30.0, "amount_reporting": None}
    news, _ = stalled_news([{**base, "deal_key": f"a:{number}"} for number in range(25)], settings, Known())
    assert news.text.splitlines()[0] == "25 deals have stalled"
    assert news.text.splitlines()[-1] == "... and 15 more"
    assert "@everyone" not in news.text
