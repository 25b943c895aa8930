"""What a source remembers between syncs, in its cursor: digests read, stages met, the key, which header was which field, the last deals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.sdk.connector import Held, Sync
from connectors.sdk.errors import ConfigError
from connectors.sdk.records import Record, Warn
from connectors.spreadsheet import words
from connectors.spreadsheet.emit import Emission
from connectors.spreadsheet.planning import SheetPlan
from connectors.spreadsheet.snapshots import Snapshot

#: A sweep counts from the beginning of its sync, which is a little before the connector is asked.
_SLACK = timedelta(minutes=1)
#: Fields whose column may not vanish in silence: the load stops, and the last good data stay.
GUARDED = (
    "stage",
    "to_stage",
    "status",
    "amount",
    "currency",
    "expected_close_date",
    "closed_at",
    "owner",
    "company",
    "name",
)


class Memory(msgspec.Struct, frozen=True):
    """The cursor as a struct. `columns`: table number -> field -> header. `prints`: the last snapshot's deals as marks of key and
    content, for suggesting renames.

    `unproved`: labels of snapshots read since `read_on` whose absences landing has not yet accepted; they are read again until it has.
    """

    digests: dict[str, str] = {}
    stages: list[tuple[str | None, str]] = []
    keys: dict[str, list[str]] = {}
    columns: dict[str, dict[str, str]] = {}
    latest: str = ""
    prints: dict[str, str] | None = None
    tabs: dict[str, list[str]] = {}
    unproved: list[str] = []
    read_on: datetime | None = None


def load(cursor: Mapping[str, Any]) -> Memory:
    """Memory from a cursor; an unknown shape (of a newer version) starts anew."""
    try:
        return msgspec.convert(dict(cursor), Memory)
    except msgspec.ValidationError:
        return Memory()


def dump(memory: Memory) -> dict[str, Any]:
    """Memory as a cursor."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(memory))
    return found


def read(memory: Memory, label: str, digest: str, now: datetime) -> Memory:
    """Memory after a snapshot was read in a sync that began `now`."""
    unproved = [*memory.unproved, label] if label not in memory.unproved else memory.unproved
    return msgspec.structs.replace(memory, digests=memory.digests | {label: digest}, unproved=unproved, read_on=now)


def proved(memory: Memory, sync: Sync) -> Memory:
    """Forget what is unproved once a sweep was accepted since it was read. Too many absences at once are not believed by landing until a
    person accepts them, and then the rows must come again, though the file has not changed.
    """
    if memory.read_on is None or not memory.unproved:
        return memory
    days = (sync.clock.now() - memory.read_on + _SLACK).total_seconds() / 86400
    if sync.sweep_is_due("deals", days):
        return memory
    return msgspec.structs.replace(memory, unproved=[])


def after(memory: Memory, emission: Emission, label: str) -> Memory:
    """Memory after an emission; an older snapshot that came late adds stages only."""
    stages = emission.stage_labels
    if memory.latest and memory.latest != "undated" and label != "undated" and label < memory.latest:
        return msgspec.structs.replace(memory, stages=stages)
    keys = {str(number): list(table.key.headers) for number, table in enumerate(emission.tables)}
    columns = {
        str(number): {field: table.plans[0].head.headers[index].text for field, index in table.plans[0].fields.items()}
        for number, table in enumerate(emission.tables)
    }
    tabs = {str(number): _tabs(table.plans) for number, table in enumerate(emission.tables)}
    return msgspec.structs.replace(
        memory, stages=stages, keys=keys, columns=columns, tabs=tabs, latest=label, prints=_prints(emission)
    )


def _tabs(plans: Sequence[SheetPlan]) -> list[str]:
    """Names of tabs; tabs that are periods come and go and are not counted."""
    return [plan.grid.sheet for plan in plans if plan.grid.sheet and plan.layout != "sheet_per_period"]


