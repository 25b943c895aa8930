"""The past of one deal in v1: changelog (texts, newest first, a cursor) and flow (typed values, offsets)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from connectors.sandbox.pipedrive.answers import as_json, failure
from connectors.sandbox.pipedrive.render import FIRST_USER, Entry, plain
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.pipedrive.company import Company


def changelog(company: Company, request: Request) -> Response:
    """Changes of a deal, newest first."""
    row = _row_of(company, request)
    if row is None:
        return failure(404, "Deal not found")
    lines = [_changelog_line(entry) for entry in _kept(company, row)]
    if company.creation_in_changelog:
        created = company.world.deals[row["id"]].events[0]
        first = next(c.new for c in created.changes if c.field == "stage")
        born_open = company.world.stages[first].outcome == "open"
        lines.insert(
            0,
            _changelog_line(
                Entry(
                    0,
                    "stage_id",
                    None,
                    first if born_open else row["_life"].stage,
                    created.at_ms // 1000,
                    created.actor_id,
                    False,
                )
            ),
        )
    lines.reverse()  # newest first
    cursor, limit = request.first("cursor"), min(int(request.first("limit") or 100), 500, company.page_cap or 500)
    if cursor == "0":
        return failure(400, "cursor: invalid")
    start = int(base64.b64decode(cursor).decode().removeprefix("id:")) if cursor else 0
    following = base64.b64encode(f"id:{start + limit}".encode()).decode() if start + limit < len(lines) else None
    return as_json(
        {"success": True, "data": lines[start : start + limit], "additional_data": {"next_cursor": following}}
    )


def flow(company: Company, request: Request) -> Response:
    """The same as flow entries, the creation included."""
    row = _row_of(company, request)
    if row is None:
        return failure(404, "Deal not found")
    start, limit = int(request.first("start") or 0), min(int(request.first("limit") or 100), 500)
    created = company.world.deals[row["id"]].events[0]
    entries = [
        Entry(
            created.id * 10,
            "add_time",
            None,
            plain(created.at_ms // 1000),
            created.at_ms // 1000,
            created.actor_id,
            False,
        ),
        *_kept(company, row),
    ]
    lines = [_flow_line(company, row["id"], entry) for entry in reversed(entries)]
    more = start + limit < len(lines)
    extra: dict[str, Any] = {"start": start, "limit": limit, "more_items_in_collection": more}
    if more:
        extra["next_start"] = start + limit
    return as_json(
        {
            "success": True,
            "data": lines[start : start + limit] or None,
            "additional_data": {"pagination": extra, **extra},
        }
    )


def _flow_line(company: Company, deal_id: int, entry: Entry) -> dict[str, Any]:
    formatted: Any = []
    if entry.key == "stage_id":
        names = [
            company.world.stages[key].label if key in company.world.stages else None for key in (entry.old, entry.new)
        ]
        formatted = {"old_value_formatted": names[0], "new_value_formatted": names[1]}
    data = {
        "id": entry.id,
        "item_id": deal_id,
        "user_id": FIRST_USER + entry.actor,
        "field_key": entry.key,
        "old_value": entry.old,
        "new_value": entry.new,
        "is_bulk_update_flag": entry.bulk,
        "log_time": plain(entry.at),
        "change_source": "app",
        "additional_data": formatted,
    }
    return {"object": "dealChange", "timestamp": plain(entry.at), "data": data}


def _row_of(company: Company, request: Request) -> dict[str, Any] | None:
    row = company.rows.get(int(request.path.split("/deals/")[1].split("/")[0]))
    return row if row is not None and company.is_there(row) else None


def _kept(company: Company, row: dict[str, Any]) -> list[Entry]:
    entries: list[Entry] = row["_life"].history
    return entries if company.history_cap is None else entries[-company.history_cap :]


def _changelog_line(entry: Entry) -> dict[str, Any]:
    return {
        "field_key": entry.key,
        "old_value": None if entry.old is None else str(entry.old),
        "new_value": None if entry.new is None else str(entry.new),
        "actor_user_id": FIRST_USER + entry.actor,
        "time": plain(entry.at),
        "change_source": "app",
        "change_source_user_agent": None,
        "is_bulk_update_flag": entry.bulk,
    }
