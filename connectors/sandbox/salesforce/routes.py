"""Which address is which endpoint, and the small things every answer needs to know of its request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from connectors.sandbox.salesforce.errors import RestError
from connectors.sandbox.server import Request, Response

Parts = dict[str, str]
Answers = dict[str, Callable[[Parts, Request], Response]]

OLDEST, LATEST = 31, 66
MASTER_RECORD_TYPE = "012000000000000AAA"
_RELEASES = ("Spring", "Summer", "Winter")
_V = r"/services/data/v(?P<version>\d+\.\d)"
_ROUTES = [
    (method, re.compile(pattern + "/?"), endpoint)
    for method, pattern, endpoint in (
        ("POST", r"/services/oauth2/token", "token"),
        ("GET", r"/services/oauth2/userinfo", "userinfo"),
        ("POST", r"/services/Soap/u/(?P<version>[\d.]+)(?:/\w*)?", "soap_login"),
        ("GET", r"/services/data", "versions"),
        ("GET", _V, "resources"),
        ("GET", _V + r"/limits", "limits"),
        ("GET", _V + r"/sobjects", "sobjects"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)", "sobject"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/describe", "describe"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/deleted", "deleted"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/updated", "updated"),
        ("GET", _V + r"/sobjects/(?P<name>\w+)/(?P<id>\w{15,18})", "record"),
        ("GET", _V + r"/query", "query"),
        ("GET", _V + r"/queryAll", "queryAll"),
        ("GET", _V + r"/(?:query|queryAll)/(?P<locator>\w+-\d+)", "query_more"),
        ("POST", _V + r"/composite", "composite"),
        ("POST", _V + r"/composite/batch", "composite_batch"),
        (
            "GET",
            _V + r"/ui-api/object-info/(?P<name>\w+)/picklist-values/(?P<record_type>\w+)/(?P<field>\w+)",
            "picklist_values",
        ),
        ("GET", _V + r"/connect/organization", "org_settings"),
        ("POST", _V + r"/jobs/query", "job_create"),
        ("GET", _V + r"/jobs/query", "jobs"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)", "job_status"),
        ("PATCH", _V + r"/jobs/query/(?P<id>\w+)", "job_abort"),
        ("DELETE", _V + r"/jobs/query/(?P<id>\w+)", "job_delete"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)/results", "job_results"),
        ("GET", _V + r"/jobs/query/(?P<id>\w+)/resultPages", "job_pages"),
    )
]


def route(request: Request) -> tuple[str, Parts]:
    """Endpoint name and the named parts of the path; "unknown" for anything else."""
    for method, pattern, endpoint in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match is not None and method == request.method:
            return endpoint, match.groupdict()
    return "unknown", {}


def base(parts: Parts) -> str:
    """The versioned path that addresses in answers start with."""
    return f"/services/data/v{parts['version']}"


def pretty(request: Request) -> bool:
    """Whether the client wants line breaks (simple-salesforce always does)."""
    return request.headers.get("x-prettyprint", "") in ("1", "true")


def json_body(request: Request) -> dict[str, Any]:
    """The body, an object."""
    try:
        found = json.loads(request.body)
    except ValueError:
        raise RestError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required, and must be JSON") from None
    if not isinstance(found, dict):
        raise RestError(400, "JSON_PARSER_ERROR", "An object is expected")
    return found
