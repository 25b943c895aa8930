"""Reference data of the portal: pipelines, stages, properties, owners, companies, and which scopes they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.sandbox.hubspot.render import FIRST_COMPANY, FIRST_OWNER, FIRST_USER, Row, iso
from connectors.sandbox.world import LOST, OPEN, WON

if TYPE_CHECKING:
    from connectors.sandbox.hubspot.portal import Portal

SCOPES = {
    "deals": ("crm.objects.deals.read",),
    "pipelines": ("crm.objects.deals.read",),
    "properties": ("crm.schemas.deals.read",),
    "owners": ("crm.objects.owners.read",),
    "companies": ("crm.objects.companies.read",),
    "associations": ("crm.objects.companies.read",),
}
_PLAIN = {
    "hs_object_id": ("Record ID", "number", "number"),
    "createdate": ("Create Date", "datetime", "date"),
    "hs_createdate": ("Object create date/time", "datetime", "date"),
    "hs_lastmodifieddate": ("Last Modified Date", "datetime", "date"),
    "dealname": ("Deal Name", "string", "text"),
    "pipeline": ("Pipeline", "enumeration", "select"),
    "dealstage": ("Deal Stage", "enumeration", "radio"),
    "amount": ("Amount", "number", "number"),
    "amount_in_home_currency": ("Amount in company currency", "number", "number"),
    "deal_currency_code": ("Currency", "enumeration", "select"),
    "hs_exchange_rate": ("Exchange rate", "number", "number"),
    "closedate": ("Close Date", "datetime", "date"),
    "hubspot_owner_id": ("Deal owner", "enumeration", "select"),
    "closed_lost_reason": ("Closed Lost Reason", "string", "textarea"),
    "closed_won_reason": ("Closed Won Reason", "string", "textarea"),
    "dealtype": ("Deal Type", "enumeration", "radio"),
    "hs_is_closed": ("Is Deal Closed?", "bool", "booleancheckbox"),
    "hs_is_closed_won": ("Is Closed Won", "bool", "booleancheckbox"),
    "hs_is_closed_lost": ("Is closed lost", "bool", "booleancheckbox"),
    "hs_deal_stage_probability": ("Deal probability", "number", "number"),
    "hs_closed_amount": ("Closed Deal Amount", "number", "number"),
    "notes_last_updated": ("Last Activity Date", "datetime", "date"),
    "notes_last_contacted": ("Last Contacted", "datetime", "date"),
    "hs_object_source": ("Record source", "enumeration", "select"),
    "hs_analytics_source": ("Original Traffic Source", "enumeration", "select"),
    "hs_merged_object_ids": ("Merged Record IDs", "enumeration", "checkbox"),
    "hs_salesforceopportunityid": ("Salesforce Opportunity ID", "string", "text"),
    "hs_v2_date_entered_current_stage": ("Date entered current stage", "datetime", "calculation_read_time"),
}
_KINDS = {
    "text": ("string", "text"),
    "longtext": ("string", "textarea"),
    "number": ("number", "number"),
    "date": ("date", "date"),
    "bool": ("bool", "booleancheckbox"),
    "choice": ("enumeration", "select"),
    "multichoice": ("enumeration", "checkbox"),
}


def pipelines(portal: Portal) -> list[dict[str, Any]]:
    """All pipelines with the stages the portal still knows; not paged."""
    world, names = portal.world, portal.names
    found = []
    for pipeline in sorted(world.pipelines.values(), key=lambda p: p.order):
        stages = []
        for position, stage in enumerate(world.pipeline_stages(pipeline.id)):
            closed = stage.outcome != OPEN
            metadata = {"isClosed": "true" if closed else "false", "probability": str(stage.probability / 100)}
            if closed:
                metadata["probability"] = "1.0" if stage.outcome == WON else "0.0"
            stages.append(
                {
                    "id": names.stage(stage.id),
                    "label": stage.label or stage.name,
                    "displayOrder": position,
                    "archived": False,
                    "createdAt": iso(pipeline.stamp_ms),
                    "updatedAt": iso(stage.stamp_ms),
                    "metadata": metadata,
                    "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                }
            )
        found.append(
            {
                "id": names.pipeline(pipeline.id),
                "label": pipeline.name,
                "displayOrder": pipeline.order,
                "archived": False,
                "createdAt": iso(pipeline.stamp_ms),
                "updatedAt": iso(pipeline.stamp_ms),
                "stages": stages,
            }
        )
    return found


def audit(portal: Portal, path: str) -> list[dict[str, Any]]:
    """What happened to a pipeline or a stage; also for stages that are gone: their last label stands in `rawObject`."""
    parts = path.strip("/").split("/")
    wanted = parts[parts.index("stages") + 1] if "stages" in parts else None
    found = []
    for stage in portal.world.stages.values():
        if wanted is not None and portal.names.stage(stage.id) == wanted:
            outcome = {OPEN: "false", WON: "true", LOST: "true"}[stage.outcome]
            raw = {"id": wanted, "label": stage.label or stage.name, "metadata": {"isClosed": outcome}}
            found.append(_line(portal, wanted, "CREATE", stage.stamp_ms, raw))
            if stage.gone:
                found.append(_line(portal, wanted, "DELETE", stage.stamp_ms, raw))
    return found


def _line(portal: Portal, identifier: str, action: str, at_ms: int, raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "portalId": portal.portal_id,
        "identifier": identifier,
        "action": action,
        "timestamp": iso(at_ms),
        "fromUserId": FIRST_USER + 1,
        "message": "",
        "rawObject": raw,
    }


def properties(portal: Portal) -> list[dict[str, Any]]:
    """All deal properties, the portal's own ones and `extra_properties` fillers among them; not paged."""
    hidden = {name for kind, name in portal.world.hidden_fields if kind == "deal"}
    found = [_property(name, *rest, custom=False) for name, rest in _PLAIN.items() if name not in hidden]
    for field in portal.world.custom_fields.values():
        if field.key not in hidden:
            kind, widget = _KINDS[field.kind]
            found.append(_property(field.key, field.label, kind, widget, custom=True, options=field.options))
    for stage in portal.world.stages.values():
        key, label = portal.names.stage(stage.id).replace("-", "_"), stage.label or stage.name
        found.append(
            _property(
                f"hs_v2_date_entered_{key}",
                f'Date entered "{label}"',
                "datetime",
                "calculation_read_time",
                custom=False,
            )
        )
        found.append(
            _property(
                f"hs_v2_date_exited_{key}", f'Date exited "{label}"', "datetime", "calculation_read_time", custom=False
            )
        )
    for number in range(portal.extra_properties):
        found.append(
            _property(f"made_up_property_number_{number:04d}", f"Made-up {number}", "string", "text", custom=True)
        )
    return found


