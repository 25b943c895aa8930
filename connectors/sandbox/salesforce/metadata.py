"""What the fake org tells about itself: versions, limits, objects, describe, picklists."""

from __future__ import annotations

import email.utils
from typing import TYPE_CHECKING, Any

from connectors.sandbox.salesforce import schema
from connectors.sandbox.salesforce.errors import RestError
from connectors.sandbox.salesforce.ids import to_18
from connectors.sandbox.salesforce.render import to_json
from connectors.sandbox.salesforce.routes import LATEST, OLDEST, Answers, Parts, base, pretty
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.org import Org

MASTER_RECORD_TYPE = "012000000000000AAA"
_RELEASES = ("Spring", "Summer", "Winter")


class Metadata:
    """The answers; `stage_options` and `label` serve the schema and the renderer."""

    def __init__(self, org: Org) -> None:
        self.org = org

    def answers(self) -> Answers:
        """Endpoint name to its function."""
        return {
            "versions": self._versions,
            "resources": self._resources,
            "userinfo": self._userinfo,
            "org_settings": self._org_settings,
            "limits": self._limits,
            "sobjects": self._sobjects,
            "sobject": self._sobject,
            "describe": self._describe,
            "picklist_values": self._picklist_values,
        }

    def _versions(self, parts: Parts, request: Request) -> Response:
        found = []
        for number in range(OLDEST, LATEST + 1):
            year, release = divmod(number - 66, 3)  # three releases a year; 66 is Spring '26
            label = f"{_RELEASES[release]} '{26 + year + (release == 2):02d}"
            found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
        return Response(200, to_json(found, pretty=pretty(request)))

    def _resources(self, parts: Parts, request: Request) -> Response:
        names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs")
        return Response(200, to_json({name: f"{base(parts)}/{name}" for name in names}, pretty=pretty(request)))

    def _userinfo(self, parts: Parts, request: Request) -> Response:
        found = {"user_id": self.org.sessions.user_id, "organization_id": self.org.sessions.org_id}
        found |= {"preferred_username": self.org.credentials.username, "zoneinfo": "America/New_York"}
        return Response(200, to_json(found, pretty=pretty(request)))

    def _org_settings(self, parts: Parts, request: Request) -> Response:
        """Connect REST API: the currency stands there only where the org has one."""
        if not self.org.connect_enabled:
            raise RestError(
                403, "FUNCTIONALITY_NOT_ENABLED", "Chatter is not enabled for your organization or user type."
            )
        is_multi = "CurrencyType" in self.org.objects
        features: dict[str, Any] = {"chatter": True, "multiCurrency": is_multi}
        if not is_multi:
            features["defaultCurrencyIsoCode"] = self.org.world.home_currency
        found = {"accessTimeout": 120, "features": features, "name": "Acme Sandbox", "orgId": self.org.sessions.org_id}
        found |= {"userSettings": {"userId": self.org.sessions.user_id, "timeZone": {"name": "America/New_York"}}}
        return Response(200, to_json(found, pretty=pretty(request)))

    def _limits(self, parts: Parts, request: Request) -> Response:
        jobs = self.org.bulk.job_limit
        found = {
            "DailyApiRequests": {
                "Max": self.org.daily_limit,
                "Remaining": max(0, self.org.daily_limit - self.org.api_usage),
            },
            "DailyBulkV2QueryFileStorageMB": {"Max": 976562, "Remaining": 976562},
            "DailyBulkV2QueryJobs": {"Max": jobs, "Remaining": max(0, jobs - len(self.org.bulk.jobs))},
            "DataStorageMB": {"Max": 20480, "Remaining": 12000},
        }
        return Response(200, to_json(found, pretty=pretty(request)))

    # --- describe ----------------------------------------------------------------------------------------------------

    def _sobjects(self, parts: Parts, request: Request) -> Response:
        seen = [
            o.describe_global(base(parts))
            for n, o in self.org.objects.items()
            if n not in self.org.engine.hidden_objects
        ]
        found = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": seen}
        return Response(200, to_json(found, pretty=pretty(request)))

    def _sobject(self, parts: Parts, request: Request) -> Response:
        found = {"objectDescribe": self.org.object(parts["name"]).describe_global(base(parts)), "recentItems": []}
        return Response(200, to_json(found, pretty=pretty(request)))

    def _describe(self, parts: Parts, request: Request) -> Response:
        entity = self.org.object(parts["name"])
        with self.org.world.lock:
            self.org.refresh()
            since = request.headers.get("if-modified-since")
            if (
                since
                and email.utils.parsedate_to_datetime(since).timestamp() * 1000 >= self.org.schema_ms // 1000 * 1000
            ):
                return Response(304)
            found = entity.describe_global(base(parts))
            found["fields"] = [f.describe() for f in entity.fields.values() if self.org.visible(entity.name, f.name)]
            found["recordTypeInfos"] = self._record_type_infos(entity.name, base(parts))
            found["childRelationships"] = []
            modified = email.utils.formatdate(self.org.schema_ms // 1000, usegmt=True)
        return Response(200, to_json(found, pretty=pretty(request)), headers={"Last-Modified": modified})

    def _record_type_infos(self, name: str, base: str) -> list[dict[str, Any]]:
        found = []
        types = self.org.tables.record_types() if name == "Opportunity" else []
        for cells in [*types, {"Id": MASTER_RECORD_TYPE, "Name": "Master", "DeveloperName": "Master"}]:
            master = cells["Id"] == MASTER_RECORD_TYPE
            url = f"{base}/sobjects/{name}/describe/layouts/{cells['Id']}"
            found.append(
                {
                    "active": master or cells["IsActive"] == "true",
                    "available": True,
                    "defaultRecordTypeMapping": master and not types,
                    "developerName": cells["DeveloperName"],
                    "master": master,
                    "name": cells["Name"],
                    "recordTypeId": cells["Id"],
                    "urls": {"layout": url},
                }
            )
        return found

    def stage_options(self) -> list[dict[str, Any]]:
        """Values of the StageName picklist."""
        return [schema.option(s.label, s.name, active=s.active) for s in self.org.tables.org_stages()]

    def label(self, value: str) -> str:
        """What people see for a stage value today."""
        return next((s.label for s in self.org.tables.org_stages() if s.name == value), value)

    def _picklist_values(self, parts: Parts, request: Request) -> Response:
        entity = self.org.object(parts["name"])
        wanted = to_18(parts["record_type"])
        with self.org.world.lock:
            self.org.refresh()
            types = {cells["Id"]: cells["_pipeline"] for cells in self.org.tables.record_types()}
            if (
                entity.name != "Opportunity"
                or parts["field"] != "StageName"
                or wanted not in {*types, MASTER_RECORD_TYPE}
            ):
                raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
            if wanted in types:
                stages = self.org.world.pipeline_stages(types[wanted])
            else:
                stages = self.org.tables.org_stages()
            values = [
                {
                    "attributes": {
                        "closed": stage.outcome != "open",
                        "defaultProbability": float(stage.probability),
                        "picklistAtributesValueType": "OpportunityStage",
                        "won": stage.outcome == "won",
                    },
                    "label": stage.label,
                    "validFor": [],
                    "value": stage.name,
                }
                for stage in stages
                if stage.active
            ]
        found: dict[str, Any] = {"controllerValues": {}, "defaultValue": None, "url": request.target, "values": values}
        return Response(200, to_json(found, pretty=pretty(request)))
