from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests
import urllib3

from connectors.sdk.client import CallPolicy, RetryRule
from connectors.sdk.errors import ConfigError, QuotaError, TransientError, VendorError
from connectors.sdk.verdict import Answer, Verdict, judge_handing_back, judge_status
from tests.sdk.conftest import Script, response

OK = response()


@pytest.mark.parametrize(
    "outcome",
    [
        requests.ConnectionError("reset"),
        requests.ConnectTimeout(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.ContentDecodingError(),
        urllib3.exceptions.ProtocolError("cut"),
        urllib3.exceptions.ReadTimeoutError(None, "/", "slow"),
        urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.ProtocolError("cut")),
        http.client.IncompleteRead(b"half"),
        http.client.RemoteDisconnected(),
        ConnectionResetError(),
        TimeoutError(),
        ssl.SSLEOFError(),
        response(408),
        response(500),
        response(502, b"<html>"),
        response(503),
        response(504),
        response(524),
    ],
    ids=lambda outcome: type(outcome).__name__ + str(getattr(outcome, "status_code", "")),
)
def test_one_request_is_repeated_after_a_failure_that_waiting_can_cure(policy, clock, outcome):
    send = Script(outcome, OK)
    assert policy.call("deals", send) is OK
    assert send.sent == 2
    assert policy.report().retries == 1
    assert policy.report().calls == {"deals": 2}
    assert len(clock.slept) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, VendorError),
        (401, ConfigError),
        (403, ConfigError),
        (404, VendorError),
        (410, VendorError),
        (422, VendorError),
        (501, VendorError),
    ],
)
def test_what_no_retry_cures_is_not_repeated(policy, clock, status, error):
    """A20."""
    send = Script(response(status, b'{"message": "no scope deals.read"}'))
    with pytest.raises(error, match=rf"acme: deals: .*\({status}: no scope deals.read\)"):
        policy.call("deals", send)
    assert send.sent == 1
    assert clock.slept == []


def test_a_bug_stays_a_bug(policy, clock):
    send = Script(KeyError("oops"))
    with pytest.raises(KeyError, match="oops"):
        policy.call("deals", send)
    assert (send.sent, clock.slept) == (1, [])


def test_a_certificate_that_cannot_be_verified_is_for_the_user(policy):
    cause = ssl.SSLCertVerificationError("self-signed")
    wrapped = requests.exceptions.SSLError(
        urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.SSLError(cause))
    )
    send = Script(wrapped)
    with pytest.raises(ConfigError, match="certificate"):
        policy.call("deals", send)
    assert send.sent == 1


def test_attempts_and_waits_are_bounded_and_jittered(make_policy, clock):
    policy = make_policy(rule=RetryRule(attempts=5, base_s=1, cap_s=3))
    send = Script(response(503))
    with pytest.raises(TransientError, match=r"acme: deals: status 503; gave up after 5 tries") as caught:
        policy.call("deals", send)
    assert send.sent == 5
    assert len(clock.slept) == 4
    for number, waited in enumerate(clock.slept):
        assert 0 <= waited <= min(3, 2**number)
    assert len(set(clock.slept)) == 4
    assert caught.value.retry_after_s is None


def test_the_total_time_of_a_request_is_bounded(make_policy, clock):
    policy = make_policy(rule=RetryRule(attempts=1000, total_s=100))
    began = clock.monotonic()
    with pytest.raises(TransientError):
        policy.call("deals", Script(response(503, Retry_After="30")))
    assert clock.monotonic() - began <= 100


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "0.5"}, 0.5),
        ({"Retry_After": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9),
        # Both clocks are wrong by years; only their difference counts.
        ({"Retry_After": "Sat, 01 Jan 2028 00:00:04 GMT", "Date": "Sat, 01 Jan 2028 00:00:00 GMT"}, 4),
        ({"Retry_After": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0),
        ({"Retry_After": "-5"}, 0),
        ({"Retry_After": "100000"}, 120),
    ],
)
def test_retry_after_is_obeyed_in_both_forms_and_clamped(policy, clock, headers, expected):
    """A15."""
    policy.call("deals", Script(response(503, **headers), OK))
    assert expected <= clock.slept[0] <= expected + 1


def test_an_unreadable_retry_after_is_as_none(policy, clock):
    policy.call("deals", Script(response(503, Retry_After="soon"), OK))
    assert 0 <= clock.slept[0] <= 1


def test_429_makes_the_whole_pool_wait_and_is_said_once(policy, clock, caplog):
    """A15."""
    policy.pool("search", 5, 1)
    with caplog.at_level(logging.INFO, "muara.calls"):
        for _ in range(3):
            policy.call("search", Script(response(429, Retry_After="2"), OK), pool="search")
    assert policy.report().bursts == 3
    assert policy.report().waited_s >= 6
    assert len(caplog.records) == 1


