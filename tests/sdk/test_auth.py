from __future__ import annotations

import json
import multiprocessing
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.auth import Bearer, HeaderKey, OAuth, judge_token, oauth_grant, token_from
from connectors.sdk.clock import FakeClock
from connectors.sdk.errors import ConfigError, TransientError, VendorError
from connectors.sdk.redaction import Redactor
from connectors.sdk.settings import Secret
from connectors.sdk.tokens import MemoryTokens, Token, TokenStore
from tests.sdk.conftest import Script, response
from tests.sdk.loopback import Loopback, Scripted


class Vendor:
    """A token endpoint that rotates refresh tokens and revokes everything when an old one is used."""

    def __init__(self, clock: FakeClock, *, lives_s: float | None = 1800) -> None:
        self.clock, self.lives_s = clock, lives_s
        self.newest = "refresh-0"
        self.calls: list[str | None] = []

    def __call__(self, refresh_token: str | None) -> Token:
        self.calls.append(refresh_token)
        if refresh_token != self.newest:
            raise ConfigError("invalid_grant: this refresh token was revoked")
        number = len(self.calls)
        self.newest = f"refresh-{number}"
        expires = None if self.lives_s is None else self.clock.now() + timedelta(seconds=self.lives_s)
        return Token(access_token=f"access-{number}", refresh_token=self.newest, expires_at=expires)


@pytest.fixture
def vendor(clock):
    return Vendor(clock)


@pytest.fixture
def store(tmp_path, redactor):
    return TokenStore(tmp_path / "secrets" / "acme.json", redactor=redactor)


def test_fixed_credentials_are_headers_and_known_to_the_redactor(redactor):
    assert HeaderKey("x-api-token", Secret("marker-0001"), redactor=redactor).headers() == {
        "x-api-token": "marker-0001"
    }
    assert Bearer(Secret("marker-0002"), redactor=redactor).headers() == {"Authorization": "Bearer marker-0002"}
    assert redactor.redact("marker-0001 marker-0002") == "*** ***"


def test_a_fixed_key_that_is_refused_is_for_the_user(policy, redactor):
    with pytest.raises(ConfigError, match="cannot be renewed"):
        policy.call("deals", Script(response(401)), renew=Bearer("t-00001", redactor=redactor))


def test_a_token_is_renewed_ahead_of_its_expiry(vendor, clock, redactor):
    """A27."""
    auth = OAuth(vendor, clock=clock, refresh_token="refresh-0", redactor=redactor)
    assert auth.headers() == {"Authorization": "Bearer access-1"}
    clock.advance(seconds=1679)
    assert auth.headers() == {"Authorization": "Bearer access-1"}
    clock.advance(seconds=1)
    assert auth.headers() == {"Authorization": "Bearer access-2"}
    assert vendor.calls == ["refresh-0", "refresh-1"]
    assert redactor.redact("access-2") == "***"


def test_a_token_that_lives_shortly_is_renewed_at_half_its_life(clock, redactor):
    vendor = Vendor(clock, lives_s=60)
    auth = OAuth(vendor, clock=clock, refresh_token="refresh-0", redactor=redactor)
    auth.headers()
    clock.advance(seconds=29)
    auth.headers()
    assert len(vendor.calls) == 1
    clock.advance(seconds=1)
    auth.headers()
    assert len(vendor.calls) == 2


def test_a_token_without_expiry_is_renewed_only_when_refused(policy, clock, redactor):
    vendor = Vendor(clock, lives_s=None)
    auth = OAuth(vendor, clock=clock, refresh_token="refresh-0", redactor=redactor)
    auth.headers()
    clock.advance(days=3)
    auth.headers()
    assert len(vendor.calls) == 1
    policy.call("deals", Script(response(401), response()), renew=auth)
    assert auth.headers() == {"Authorization": "Bearer access-2"}


