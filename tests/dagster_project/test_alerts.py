"""Alerts: each thing is told once, to whoever listens; nobody listening breaks nothing."""

import http.server
import json
import threading
from types import SimpleNamespace

import pytest

from dagster_project.alerts import AlertSettings, Known, check_news, post, stalled_news

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


DEAL = {
    "deal_key": "a:1",
    "source_key": "a",
    "stage_key": "s1",
    "stage": "Lead",
    "name": "A|B",
    "deal_url": "https://crm/1",
    "days_in_stage": 40.0,
    "threshold_days": 30.0,
    "amount_reporting": 1200.0,
    "reporting_currency": "USD",
    "owner": None,
}


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


@pytest.fixture
def broken(told):
    """The same with a sheet that cannot be read: a failed sync is the cheapest news."""
    (told.root / "sheets" / "tracker.csv").write_text("no,stage,here\n1,2,3\n")
    return told


def alerts(shell, form, more=""):
    (shell.root / "defs" / "alerts").mkdir(exist_ok=True)
    (shell.root / "defs" / "alerts" / "defs.yaml").write_text(ALERTS.format(form=form, more=more))


def events(messages, event):
    return [message for message in messages if message["event"] == event]


def test_only_what_is_new_of_a_build_is_told(told, receiver):
    assert told("run").code == 0
    messages = receiver.taken()
    stalled = events(messages, "stalled_deals")[0]
    assert [item["deal_key"] for item in stalled["items"]] == ["tracker:3", "tracker:1"]
    assert "2 deals have stalled" in stalled["text"]
    sheet = told.root / "sheets" / "tracker.csv"
    sheet.write_text(STALLED + "4,Delta,Umbrella,Lead,10,2025-11-08,Bob,2025-12-03\n")
    told.clock.advance(hours=1)
    told("run")
    messages = receiver.taken()
    assert [item["deal_key"] for message in messages for item in message["items"]] == ["tracker:4"]


def test_a_failed_sync_is_told_once_and_its_recovery_once(broken, receiver):
    for _ in range(2):
        assert broken("sync").code == 1
    messages = receiver.taken()
    assert [message["text"].splitlines()[0] for message in messages] == ["Sync of tracker failed"]
    assert messages[0]["items"][0]["reasons"]
    (broken.root / "sheets" / "tracker.csv").write_text(STALLED)
    for _ in range(2):
        assert broken("sync").code == 0
    assert [message["text"] for message in receiver.taken()] == ["Sync of tracker is well again (it was failed)"]


def test_an_error_before_anything_is_read_is_told_too(told, receiver):
    source = told.root / "defs" / "tracker" / "defs.yaml"
    source.write_text(source.read_text().replace("key: Deal ID", "key: {env: NO_SUCH_VARIABLE}"))
    told("sync")
    assert "NO_SUCH_VARIABLE is not set" in receiver.taken()[0]["text"]


def test_failing_checks_are_told_once_and_when_they_pass_again():
    settings = AlertSettings(url="https://x")
    late, broken = (check(name, severity) for name, severity in (("late", "warn"), ("broken", "error")))
    news, known = check_news(SimpleNamespace(status="refused", failed_checks=[broken, late]), settings, Known())
    assert news.title.startswith("Not published")
    assert news.lines[0] == "- error: broken: 3 rows. What it means."
    assert check_news(SimpleNamespace(status="refused", failed_checks=[broken, late]), settings, known)[0] is None
    news, known = check_news(SimpleNamespace(status="published", failed_checks=[late]), settings, known)
    assert (news.title, news.lines) == ("Checks of the warehouse", ["- passes again: broken"])
    others = AlertSettings(url="https://x", sources=("elsewhere",))
    assert check_news(SimpleNamespace(status="published", failed_checks=[late]), others, Known())[0] is None


def check(name, severity):
    return SimpleNamespace(
        name=name, severity=severity, failing=3, description="What it means.", source_keys=("tracker",)
    )


def test_a_receiver_that_is_down_breaks_nothing_and_is_told_later(broken, receiver, caplog):
    receiver.status = 500
    assert broken("sync").code == 1
    assert "not told; the next run tries again" in caplog.text
    broken.env["HOOK"] = "http://127.0.0.1:9/x"
    assert broken("sync").code == 1
    del broken.env["HOOK"]
    assert broken("sync").code == 1
    assert "HOOK is not set" in caplog.text
    receiver.status, broken.env["HOOK"] = 200, receiver.url
    broken("sync")
    assert receiver.taken()[0]["items"][0]["status"] == "failed"


def test_the_address_is_in_no_output_and_no_file(broken, receiver, caplog):
    receiver.status = 404
    said = [broken("sync"), broken("sync", "--json"), broken("doctor"), broken("sync", "--debug")]
    text = "".join(one.out + one.err for one in said) + caplog.text
    assert "not told" in text
    assert "planted-hook" not in text
    written = [path for path in (broken.root / ".muara").rglob("*") if path.is_file()]
    assert [path for path in written if b"planted-hook" in path.read_bytes()] == []


def test_slack_gets_text_that_no_deal_name_can_turn_into_a_mention(receiver):
    settings = AlertSettings(url=receiver.url)
    news, _ = stalled_news([{**DEAL, "name": "<!channel> Charlie"}], settings, Known())
    post(settings, news, project="hub")
    assert receiver.taken() == [
        {
            "text": "[hub] 1 deal has stalled\n- <https://crm/1|&lt;!channel&gt; Charlie>: 40 days in Lead (usual limit 30), 1,200 USD"
        }
    ]


def test_only_the_sources_and_events_asked_for_are_told(broken, receiver):
    settings = AlertSettings(url="https://x", sources=("b",))
    news, _ = stalled_news([DEAL, {**DEAL, "deal_key": "b:1", "source_key": "b"}], settings, Known())
    assert [item["deal_key"] for item in news.items] == ["b:1"]
    alerts(broken, "json", "  events: [stalled_deals]\n")
    broken("sync")
    alerts(broken, "json", "  sources: [other]\n")
    broken("sync")
    assert receiver.taken() == []


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


def test_plain_http_is_for_this_machine_only(broken, caplog):
    broken.env["HOOK"] = "http://hooks.example.com/x"
    broken("sync")
    assert "url must begin with https://" in caplog.text


def test_a_deal_that_moves_on_and_stalls_again_is_told_again():
    settings = AlertSettings(url="https://x")
    first, known = stalled_news([DEAL], settings, Known())
    assert first.lines == ["- <https://crm/1|A¦B>: 40 days in Lead (usual limit 30), 1,200 USD"]
    assert stalled_news([DEAL], settings, known)[0] is None
    gone = stalled_news([], settings, known)[1]
    assert stalled_news([DEAL], settings, gone)[0] is not None
    assert stalled_news([{**DEAL, "stage_key": "s2"}], settings, known)[0] is not None


def test_a_long_list_is_cut_with_its_number():
    deals = [{**DEAL, "deal_key": f"a:{number}", "name": "@everyone"} for number in range(25)]
    news, _ = stalled_news(deals, AlertSettings(url="https://x", format="discord"), Known())
    assert news.text.splitlines()[0] == "25 deals have stalled"
    assert news.text.splitlines()[-1] == "... and 15 more"
    assert "@everyone" not in news.text
