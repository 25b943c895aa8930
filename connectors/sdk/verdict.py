"""What to make of the outcome of one request: an answer or an exception in, a Verdict out. Pure; the waiting is done in `client`.

A connector writes one judge with its vendor's codes and falls back on `judge_status`:

    def judge(outcome):
        answer = Answer.of(outcome)
        if answer and answer.status == 429 and (answer.json() or {}).get("policyName") == "DAILY":
            return Verdict.daily("the portal's daily limit is used up")
        return judge_status(outcome)
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, overload

import msgspec
import requests
import urllib3.exceptions as urllib3_errors
from requests.structures import CaseInsensitiveDict

from connectors.sdk.decoding import sound_json
from connectors.sdk.errors import ConfigError, VendorError

#: The longest piece of a vendor's own error text that goes into ours.
_QUOTE = 300


class Answer:
    """One look at the answers of all vendor clients: `requests.Response`, urllib3's response, and exceptions that carry an answer
    (`hubspot` ApiException). `headers` ignore case. The body is read when it is asked for.
    """

    __slots__ = ("_body", "_source", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes | str | None = None, source: Any = None
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._source = source

    @overload
    @classmethod
    def of(cls, outcome: requests.Response) -> Answer: ...

    @overload
    @classmethod
    def of(cls, outcome: object) -> Answer | None: ...

    @classmethod
    def of(cls, outcome: object) -> Answer | None:
        """The answer inside an outcome, None when there is none (a network error, a decoded model)."""
        if isinstance(outcome, requests.Response):
            return cls(outcome.status_code, outcome.headers, source=outcome)
        status, headers = getattr(outcome, "status", None), getattr(outcome, "headers", None)
        if not isinstance(status, int) or isinstance(status, bool) or not isinstance(headers, Mapping | None):
            return None
        if headers is None and not isinstance(outcome, Exception):
            return None
        # urllib3's headers ignore case by themselves; a plain mapping is made to.
        folded: Any = headers if hasattr(headers, "getlist") else CaseInsensitiveDict(headers or {})
        return cls(status, folded, source=outcome)

    @property
    def is_read(self) -> bool:
        """False for a streamed answer whose body the caller will read."""
        return bool(getattr(self._source, "_content_consumed", True))

    @property
    def body(self) -> bytes:
        """The whole body; empty where there is none."""
        if self._body is None:
            source = self._source
            found = source.content if isinstance(source, requests.Response) else getattr(source, "body", None)
            self._body = found if found is not None else getattr(source, "data", None) or b""
        return self._body.encode() if isinstance(self._body, str) else self._body

    def json(self) -> Any:
        """The decoded body, None when it is no JSON (an error page in HTML, nothing at all)."""
        try:
            return msgspec.json.decode(sound_json(self.body))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def says(self) -> str:
        """What the source says went wrong, in its own words and at most 300 characters; "" when it says nothing readable."""
        body = self.json()
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, dict):
            names = ("errorCode", "error", "category", "message", "error_description", "error_info")
            said = [str(body[name]) for name in names if isinstance(body.get(name), str | int) and body[name]]
            return "; ".join(dict.fromkeys(said))[:_QUOTE]
        return "an HTML page" if self.body.lstrip()[:1] == b"<" else ""

    def retry_after_s(self, now: datetime) -> float | None:
        """Seconds to wait by `Retry-After`, in either form. A date is measured against the answer's own `Date`, so that a wrong clock
        on either side does no harm. None when absent or unreadable, never negative.
        """
        text = self.headers.get("Retry-After")
        if text is None:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            pass
        until = _http_date(text)
        since = _http_date(self.headers.get("Date") or "") or now
        return None if until is None else max(0.0, (until - since).total_seconds())

    def notices(self) -> Iterator[str]:
        """Announcements that this endpoint will end: `Sunset` (RFC 8594), `Deprecation` (RFC 9745) and `Warning: 299` headers."""
        headers = self.headers
        if "Sunset" in headers:
            yield f"will be switched off on {_day(headers['Sunset'])}"
        if "Deprecation" in headers:
            since = _day(headers["Deprecation"])
            yield "is deprecated" + ("" if since in ("true", "?1") else f" since {since}")
        if headers.get("Warning", "").startswith("299"):
            # RFC 7234: code, agent, quoted text
            text = headers["Warning"].partition('"')[2].rpartition('"')[0] or headers["Warning"]
            yield f"warns: {text[:_QUOTE]}"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. Made by the class methods; `then` is what to do when `tries` of this kind are used up or impossible."""

    kind: Literal["ok", "retry", "burst", "daily", "reauth", "fatal"]
    reason: str = ""
    after_s: float | None = None
    resumes_at: datetime | None = None
    error: Exception | None = None
    tries: int | None = None
    then: Verdict | None = None

    @classmethod
    def ok(cls) -> Verdict:
        """Hand the outcome to the caller: the answer is returned, an exception raised as it is."""
        return _OK

    @classmethod
    def retry(
        cls, reason: str, after_s: float | None = None, *, tries: int | None = None, then: Verdict | None = None
    ) -> Verdict:
        """Repeat this one request after a jittered wait (`Retry-After` where the answer has it)."""
        return cls(kind="retry", reason=reason, after_s=after_s, tries=tries, then=then)

    @classmethod
    def burst(
        cls, reason: str, after_s: float | None = None, *, tries: int | None = None, then: Verdict | None = None
    ) -> Verdict:
        """Too fast: the whole pool waits, then this request is repeated."""
        return cls(kind="burst", reason=reason, after_s=after_s, tries=tries, then=then)

    @classmethod
    def daily(cls, reason: str, resumes_at: datetime | None = None) -> Verdict:
        """The daily quota is used up: QuotaError, no waiting. The sync ends as partial."""
        return cls(kind="daily", reason=reason, resumes_at=resumes_at)

    @classmethod
    def reauth(cls, reason: str = "", *, then: Verdict | None = None) -> Verdict:
        """Renew the credentials once and repeat; without a way to renew, or refused again: `then`, else a ConfigError."""
        return cls(kind="reauth", reason=reason, tries=1, then=then)

    @classmethod
    def fatal(cls, error: Exception) -> Verdict:
        """Raise this error. A MuraError gets source and endpoint put in front of its message."""
        return cls(kind="fatal", error=error)


