"""The Warehouse component's attributes: every build setting with its default, and every threshold of the marts by name.

`dagster_project` reads them from YAML and hands a `WarehouseSettings` in; the runner turns them into the one-row table
`staging.settings`, so that each published build carries the values it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from connectors.sdk.errors import ConfigError


def _about(kind: Any, text: str, **limits: Any) -> Any:
    return Annotated[kind, msgspec.Meta(description=text, **limits)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of the marts. Days are days, shares are 0..1; weights need not add up to 1 but usually do."""

    flow_window_days: _about(int, "Window of arrivals, departures and average work in progress.", ge=1) = 90
    small_sample_below: _about(int, "Rates with a smaller denominator are flagged is_small_sample.", ge=1) = 10
    mature_at: _about(float, "Share of a cohort that must be decided before it counts as mature.", ge=0, le=1) = 0.8
    stalled_default_days: _about(int, "Days in a stage after which a deal is stalled where no p90 is known.", ge=1) = 30
    stalled_min_completed: _about(int, "Finished visits a stage needs before its own p90 is used.", ge=1) = 10
    no_activity_days: _about(int, "Days without activity after which a deal counts as not touched.", ge=1) = 30
    push_limit: _about(
        int, "Times a close date may be moved later before the deal is called pushed repeatedly.", ge=1
    ) = 2
    bottleneck_weight_time: _about(float, "Weight of the share of deal-days.", ge=0) = 0.40
    bottleneck_weight_loss: _about(float, "Weight of the share of lost amount.", ge=0) = 0.30
    bottleneck_weight_queue: _about(float, "Weight of the growing queue.", ge=0) = 0.20
    bottleneck_weight_rework: _about(float, "Weight of repeated visits.", ge=0) = 0.10
    cif_horizon_days: _about(int, "Horizon of the Aalen-Johansen incidences.", ge=1) = 90
    forgotten_days: _about(int, "Days without a touch after which a prospect counts as forgotten.", ge=1) = 30
    bulk_load_min_deals: _about(int, "More deals than this entering within one minute are a bulk load.", ge=1) = 50
    mapping_confidence: _about(float, "Stage names answered with less confidence stay unmapped.", ge=0, le=1) = 0.75
    match_amount_tolerance: _about(float, "Share by which amounts of one deal in two systems may differ.", ge=0) = 0.01
    match_window_days: _about(int, "Days by which creation of one deal in two systems may differ.", ge=0) = 14


class WarehouseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `type: dagster_project.components.Warehouse` may say. Paths are relative to the project folder."""

    reporting_currency: _about(str, "Currency of every *_amount in the marts (ISO 4217).", pattern="^[A-Z]{3}$") = "USD"
    reporting_timezone: _about(str, "Zone in which days, months and quarters begin.") = "UTC"
    fx_rates: _about(str | None, "CSV of currency, rate, rate_date, source; rate = reporting units per one unit.") = (
        None
    )
    stage_mapping: _about(str | None, "YAML that fixes stage names by hand; wins over everything else.") = None
    deal_links: _about(str | None, "CSV of source_key, source_deal_id, link_group, is_match: joins or parts deals.") = (
        None
    )
    source_priority: _about(tuple[str, ...], "Best source first: which copy of a deal counts in totals.") = ()
    thresholds: _about(Thresholds, "Constants of the marts, by name.") = Thresholds()
    memory_limit: _about(str, "Memory DuckDB may use for a build.") = "2GB"
    threads: _about(int, "Threads DuckDB may use for a build.", ge=1) = 2

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.reporting_timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError(
                f"warehouse.reporting_timezone: {self.reporting_timezone!r} is not a time zone. Use a name such as Asia/Jakarta."
            ) from None


def load_settings(attributes: Mapping[str, Any], *, where: str = "warehouse") -> WarehouseSettings:
    """Check the attributes of the Warehouse component. Raises ConfigError naming the key and what it should be."""
    try:
        return msgspec.convert(dict(attributes), WarehouseSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}".replace("`$.", "`").replace("`$`", "attributes")) from None
