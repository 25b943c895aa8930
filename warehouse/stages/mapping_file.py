"""The user's `stage_mapping.yaml`: the authority above all others.

stages:
  - source: salesforce_eu          # optional: any source
    pipeline: Enterprise           # optional: the pipeline's id or name
    stage: "01J5e000000abc"        # the stage's id, or
    label: Proposta enviada        # its label, compared without case and accents
    canonical_stage: proposal      # one of the ten, or unmapped to leave it alone on purpose
    outcome: open                  # optional: open, won or lost
    valid_from: 2025-01-01         # optional, UTC, inclusive
    valid_to: 2026-01-01           # optional, UTC, exclusive
    note: agreed with sales        # optional, for people
  - source: tracker                # a source without ids, such as a sheet, in which
    label: Proposal sent           # this label (or `stage`)
    renamed_to: Offer out          # was changed to that one: both are one stage, with one history
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from connectors.sdk.errors import ConfigError
from warehouse.stages.answers import STAGE_NAMES, StageLabel
from warehouse.stages.text import fold

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_OUTCOMES = frozenset({"open", "won", "lost"})
_ABSENT = frozenset({"", "null", "~"})


class MappingEntry(msgspec.Struct, frozen=True):
    """One line of the mapping file. Instants are UTC; `valid_from` counts, `valid_to` does not."""

    canonical_stage: str
    source: str | None = None
    pipeline: str | None = None
    stage: str | None = None
    label: str | None = None
    outcome: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    note: str | None = None

    def __str__(self) -> str:
        named = f"stage {self.stage!r}" if self.stage is not None else f"label {self.label!r}"
        places = [place for place in (self.source, self.pipeline) if place is not None]
        return f"{named} in {' / '.join(places)}" if places else named

    def covers(self, instant: datetime | None) -> bool:
        """True when the entry is in force at that instant (UTC). None is before all dates:
        the first version of a stage. A naive instant is UTC, as DuckDB hands it over.
        """
        if instant is None:
            return self.valid_from is None
        instant = _aware(instant)
        after = self.valid_from is None or self.valid_from <= instant
        return after and (self.valid_to is None or instant < self.valid_to)

    def names(self, label: StageLabel) -> bool:
        """True when source, pipeline and stage id or label are those of the entry; dates are not looked at."""
        if self.source is not None and self.source != label.source_key:
            return False
        if self.pipeline is not None and self.pipeline not in (label.pipeline, label.pipeline_name):
            return False
        if self.stage is not None:
            return self.stage == label.stage_id
        return self.label is not None and label_key(self.label) == label_key(label.label)

    @property
    def rank(self) -> tuple[bool, bool, bool, bool]:
        """Sorts the narrower entry last: by stage id, then with a pipeline, with a source, with dates."""
        dated = self.valid_from is not None or self.valid_to is not None
        return (self.stage is not None, self.pipeline is not None, self.source is not None, dated)


class StageRename(msgspec.Struct, frozen=True):
    """Two labels of one stage in a source without ids: what was called `label` (or has the id `stage`) is now `renamed_to`."""

    renamed_to: str
    source: str | None = None
    pipeline: str | None = None
    stage: str | None = None
    label: str | None = None
    note: str | None = None

    @property
    def before(self) -> str:
        """The earlier label, or the id that stands for it."""
        return self.label or self.stage or ""

    def __str__(self) -> str:
        places = [place for place in (self.source, self.pipeline) if place is not None]
        where = f" in {' / '.join(places)}" if places else ""
        return f"{self.before!r} renamed_to {self.renamed_to!r}{where}"


_ORDER = (
    "source",
    "pipeline",
    "stage",
    "label",
    "canonical_stage",
    "outcome",
    "renamed_to",
    "valid_from",
    "valid_to",
    "note",
)


class StageMapping(msgspec.Struct, frozen=True):
    """The entries of a mapping file, in file order, and its renames."""

    entries: tuple[MappingEntry, ...] = ()
    renames: tuple[StageRename, ...] = ()

    @classmethod
    def load(cls, path: Path) -> StageMapping:
        """The file's entries. Raises ConfigError naming file, entry and line; unknown keys are errors."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path.name}: cannot be read ({type(error).__name__}). It must be a UTF-8 text file."
            ) from None
        return cls.parse(text, path.name)

    @classmethod
    def parse(cls, text: str, name: str = "stage_mapping.yaml") -> StageMapping:
        """The entries of the file's text; `name` stands in errors."""
        try:
            root = yaml.compose(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{name}, line {mark.line + 1}" if mark else name
            raise ConfigError(f"{where}: this is not YAML ({getattr(error, 'problem', 'unreadable')}).") from None
        if root is None:
            return cls()
        read = list(_entries(root, name))
        entries = tuple(entry for entry in read if isinstance(entry, MappingEntry))
        _refuse_overlaps(entries, name)
        return cls(entries, tuple(entry for entry in read if isinstance(entry, StageRename)))

    def find(self, label: StageLabel) -> MappingEntry | None:
        """The narrowest entry in force for this label at its `valid_from`, or None."""
        fitting = [entry for entry in self.entries if entry.names(label) and entry.covers(label.valid_from)]
        return max(fitting, key=lambda entry: entry.rank, default=None)

    def boundaries(self, label: StageLabel) -> tuple[datetime, ...]:
        """Instants (UTC, sorted) at which the entries for this stage begin or end: where its versions must be cut."""
        dates = {
            date for e in self.entries if e.names(label) for date in (e.valid_from, e.valid_to) if date is not None
        }
        return tuple(sorted(dates))

    def cut(self, label: StageLabel, until: datetime | None) -> list[StageLabel]:
        """The version of a stage, cut where entries for it begin or end before `until` (UTC, exclusive; None: for ever)."""
        start, end = (instant and _aware(instant) for instant in (label.valid_from, until))
        inside = [
            instant
            for instant in self.boundaries(label)
            if (start is None or start < instant) and (end is None or instant < end)
        ]
        return [label, *(msgspec.structs.replace(label, valid_from=instant) for instant in inside)]

    def dump(self) -> str:
        """The file's text; `StageMapping.parse` of it gives the same entries."""
        if not self.entries and not self.renames:
            return "stages: []\n"
        listed: list[StageRename | MappingEntry] = [*self.renames, *self.entries]
        return "stages:\n" + "".join(map(entry_text, listed))


def entry_text(entry: MappingEntry | StageRename) -> str:
    """One entry as the lines of a mapping file, indented by two."""
    lines = [f"{key}: {_scalar(value)}" for key in _ORDER if (value := getattr(entry, key, None)) is not None]
    return "  - " + "\n    ".join(lines) + "\n"


def _scalar(value: str | datetime) -> str:
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if midnight else value.isoformat().replace("+00:00", "Z")
    dumped: str = yaml.safe_dump(value, allow_unicode=True, width=10**6, default_style=None)
    return dumped.removesuffix("...\n").strip()


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def label_key(label: str) -> str:
    """What two labels have in common that differ only in case, accents and blanks."""
    return " ".join(fold(label).split())


def _entries(root: yaml.Node, name: str) -> Iterator[MappingEntry | StageRename]:
    top = _pairs(root, name)
    for key, (line, _) in top.items():
        if key != "stages":
            raise ConfigError(
                f"{name}, line {line}: unknown key {key!r}. The file has one key, `stages`, holding a list."
            )
    listed = top["stages"][1] if "stages" in top else None
    if isinstance(listed, yaml.ScalarNode) and listed.value in _ABSENT:
        return
    if not isinstance(listed, yaml.SequenceNode):
        raise ConfigError(f"{name}: `stages` must be a list of entries, each beginning with `- `.")
    for number, node in enumerate(listed.value, start=1):
        yield _entry(node, f"{name}, entry {number} (line {node.start_mark.line + 1})")


def _pairs(node: yaml.Node, where: str) -> dict[str, tuple[int, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}: expected `key: value` lines.")
    pairs: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        if key.value in pairs:
            raise ConfigError(f"{where}: the key {key.value!r} stands twice.")
        pairs[str(key.value)] = (key.start_mark.line + 1, value)
    return pairs


def _entry(node: yaml.Node, where: str) -> MappingEntry | StageRename:
    values: dict[str, str] = {}
    for key, (_, value) in _pairs(node, where).items():
        if key not in _ORDER:
            raise ConfigError(f"{where}: unknown key {key!r}. Known: {', '.join(_ORDER)}.")
        if not isinstance(value, yaml.ScalarNode):
            raise ConfigError(f"{where}: {key} must be a single value.")
        if value.style in ("'", '"') or value.value not in _ABSENT:
            values[key] = value.value
    if ("stage" in values) == ("label" in values):
        raise ConfigError(f"{where}: name the stage either by `stage` (its id) or by `label`, one of the two.")
    if "renamed_to" in values:
        return _rename(values, where)
    stage = values.get("canonical_stage")
    if stage not in STAGE_NAMES:
        known = ", ".join(sorted(STAGE_NAMES))
        raise ConfigError(f"{where}: canonical_stage is {stage!r}; it must be one of {known}.")
    if values.get("outcome", "open") not in _OUTCOMES:
        raise ConfigError(f"{where}: outcome is {values['outcome']!r}; it must be open, won or lost.")
    dates = {key: _instant(values.pop(key), f"{where}: {key}") for key in ("valid_from", "valid_to") if key in values}
    if len(dates) == 2 and dates["valid_from"] >= dates["valid_to"]:
        raise ConfigError(f"{where}: valid_from must be before valid_to.")
    return MappingEntry(**values, **dates)  # type: ignore[arg-type]


def _rename(values: dict[str, str], where: str) -> StageRename:
    for key in ("canonical_stage", "outcome", "valid_from", "valid_to"):
        if key in values:
            raise ConfigError(
                f"{where}: renamed_to only says that two labels are one stage; it cannot stand with {key}. "
                "What the stage counts as belongs into an entry of its own, under the new label."
            )
    rename = StageRename(**values)
    if label_key(rename.before) == label_key(rename.renamed_to):
        raise ConfigError(f"{where}: renamed_to must be another label than {rename.before!r}.")
    return rename


def _instant(text: str, where: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{where} is {text!r}; write a day such as 2026-01-31 or an instant such as 2026-01-31T12:00:00Z."
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _refuse_overlaps(entries: tuple[MappingEntry, ...], name: str) -> None:
    seen: dict[tuple[object, ...], list[tuple[int, MappingEntry]]] = {}
    for number, entry in enumerate(entries, start=1):
        dated = entry.rank[3]
        key = (
            entry.source,
            entry.pipeline,
            entry.stage,
            None if entry.label is None else label_key(entry.label),
            dated,
        )
        for other_number, other in seen.get(key, ()):
            if _overlap(entry, other):
                raise ConfigError(
                    f"{name}: entries {other_number} and {number} both answer for {entry} at the same time. "
                    "Remove one, or give them valid_from and valid_to that do not overlap."
                )
        seen.setdefault(key, []).append((number, entry))


def _overlap(one: MappingEntry, other: MappingEntry) -> bool:
    starts_before_end = one.valid_from is None or other.valid_to is None or one.valid_from < other.valid_to
    ends_after_start = one.valid_to is None or other.valid_from is None or other.valid_from < one.valid_to
    return starts_before_end and ends_after_start
