"""Before the first sync: can the API user get in, what does it see, how much is there to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.salesforce.errors import RefusedError
from connectors.salesforce.run import BULK_FROM, Run
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.survey import ACCOUNT_COLUMNS, DEAL_COLUMNS, DESCRIBED, USER_COLUMNS
from connectors.sdk import ConfigError, Finding, MuaraError, PlanLine, Record, Sync, Warn

SETUP_GUIDE = """\
1. **Make an integration user** (Setup, Users): licence *Salesforce Integration* or any full licence, profile *Minimum Access - API Only
   Integrations*.
2. **Make a permission set** for it with *API Enabled* and *View Setup and Configuration*, **View All Records** on Opportunities and
   Accounts, and read access to every field of Opportunity that you want to see. What the user does not see is not there for Muara.
3. **Make an app** (Setup, External Client App Manager, or App Manager for a connected app): enable OAuth, scope *Manage user data via APIs
   (api)*, and *Enable Client Credentials Flow* with the integration user as *Run As*. Copy consumer key and secret.
4. **Write the source**: `domain` is your My Domain without `.salesforce.com`, e.g. `acme.my`.
5. `muara check SOURCE` names every permission and field that is still missing; `muara plan SOURCE` tells calls and rows.

With `auth: jwt` upload a certificate to the app instead of step 3's client credentials, pre-authorise the user, and give `username` and
`private_key`. `auth: password` is for orgs that still allow it: its SOAP form ends for all orgs with Summer '27.
"""

_PAGE = 2_000
_HISTORY_ROWS_PER_DEAL = 4.5


def hidden_fields(run: Run) -> Iterator[Record]:
    """What is wanted and not seen, formulas that are left out, and a lost reason that could be mapped."""
    missing = run.fields.missing(DEAL_COLUMNS)
    if not run.context.pipelines and not run.survey.rows("record_types"):
        missing = [name for name in missing if name != "RecordTypeId"]
    elif "RecordTypeId" not in run.fields:
        missing.append("RecordTypeId")
    if missing:
        message = (
            f"Opportunity: the API user does not see {', '.join(missing)}; these stay unknown. Give it read permission."
        )
        yield Warn(code="hidden_fields", message=message)
    if not run.survey.described:
        return
    formulas = run.fields.unread()
    if formulas:
        message = f"formula fields are left out, because they change without a trace: {', '.join(formulas[:20])}."
        yield Warn(code="formulas_left_out", message=message)
    wanted = run.settings.lost_reason_field
    if wanted is not None and wanted not in run.fields.read:
        message = f"lost_reason_field: Opportunity has no readable field {wanted}. Check its API name and permission."
        yield Warn(code="lost_reason_field", message=message)
    elif wanted is None and (proposed := run.fields.loss_reasons()):
        message = f"the reason of a loss seems to be in {proposed[0]}; set lost_reason_field to read it."
        yield Warn(code="lost_reason_field", message=message)


def check(settings: SalesforceSettings, sync: Sync) -> Iterable[Finding]:
    """Findings, errors first. A login, two composite calls, and one query where nothing is wrong."""
    try:
        run = Run(settings, sync)
        run.api.instance_url  # noqa: B018 - signs in
    except MuaraError as error:
        return [
            Finding(level="error", what="login", message=str(error), what_to_do="Check auth, domain and credentials.")
        ]
    findings = [Finding(level="ok", what="login", message=f"signed in to {run.api.instance_url}")]
    try:
        run.survey.describe(*DESCRIBED)
        run.survey.ask(["organization", "record_types", "processes", "stages"])
        run.check_fields()
        counts = {"deals": run.count_query(), "history": "SELECT COUNT() FROM OpportunityHistory"}
        run.survey.ask(counts=counts)
    except (ConfigError, RefusedError) as error:
        todo = "Give the API user a permission set with API Enabled and read access to the object and its fields."
        return [Finding(level="error", what="access", message=str(error), what_to_do=todo), *findings]
    findings += _object_findings(run)
    findings += _field_findings(run)
    return sorted(findings, key=lambda finding: ("error", "warning", "ok").index(finding.level))


def _object_findings(run: Run) -> Iterator[Finding]:
    counts = run.survey.counts
    org = run.survey.rows("organization")
    yield Finding(level="ok", what="Organization", message=str(org[0].get("Name")) if org else "not visible")
    for warn in run.survey.warnings:
        yield Finding(
            level="error" if warn.makes == "partial" else "warning",
            what=warn.code,
            message=warn.message,
            what_to_do="Give the API user read permission on the object.",
        )
    for entity in ("Account", "User"):
        if not run.survey.fields[entity].all:
            message = (
                f"{entity} cannot be read: names of {'companies' if entity == 'Account' else 'owners'} stay unknown."
            )
            yield Finding(
                level="warning", what=entity, message=message, what_to_do=f"Give read permission on {entity}."
            )
    deals, rows = counts.get("deals"), counts.get("history")
    if not deals:
        yield Finding(
            level="warning",
            what="Opportunity",
            message="the API user sees no opportunity.",
            what_to_do="Give it View All on Opportunity, or share the opportunities with it.",
        )
    else:
        message = f"{deals:,} opportunities visible. Compare with what an administrator sees; View All shows all."
        yield Finding(level="ok", what="Opportunity", message=message)
    if rows is None or (deals and not rows):
        yield Finding(
            level="error",
            what="OpportunityHistory",
            message="the history of opportunities cannot be read: there would be deals without stage changes.",
            what_to_do="Give the API user read permission on Opportunity and its Stage field, with View All.",
        )
    else:
        yield Finding(level="ok", what="OpportunityHistory", message=f"{rows:,} rows of history visible")


def _field_findings(run: Run) -> Iterator[Finding]:
    wanted = (
        ("Opportunity", (*DEAL_COLUMNS, *(["RecordTypeId"] if run.survey.rows("record_types") else []))),
        ("Account", [name for name in ACCOUNT_COLUMNS if name != "Website"]),
        ("User", USER_COLUMNS),
    )
    for entity, names in wanted:
        known = run.survey.fields[entity]
        missing = known.missing(names) if known.all else []
        if missing:
            yield Finding(
                level="warning",
                what=f"fields of {entity}",
                message=f"not visible: {', '.join(missing)}",
                what_to_do="Give the API user read permission on these fields.",
            )
    reason = run.settings.lost_reason_field
    if reason is not None and reason not in run.fields.read:
        yield Finding(
            level="error",
            what="lost_reason_field",
            message=f"Opportunity has no readable field {reason}.",
            what_to_do="Correct its API name, or give read permission on it.",
        )
    elif reason is None and (proposed := run.fields.loss_reasons()):
        yield Finding(
            level="warning",
            what="lost_reason_field",
            message="no field is named for the reason of a loss.",
            what_to_do=f"Set lost_reason_field, perhaps to one of: {', '.join(proposed[:5])}.",
        )


def plan(settings: SalesforceSettings, sync: Sync) -> Iterable[PlanLine]:
    """Rows by COUNT(), calls by what a sync of that size takes."""
    run = Run(settings, sync)
    counts = {
        "deals": run.count_query(run.window),
        "companies": run.count_query(run.stream_window("companies"), "Account"),
        "owners": run.count_query(run.stream_window("owners"), "User"),
    }
    run.survey.ask(["organization"], counts)
    found = run.survey.counts
    deals = found.get("deals")
    is_bulk = deals is not None and deals >= BULK_FROM
    history = None if deals is None else round(deals * _HISTORY_ROWS_PER_DEAL)
    reference = 3 if not run.state.is_whole else 5
    return [
        PlanLine(stream="reference", rows=None, calls=reference, note="login, fields, stages, record types, counts"),
        PlanLine(stream="companies", rows=found.get("companies"), calls=_calls(found.get("companies"))),
        PlanLine(stream="owners", rows=found.get("owners"), calls=_calls(found.get("owners"))),
        PlanLine(stream="deals", rows=deals, calls=_calls(deals), note="by Bulk" if is_bulk else "by REST"),
        PlanLine(
            stream="stage_changes",
            rows=history,
            calls=None if deals is None else _calls(history) if is_bulk else -(-deals // _PAGE),
            note="rows estimated at 4.5 a deal",
        ),
    ]


def _calls(rows: int | None) -> int | None:
    """Calls for so many rows; the first page rides in a composite."""
    if rows is None:
        return None
    if rows < BULK_FROM:
        return max(0, -(-rows // _PAGE) - 1)
    return 5 + -(-rows // 50_000)
