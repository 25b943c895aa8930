"""Read times: one clock reading stands for the records of up to a second, and time never runs backwards between syncs."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.clock import Clock
from warehouse.landing.lines import Stamp, stamp

#: The longest time that one `_read_at` stands for.
_SPAN_S = 1.0
#: A clock that was set back by up to this much is overruled by the last read time; further back it is believed.
_SLACK = timedelta(days=1)


class Stamper:
    """Makes the stamps of rows. `floor`: the last read time committed before."""

    def __init__(self, clock: Clock, mapper_version: int, floor: datetime | None) -> None:
        self._clock = clock
        self._mapper_version = mapper_version
        self._now: Stamp | None = None
        self._taken_s = 0.0
        self._dated: tuple[datetime, Stamp] | None = None
        self._monotonic = clock.monotonic
        self.sequence = 0
        #: The latest read time handed out (not counting dated ones).
        self.last = floor

    def is_old(self) -> bool:
        """True when the present stamp has stood for a second: what was taken under it must be handled first."""
        return self._now is None or self._monotonic() - self._taken_s >= _SPAN_S

    def reset(self, sequence: int) -> None:
        """A commit is done: the next rows belong to `sequence`."""
        self.sequence = sequence
        self._now = self._dated = None

    def renew(self) -> None:
        """Read the clock."""
        now = self._clock.now()
        if self.last is not None and timedelta() < self.last - now <= _SLACK:
            now = self.last
        self.last = now
        self._taken_s = self._clock.monotonic()
        self._now = stamp(now, dated=False, sequence=self.sequence, mapper_version=self._mapper_version)

    def now(self) -> Stamp:
        """The stamp of rows read now."""
        if self._now is None:
            self.renew()
        assert self._now is not None
        return self._now

    def of(self, read_at: datetime | None) -> Stamp:
        """The stamp of a row that says itself when it was read, else of now. Raises BadRecordError for an instant without a zone."""
        if read_at is None:
            return self.now()
        if self._dated is None or self._dated[0] != read_at:
            made = stamp(read_at, dated=True, sequence=self.sequence, mapper_version=self._mapper_version)
            self._dated = (read_at, made)
        return self._dated[1]
