"""HubSpot's error bodies (vendor docs and public threads, read 2026-11)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from connectors.sandbox.server import Response

_NAMESPACE = uuid.UUID("5f0b1c2e-8f2e-4b6b-9a41-0d9b2f6f7c11")


def correlation_id(number: int) -> str:
    """A made-up correlation id, the same for the same call number."""
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def error(status: int, category: str, message: str, number: int = 0, **more: Any) -> Response:
    """The standard body: status, message, correlationId, category."""
    body = {
        "status": "error",
        "message": message,
        "correlationId": correlation_id(number),
        "category": category,
        **more,
    }
    return Response(status, json.dumps(body).encode())


def validation(message: str, number: int = 0) -> Response:
    """400 VALIDATION_ERROR."""
    return error(400, "VALIDATION_ERROR", message, number)


def not_found(number: int = 0) -> Response:
    """404 OBJECT_NOT_FOUND."""
    return error(404, "OBJECT_NOT_FOUND", "resource not found", number)


def missing_scopes(scopes: list[str], number: int = 0) -> Response:
    """403 MISSING_SCOPES, with the scopes that would be needed."""
    text = (
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
        "https://developers.hubspot.com/scopes."
    )
    detail = [
        {"message": "One or more of the following scopes are required.", "context": {"requiredGranularScopes": scopes}}
    ]
    return error(403, "MISSING_SCOPES", text, number, errors=detail)


def unauthorized(number: int = 0, *, expired: bool = False) -> Response:
    """401 for an unknown or an expired token."""
    if expired:
        return error(
            401,
            "EXPIRED_AUTHENTICATION",
            "The OAuth token used to make this call expired 12 second(s) ago.",
            number,
            context={"expire time": ["2026-11-20T12:00:00.000Z"]},
        )
    text = "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at the docs."
    return error(401, "INVALID_AUTHENTICATION", text, number)


def rate_limited(policy: str, number: int = 0) -> Response:
    """429; it has no category. `policy`: TEN_SECONDLY_ROLLING, SECONDLY (search) or DAILY."""
    words = {
        "TEN_SECONDLY_ROLLING": "You have reached your ten_secondly_rolling limit.",
        "SECONDLY": "You have reached your secondly limit.",
        "DAILY": "You have reached your daily limit.",
    }
    body = {
        "status": "error",
        "message": words[policy],
        "errorType": "RATE_LIMIT",
        "correlationId": correlation_id(number),
        "policyName": policy,
    }
    return Response(429, json.dumps(body).encode())
