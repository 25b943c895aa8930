"""Before the first sync: can the token get in, what does it see, what will reading cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connectors.pipedrive.api import SCOPES
from connectors.pipedrive.deals import Deals
from connectors.pipedrive.history import snapshot, without_call
from connectors.pipedrive.run import Run, is_admin
from connectors.sdk import BAD_ROW, Finding, MuaraError, PlanLine

_LIST_PRICE, _ARCHIVE_PRICE, _CHANGELOG_PRICE = 10, 20, 20

SETUP_GUIDE = f"""\
1. In Pipedrive, as an admin: Personal preferences > API > copy the personal API token. (A token of somebody who is no admin shows only
   what that person may see, without a word; Muara warns.) Or use an OAuth app with the scopes {SCOPES}.
2. Put the token into an environment variable where the sync runs: `api_token: {{env: PIPEDRIVE_TOKEN}}`, with `company_domain: acme`.
3. `muara plan` tells the price of the first sync in tokens. Set `daily_call_budget` (in tokens) to leave the rest to others: the backfill then goes
   on over several days, open and recently moved deals first.
"""


def findings(run: Run) -> Iterator[Finding]:
    """One cheap call per kind of data."""
    api = run.api
    answers: dict[str, Any] = {}
    tries: tuple[tuple[str, Callable[[], Any], bool], ...] = (
        ("users/me", api.me, True),
        ("pipelines", api.pipelines, True),
        ("stages", api.stages, True),
        ("deals", lambda: next(iter(api.deals({}, archived=False, page_size=1)), None), True),
        ("users", api.users, False),
        ("organizations", lambda: next(iter(api.organizations({}, 1)), None), False),
    )
    for what, attempt, is_needed in tries:
        try:
            answers[what] = attempt()
        except MuaraError as error:
            yield Finding(level="error" if is_needed else "warning", what=what, message=str(error))
            continue
        yield Finding(level="ok", what=what, message=f"{what} can be read")
    if answers.get("users/me") and not is_admin(answers["users/me"]):
        yield Finding(
            level="warning",
            what="visibility",
            message="the token's user is no admin: deals of others may be missing without a word",
            what_to_do="Use the token of an admin.",
        )
    if answers.get("deals"):
        yield from _history(run, str(answers["deals"][0]["id"]))


def _history(run: Run, deal_id: str) -> Iterator[Finding]:
    try:
        run.api.changelog(deal_id)
    except MuaraError as error:
        hint = "Give the OAuth app the scope recents:read."
        yield Finding(level="error", what="history", message=str(error), what_to_do=hint)
        return
    yield Finding(level="ok", what="history", message="the changelog of deals can be read")


def plan(run: Run) -> Iterator[PlanLine]:
    """Walks the deal lists and prices the histories that a sync would read now."""
    deals, held = Deals(run), run.sync.held
    rows = moved = tokens = pages = 0
    for archived, price in ((False, _LIST_PRICE), (True, _ARCHIVE_PRICE)):
        for page in run.api.deals(deals.window_query(), archived=archived, page_size=None):
            rows, pages, tokens = rows + len(page), pages + 1, tokens + price
            known = held.deals([str(row.get("id")) for row in page])
            for row in page:
                try:
                    deal = snapshot(row)
                except BAD_ROW:
                    continue
                has_past = deal.deal_id in known and known[deal.deal_id].has_history
                is_free = not has_past and without_call(deal) is not None
                moved += not is_free and deals.backfill.needs(deal, known.get(deal.deal_id))
    yield PlanLine(stream="deals", rows=rows, calls=pages, note=f"{tokens} tokens")
    note = f"{moved * _CHANGELOG_PRICE} tokens: one changelog a moved deal"
    yield PlanLine(stream="stage_changes", rows=None, calls=moved, note=note)
