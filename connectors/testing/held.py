"""`Held` over the reference landing: what a connector may ask of earlier syncs, as of the start of this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.sdk import HeldDeal
from connectors.testing.entries import Entry
from connectors.testing.landing import Landing


class LandedHeld:
    """A copy of what matters, taken when it is made, so that what this sync lands does not show."""

    def __init__(self, landing: Landing) -> None:
        self._versions = {
            stream: {key: _version(entry.last_read.record) for key, entry in entries.items() if entry.versions}
            for stream, entries in landing.entries.items()
        }
        self._live = {
            stream: sorted(key for key, entry in entries.items() if entry.is_live)
            for stream, entries in landing.entries.items()
        }
        deals = landing.entries.get("deals", {})
        self._deals = {key: _deal(key, entry, landing) for key, entry in deals.items() if entry.versions}
        self._moved = {key: entry.moved_at for key, entry in deals.items()}

    def deals(self, keys: Sequence[str]) -> dict[str, HeldDeal]:
        """Held deals among `keys`."""
        return {key: self._deals[key] for key in keys if key in self._deals}

    def versions(self, stream: str, keys: Sequence[str]) -> dict[str, str]:
        """Version text by key of held records of `stream`."""
        held = self._versions.get(stream, {})
        return {key: held[key] for key in keys if key in held}

    def live_count(self, stream: str) -> int:
        """How many keys of `stream` are held and not gone."""
        return len(self._live.get(stream, []))

    def live_keys(self, stream: str) -> Iterator[str]:
        """Live keys of `stream`, ascending as text."""
        yield from self._live.get(stream, [])

    def live_deals_without_history(self, limit: int = 1_000_000) -> Iterator[str]:
        """Live deals without a complete reading since they last moved; open ones first, then the most recently moved."""
        # An archived deal is a deal: it needs its history, too.
        there = [key for key, deal in self._deals.items() if deal.presence in ("present", "archived")]
        missing = sorted(key for key in there if not self._deals[key].history_complete)
        missing.sort(key=lambda key: -self._moved[key])
        missing.sort(key=lambda key: self._deals[key].status not in (None, "open"))
        yield from missing[:limit]


def _deal(key: str, entry: Entry, landing: Landing) -> HeldDeal:
    record = entry.last_read.record
    complete = [one.place.sequence for one in landing.readings.get(key, []) if one.complete]
    return HeldDeal(
        version=_version(record),
        pipeline_id=record.pipeline_id,
        stage_id=record.stage_id,
        status=record.status,
        stage_entered_at=_text(record.stage_entered_at),
        presence=entry.presence.kind,
        has_history=key in landing.readings,
        history_complete=bool(complete) and max(complete) >= entry.moved_at,
    )


def _version(record: Any) -> str:
    return _text(getattr(record, "updated_at", None)) or ""


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()