_OK = Verdict(kind="ok")

Judge = Callable[[Any], Verdict]

#: No answer came, or only half of one. Repeating is safe: a connector only reads.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3_errors.ProtocolError,
    urllib3_errors.TimeoutError,
    urllib3_errors.DecodeError,
    urllib3_errors.MaxRetryError,
    urllib3_errors.SSLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)

_WAIT_AND_REPEAT = frozenset({408, 420, 425})
_NEVER_CURED = frozenset({501, 505})


def judge_status(outcome: Any) -> Verdict:
    """By HTTP status and kind of exception, for calls whose 4xx are errors: 401 renews, 403 is for the user, other 4xx for us.

    Repeated: named network errors, cut bodies, 408, 420, 425, 5xx (but 501, 505), a JSON body cut where no length was announced; 429 makes the
    pool wait. Exceptions that are not named are raised as they are: a bug stays a bug.
    """
    answer = Answer.of(outcome)
    if answer is None:
        return _judge_exception(outcome) if isinstance(outcome, Exception) else _OK
    status = answer.status
    if status < 400:
        return Verdict.retry("a cut body") if is_cut(answer) else _OK
    if status == 429:
        return Verdict.burst("too many requests (429)")
    is_temporary = status >= 500 and status not in _NEVER_CURED and not _is_soap_fault(answer)
    if status in _WAIT_AND_REPEAT or is_temporary:
        return Verdict.retry(f"status {status}")
    said = answer.says()
    told = f"({status}{': ' + said if said else ''})"
    if status == 401:
        return Verdict.reauth(f"credentials refused {told}")
    if status == 403:
        return Verdict.fatal(ConfigError(f"refused {told}. Give the credential the permission that this call needs."))
    if status == 410:
        return Verdict.fatal(VendorError(f"this endpoint is gone {told}. A newer Muara or API version is needed."))
    return Verdict.fatal(VendorError(f"the source did not accept the request {told}."))


def judge_handing_back(outcome: Any) -> Verdict:
    """Like `judge_status`, but every 4xx that waiting cannot cure goes back to the vendor client, which knows how to read it."""
    verdict = judge_status(outcome)
    if verdict.kind == "fatal" and Answer.of(outcome) is not None:
        return _OK
    if verdict.kind == "reauth":
        return Verdict.reauth(verdict.reason, then=_OK)
    return verdict


def is_cut(answer: Answer) -> bool:
    """True for JSON that ends too early where the transport cannot notice: no announced length and not chunked."""
    headers = answer.headers
    if "Content-Length" in headers or "Transfer-Encoding" in headers or answer.status in (204, 304):
        return False
    if "json" not in headers.get("Content-Type", "") or not answer.is_read:
        return False
    try:
        msgspec.json.decode(answer.body, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return True
    return False


def _is_soap_fault(answer: Answer) -> bool:
    """SOAP 1.1 sends every fault as status 500, a wrong password too: repeating a login would lock the user out."""
    return answer.status == 500 and answer.is_read and b"<faultcode" in answer.body[:4096]


def _judge_exception(error: Exception) -> Verdict:
    if not isinstance(error, TRANSPORT_ERRORS):
        return Verdict.fatal(error)
    if _is_about_certificate(error):
        return Verdict.fatal(
            ConfigError(
                "the server's certificate could not be verified. Check the host name, the proxy and this machine's CAs."
            )
        )
    return Verdict.retry(_name(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo = [error]
    while todo:
        found = todo.pop()
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [found.__cause__, found.__context__, getattr(found, "reason", None), *found.args]


def _is_about_certificate(error: Exception) -> bool:
    return any(isinstance(found, ssl.SSLCertVerificationError) for found in _chain(error))


def _name(error: Exception) -> str:
    """In a person's words: what kind of failure this is, without the URL that vendor clients put in."""
    kinds = {type(found).__name__ for found in _chain(error)}
    for words, names in (
        ("the host name could not be resolved", {"NameResolutionError", "gaierror"}),
        ("no connection in time", {"ConnectTimeoutError", "ConnectTimeout"}),
        ("no answer in time", {"ReadTimeoutError", "ReadTimeout", "TimeoutError", "Timeout"}),
        ("connection refused", {"ConnectionRefusedError", "NewConnectionError"}),
        (
            "a cut body",
            {"IncompleteRead", "ChunkedEncodingError", "InvalidChunkLength", "ContentDecodingError", "DecodeError"},
        ),
        ("connection reset", {"ConnectionResetError", "RemoteDisconnected", "BrokenPipeError"}),
    ):
        if kinds & names:
            return words
    return f"network error ({type(error).__name__})"


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _day(text: str) -> str:
    """A header's date as YYYY-MM-DD (`@epoch` of RFC 9745 or an HTTP date), else its own words."""
    if text.startswith("@") and text[1:].isdigit():
        return datetime.fromtimestamp(int(text[1:]), UTC).date().isoformat()
    found = _http_date(text)
    return found.date().isoformat() if found else text[:40]
