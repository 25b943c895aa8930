"""Companies: list, batch read, search; and which company a deal belongs to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connectors.sandbox.hubspot import catalogue, errors
from connectors.sandbox.hubspot.asking import as_json, body_of, flag, names, number
from connectors.sandbox.hubspot.render import FIRST_COMPANY
from connectors.sandbox.hubspot.search import search
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.hubspot.portal import Portal

_LIMIT = 100
_MOST_ASSOCIATIONS = 1_000


def listed(portal: Portal, request: Request) -> Response:
    """A page of companies."""
    limit, start = number(request.first("limit"), 10), portal.cursor_of(request.first("after"))
    if limit is None or not 1 <= limit <= _LIMIT or start is None:
        return errors.validation(f"limit must be between 1 and {_LIMIT}", request.number)
    wanted = names(request, "properties")
    ids = sorted(
        c.id for c in portal.world.companies.values() if (c.presence == "present") != (flag(request, "archived"))
    )
    ids = [key for key in ids if portal.world.companies[key].merged_into is None and FIRST_COMPANY + key >= start]
    size = min(limit, portal.page_cap or limit)
    body: dict[str, Any] = {"results": [catalogue.company(portal, key, wanted) for key in ids[:size]]}
    if size < len(ids):
        after = portal.cursor(FIRST_COMPANY + ids[size - 1] + 1)
        body["paging"] = {"next": {"after": after, "link": "https://api.hubapi.com"}}
    return as_json(body)


def batch_read(portal: Portal, request: Request) -> Response:
    """Companies by id."""
    wish = body_of(request)
    inputs = [str(item.get("id")) for item in wish.get("inputs", [])]
    if len(inputs) > _LIMIT:
        return errors.validation(
            f"The maximum number of inputs supported in a batch request is {_LIMIT}.", request.number
        )
    found, missing = [], []
    for text_id in dict.fromkeys(inputs):
        key = int(text_id) - FIRST_COMPANY
        company = portal.world.companies.get(key)
        if company is not None and company.merged_into is not None:
            key, company = company.merged_into, portal.world.companies[company.merged_into]
        if company is None or company.presence != "present":
            missing.append(text_id)
        else:
            found.append(catalogue.company(portal, key, list(wish.get("properties") or [])))
    body: dict[str, Any] = {"status": "COMPLETE", "results": found}
    if missing:
        body |= {
            "numErrors": 1,
            "errors": [{"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}],
        }
    return Response(207 if missing else 200, json.dumps(body).encode())


def searched(portal: Portal, request: Request) -> Response:
    """A search over companies."""
    rows = [
        catalogue.company_row(portal, key)
        for key, c in portal.world.companies.items()
        if c.presence == "present" and c.merged_into is None
    ]
    known = {item["name"] for item in catalogue.company_properties()} | {
        "createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
    }
    return search(
        rows, known, request.body, request.number, lambda row, wanted: catalogue.company(portal, row.world_id, wanted)
    )


def associations(portal: Portal, request: Request) -> Response:
    """Companies of deals."""
    inputs = [str(item.get("id")) for item in body_of(request).get("inputs", [])]
    if len(inputs) > 1_000:
        return errors.validation("The maximum number of inputs supported in a batch request is 1000.", request.number)
    results, missing = [], []
    for text_id in dict.fromkeys(inputs):
        found = portal.find(int(text_id))
        if found is None or found.company_id is None:
            missing.append(text_id)
            continue
        kinds = [
            {"category": "HUBSPOT_DEFINED", "typeId": 5, "label": "Primary"},
            {"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None},
        ]
        company = str(FIRST_COMPANY + found.company_id)
        results.append({"from": {"id": text_id}, "to": [{"toObjectId": company, "associationTypes": kinds}]})
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if missing:
        context = {"fromObjectId": missing}
        body |= {
            "numErrors": len(missing),
            "errors": [{"status": "error", "category": "OBJECT_NOT_FOUND", "context": context}],
        }
    return Response(207 if missing else 200, json.dumps(body).encode())
