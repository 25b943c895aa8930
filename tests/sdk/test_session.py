from __future__ import annotations

import logging

import hubspot
import pytest
import requests
import urllib3
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

from connectors.sdk.auth import Bearer, HeaderKey, OAuth, oauth_grant
from connectors.sdk.errors import ConfigError, TransientError, VendorError
from connectors.sdk.session import Request, checked_url, describe_request, is_loopback
from connectors.sdk.tokens import MemoryTokens
from connectors.sdk.verdict import Answer, judge_status
from tests.sdk.loopback import Loopback, Scripted


def test_a_cut_body_is_read_again_inside_the_retry(policy):
    with Loopback(
        Scripted(body=b'{"n": 1234567}', cut=5), Scripted(body=b'{"n": 1234567}', cut=9), Scripted(body=b'{"n": 1}')
    ) as server:
        answer = policy.session().get(f"{server.url}/v1/deals")
    assert answer.json() == {"n": 1}
    assert policy.report().calls == {"GET /v1/deals": 3}


def test_a_body_cut_without_an_announced_length_is_read_again(policy):
    with Loopback(
        Scripted(body=b'{"n": 1234567}', cut=5, announce=False), Scripted(body=b'{"n": 1}', announce=False)
    ) as server:
        assert policy.session().get(f"{server.url}/v1/deals").json() == {"n": 1}


def test_a_server_that_is_not_there_is_a_transient_error_without_its_address(policy):
    with Loopback() as server:
        url = server.url
    with pytest.raises(TransientError, match="connection refused; gave up after 6 tries") as caught:
        policy.session().get(f"{url}/deals?api_token=x")
    assert "api_token" not in str(caught.value)


def test_a_streamed_body_is_left_to_its_reader_but_an_error_is_read(policy):
    with Loopback(
        Scripted(503, b"busy"), Scripted(body=b"a,b\n" * 1000, headers={"Content-Type": "text/csv"})
    ) as server:
        answer = policy.session().get(f"{server.url}/results", stream=True)
        assert b"".join(answer.iter_content(100)) == b"a,b\n" * 1000
    assert policy.report().retries == 1


def test_inside_a_call_the_session_only_sends(policy):
    """No retry of a retry, no call counted twice."""
    with Loopback(Scripted(503), Scripted(body=b"[]")) as server:
        session = policy.session()
        answer = policy.call("deals.changelog", lambda: session.get(f"{server.url}/v1/deals/7/changelog"), cost=20)
    assert answer.json() == []
    assert policy.report().calls == {"deals.changelog": 2}
    assert policy.report().cost == {"deals.changelog": 40}


def test_every_request_has_a_timeout(policy, monkeypatch):
    asked = []

    def send(self, request, **rest):
        asked.append(rest["timeout"])
        raise requests.exceptions.InvalidURL("seen")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    for given in (None, (1, 2)):
        with pytest.raises(requests.exceptions.InvalidURL):
            policy.session().get("http://127.0.0.1:1/", timeout=given)
    assert asked == [(10.0, 60.0), (1, 2)]


def test_credentials_go_to_their_own_address_only(policy, redactor):
    """A redirect or a next-link must not carry them elsewhere; nor do they show on the answer."""
    with (
        Loopback(Scripted(body=b"[]")) as other,
        Loopback(Scripted(302, headers={"Location": f"{other.url}/x"})) as crm,
    ):
        session = policy.session(auth=HeaderKey("x-api-token", "marker-0001", redactor=redactor), base_url=crm.url)
        answer = session.get(f"{crm.url}/deals")
        session.get(f"{other.url}/next")
    assert crm.seen[0][2]["x-api-token"] == "marker-0001"
    assert [headers.get("x-api-token") for _, _, headers in other.seen] == [None, None]
    assert "marker-0001" not in str(answer.request.headers) + str(answer.history[0].request.headers)


