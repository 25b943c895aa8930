"""Refusals in Salesforce's words, and what each outcome of a call means for the call policy.

Source: vendor's REST API guide (status codes and error responses), read 2026-11.
"""

from __future__ import annotations

from typing import Any

from connectors.sdk import Answer, ConfigError, Judge, VendorError, Verdict, judge_handing_back

#: How long all calls wait when too many long ones run at once (vendor: 25 calls of 20 s or longer, 5 in small orgs).
_CONCURRENT_WAIT_S = 30.0
_NO_API = frozenset({"API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"})


class RefusedError(VendorError):
    """Salesforce refused one request. `code` is its errorCode ("" where the body has none), `said` its message."""

    def __init__(self, where: str, status: int, code: str, said: str) -> None:
        super().__init__(f"{where}: refused ({status} {code}: {' '.join(said.split())[:300]})")
        self.status = status
        self.code = code
        self.said = said


def error_of(answer: Answer) -> tuple[str, str]:
    """(errorCode, message) of an error answer; the body may be a list, an object, HTML or nothing."""
    return error_in(answer.json(), answer.says())


def error_in(body: Any, otherwise: str = "") -> tuple[str, str]:
    """(errorCode, message) in a decoded error body."""
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", otherwise
    code = first.get("errorCode") or first.get("exceptionCode") or first.get("error") or ""
    said = first.get("message") or first.get("exceptionMessage") or first.get("error_description") or ""
    return str(code), str(said)


def judge_of(api_version: str) -> Judge:
    """The judge of all API calls. What waiting and a new token cannot cure is handed back, to be understood by the caller."""

    def judge(outcome: Any) -> Verdict:
        answer = Answer.of(outcome)
        if answer is None or answer.status < 400:
            # A proxy may answer for Salesforce: with a page of its own, or with nothing.
            is_page = answer is not None and answer.status == 200 and _is_no_json(answer)
            return Verdict.retry("an answer that is no JSON") if is_page else judge_handing_back(outcome)
        code, said = error_of(answer)
        if code == "REQUEST_LIMIT_EXCEEDED":
            if "concurrent" in said.lower():
                return Verdict.burst("too many long calls at once", after_s=_CONCURRENT_WAIT_S)
            return Verdict.daily("the org's API calls of the last 24 hours are used up (REQUEST_LIMIT_EXCEEDED)")
        if answer.status == 401:
            return Verdict.reauth(f"the session was refused (401 {code})")
        if code in _NO_API:
            return Verdict.fatal(
                ConfigError(f"the API is not enabled ({code}). Use an edition and a profile with 'API Enabled'.")
            )
        if answer.status == 410 or code == "UNSUPPORTED_API_VERSION":
            return Verdict.fatal(ConfigError(f"API version {api_version} is retired. Set a newer api_version."))
        if answer.status == 406 or code == "SERVER_UNAVAILABLE":
            return Verdict.retry(f"status {answer.status} {code}".strip())
        return judge_handing_back(outcome)

    return judge


def _is_no_json(answer: Answer) -> bool:
    """True for a body that neither is JSON at first sight nor says that it is a CSV."""
    if not answer.is_read or "csv" in answer.headers.get("Content-Type", ""):
        return False
    return answer.body[:64].lstrip()[:1] not in (b"{", b"[")
