"""Which readings of the world a source's files hold: each a day, the files that make it up, and a digest by which it is known again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import dates, files, periods
from connectors.spreadsheet.files import FileRef
from connectors.spreadsheet.settings import Table


class Snapshot(msgspec.Struct, frozen=True):
    """One reading: the files of each table, in the order of the tables. `day` None = undated, true when it is read."""

    day: date | None
    modified_at: datetime
    inputs: tuple[tuple[FileRef, ...], ...]
    digest: str
    stamps: tuple[tuple[int, int], ...] = ()

    @property
    def is_unchanged(self) -> bool:
        """Whether nobody has saved one of its files since the digest was made."""
        try:
            return self.stamps == tuple(ref.stamp for refs in self.inputs for ref in refs)
        except OSError:
            return False

    @property
    def label(self) -> str:
        """How the cursor knows it."""
        return self.day.isoformat() if self.day else "undated"

    @property
    def names(self) -> str:
        """Its files, for people."""
        return ", ".join(dict.fromkeys(ref.name for refs in self.inputs for ref in refs))


def find(
    tables: Sequence[Table], fetched: Sequence[Sequence[FileRef]], *, now: datetime, fingerprint: str
) -> list[Snapshot]:
    """Snapshots in order of their days. Raises ConfigError when dated and undated files are mixed."""
    dated: list[dict[date, list[FileRef]]] = []
    undated: list[list[FileRef]] = []
    for table, refs in zip(tables, fetched, strict=True):
        by_day: dict[date, list[FileRef]] = {}
        plain: list[FileRef] = []
        for ref in refs:
            day = table.snapshot_date or periods.of_name(ref.path.stem, table.locale)
            (plain if day is None else by_day.setdefault(day, [])).append(ref)
        if by_day and plain:
            raise ConfigError(
                f"{plain[0].name}: has no date in its name, other files do (such as {next(iter(by_day.values()))[0].name}). "
                "Narrow `path` to the files that belong together, date all of them, or set `snapshot_date`."
            )
        dated.append(by_day)
        undated.append(plain)
    days = sorted({day for by_day in dated for day in by_day})
    found = []
    every: list[date | None] = [*days] or [None]
    for day in every:
        inputs = []
        for index, table in enumerate(tables):
            refs_of = dated[index].get(day) if day else None
            refs_of = refs_of or undated[index] or (_only(dated[index]) if len(tables) > 1 else None)
            if not refs_of:
                raise ConfigError(
                    f"table {index + 1} ({table.path}): has no file for {day}. Add it, or set `snapshot_date`."
                )
            inputs.append(tuple(refs_of))
        found.append(_snapshot(day, tuple(inputs), now, fingerprint))
    return found


def _only(by_day: dict[date, list[FileRef]]) -> list[FileRef] | None:
    return next(iter(by_day.values())) if len(by_day) == 1 else None


def _snapshot(day: date | None, inputs: tuple[tuple[FileRef, ...], ...], now: datetime, fingerprint: str) -> Snapshot:
    refs = [ref for group in inputs for ref in group]
    modified = datetime.fromtimestamp(max(ref.modified_s for ref in refs), UTC)
    stamps = tuple(ref.stamp for ref in refs)
    return Snapshot(day, min(modified, now), inputs, files.digest(refs, fingerprint), stamps)


def read_at(day: date | None, zone: str, now: datetime) -> datetime | None:
    """The instant at which a snapshot was true: its day's first moment in the sheet's zone, never later than now.

    None for an undated one: it is true now. (The file's own time would make every row of an edited tracker a new version of its deal, and
    it is the time of a copy or a download as often as of an edit.)
    """
    if day is None:
        return None
    return min(dates.instant(day, None, None, ZoneInfo(zone)), now)


def check_zone(table: Table) -> None:
    """Raise ConfigError for a time zone that is not known."""
    try:
        ZoneInfo(table.timezone)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"timezone {table.timezone!r} is not known. Use a name such as Asia/Jakarta or Europe/Berlin."
        ) from None