def _property(
    name: str, label: str, kind: str, widget: str, *, custom: bool, options: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": kind,
        "fieldType": widget,
        "groupName": "dealinformation",
        "description": "",
        "options": [
            {"label": text, "value": text, "displayOrder": n, "hidden": False} for n, text in enumerate(options)
        ],
        "calculated": widget.startswith("calculation"),
        "hubspotDefined": not custom,
        "hasUniqueValue": False,
        "hidden": False,
    }


def company_properties() -> list[dict[str, Any]]:
    """Company properties."""
    return [
        _property(name, name.title(), "string", "text", custom=False)
        for name in ("name", "domain", "country", "industry")
    ]


def owners(portal: Portal, *, archived: bool) -> list[dict[str, Any]]:
    """Owners, ascending by id; deactivated ones only among the archived; deleted ones nowhere."""
    found = []
    for owner in sorted(portal.world.owners.values(), key=lambda o: o.id):
        if owner.deleted or owner.active == archived:
            continue
        first, _, last = owner.name.partition(" ")
        found.append(
            {
                "id": str(FIRST_OWNER + owner.id),
                "email": owner.email,
                "type": "PERSON",
                "firstName": first,
                "lastName": last,
                "userId": None if archived else FIRST_USER + owner.id,
                "userIdIncludingInactive": FIRST_USER + owner.id,
                "createdAt": iso(owner.created_ms),
                "updatedAt": iso(owner.stamp_ms),
                "archived": archived,
            }
        )
    return found


def company_row(portal: Portal, key: int) -> Row:
    """A company as search sees it."""
    shown = company(portal, key, ["name", "domain", "country", "industry"])
    found = portal.world.companies[key]
    return Row(
        id=FIRST_COMPANY + key,
        world_id=key,
        properties=shown["properties"],
        history={},
        created_ms=found.created_ms,
        modified_ms=found.stamp_ms,
        company_id=None,
    )


def company(portal: Portal, key: int, wanted: list[str]) -> dict[str, Any]:
    """One company with the wanted properties (name and domain by default)."""
    found = portal.world.companies[key]
    word = "".join(char for char in found.name.lower() if char.isascii() and char.isalnum()) or f"c{key}"
    values: dict[str, str | None] = {
        "name": found.name,
        "domain": f"{word}.example",
        "country": found.country,
        "industry": found.industry.upper().replace(" ", "_"),
        "hubspot_owner_id": str(FIRST_OWNER + found.owner_id),
    }
    shown = {name: values.get(name) for name in (wanted or ("name", "domain"))}
    stamps = {"createdate": iso(found.created_ms), "hs_lastmodifieddate": iso(found.stamp_ms)}
    portal_id = str(FIRST_COMPANY + key)
    return {
        "id": portal_id,
        "properties": {**shown, **stamps, "hs_object_id": portal_id},
        "createdAt": iso(found.created_ms),
        "updatedAt": iso(found.stamp_ms),
        "archived": False,
    }