def test_an_early_renewal_that_fails_for_now_does_no_harm_while_the_token_is_good(clock, redactor):
    good = Token(access_token="access-1", expires_at=clock.now() + timedelta(seconds=1800))
    fetch = Script(good, TransientError("down"), TransientError("down"), good)
    auth = OAuth(lambda _: fetch(), clock=clock, redactor=redactor)
    auth.headers()
    clock.advance(seconds=1700)
    assert auth.headers() == {"Authorization": "Bearer access-1"}
    clock.advance(seconds=100)
    with pytest.raises(TransientError):
        auth.headers()


def test_the_newest_refresh_token_outlives_the_process(vendor, store, clock, redactor):
    """A26."""
    OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor).headers()
    clock.advance(hours=2)
    later = OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor)
    assert later.headers() == {"Authorization": "Bearer access-2"}
    assert vendor.calls == ["refresh-0", "refresh-1"]


def test_a_stored_token_that_is_still_good_costs_no_call(vendor, store, clock, redactor):
    for _ in range(3):
        OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor).headers()
    assert vendor.calls == ["refresh-0"]


def test_a_stored_token_that_was_revoked_meanwhile_is_renewed(policy, vendor, store, clock, redactor):
    """Before the first request of a sync the token is not loaded yet: loading it must not pass for the renewal."""
    OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor).token()
    auth = OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor)

    def send():
        return response(200 if auth.headers() == {"Authorization": "Bearer access-2"} else 401)

    assert policy.call("deals", send, renew=auth).status_code == 200
    assert vendor.calls == ["refresh-0", "refresh-1"]


def test_a_newly_configured_refresh_token_wins_over_the_stored_one(vendor, store, clock, redactor):
    """The user authorised again: what was stored belongs to the old authorisation."""
    OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor).headers()
    vendor.newest = "authorised-again"
    again = OAuth(vendor, clock=clock, refresh_token="authorised-again", tokens=store, redactor=redactor)
    assert again.headers() == {"Authorization": "Bearer access-2"}


def test_a_token_stored_for_another_client_is_not_used(store, policy, clock, redactor):
    """The source was pointed at another account: reading with the old one's token would mix two companies."""
    with Loopback(Scripted(body=b'{"access_token": "first"}'), Scripted(body=b'{"access_token": "second"}')) as login:

        def auth(client_id):
            grant = oauth_grant(policy, policy.session(), login.url, client_id=client_id, client_secret="marker-0001")
            return OAuth(grant, clock=clock, tokens=store, redactor=redactor)

        assert auth("app-1").token().access_token == "first"
        assert auth("app-1").token().access_token == "first"
        assert auth("app-2").token().access_token == "second"


def test_a_refresh_token_that_is_not_rotated_is_kept(store, clock, redactor):
    fetch = Script(Token(access_token="access-1"), Token(access_token="access-2"))
    seen = []
    auth = OAuth(
        lambda refresh: (seen.append(refresh), fetch())[1],
        clock=clock,
        refresh_token="r-0000",
        tokens=store,
        redactor=redactor,
    )
    auth.headers()
    auth.flight.renew(auth.flight.version)
    assert seen == ["r-0000", "r-0000"]


def test_the_token_file_is_for_its_owner_only(vendor, store, clock, redactor, tmp_path):
    path = tmp_path / "secrets" / "acme.json"
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="stored token is not readable"):
        store.read()
    path.unlink()
    OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=store, redactor=redactor).headers()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["acme.json", "acme.json.lock"]
    assert "refresh-0" not in path.read_text()


def test_threads_fetch_one_token(vendor, clock, redactor):
    auth = OAuth(vendor, clock=clock, refresh_token="refresh-0", redactor=redactor)
    threads = [threading.Thread(target=auth.headers) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vendor.calls) == 1


