"""Pipedrive's envelopes, errors and strict parameters."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from connectors.sandbox.server import Request, Response

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")
#: What `include_fields` may name.
INCLUDE = {
    "next_activity_id", "last_activity_id", "first_won_time", "products_count", "files_count", "notes_count", "followers_count",
    "email_messages_count", "activities_count", "done_activities_count", "undone_activities_count", "participants_count",
    "last_incoming_mail_time", "last_outgoing_mail_time", "smart_bcc_email", "source_lead_id",
}  # fmt: skip
HTML_403 = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>Sorry, you have been blocked</body></html>"


def as_json(body: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status, json.dumps(body, separators=(",", ":")).encode())


def ok(data: Any) -> Response:
    """A successful answer with one thing."""
    return as_json({"success": True, "data": data})


def failure(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    """An error in the documented form."""
    body = {
        "success": False,
        "error": error,
        "error_info": "Please check developers.pipedrive.com for more information",
        "data": None,
        "additional_data": None,
    }
    found = as_json(body, status)
    found.headers.update(headers or {})
    return found


def unauthorized() -> Response:
    """What the gateway says to a token it does not know."""
    body = {
        "success": False,
        "error": "unauthorized access",
        "errorCode": 401,
        "error_info": "Please check developers.pipedrive.com",
    }
    found = as_json(body, 401)
    found.headers["x-401-by-gw"] = "true"
    return found


def bearer(request: Request) -> str:
    """The token of the Authorization header."""
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def seconds_of(text: str) -> int:
    """Seconds since 1970 of an RFC 3339 text."""
    return int(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def strict(request: Request, allowed: set[str]) -> Response | None:
    """v2 refuses parameters it does not know and times that are not RFC 3339 with whole seconds."""
    for name in request.query:
        if name not in allowed | {"api_token"}:
            return failure(400, f"Validation failed: {name}: unknown parameter")
    for name in ("updated_since", "updated_until"):
        text = request.first(name)
        if text is not None and not _INSTANT.fullmatch(text):
            return failure(400, f"Validation failed: {name}: must be RFC 3339 with whole seconds and a zone")
    for name in (request.first("include_fields") or "").split(","):
        if name and name not in INCLUDE:
            return failure(400, f"Validation failed: include_fields: {name}: unknown")
    if len((request.first("custom_fields") or "").split(",")) > 15:
        return failure(400, "Validation failed: custom_fields: at most 15")
    return None
