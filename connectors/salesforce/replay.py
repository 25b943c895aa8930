"""The mapping context of a replay: what a sync knew of the org, taken from the stored field definitions and settings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from connectors.salesforce.fields import Field, Fields
from connectors.salesforce.mapping import MapContext
from connectors.sdk import ReplayContext


def context_of(context: ReplayContext) -> MapContext:
    """The same context for every row of one replay."""
    return _made(_ById(context))


class _ById:
    """Hashes a context by identity: it holds mappings, which have no hash."""

    def __init__(self, context: ReplayContext) -> None:
        self.context = context

    def __hash__(self) -> int:
        return id(self.context)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.context is self.context


@lru_cache(maxsize=2)
def _made(held: _ById) -> MapContext:
    context = held.context
    definitions = {found.code: found for found in context.field_defs if found.object_type == "deal"}
    fields = Fields(
        Field(found.code, found.field_type, found.label, found.is_custom, found.is_calculated)
        for found in definitions.values()
    )

    def noted(code: str, name: str) -> dict[str, Any]:
        raw = getattr(definitions.get(code), "raw", None)
        value = raw.get(name) if isinstance(raw, dict) else None
        return value if isinstance(value, dict) else {}

    return MapContext(
        pipelines=noted("RecordTypeId", "pipelines"),
        labels=fields.labels,
        types=fields.types,
        outcomes=noted("StageName", "outcomes"),
        lost_reason_field=context.settings.lost_reason_field,
        zero_amount=context.settings.zero_amount,
        home_currency=context.info.home_currency if context.info else None,
    )
