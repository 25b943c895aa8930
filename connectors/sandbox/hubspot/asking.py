"""What a request asks for, in the forms that HubSpot takes, and a JSON answer."""

from __future__ import annotations

import json
from typing import Any

from connectors.sandbox.server import Request, Response


def bearer(request: Request) -> str:
    """The token of the Authorization header."""
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def as_json(body: Any) -> Response:
    """A JSON answer."""
    return Response(200, json.dumps(body, separators=(",", ":")).encode())


def body_of(request: Request) -> dict[str, Any]:
    """The request's JSON object, {} for anything else."""
    found = json.loads(request.body or b"{}")
    return found if isinstance(found, dict) else {}


def number(text: str | None, default: int) -> int | None:
    """A whole number; `default` where absent, None where it is none."""
    if text is None:
        return default
    return int(text) if text.lstrip("-").isdigit() else None


def flag(request: Request, parameter: str) -> bool:
    """A flag, however its letters are written."""
    return (request.first(parameter) or "").lower() == "true"


def names(request: Request, parameter: str) -> list[str]:
    """A parameter that may be repeated or joined with commas."""
    return [part for value in request.query.get(parameter, []) for part in value.split(",") if part]
