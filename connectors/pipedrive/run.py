"""One sync of a company: the API, what is known of pipelines, stages and fields, and the small tables."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.pipedrive import mapping
from connectors.pipedrive.api import PAGE, Api, NotFoundError, RefusedError
from connectors.pipedrive.mapping import Known
from connectors.pipedrive.settings import PipedriveSettings
from connectors.sdk import (
    Checkpoint,
    Company,
    Newest,
    Record,
    Reject,
    SourceInfo,
    SourceTime,
    Stage,
    SweepEnd,
    Sync,
    Warn,
    mapped,
    next_cursor,
    open_window,
)


class Run:
    """What the streams of one sync share."""

    def __init__(self, settings: PipedriveSettings, sync: Sync) -> None:
        self.settings, self.sync = settings, sync
        self.began = SourceTime(sync.clock)
        sync.calls.observe(self.began.look)
        self.api = Api(sync.calls, settings)
        self.known = Known(zero_amount=settings.zero_amount)

    def reference(self) -> Iterator[Record]:
        """Company, pipelines, stages, fields."""
        yield from self._company()
        pipelines = self.api.pipelines()
        yield from mapped("pipelines", pipelines, mapping.pipeline)
        yield from (
            stage
            for row in pipelines
            if isinstance(row, dict) and "id" in row
            for stage in mapping.closing_stages(str(row["id"]))
        )
        stages = [*mapped("stages", self.api.stages(), mapping.stage)]
        yield from stages
        is_whole = not any(isinstance(stage, Reject) for stage in stages)
        yield SweepEnd(stream="pipelines", complete=is_whole, missing_as="deleted")
        yield SweepEnd(stream="stages", complete=is_whole, missing_as="deleted")
        kept = [stage for stage in stages if isinstance(stage, Stage)]
        definitions = yield from self._definitions()
        self.known = Known(
            fields=mapping.fields(definitions),
            pipeline_of={stage.stage_id: stage.pipeline_id for stage in kept},
            probability_of={stage.stage_id: stage.probability for stage in kept if stage.probability is not None},
            zero_amount=self.settings.zero_amount,
        )

    def _company(self) -> Iterator[Record]:
        """Who this is; where Pipedrive does not tell, name, time zone and currency are unknown. The lists then show whether the address is right."""
        try:
            me = self.api.me()
        except NotFoundError as error:
            yield Warn(code="account_not_read", message=f"name and time zone of the company are not read: {error}")
            return
        domain = me.get("company_domain") or self.settings.company_domain
        yield SourceInfo(
            account_id=str(me.get("company_id") or domain),
            name=str(me.get("company_name") or domain),
            deep_link=f"https://{domain}.pipedrive.com/deal/{{id}}",
            time_zone=me.get("timezone_name"),
            home_currency=me.get("default_currency"),
            raw={
                key: value
                for key, value in me.items()
                if key.startswith("company") or key in ("timezone_name", "default_currency")
            },
        )
        if not is_admin(me):
            yield Warn(
                code="not_admin",
                message="the token's user is no admin of Pipedrive: deals that it may not see are missing without a word. Use an admin's token.",
            )

    def _definitions(self) -> Generator[Record, None, list[dict[str, Any]]]:
        """Definitions of deal fields; without them custom fields keep their keys."""
        try:
            found = [item for item in self.api.deal_fields() if isinstance(item, dict) and item.get("field_code")]
        except (RefusedError, NotFoundError) as error:
            yield Warn(code="fields_not_read", message=f"names of custom fields are not read: {error}")
            return []
        yield from mapped("field_defs", found, mapping.field_def)
        return found

    def owners(self) -> Iterator[Record]:
        """Users; without the permission a warning, and deals keep their owner ids."""
        try:
            yield from mapped("owners", self.api.users(), mapping.owner)
        except RefusedError as error:
            yield Warn(code="owners_not_read", message=f"users are not read: {error}")

    def companies(self) -> Iterator[Record]:
        """All organizations at first, later those that changed; without the permission a warning, and deals keep their ids."""
        cursor = self.sync.cursor("companies")
        query: dict[str, Any] = {}
        since = open_window(cursor, overlap_minutes=self.settings.overlap_minutes).start
        if since is not None:
            query = {"updated_since": seconds(since), "sort_by": "update_time"}
        newest = self.newest()
        try:
            for page in self.api.organizations(query, self.sync.page_size):
                for record in mapped("companies", page, mapping.company):
                    newest.see(record.updated_at if isinstance(record, Company) else None)
                    yield record
        except (RefusedError, NotFoundError) as error:
            yield Warn(code="companies_not_read", message=f"organizations are not read: {error}")
            return
        began = self.began.at
        yield Checkpoint(stream="companies", cursor=next_cursor(cursor, newest.mark(began), not_after=began))

    def newest(self) -> Newest:
        """Follows the update times of what the next sync's window will list again."""
        return Newest(page=PAGE, overlap_minutes=self.settings.overlap_minutes)


def is_admin(me: Mapping[str, Any]) -> bool:
    """Whether the token's user sees everything."""
    return any(isinstance(entry, dict) and entry.get("admin") for entry in me.get("access") or [])


def seconds(at: datetime) -> str:
    """An instant as v2 takes it: whole seconds, rounded down, with Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
