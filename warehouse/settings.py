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


def _about(text: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, **limits)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of the marts. Days are days, shares are 0..1; weights need not add up to 1 but usually do."""

    flow_window_days: Annotated[int, _about("Window of arrivals, departures and average work in progress.", ge=1)] = 90
    small_sample_below: Annotated[
        int, _about("Rates with a smaller denominator are flagged is_small_sample.", ge=1)
    ] = 10
    mature_at: Annotated[
        float, _about("Share of a cohort that must be decided before it counts as mature.", ge=0, le=1)
    ] = 0.8
    stalled_default_days: Annotated[
        int, _about("Days in a stage after which a deal is stalled where no p90 is known.", ge=1)
    ] = 30
    stalled_min_completed: Annotated[int, _about("Finished visits a stage needs before its own p90 is used.", ge=1)] = (
        10
    )
    no_activity_days: Annotated[
        int, _about("Days without activity after which a deal counts as not touched.", ge=1)
    ] = 30
    push_limit: Annotated[
        int, _about("Times a close date may be moved later before the deal is called pushed repeatedly.", ge=1)
    ] = 2
    bottleneck_weight_time: Annotated[float, _about("Weight of the share of deal-days.", ge=0)] = 0.40
    bottleneck_weight_loss: Annotated[float, _about("Weight of the share of lost amount.", ge=0)] = 0.30
    bottleneck_weight_queue: Annotated[float, _about("Weight of the growing queue.", ge=0)] = 0.20
    bottleneck_weight_rework: Annotated[float, _about("Weight of repeated visits.", ge=0)] = 0.10
    cif_horizon_days: Annotated[int, _about("Horizon of the Aalen-Johansen incidences.", ge=1)] = 90
    forgotten_days: Annotated[int, _about("Days without a touch after which a prospect counts as forgotten.", ge=1)] = (
        30
    )
    late_after_hours: Annotated[
        int, _about("Hours without a complete sync after which a source is listed as late.", ge=1)
    ] = 48
    bulk_load_min_deals: Annotated[
        int, _about("More deals than this entering within one minute are a bulk load.", ge=1)
    ] = 50
    mapping_confidence: Annotated[
        float, _about("Stage names answered with less confidence stay unmapped.", ge=0, le=1)
    ] = 0.75
    match_amount_tolerance: Annotated[
        float, _about("Share by which amounts of one deal in two systems may differ.", ge=0)
    ] = 0.01
    match_window_days: Annotated[int, _about("Days by which creation of one deal in two systems may differ.", ge=0)] = (
        14
    )


class WarehouseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `type: dagster_project.components.Warehouse` may say. Paths are relative to the project folder."""

    reporting_currency: Annotated[
        str, _about("Currency of every *_amount in the marts (ISO 4217).", pattern="^[A-Z]{3}$")
    ] = "USD"
    reporting_timezone: Annotated[str, _about("Zone in which days, months and quarters begin.")] = "UTC"
    fx_rates: Annotated[
        str | None, _about("CSV of currency, rate, rate_date, source; rate = reporting units per one unit.")
    ] = None
    stage_mapping: Annotated[str | None, _about("YAML that fixes stage names by hand; wins over everything else.")] = (
        None
    )
    deal_links: Annotated[
        str | None, _about("CSV of source_key, source_deal_id, link_group, is_match: joins or parts deals.")
    ] = None
    source_priority: Annotated[
        tuple[str, ...], _about("Best source first: which copy of a deal counts in totals.")
    ] = ()
    thresholds: Annotated[Thresholds, _about("Constants of the marts, by name.")] = Thresholds()
    memory_limit: Annotated[str, _about("Memory DuckDB may use for a build.")] = "2GB"
    threads: Annotated[int, _about("Threads DuckDB may use for a build.", ge=1)] = 2

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