def check_columns(memory: Memory, plans: Sequence[SheetPlan], number: int) -> None:
    """Compare with which header was which field before. A field that moved to another known header is reported; one that has no column
    any more stops the load (ConfigError): its values would vanish from every deal.
    """
    gone = sorted(set(memory.tabs.get(str(number), [])) - set(_tabs(plans)))
    if gone and len(plans) and plans[0].layout != "sheet_per_period":
        plans[0].warn(
            "tab_gone", f"{plans[0].grid.file}: tab(s) read before are not there or hold no deals: {', '.join(gone)}."
        )
    before = memory.columns.get(str(number), {})
    for plan in plans:
        here = {field: plan.head.headers[index].text for field, index in plan.fields.items()}
        names = {words.fold_header(head.given) for head in plan.head.headers}
        for field, name in before.items():
            if (
                here.get(field) == name
                or (field == "stage" and plan.tab_stage)
                or (words.fold_header(name) in names and field in here)
            ):
                continue
            if field in here:
                plan.warn(
                    "column_renamed",
                    f"{plan.where}: {field} is now read from column {here[field]!r}; it was {name!r} before.",
                )
            elif (
                field in GUARDED
                and plan.asked.columns.get(field, "") is not None
                and words.fold_header(name) not in names
            ):
                listed = ", ".join(
                    repr(head.text)
                    for head in plan.head.headers
                    if head.given and head.index not in plan.fields.values()
                )
                raise ConfigError(
                    f"{plan.where}: column {name!r}, read as {field} so far, is gone. Map the new one with `columns: {{{field}: ...}}` "
                    f"(null if it is given up). Columns not in use: {listed or 'none'}."
                )


def mark(text: str) -> str:
    """A text as twelve hexadecimal digits: a cursor is shown in reports, and names of customers do not belong there."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


class Names:
    """Keys by their marks: of the deals of this sync, else of those that landing holds (looked through once, only when asked)."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._known: dict[str, str] = {}
        self._has_looked = False

    def learn(self, keys: Iterable[str]) -> None:
        """Keys of a snapshot of this sync."""
        self._known |= {mark(key): key for key in keys}

    def of(self, marked: str) -> str | None:
        """The key behind a mark."""
        if marked not in self._known and not self._has_looked:
            self.learn(self._held.live_keys("deals"))
            self._has_looked = True
        return self._known.get(marked)


def renames(memory: Memory, emission: Emission, label: str, names: Names) -> Iterator[Record]:
    """Suggest, never merge: one deal gone and one new with the same company, owner and amount is perhaps a renamed key."""
    late = memory.latest and label != "undated" and label < memory.latest
    if not memory.prints or not emission.fingerprints or late:
        return
    here = {mark(key): (key, mark(shown)) for key, shown in emission.fingerprints.items() if shown}
    every = {mark(key) for key in emission.fingerprints}
    gone = {marked: shown for marked, shown in memory.prints.items() if marked not in every and shown}
    new = [(key, shown) for marked, (key, shown) in here.items() if marked not in memory.prints]
    for marked, shown in gone.items():
        twins = [key for key, its in new if its == shown]
        if len(twins) == 1 and sum(1 for other in gone.values() if other == shown) == 1:
            before = names.of(marked)
            yield Warn(
                code="key_renamed",
                message=f"{emission.tables[0].plans[0].where}: deal {before or 'of before'!r} is gone and {twins[0]!r} is new with the same "
                "company, owner and amount. If it was renamed, link the two in the review list; they are counted as two deals until then.",
            )


def _prints(emission: Emission) -> dict[str, str] | None:
    if emission.fingerprints is None:
        return None
    return {mark(key): mark(shown) if shown else "" for key, shown in emission.fingerprints.items()}


def vanished(done: Mapping[str, str], found: Sequence[Snapshot]) -> Iterator[Record]:
    """Dated snapshots that were read before and whose files are gone: worth a word, what was read stays."""
    labels = {snapshot.label for snapshot in found}
    gone = sorted(label for label in done if label not in labels)
    if gone:
        yield Warn(
            code="snapshot_gone",
            message=f"{len(gone)} snapshot(s) read before have no file any more ({', '.join(gone[:5])}). What was read of them stays.",
        )