def test_a_stand_in_may_redirect_to_itself(policy, redactor):
    """A web framework redirects `/query` to `/query/`; the address it names is its own and not the source's."""
    with Loopback(Scripted(307, headers={"Location": "/prefix/query/?q=1"}), Scripted(body=b"[1]")) as stand_in:
        auth = HeaderKey("x-api-token", "marker-0001", redactor=redactor)
        session = policy.session(
            auth=auth, base_url="https://acme.my.salesforce.com", endpoint_override=f"{stand_in.url}/prefix"
        )
        assert session.get("https://acme.my.salesforce.com/query?q=1").json() == [1]
    assert [path for _, path, _ in stand_in.seen] == ["/prefix/query?q=1", "/prefix/query/?q=1"]
    assert [headers.get("x-api-token") for _, _, headers in stand_in.seen] == ["marker-0001", "marker-0001"]


def test_credentials_need_an_address_that_they_are_for(policy, redactor):
    with pytest.raises(ConfigError, match="base_url"):
        policy.session(auth=Bearer("marker-0001", redactor=redactor))


def test_a_refused_token_is_renewed_in_mid_sync(policy, clock, redactor):
    """A27."""
    with Loopback(Scripted(body=b'{"access_token": "new-token", "expires_in": 1800}')) as login:
        auth = OAuth(
            oauth_grant(
                policy, policy.session(), f"{login.url}/oauth/token", client_id="me", client_secret="marker-0001"
            ),
            clock=clock,
            tokens=MemoryTokens(redactor=redactor),
            redactor=redactor,
        )
        with Loopback(Scripted(body=b"[]"), Scripted(401), Scripted(body=b"[1]")) as crm:
            session = policy.session(auth=auth, base_url=crm.url, judge=judge_status)
            assert session.get(f"{crm.url}/deals").json() == []
            assert session.get(f"{crm.url}/deals").json() == [1]
    assert policy.report().calls == {"GET /deals": 3, "oauth.token": 2}
    assert policy.report().cost["oauth.token"] == 0
    assert crm.seen[-1][2]["Authorization"] == "Bearer new-token"


def test_a_token_endpoint_behind_its_own_credentials_is_a_bug_and_no_deadlock(policy, clock, redactor):
    with Loopback() as crm:
        auth = OAuth(lambda _: None, clock=clock, redactor=redactor)
        session = policy.session(auth=auth, base_url=crm.url)
        auth._fetch = lambda _: session.get(f"{crm.url}/oauth/token")
        with pytest.raises(RuntimeError, match="without auth"):
            session.get(f"{crm.url}/deals")


def test_no_debug_line_of_urllib3_shows_a_secret(policy, redactor, caplog):
    """A28, C5."""
    redactor.add("marker 0001")
    with caplog.at_level(logging.DEBUG), Loopback() as server:
        policy.session().get(f"{server.url}/deals", params={"api_token": "marker 0001"})
    assert "GET /deals?api_token=***" in caplog.text
    assert "0001" not in caplog.text


def test_unmodified_simple_salesforce_runs_on_the_policys_session(policy):
    """Login, REST, retry of one request, its own 4xx exceptions: all through the loopback that stands in for https://….salesforce.com."""
    token = b'{"access_token": "sf-token", "instance_url": "https://acme.my.salesforce.com"}'
    rows = b'{"totalSize": 1, "done": true, "records": [{"Id": "006"}]}'
    with Loopback(
        Scripted(body=token),
        Scripted(503),
        Scripted(body=rows, cut=4),
        Scripted(body=rows),
        Scripted(400, b'[{"errorCode": "MALFORMED_QUERY"}]'),
    ) as server:
        client = Salesforce(
            consumer_key="k",
            consumer_secret="s",
            domain="acme.my",
            session=policy.session(endpoint_override=server.url),
        )
        assert client.query("SELECT Id FROM Opportunity")["records"][0]["Id"] == "006"
        with pytest.raises(SalesforceMalformedRequest):
            client.query("SELEKT")
    assert policy.report().calls == {"GET /services/data/v59.0/query/": 4, "POST /services/oauth2/token": 1}
    assert server.seen[-1][2]["Authorization"] == "Bearer sf-token"


