"""Before the first sync: which scopes are missing, and how many calls it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connectors.hubspot import wire
from connectors.hubspot.api import Api, MissingScopesError
from connectors.hubspot.reading import ASSOCIATIONS, HISTORY_PAGE, SEARCH_PAGE
from connectors.hubspot.settings import HubSpotSettings
from connectors.sdk import Finding, MuaraError, PlanLine, Sync, open_window, to_epoch_ms

SETUP_GUIDE = """\
1. In HubSpot: Settings > Integrations > Service Keys > Create (accounts without service keys: a private app; an OAuth app works too).
2. Grant these scopes: `crm.objects.deals.read`, `crm.schemas.deals.read`, `crm.objects.owners.read`, `crm.objects.companies.read`
   (and `oauth` for an OAuth app).
3. Put the key into an environment variable where the sync runs, and name it in the source's YAML: `access_token: {env: HUBSPOT_TOKEN}`.
4. `muara check` tells which scope is missing, `muara plan` how many calls the first sync takes.
"""


def findings(api: Api) -> Iterator[Finding]:
    """One small call per kind of data. Without deals and pipelines nothing can be read; the rest is done without."""
    with_history = {"limit": 1, "propertiesWithHistory": "dealstage"}
    tries: tuple[tuple[str, str, Callable[[], bytes], bool], ...] = (
        ("account", "account-info", api.account, False),
        ("deals", "deals and their history", lambda: api.list_deals(with_history), True),
        ("pipelines", "pipelines and stages", api.pipelines, True),
        ("properties", "names of deal properties", api.properties, False),
        ("owners", "owners", lambda: api.owners({"limit": 1}), False),
        ("companies", "companies", lambda: api.list_companies({"limit": 1}), False),
    )
    for name, what, attempt, is_needed in tries:
        try:
            attempt()
        except MissingScopesError as error:
            yield Finding(
                level="error" if is_needed else "warning",
                what=name,
                message=f"{what} cannot be read: scope {', '.join(error.scopes) or '(not named)'} is missing",
                what_to_do="Add the scope to the service key, private app or OAuth app.",
            )
        except MuaraError as error:
            yield Finding(level="error", what=name, message=str(error))
        else:
            yield Finding(level="ok", what=name, message=f"{what} can be read")


def plan(api: Api, settings: HubSpotSettings, sync: Sync) -> Iterator[PlanLine]:
    """From one search that counts."""
    since = open_window(
        sync.cursor("deals"), overlap_minutes=settings.overlap_minutes, start_date=settings.start_date
    ).start
    body: dict[str, Any] = {"limit": 1, "properties": ["hs_object_id"]}
    if since is not None:
        changed = {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(to_epoch_ms(since))}
        body["filterGroups"] = [{"filters": [changed]}]
    rows = wire.page(api.search("deals", body)).total
    calls = None
    if rows is not None:
        calls = -(-rows // HISTORY_PAGE) + (0 if since is None else -(-rows // SEARCH_PAGE) + -(-rows // ASSOCIATIONS))
    yield PlanLine(stream="deals", rows=rows, calls=calls, note="history comes with the deals")
    yield PlanLine(stream="pipelines", rows=None, calls=3, note="account, pipelines, properties")
    yield PlanLine(stream="owners", rows=None, calls=2, note="active and deactivated")
