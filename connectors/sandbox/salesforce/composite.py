"""Several calls in one: composite (counts as one) and composite/batch (each part counts)."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.sandbox.salesforce.errors import RestError, error_response
from connectors.sandbox.salesforce.render import to_json
from connectors.sandbox.salesforce.routes import Answers, Parts, json_body, route
from connectors.sandbox.salesforce.soql import SoqlError
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.org import Org


class Composite:
    """Both kinds; the parts run one after another, as the same user."""

    def __init__(self, org: Org) -> None:
        self.org = org

    def answers(self) -> Answers:
        """Endpoint name to its function."""
        return {"composite": self._composite, "composite_batch": self._composite_batch}

    def _composite(self, parts: Parts, request: Request) -> Response:
        body = json_body(request)
        asked = body.get("compositeRequest") or []
        queries = [a for a in asked if re.search(r"/query(All)?[/?]", str(a.get("url")))]
        if len(asked) > 25:
            raise RestError(400, "LIMIT_EXCEEDED", "The maximum number of subrequests in a composite request is 25")
        if len(queries) > 5:
            raise RestError(
                400, "LIMIT_EXCEEDED", "A composite request may hold 5 queries or sObject collections at most"
            )
        texts, failed = [], False
        for one in asked:
            headers = {k.lower(): v for k, v in (one.get("httpHeaders") or {}).items()}
            answer = self._part(one.get("method", "GET"), str(one.get("url")), headers, composite=True)
            failed |= answer.status >= 400
            reference = to_json(str(one.get("referenceId"))).decode()
            texts.append((answer, reference))
        if failed and body.get("allOrNone"):
            halted = b'[{"errorCode":"PROCESSING_HALTED","message":"The transaction was rolled back"}]'
            texts = [(a if a.status >= 400 else replace(a, status=400, body=halted), r) for a, r in texts]
        inner = ",".join(
            f'{{"body":{(a.body or b"null").decode()},"httpHeaders":{{}},"httpStatusCode":{a.status},"referenceId":{r}}}'
            for a, r in texts
        )
        return Response(200, f'{{"compositeResponse":[{inner}]}}'.encode())

    def _composite_batch(self, parts: Parts, request: Request) -> Response:
        asked = json_body(request).get("batchRequests") or []
        if len(asked) > 25:
            raise RestError(400, "LIMIT_EXCEEDED", "The maximum number of subrequests in a batch is 25")
        self.org.count(len(asked) - 1)  # each one counts
        found = [
            self._part(a.get("method", "GET"), f"/services/data/{a.get('url')}", {}, composite=False) for a in asked
        ]
        inner = ",".join(f'{{"statusCode":{a.status},"result":{(a.body or b"null").decode()}}}' for a in found)
        failed = str(any(a.status >= 400 for a in found)).lower()
        return Response(200, f'{{"hasErrors":{failed},"results":[{inner}]}}'.encode())

    def _part(self, method: str, url: str, headers: dict[str, str], *, composite: bool) -> Response:
        path, _, query = url.partition("?")
        parsed = urllib.parse.parse_qs(query, keep_blank_values=True)
        request = Request(method, url, urllib.parse.unquote(path), parsed, headers, b"")
        endpoint, parts = route(request)
        self.org.subcalls[endpoint] += 1
        try:
            if endpoint in ("composite", "composite_batch", "token", "soap_login"):
                raise RestError(400, "INVALID_INPUT", f"The {endpoint} resource cannot be part of a composite request")
            if composite and endpoint == "queryAll" and not self.org.composite_query_all:
                raise RestError(400, "INVALID_INPUT", "The queryAll resource cannot be part of a composite request")
            return self.org.dispatch(endpoint, parts, request)
        except (RestError, SoqlError) as error:
            return error_response(error)