def test_unmodified_hubspot_client_runs_inside_the_policys_calls(policy):
    """Its own retries are off; a cut body, a 503 and a burst of its search pool are repeated here."""
    page = b'{"results": [{"id": "1"}]}'
    with Loopback(
        Scripted(503, b"<html>"),
        Scripted(body=page, cut=6),
        Scripted(429, b'{"policyName": "SECONDLY"}'),
        Scripted(body=page),
        Scripted(404, b'{"category": "OBJECT_NOT_FOUND", "message": "resource not found"}'),
    ) as server:
        client = hubspot.Client.create(access_token="pat-x", host=server.url, retry=urllib3.Retry(0))
        api = client.crm.deals.search_api
        policy.pool("search", 5, 1)

        def send():
            return api.do_search({"limit": 1}, _preload_content=False, _request_timeout=policy.timeout)

        answer = policy.call("deals.search", send, pool="search")
        assert Answer.of(answer).json() == {"results": [{"id": "1"}]}
        with pytest.raises(VendorError, match="404: OBJECT_NOT_FOUND; resource not found"):
            policy.call("deals.search", send, pool="search")
    report = policy.report()
    assert (report.calls, report.retries, report.bursts) == ({"deals.search": 5}, 2, 1)


def test_plain_http_elsewhere_is_refused_also_after_a_redirect(policy):
    with Loopback(Scripted(302, headers={"Location": "http://crm.example/x"})) as server:
        for url in (server.url, "http://crm.example/x"):
            with pytest.raises(ConfigError, match="plain http"):
                policy.session().get(url)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/deals/123/changelog?cursor=x", "GET /v1/deals/{id}/changelog"),
        ("/services/data/v59.0/query/0r8xx0-2000", "GET /services/data/v59.0/query/{id}"),
        ("/crm/owners/2026-03/", "GET /crm/owners/2026-03/"),
        ("/services/oauth2/token", "GET /services/oauth2/token"),
        ("/sobjects/Opportunity/0060000000000001AAA", "GET /sobjects/Opportunity/{id}"),
    ],
)
def test_endpoints_are_named_without_ids(path, endpoint):
    request = requests.Request("GET", f"https://crm.example{path}").prepare()
    assert describe_request(request) == Request(endpoint)


def test_a_connector_may_name_price_and_pool_its_endpoints(policy):
    with Loopback() as server:
        session = policy.session(describe=lambda request: Request("deals", cost=10, pool="lists"))
        session.get(f"{server.url}/v2/deals")
    assert policy.report().cost == {"deals": 10}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://crm.example", "plain http"),
        ("crm.example", "not an address"),
        ("ftp://crm.example", "not an address"),
        ("https://user:pw@crm.example", "do not belong"),
        ("http://127.0.0.1.evil.example", "plain http"),
        ("http://localhost.evil.example", "plain http"),
    ],
)
def test_an_address_that_would_leak_is_refused(url, message):
    with pytest.raises(ConfigError, match=message):
        checked_url(url, where="acme: base_url")


def test_only_this_machine_may_stand_in_for_a_source(policy):
    for url in ("http://127.0.0.1:8081/", "http://localhost:1", "http://[::1]:5", "https://127.0.0.1"):
        assert checked_url(url, where="x", loopback_only=True) == url.rstrip("/")
    with pytest.raises(ConfigError, match="endpoint_override: only this machine"):
        policy.session(endpoint_override="https://elsewhere.example")
    assert not is_loopback("10.0.0.1")


def test_a_session_keeps_no_cookies(policy):
    with Loopback(Scripted(headers={"Set-Cookie": "a=b"})) as server:
        session = policy.session()
        session.get(server.url)
        session.get(server.url)
    assert "Cookie" not in server.seen[1][2]


def test_4xx_may_be_raised_instead_of_handed_back(policy):
    with Loopback(Scripted(404, b'{"error": "Deal not found"}')) as server:
        assert policy.session().get(f"{server.url}/deals/1").status_code == 404
        with pytest.raises(VendorError, match=r"acme: GET /deals/{id}: .*Deal not found"):
            policy.session(judge=judge_status).get(f"{server.url}/deals/1")
