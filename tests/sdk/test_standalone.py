from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.sdk import (
    Checkpoint,
    Connector,
    ConnectorSettings,
    Deal,
    HeldDeal,
    HistoryRead,
    MemoryHeld,
    QuotaError,
    Record,
    Secret,
    Seen,
    StandaloneSync,
    SweepEnd,
    Sync,
    Tombstone,
    latest,
    next_cursor,
    open_window,
    redact,
    stream,
)

BASE = datetime(2026, 1, 1, tzinfo=UTC)


class AcmeSettings(ConnectorSettings, frozen=True, kw_only=True):
    token: Secret


class Acme(Connector):
    """A CRM of one list, handed in; one call per page of two."""

    name = "acme"
    Settings = AcmeSettings
    rows: ClassVar[list[tuple[str, int, str]]] = []

    @stream(Deal, HistoryRead, cursor="updated_at")
    def deals(self, sync: Sync) -> Iterator[Record]:
        """Changed deals; history only of those that moved."""
        window = open_window(sync.cursor("deals"), overlap_minutes=self.settings.overlap_minutes)
        rows = [
            row for row in sorted(self.rows, key=lambda row: row[1]) if window.holds(BASE + timedelta(minutes=row[1]))
        ]
        newest = None
        for start in range(0, len(rows), 2):
            page = sync.calls.call("deals", lambda start=start: rows[start : start + 2])
            held = sync.held.deals([key for key, _, _ in page])
            for key, minute, stage in page:
                newest = latest(newest, at := BASE + timedelta(minutes=minute))
                yield Deal(deal_id=key, stage_id=stage, updated_at=at)
                if key not in held or held[key].stage_id != stage:
                    yield HistoryRead(deal_id=key, complete=True)
            yield Checkpoint(stream="deals", cursor=next_cursor(sync.cursor("deals"), newest))
        sync.progress(len(rows), len(rows), "deals")

    @stream(Seen, SweepEnd)
    def sweep(self, sync: Sync) -> Iterator[Record]:
        """Weekly."""
        if sync.sweep_is_due("deals", 7):
            yield from (Seen(stream="deals", key=key) for key, _, _ in self.rows)
            yield SweepEnd(stream="deals", complete=True)


@pytest.fixture
def connector():
    return type("AcmeHere", (Acme,), {"rows": [("1", 0, "new"), ("2", 30, "new"), ("3", 60, "new")]})


def keys(records, kind):
    return [record.deal_id for record in records if isinstance(record, kind)]


def test_a_connector_runs_alone_and_then_reads_only_what_is_new(connector):
    first = StandaloneSync(connector, {"token": "marker-0001"})
    assert keys(first.run(), Deal) == ["1", "2", "3"]
    assert first.calls.report().calls == {"deals": 2}
    assert first.watermark("deals") == BASE + timedelta(minutes=60)
    assert first.reports == [(3, 3, "deals")]

    connector.rows[1] = ("2", 90, "won")
    second = first.again()
    records = second.run()
    assert keys(records, Deal) == ["3", "2"]
    assert keys(records, HistoryRead) == ["2"]
    assert not any(isinstance(record, SweepEnd) for record in records)


def test_a_full_sync_reads_everything_again(connector):
    first = StandaloneSync(connector, {"token": "marker-0001"})
    first.run()
    assert keys(first.again(full=True).run(), Deal) == ["1", "2", "3"]


def test_a_sync_that_is_broken_off_goes_on_from_its_last_checkpoint(connector):
    first = StandaloneSync(connector, {"token": "marker-0001", "overlap_minutes": 0})
    records = first.stream()
    for record in records:
        if isinstance(record, Checkpoint):
            next(records)  # read, but not committed
            break
    again = first.again()
    assert again.held.live_count("deals") == 2
    assert keys(again.run(), Deal) == ["2", "3"]


def test_the_daily_budget_holds_over_several_syncs(connector, tmp_path):
    """A14."""
    config = {"token": "marker-0001", "daily_call_budget": 3}
    first = StandaloneSync(connector, config, budget_file=tmp_path / "budget.json")
    first.run()
    with pytest.raises(QuotaError):
        first.again(full=True).run()


def test_secrets_in_settings_are_known_to_the_redactor(connector):
    StandaloneSync(connector, {"token": "marker-standalone"})
    assert redact("marker-standalone") == "***"


def test_held_follows_sweeps_tombstones_and_returns():
    held = MemoryHeld()
    held.learn([Deal(deal_id=key) for key in "abc"])
    held.learn([Tombstone(stream="deals", key="a", kind="deleted")])
    assert list(held.live_keys("deals")) == ["b", "c"]
    held.learn([Seen(stream="deals", key="c"), SweepEnd(stream="deals", complete=True)])
    assert list(held.live_keys("deals")) == ["c"]
    held.learn([Seen(stream="deals", key="c"), SweepEnd(stream="deals", complete=False)])
    held.learn([Deal(deal_id="a"), Deal(deal_id="c", presence="archived")])
    assert list(held.live_keys("deals")) == ["a"]


def test_deals_without_history_come_open_and_recently_moved_first():
    def deal(status, entered, complete=False):
        return HeldDeal("", "p", "s", status, entered, "present", complete, complete)

    held = MemoryHeld(
        {
            "won": deal("won", "2026-03-01"),
            "old": deal("open", "2026-01-01"),
            "new": deal(None, "2026-02-01"),
            "done": deal("open", "2026-02-01", complete=True),
        }
    )
    assert list(held.live_deals_without_history()) == ["new", "old", "won"]
    assert list(held.live_deals_without_history(1)) == ["new"]
    assert held.deals(["old", "nobody"]).keys() == {"old"}
    assert held.versions("deals", ["old", "nobody"]) == {"old": ""}


def test_a_deal_that_moves_needs_its_history_again():
    held = MemoryHeld()
    held.learn([Deal(deal_id="a", stage_id="1"), HistoryRead(deal_id="a", complete=True)])
    assert list(held.live_deals_without_history()) == []
    held.learn([Deal(deal_id="a", stage_id="1")])
    assert list(held.live_deals_without_history()) == []
    held.learn([Deal(deal_id="a", stage_id="2")])
    assert list(held.live_deals_without_history()) == ["a"]