def test_429_without_a_word_waits_for_the_interval_of_its_pool(policy, clock):
    policy.pool("default", 190, 10)
    policy.call("deals", Script(response(429), OK))
    assert 10 <= sum(clock.slept) <= 11


def test_429_that_asks_for_hours_is_a_quota(policy, clock):
    with pytest.raises(QuotaError) as caught:
        policy.call("deals", Script(response(429, Retry_After="7200")))
    assert caught.value.resumes_at == clock.now() + timedelta(hours=2)
    assert clock.slept == []


def test_bursts_are_bounded(policy):
    send = Script(response(429, Retry_After="1"))
    with pytest.raises(TransientError, match="too many requests"):
        policy.call("deals", send)
    assert send.sent == RetryRule().bursts + 1


def test_a_daily_quota_stops_at_once_and_says_when_it_resumes(policy, clock):
    """A14, A15: a burst is waited for, a daily limit never."""
    midnight = datetime(2026, 1, 2, tzinfo=UTC)

    def judge(outcome):
        answer = Answer.of(outcome)
        if answer.status == 429 and answer.json()["policyName"] == "DAILY":
            return Verdict.daily("the daily limit of the portal is used up", midnight)
        return judge_status(outcome)

    with pytest.raises(QuotaError, match="acme: deals: the daily limit") as caught:
        policy.call("deals", Script(response(429, b'{"policyName": "DAILY"}')), judge)
    assert caught.value.resumes_at == midnight
    assert clock.slept == []


def test_a_verdict_may_turn_into_another_when_its_tries_are_used_up(policy):
    """Pipedrive: still 429 after three waits means the daily budget."""
    send = Script(response(429))
    with pytest.raises(QuotaError, match="daily tokens"):
        policy.call(
            "deals", send, lambda _: Verdict.burst("429", 2, tries=3, then=Verdict.daily("daily tokens used up"))
        )
    assert send.sent == 4


def test_credentials_are_renewed_once_per_request(policy):
    """A27."""
    renewed = []
    assert policy.call("deals", Script(response(401), OK), renew=lambda: renewed.append(1)) is OK
    assert renewed == [1]
    assert policy.report().renewals == 1
    with pytest.raises(ConfigError, match="credentials refused"):
        policy.call("deals", Script(response(401)), renew=lambda: renewed.append(1))


def test_threads_refused_with_the_same_token_renew_it_once(make_policy):
    policy = make_policy()
    token, renewed = ["old"], []
    all_refused = threading.Barrier(8)

    def renew():
        renewed.append(1)
        token[0] = "new"

    def one(_):
        tries = []

        def send():
            tries.append(token[0])
            if len(tries) == 1:
                mine = token[0]
                all_refused.wait(5)
                return response(401) if mine == "old" else OK
            return OK if token[0] == "new" else response(401)

        return policy.call("deals", send, renew=renew)

    assert list(policy.map(one, range(8), workers=8)) == [OK] * 8
    assert renewed == [1]


def test_a_renewal_that_is_refused_is_not_repeated_by_the_threads_that_waited(make_policy):
    policy = make_policy()
    calls = []

    def renew():
        calls.append(1)
        raise ConfigError("invalid_grant")

    for _ in range(3):
        with pytest.raises(ConfigError, match="invalid_grant"):
            policy.call("deals", Script(response(401)), renew=renew)
    assert calls == [1]


def test_a_renewal_that_failed_for_now_is_tried_again_later(make_policy):
    policy = make_policy()
    outcomes = [TransientError("down"), None]

    def renew():
        if error := outcomes.pop(0):
            raise error

    with pytest.raises(TransientError):
        policy.call("deals", Script(response(401), OK), renew=renew)
    assert policy.call("deals", Script(response(401), OK), renew=renew) is OK


def test_a_vendor_client_gets_its_own_4xx_back_but_no_5xx(policy):
    for status in (400, 401, 403, 404):
        answer = response(status)
        assert policy.call("query", Script(answer), judge_handing_back) is answer
    assert policy.call("query", Script(response(500), OK), judge_handing_back) is OK


def test_an_exception_with_an_answer_is_judged_by_its_status(policy):
    class ApiException(Exception):  # noqa: N818 - as the vendor calls it
        def __init__(self, status, body, headers):
            super().__init__(body)
            self.status, self.body, self.headers = status, body, headers

    headers = urllib3.HTTPHeaderDict({"Retry-After": "3"})
    assert policy.call("deals", Script(ApiException(503, "busy", headers), OK)) is OK
    with pytest.raises(VendorError, match=r"400: VALIDATION_ERROR; bad filter"):
        policy.call(
            "deals", Script(ApiException(400, '{"category": "VALIDATION_ERROR", "message": "bad filter"}', headers))
        )
    with pytest.raises(ApiException, match="gone"):
        policy.call("deals", Script(ApiException(404, "gone", headers)), judge_handing_back)


