"""What the cursor of deals remembers between syncs, besides its watermark.

at            newest SystemModstamp received (the watermark)
whole         a first or full read is under way; the sweep it feeds is open
jobs          Bulk jobs of that read: what is left of them, and when it began
fresh         rows stamped from here on may have changed once more within the second in which they were read
wide_at       when the last wide pass (24 h overlap) was made, by our clock; wide_from: the watermark it ended at
described_at  when the field lists were asked for, by our clock; fields: the lists, by object
gap           live deals that are known not to be held (set aside as unreadable), so that counting them again is no news
dropped       columns of small tables that this org refused
dated         the org has dated rates
currency      the currency of an org that has only one, "" where Salesforce did not tell it
backfill      fields that are new to us, whose values in deals that do not change are still to be read
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.salesforce.bulk import Job
from connectors.salesforce.fields import Fields, loaded
from connectors.sdk import Window, cursor_at, instant_text, latest, open_window, parse_instant
from connectors.sdk.cursor import AT

#: Results of Bulk jobs stay seven days.
_JOBS_LIVE = timedelta(days=6)
_DAY = timedelta(days=1)
#: Clocks have whole seconds, and two of them never agree.
_SKEW = timedelta(seconds=5)


class BulkRead(msgspec.Struct, kw_only=True):
    """A whole read by Bulk, as far as it has come. A job that is None is finished (deals) or was never started (history)."""

    deals: Job | None
    history: Job | None
    began: datetime
    full: bool = False
    newest: datetime | None = None


class State:
    """The cursor of deals of one sync, from the committed one to the next."""

    def __init__(self, saved: Mapping[str, Any], *, now: datetime, full: bool) -> None:
        self.now = now
        read = _bulk_of(saved.get("jobs"))
        if read is not None and (now - read.began > _JOBS_LIVE or (full and not read.full)):
            read = None
        #: The Bulk read that a former sync left unfinished.
        self.resumed = read
        self.values: dict[str, Any] = dict(saved)
        if full or (read is None and AT not in saved):
            self.values = {name: saved[name] for name in ("dropped",) if name in saved}
        self.values.pop("jobs", None)
        #: True for a first or full read, and for one that goes on.
        self.is_whole = read is not None or bool(self.values.get("whole")) or AT not in self.values
        #: True where an earlier sync has read a part of it.
        self.is_continued = read is not None or (self.is_whole and AT in self.values)
        self.wide_is_due = not self.is_whole and self._is_older("wide_at", _DAY)

    # --- windows ---------------------------------------------------------------------------------------------------------------------

    def window(self, *, overlap_minutes: float, start_date: str | None) -> Window:
        """What to read now. A wide pass starts 24 h before the end of the one before, so that no commit up to 24 h late slips between."""
        found = open_window(self.values, overlap_minutes=overlap_minutes, start_date=start_date)
        wide_from = self.values.get("wide_from")
        if not self.wide_is_due or found.start is None:
            return found
        last = parse_instant(wide_from) if wide_from else cursor_at(self.values)
        assert last is not None
        floor = open_window({}, start_date=start_date).start
        start = min(found.start, last - _DAY)
        return Window(start if floor is None else max(floor, start), found.end)

    @property
    def fresh_from(self) -> datetime | None:
        """Rows stamped from here on are read again with their history, whatever their stamp says. None: none of them."""
        text = self.values.get("fresh")
        return None if text is None else parse_instant(text)

    def reached(self, newest: datetime | None, *, not_after: datetime | None = None) -> None:
        """Rows up to `newest` are stored; see `connectors.sdk.cursor.next_cursor` for `not_after`."""
        at = newest if not_after is None or newest is None else min(newest, not_after)
        kept = latest(cursor_at(self.values), at)
        if kept is not None:
            self.values[AT] = instant_text(kept)

    def begin_whole(self, *, server_began: datetime | None) -> None:
        """A whole read begins, or goes on: what it has stored since it first began need not be read again unless it changed since."""
        self.values["whole"] = True
        self.values.setdefault("fresh", instant_text((server_began or self.now) - _SKEW))

    def end_whole(self) -> None:
        """The whole read has come to its end; what is left of this sync is not part of it."""
        self.values.pop("whole", None)

    def done(self, *, server_began: datetime | None) -> None:
        """Everything of the window is read."""
        at = cursor_at(self.values)
        fresh = server_began - _SKEW if server_began is not None else at
        if fresh is not None:
            self.values["fresh"] = instant_text(fresh)
        if (self.is_whole or self.wide_is_due) and at is not None:
            self.values |= {"wide_at": instant_text(self.now), "wide_from": instant_text(at)}
        self.values.pop("whole", None)

    # --- fields ----------------------------------------------------------------------------------------------------------------------

    @property
    def describe_is_due(self) -> bool:
        """Field lists are a day old, or none are known."""
        return self.is_whole or not self.fields() or self._is_older("described_at", _DAY)

    def fields(self) -> dict[str, Fields]:
        """The field lists remembered, by object; {} when one of them is not."""
        found = {name: loaded(stored) for name, stored in (self.values.get("fields") or {}).items()}
        return {name: fields for name, fields in found.items() if fields is not None}

    def keep_fields(self, fields: Mapping[str, Fields]) -> None:
        """Remember field lists that were just asked for."""
        self.values["fields"] = {name: known.dumped() for name, known in fields.items()}
        self.values["described_at"] = instant_text(self.now)

    # --- out -------------------------------------------------------------------------------------------------------------------------

    def cursor(self, read: BulkRead | None = None) -> dict[str, Any]:
        """The cursor as it is now; with `read`, in the middle of a read by Bulk."""
        if read is None:
            return dict(self.values)
        return {**self.values, "jobs": msgspec.to_builtins(read)}

    def _is_older(self, name: str, age: timedelta) -> bool:
        text = self.values.get(name)
        return text is None or self.now - parse_instant(text) >= age


def _bulk_of(stored: Any) -> BulkRead | None:
    try:
        return msgspec.convert(stored, BulkRead) if stored else None
    except msgspec.ValidationError:
        return None
