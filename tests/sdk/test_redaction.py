from __future__ import annotations

import base64
import html
import io
import json
import logging
import traceback
from urllib.parse import quote, quote_plus, urlencode

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.errors import ConfigError, TransientError
from connectors.sdk.redaction import Redactor
from connectors.sdk.settings import Secret
from connectors.sdk.verdict import Verdict
from tests.sdk.conftest import Script, response

SECRET = 'S3cr&t/+ "ü" \\ marker-0001'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"GET /deals?api_token={quote(SECRET)} HTTP/1.1",
        f"GET /deals?api_token={quote(SECRET, safe='')}",
        f"GET /deals?{urlencode({'api_token': SECRET})}",
        quote_plus(SECRET).lower() if quote_plus(SECRET).lower() == quote_plus(SECRET) else quote_plus(SECRET),
        json.dumps({"token": SECRET}),
        json.dumps({"token": SECRET}, ensure_ascii=False),
        json.dumps({"token": SECRET}).replace("/", "\\/"),
        json.dumps({"body": json.dumps({"token": SECRET})}),
        repr({"token": SECRET}),
        html.escape(f"<a href={SECRET}>"),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(text):
    """A28."""
    clean = Redactor([SECRET]).redact(text)
    assert "***" in clean
    assert "marker-0001" not in clean


MARKER = "marker-0123456789"
#: Made once: to learn all forms of a secret takes longer than to hide it.
KNOWS_MARKER = Redactor([MARKER])


@given(user=st.text(st.characters(codec="ascii", exclude_characters=":\0"), max_size=12), rest=st.text(max_size=5))
def test_a_secret_inside_base64_is_hidden_at_every_alignment(user, rest):
    encoded = base64.b64encode(f"{user}:{MARKER}{rest}".encode()).decode()
    for text in (encoded, encoded.replace("+", "-").replace("/", "_")):
        clean = KNOWS_MARKER.redact(f"Authorization: Basic {text}")
        assert "***" in clean
        shown = clean.split(" ")[-1].split("***")
        # The two ends may show the user's name and a character of the secret, never its inside.
        for piece in shown:
            for offset in range(4):
                padded = piece[offset:] + "=" * (-len(piece[offset:]) % 4)
                try:
                    decoded = base64.b64decode(padded, altchars=b"-_" if "-" in padded or "_" in padded else None)
                except ValueError:
                    continue
                assert MARKER[1:-1].encode() not in decoded


def test_a_short_secret_is_hidden_only_where_it_stands_alone():
    redactor = Redactor(["a1"])
    assert redactor.redact("password=a1; data1 a1b") == "password=***; data1 a1b"


def test_secrets_inside_one_another_leave_nothing():
    assert Redactor(["marker-1", "marker-1-and-more"]).redact("x marker-1-and-more y marker-1") == "x *** y ***"


def test_lines_of_a_private_key_are_hidden_one_by_one():
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEF\nAASCBKgwggSkAgEAAoIBAQC7VJTU\n-----END PRIVATE KEY-----\n"
    redactor = Redactor([key])
    assert "MIIEvg" not in redactor.redact(key)
    assert redactor.redact("could not read AASCBKgwggSkAgEAAoIBAQC7VJTU") == "could not read ***"
    assert redactor.redact("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_nothing_known_changes_nothing():
    redactor = Redactor()
    redactor.add("", None, "   ")
    assert redactor.redact("any text") == "any text"


def test_a_settings_secret_is_learned_by_its_value():
    assert Redactor([Secret("marker-0001")]).redact("marker-0001") == "***"


@pytest.fixture
def stream(redactor):
    """All that any handler prints, at every level."""
    redactor.add(SECRET)
    redactor.install()
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)


def test_no_logger_of_any_library_prints_a_secret(stream, redactor):
    """A28, C5."""
    for name in ("urllib3.connectionpool", "requests", "simple_salesforce.api", "hubspot", "muara.calls", ""):
        logging.getLogger(name).debug('"GET /deals?token=%s HTTP/1.1" 200', quote(SECRET))
        logging.getLogger(name).warning("headers %r", {"x-api-token": SECRET})
        try:
            raise RuntimeError(f"bad token {SECRET}") from ValueError(SECRET)
        except RuntimeError:
            logging.getLogger(name).exception("failed")
    text = stream.getvalue()
    assert text.count("***") >= 18
    assert "RuntimeError: bad token ***" in text
    assert "marker-0001" not in text


def test_a_wrong_format_string_prints_no_arguments(stream, capsys):
    logging.getLogger("x").warning("%d calls", SECRET)
    assert "marker-0001" not in stream.getvalue() + capsys.readouterr().err
    assert "***" in stream.getvalue()


def test_a_token_learned_in_mid_sync_is_hidden_from_then_on(stream, redactor):
    redactor.add("fresh-access-token")
    logging.getLogger("x").info("got fresh-access-token")
    assert "fresh" not in stream.getvalue()


def test_installing_twice_wraps_once(redactor):
    before = logging.getLogRecordFactory()
    redactor.install()
    once = logging.getLogRecordFactory()
    redactor.install()
    assert logging.getLogRecordFactory() is once
    redactor.uninstall()
    assert logging.getLogRecordFactory() is before


def _everything(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def test_an_exception_is_clean_with_all_that_hangs_on_it(redactor):
    """A28: vendor clients put whole URLs into their exceptions."""
    redactor.add(SECRET)
    inner = urllib3.exceptions.MaxRetryError(None, f"/deals?api_token={quote(SECRET)}", ConnectionResetError(SECRET))
    outer = requests.ConnectionError(inner)
    outer.body = f"body {SECRET}".encode()
    outer.content = [{"message": SECRET, "deep": ({"url": SECRET},)}]
    outer.__context__ = ValueError(SECRET)
    outer.__context__.__cause__ = outer
    text = _everything(redactor.scrub(outer))
    assert "marker-0001" not in text
    assert "***" in text


def test_no_error_of_the_policy_shows_a_secret(make_policy):
    """A28."""
    policy = make_policy(secrets=[SECRET])
    url = f"https://crm.example/deals?api_token={quote(SECRET)}"
    broken = requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, url, ConnectionResetError()))
    cases = [
        (Script(broken), None),
        (Script(response(400, json.dumps({"message": f"token {SECRET} is odd"}).encode())), None),
        (Script(response(401, json.dumps({"error": SECRET}).encode())), None),
        (Script(RuntimeError(url)), None),
        (Script(response()), lambda _: Verdict.daily(f"quota of {SECRET} used up")),
        (Script(response()), lambda _: Verdict.fatal(ConfigError(f"no scope for {SECRET}"))),
        (Script(response()), lambda _: Verdict.retry(f"busy: {SECRET}")),
        (Script(response(200, Warning=f'299 - "{SECRET}"'), broken), lambda _: Verdict.reauth(f"refused {SECRET}")),
    ]
    for send, judge in cases:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - every kind of error is looked at
            policy.call("deals", send, *([judge] if judge else []))
        assert "marker-0001" not in _everything(caught.value), caught.value
    assert all("marker" not in notice for notice in policy.report().notices)


def test_a_broken_redactor_would_be_noticed(make_policy, monkeypatch):
    """The check above catches a policy that does not redact."""
    policy = make_policy(secrets=[SECRET])
    monkeypatch.setattr(Redactor, "redact", lambda _, text: text)
    with pytest.raises(TransientError) as caught:
        policy.call("deals", Script(response()), lambda _: Verdict.retry(f"busy: {SECRET}"))
    assert "marker-0001" in _everything(caught.value)
