"""One sync of an account: the API, what is known of stages and properties, and the small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from connectors.hubspot import mapping, wire
from connectors.hubspot.api import OPTIONAL, Api, open_api
from connectors.hubspot.mapping import Account
from connectors.hubspot.reading import DealReader
from connectors.hubspot.settings import HubSpotSettings
from connectors.sdk import (
    Checkpoint,
    MuaraError,
    Newest,
    QuotaError,
    Record,
    SourceInfo,
    SourceTime,
    Stage,
    SweepEnd,
    Sync,
    Tombstone,
    Warn,
    mapped,
    stage_key,
)

#: Stages that only history names: at most so many are looked up in one sync.
_MOST_AUDITS = 50


class Run:
    """What the streams of one sync share."""

    def __init__(self, settings: HubSpotSettings, sync: Sync) -> None:
        self.settings, self.sync = settings, sync
        self.began = SourceTime(sync.clock)
        sync.calls.observe(self.began.look)
        self.api: Api = open_api(sync.calls, settings)
        self.account = Account()
        self.reader = DealReader(self.api, sync, ())
        #: (pipeline, stage) that only histories name, until somebody gave them a name; kept from sync to sync.
        self._unknown_stages = {(key[0], key[1]): None for key in sync.cursor("stages").get("unnamed") or ()}

    def newest(self, page: int) -> Newest:
        """Follows the instants of what a search of so many rows a page will list again at the next sync."""
        return Newest(page=page, overlap_minutes=self.settings.overlap_minutes)

    # --- account, pipelines, properties -----------------------------------------------------------------------

    def reference(self) -> Iterator[Record]:
        """Account, pipelines, stages, properties."""
        details = yield from self._details()
        stages: list[Record] = []
        for item in self._listed(self.api.pipelines()):
            yield from mapped("pipelines", [item], mapping.pipeline)
            if isinstance(item, dict) and "id" in item:
                stages += mapped("stages", item.get("stages") or [], partial(mapping.stage, str(item["id"])))
        yield from stages
        known = [stage for stage in stages if isinstance(stage, Stage)]
        pipeline_of = {stage.stage_id: stage.pipeline_id for stage in known}
        times = Counter(stage.stage_id for stage in known)
        is_whole = len(known) == len(stages)
        yield SweepEnd(stream="pipelines", complete=is_whole, missing_as="deleted")
        yield SweepEnd(stream="stages", complete=is_whole, missing_as="deleted")
        definitions = yield from self._definitions()
        wanted = self._wanted(definitions)
        yield from mapped(
            "field_defs", definitions, lambda item: mapping.field_def(item, is_read=item["name"] in wanted)
        )
        self.account = Account(
            zone=details.get("timeZone") or "UTC",
            currency=details.get("companyCurrency"),
            labels=mapping.labels(definitions),
            kinds={item["name"]: str(item.get("type")) for item in definitions},
            pipeline_of=pipeline_of,
            shared=frozenset((stage.pipeline_id, stage.stage_id) for stage in known if times[stage.stage_id] > 1),
            lost_reason=self.settings.lost_reason_property,
            zero_amount=self.settings.zero_amount,
        )
        self.reader = DealReader(self.api, self.sync, wanted)
        if definitions and all(item["name"] != self.settings.lost_reason_property for item in definitions):
            yield Warn(
                code="lost_reason_missing",
                message=f"lost_reason_property {self.settings.lost_reason_property!r} is no deal property of this account. Correct the setting.",
            )

    def _details(self) -> Generator[Record, None, dict[str, Any]]:
        """The account's facts; without the scope its time zone and currency are unknown."""
        try:
            details: dict[str, Any] = msgspec.json.decode(self.api.account())
        except OPTIONAL as error:
            yield Warn(code="account_not_read", message=f"time zone and currency of the account are not read: {error}")
            return {}
        portal = str(details["portalId"])
        yield SourceInfo(
            account_id=portal,
            name=f"HubSpot {portal}",
            deep_link=f"https://{details.get('uiDomain') or 'app.hubspot.com'}/contacts/{portal}/record/0-3/{{id}}",
            time_zone=details.get("timeZone"),
            home_currency=details.get("companyCurrency"),
            raw=details,
        )
        return details

    def _definitions(self) -> Generator[Record, None, list[dict[str, Any]]]:
        """All deal properties; without the scope only those with a place in the record are read, under their own names."""
        try:
            return [item for item in self._listed(self.api.properties()) if isinstance(item, dict) and item.get("name")]
        except OPTIONAL as error:
            yield Warn(code="fields_not_read", message=f"names of deal properties are not read: {error}")
            return []

    @staticmethod
    def _listed(body: bytes) -> list[Any]:
        found = msgspec.json.decode(body)
        return (found.get("results") if isinstance(found, dict) else None) or []

    def _wanted(self, definitions: list[dict[str, Any]]) -> list[str]:
        """Properties with a place in the record, and every property that the account added itself."""
        known = {item["name"] for item in definitions}
        placed = (*mapping.PLAIN, self.settings.lost_reason_property)
        plain = [name for name in placed if name in known or not known]
        own = [item["name"] for item in definitions if not item.get("hubspotDefined") and not item.get("calculated")]
        return list(dict.fromkeys([*plain, *own, *self.settings.sensitive_properties]))

    # --- owners -----------------------------------------------------------------------------------------------

    def owners(self) -> Iterator[Record]:
        """Active and deactivated owners; without the scope a warning, and deals keep their owner ids."""
        if self.sync.cursor("owners") and not self.sync.cursor("companies"):
            return  # a first sync that a budget broke off goes on where it was, instead of reading the owners each day
        try:
            for archived in ("false", "true"):
                after: str | None = None
                while True:
                    query = {"limit": self.sync.page_size or 500, "archived": archived}
                    page = wire.page(self.api.owners(query | ({"after": after} if after else {})))
                    yield from mapped("owners", map(msgspec.json.decode, page.results), mapping.owner)
                    after = page.after
                    if after is None:
                        break
        except OPTIONAL as error:
            yield Warn(code="owners_not_read", message=f"owners are not read: {error}")
        yield Checkpoint(stream="owners", cursor={"read": True})

    # --- stages that are gone -----------------------------------------------------------------------------------

    def met(self, pipeline_id: str, stage_id: str) -> None:
        """A history names this stage."""
        if stage_id not in self.account.pipeline_of:
            self._unknown_stages[(pipeline_id, stage_id)] = None

    def gone_stages(self) -> Iterator[Record]:
        """Stages that pipelines no longer name: their last label stands in their audit. Kept archived, and asked for once.

        The rest waits for the next syncs; so does everything where a budget ends in between.
        """
        missing = list(self._unknown_stages)
        held = self.sync.held.versions("stages", [stage_key(*key) for key in missing])
        unheld = [key for key in missing if stage_key(*key) not in held]
        if unheld:
            yield _unnamed(unheld)
        for pipeline_id, stage_id in unheld[:_MOST_AUDITS]:
            name = self._last_label(pipeline_id, stage_id)
            yield Stage(pipeline_id=pipeline_id, stage_id=stage_id, name=name, is_archived=True)
            # What the sweep of stages would find at the next sync: so that a sync without news lands nothing.
            yield Tombstone(stream="stages", key=stage_key(pipeline_id, stage_id), kind="deleted")
        if missing:
            yield _unnamed(unheld[_MOST_AUDITS:])

    def _last_label(self, pipeline_id: str, stage_id: str) -> str:
        try:
            lines = self._listed(self.api.stage_audit(pipeline_id, stage_id))
        except QuotaError:
            raise
        except MuaraError:
            return stage_id
        told = [line.get("rawObject") for line in lines if isinstance(line, dict)]
        labels = [raw.get("label") for raw in told if isinstance(raw, dict)]
        return next((str(label) for label in reversed(labels) if label), stage_id)


def _unnamed(keys: Sequence[tuple[str, str]]) -> Checkpoint:
    return Checkpoint(stream="stages", cursor={"unnamed": [list(key) for key in keys]} if keys else None)