def _refresh_in_a_process(folder: Path, start, results) -> None:
    """The vendor's side is a file too: the newest refresh token, and one line per call."""

    def fetch(refresh_token):
        newest = folder / "vendor-newest"
        with (folder / "vendor-calls").open("a") as calls:
            calls.write(f"{refresh_token}\n")
        if refresh_token != newest.read_text():
            raise ConfigError("invalid_grant")
        newest.write_text("refresh-1")
        return Token(
            access_token="access-1", refresh_token="refresh-1", expires_at=FakeClock().now() + timedelta(hours=1)
        )

    store = TokenStore(folder / "acme.json", redactor=Redactor())
    auth = OAuth(fetch, clock=FakeClock(), refresh_token="refresh-0", tokens=store, redactor=Redactor())
    start.wait(30)
    try:
        results.put(auth.headers()["Authorization"])
    except ConfigError as error:
        results.put(str(error))


def test_thirty_processes_refreshing_at_once_cause_one_refresh_call(tmp_path):
    """A26."""
    (tmp_path / "vendor-newest").write_text("refresh-0")
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(30), context.SimpleQueue()
    processes = [context.Process(target=_refresh_in_a_process, args=(tmp_path, start, results)) for _ in range(30)]
    for process in processes:
        process.start()
    got = [results.get() for _ in processes]
    for process in processes:
        process.join(30)
    assert got == ["Bearer access-1"] * 30
    assert (tmp_path / "vendor-calls").read_text() == "refresh-0\n"
    assert json.loads((tmp_path / "acme.json").read_text())["refresh_token"] == "refresh-1"


def test_without_the_lock_thirty_refreshes_would_revoke_the_token(vendor, clock, redactor):
    """The check above catches a store that does not share."""
    OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=MemoryTokens(), redactor=redactor).headers()
    with pytest.raises(ConfigError, match="revoked"):
        OAuth(vendor, clock=clock, refresh_token="refresh-0", tokens=MemoryTokens(), redactor=redactor).headers()


@pytest.mark.parametrize(("in_header", "refresh_token"), [(False, "refresh-0"), (True, "refresh-0"), (True, None)])
def test_the_grant_sends_the_form_of_the_standard(policy, clock, in_header, refresh_token, monkeypatch):
    with Loopback(
        Scripted(body=b'{"access_token": "a-0001", "expires_in": "3600", "api_domain": "https://x", "scope": 5}')
    ) as server:
        sent = []
        session = policy.session()
        post = session.post
        monkeypatch.setattr(session, "post", lambda url, **rest: (sent.append(rest), post(url, **rest))[1])
        fetch = oauth_grant(
            policy, session, server.url, client_id="me", client_secret=Secret("marker-0001"), in_header=in_header
        )
        token = fetch(refresh_token)
    assert token == Token(
        access_token="a-0001", expires_at=clock.now() + timedelta(hours=1), extra={"api_domain": "https://x"}
    )
    form = (
        {"grant_type": "client_credentials"}
        if refresh_token is None
        else {"grant_type": "refresh_token", "refresh_token": refresh_token}
    )
    secret = {"client_id": "me", "client_secret": "marker-0001"}
    assert sent[0]["data"] == (form if in_header else form | secret)
    assert ("Authorization" in server.seen[0][2]) == in_header
    assert policy.redactor.redact("marker-0001") == "***"


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_grant_says_to_authorise_again_and_is_not_repeated(policy, status):
    """A20."""
    send = Script(response(status, b'{"error": "invalid_grant", "error_description": "expired"}'))
    with pytest.raises(ConfigError, match=rf"\({status}: invalid_grant; expired\).*authorise again"):
        policy.call("oauth.token", send, judge_token)
    assert send.sent == 1


def test_a_token_endpoint_that_is_down_is_tried_again(policy):
    send = Script(response(503), response())
    policy.call("oauth.token", send, judge_token)
    assert send.sent == 2


@pytest.mark.parametrize("body", [None, [], {}, {"access_token": ""}, {"access_token": 5}])
def test_an_answer_without_a_token_is_no_token(body, clock):
    with pytest.raises(VendorError, match="without an access_token"):
        token_from(body, asked_at=clock.now())


def test_a_token_never_prints_itself():
    assert "marker" not in repr(Token(access_token="marker", refresh_token="marker"))
