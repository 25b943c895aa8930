"""Refusals on the wire: a JSON array of `{"message", "errorCode"}`."""

from __future__ import annotations

from connectors.sandbox.salesforce.render import to_json
from connectors.sandbox.salesforce.soql import SoqlError
from connectors.sandbox.server import Response

_STATUS = {"SANDBOX_UNSUPPORTED": 501}


class RestError(Exception):
    """A refusal with its HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def error_response(error: RestError | SoqlError, *, pretty: bool = False) -> Response:
    """The answer that tells of it."""
    status = error.status if isinstance(error, RestError) else _STATUS.get(error.code, 400)
    return Response(status, to_json([{"message": error.message, "errorCode": error.code}], pretty=pretty))
