"""The little HTTP server under every fake CRM, and its faults."""

import email.utils

import pytest
import requests

from connectors.sandbox.faults import Faults
from connectors.sandbox.server import Response, Server

NOW_MS = 1_790_000_000_500


class Echo:
    def endpoint(self, request):
        return request.path.strip("/").split("/")[0]

    def handle(self, request):
        if request.path == "/nothing":
            return Response(204)
        return Response(200, (request.first("size") and b"x" * int(request.first("size"))) or request.body)

    def fault(self, fault, request):
        return Response(403, b'{"own": "words"}') if fault.kind == "daily_limit" else None

    def now_ms(self):
        return NOW_MS


@pytest.fixture
def server():
    with Server(Echo()) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as one:
        yield one


def test_one_connection_serves_many_calls_and_all_are_counted(server, session):
    for _ in range(5):
        assert session.post(server.url + "/a/b", data=b"hello").content == b"hello"
    assert session.get(server.url + "/nothing").status_code == 204
    assert session.get(server.url + "/a?size=0").ok
    assert server.connections == 1
    assert server.calls == {"a": 6, "nothing": 1}


def test_long_addresses_are_read_up_to_the_limit_and_refused_beyond(server, session):
    assert session.get(server.url + "/a?q=" + "z" * 60_000).status_code == 200
    refused = session.get(server.url + "/a?q=" + "z" * 65_200)
    assert refused.status_code == 414
    assert "414" in refused.text


def test_the_date_header_is_the_apps_clock(server, session):
    date = email.utils.parsedate_to_datetime(session.get(server.url + "/a").headers["Date"])
    assert date.timestamp() == NOW_MS // 1000


def test_gzip_is_answered_when_switched_on_and_asked_for(server, session):
    server.gzip = True
    answer = session.get(server.url + "/a?size=50000")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.content) == 50000
    plain = session.get(server.url + "/a?size=50000", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("kind", "status"), [("unavailable", 503), ("bad_gateway", 502), ("server_error", 500), ("rate_limited", 429)]
)
def test_error_faults_answer_their_status_once_and_then_all_is_well(server, session, kind, status):
    server.faults.add(kind, times=1, retry_after=7)
    first = session.get(server.url + "/a")
    assert first.status_code == status
    assert session.get(server.url + "/a").status_code == 200
    assert server.faults.done == {kind: 1}
    if kind in ("unavailable", "rate_limited"):
        assert first.headers["Retry-After"] == "7"


def test_retry_after_can_be_a_date(server, session):
    server.faults.add("rate_limited", retry_after="date", seconds=90)
    until = email.utils.parsedate_to_datetime(session.get(server.url + "/a").headers["Retry-After"])
    assert until.timestamp() == (NOW_MS + 90_000) // 1000


def test_an_app_speaks_its_own_words(server, session):
    server.faults.add("daily_limit")
    assert session.get(server.url + "/a").json() == {"own": "words"}


@pytest.mark.parametrize("kind", ["cut_body", "reset", "reset_after"])
def test_broken_connections_are_errors_and_the_next_call_works(server, session, kind):
    server.faults.add(kind, times=1)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        session.get(server.url + "/a?size=5000")
    assert len(session.get(server.url + "/a?size=5000").content) == 5000


def test_faults_by_probability_are_the_same_for_the_same_seed():
    def run(seed):
        faults = Faults(seed)
        faults.add("reset", probability=0.3, match="q*")
        return [faults.pick("query") is not None for _ in range(200)], faults.pick("other")

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 30 < sum(run(1)[0]) < 90
    assert run(1)[1] is None


def test_a_storm_brings_all_kinds_on_the_asked_share_of_calls():
    faults = Faults(seed=2)
    faults.storm(0.05)
    hits = sum(faults.pick("query") is not None for _ in range(2000))
    assert 60 < hits < 140
    assert len(faults.done) == 7


def test_every_nth_after_and_times_count_matching_calls_only():
    faults = Faults()
    faults.add("reset", every=3, after=1, times=2, match="a")
    seen = [faults.pick(name) is not None for name in ["a", "b", "a", "a", "a", "b", "a", "a", "a", "a", "a", "a"]]
    assert seen == [False, False, False, False, True, False, False, False, True, False, False, False]


def test_something_can_be_done_in_mid_sync():
    faults, done = Faults(), []
    faults.when(lambda: done.append("now"), match="query", after=2)
    for _ in range(5):
        faults.pick("query")
        faults.pick("login")
    assert done == ["now"]


def test_knobs_turn_from_another_process_without_being_counted(server, session):
    session.get(server.url + "/a")
    assert session.get(server.url + "/_sandbox/calls").json()["calls"] == {"a": 1}
    session.post(server.url + "/_sandbox/fault", json={"kind": "unavailable", "times": 1})
    assert session.get(server.url + "/a").status_code == 503
    session.post(server.url + "/_sandbox/latency", json={"seconds": 0.01})
    session.post(server.url + "/_sandbox/reset")
    assert server.latency == 0.01
    assert server.calls == {}
    assert session.post(server.url + "/_sandbox/advance").status_code == 404  # this app has no world
    assert session.get(server.url + "/_sandbox/nothing").status_code == 404


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no kind 'explode'"):
        Faults().add("explode")


def test_a_stopped_server_refuses_and_comes_back_at_the_same_address():
    server = Server(Echo()).start()
    url = server.url
    server.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url + "/a", timeout=5)
    with server:
        assert server.url == url
        assert requests.get(url + "/a", timeout=5).ok