def test_a_cut_urllib3_body_is_read_inside_the_retry(policy):
    class Cut(urllib3.BaseHTTPResponse):
        def __init__(self, data):
            super().__init__(
                status=200, version=11, version_string="HTTP/1.1", reason=None, decode_content=True, request_url="/"
            )
            self._data = data

        @property
        def data(self):
            if self._data is None:
                raise urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead")
            return self._data

    whole = Cut(b"{}")
    assert policy.call("deals", Script(Cut(None), Cut(None), whole)) is whole


def test_json_that_ends_too_early_is_repeated_where_no_length_was_announced(policy):
    cut = response(200, b'{"data": [1, 2', Content_Type="application/json; charset=utf-8")
    del cut.headers["Content-Length"]
    assert policy.call("deals", Script(cut, OK)) is OK


def test_a_soap_fault_is_an_answer_and_no_outage(policy):
    """Salesforce's SOAP login answers a wrong password with status 500: repeating it would lock the user out."""
    fault = response(500, b"<soapenv:Fault><faultcode>sf:INVALID_LOGIN</faultcode></soapenv:Fault>")
    send = Script(fault)
    assert policy.call("login", send, judge_handing_back) is fault
    with pytest.raises(VendorError):
        policy.call("login", send)
    assert send.sent == 2


def test_tries_of_a_verdict_bound_it_also_without_a_then(policy):
    for verdict in (Verdict.retry("busy", 1, tries=2), Verdict.burst("busy", 1, tries=2)):
        send = Script(response())
        with pytest.raises(TransientError, match="busy"):
            policy.call("deals", send, lambda _, verdict=verdict: verdict)
        assert send.sent == 3


def test_decoded_models_pass_through(policy):
    assert policy.call("deals", lambda: ["a model"]) == ["a model"]


def test_calls_and_costs_are_counted_by_endpoint(policy):
    policy.call("deals", Script(OK), cost=10)
    policy.call("deals", Script(response(503), OK), cost=10)
    policy.call("stages", Script(OK))
    report = policy.report()
    assert report.calls == {"deals": 3, "stages": 1}
    assert report.cost == {"deals": 30, "stages": 1}


def test_endpoint_names_cannot_fill_the_memory(policy):
    for number in range(300):
        policy.call(f"deals/{number}", Script(OK))
    calls = policy.report().calls
    assert len(calls) <= 201
    assert sum(calls.values()) == 300


def test_observers_see_every_answer_and_may_move_the_limit(policy):
    """A15: the CRM's own headers decide."""

    def look(answer):
        policy.pool("default", int(answer.headers["x-ratelimit-max"]), 10)

    policy.pool("default", 100, 10)
    policy.observe(look)
    policy.call("deals", Script(response(503, X_RateLimit_Max="190"), response(200, X_RateLimit_Max="250")))
    assert policy.pool("default").limit == 250


def test_an_announced_end_of_an_api_is_a_notice_said_once(policy, caplog):
    """C10."""
    ending = response(
        200, Sunset="Fri, 04 Dec 2026 00:00:00 GMT", Deprecation="@1767225600", Warning='299 - "API v1 is deprecated"'
    )
    for _ in range(3):
        policy.call("pipelines", Script(ending))
    assert policy.report().notices == (
        "acme: pipelines will be switched off on 2026-12-04",
        "acme: pipelines is deprecated since 2026-01-01",
        "acme: pipelines warns: API v1 is deprecated",
    )
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


def test_the_pool_is_obeyed(policy, clock):
    policy.pool("search", 5, 1)
    for _ in range(11):
        policy.call("search", Script(OK), pool="search")
    assert sum(clock.slept) == pytest.approx(2.1, abs=0.01)
    assert policy.report().waited_s == pytest.approx(2.1, abs=0.01)


def test_the_name_that_could_not_be_resolved_is_said_in_words(policy):
    reason = urllib3.exceptions.NameResolutionError("x.example", None, socket.gaierror(8, "unknown"))
    with pytest.raises(TransientError, match="host name could not be resolved"):
        policy.call(
            "deals", Script(requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/q?api_token=x", reason)))
        )


def test_the_policy_costs_little_per_call():
    """Far below a millisecond, budget file and limiter included (see test_budget for the file)."""
    policy = CallPolicy("acme")
    policy.pool("default", 10**6, 1)
    policy.call("deals", lambda: OK)
    best = min(_timed(policy) for _ in range(5))
    assert best < 0.000_5


def _timed(policy: CallPolicy) -> float:
    began = time.perf_counter()
    for _ in range(500):
        policy.call("deals", lambda: OK)
    return (time.perf_counter() - began) / 500
