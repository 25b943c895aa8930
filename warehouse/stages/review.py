"""Mapping files written from answers: `muara stages suggest` (doubtful stages, to edit) and `muara stages pin` (all, frozen)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import msgspec

from warehouse.stages.answers import UNMAPPED, StageAnswer, StageLabel
from warehouse.stages.mapping_file import MappingEntry, StageMapping, entry_text

_SUGGEST_HEAD = """\
# Stages that Muara could not place, or is in doubt about. Nothing here is in force: take the `# ` off an entry,
# set canonical_stage to what it means in your pipeline, and run `muara build`.
# One of: prospecting, qualification, discovery, nurture, proposal, negotiation, won, lost, on_hold, post_sale,
# or unmapped to leave it alone on purpose.
"""


def suggestion_text(classified: Iterable[tuple[StageLabel, StageAnswer]], mapping: StageMapping | None = None) -> str:
    """The text of a mapping file: the entries of `mapping` as they are, then every doubtful stage, commented out.

    Loading the text unedited changes nothing. Stages come in the order given, one entry per source, pipeline and stage.
    """
    doubtful = [pair for pair in classified if pair[1].needs_review and pair[1].method != "mapping"]
    kept = mapping or StageMapping()
    commented = "".join(_commented(label, answer) for label, answer in _unique(doubtful))
    body = kept.dump() if kept.entries or kept.renames or not commented else "stages:\n"
    return f"{_SUGGEST_HEAD}{body}{commented}"


def pinned(
    classified: Iterable[tuple[StageLabel, StageAnswer]],
    mapping: StageMapping | None,
    *,
    on: date,
    dictionary_version: str,
) -> StageMapping:
    """The mapping with every stage's present answer added, so that a better dictionary cannot change it.

    Entries of `mapping` stay as they are and stages they answer are not added again; neither are unmapped ones, which a
    better dictionary may still place. `on` and `dictionary_version` stand in the notes.
    """
    kept = mapping or StageMapping()
    note = f"pinned {on.isoformat()}, dictionary {dictionary_version}"
    stages: dict[tuple[str | None, ...], list[tuple[StageLabel, StageAnswer]]] = {}
    for label, answer in classified:
        stages.setdefault(_stage_key(label), []).append((label, answer))
    pins = [entry for versions in stages.values() for entry in _pins(versions, note)]
    return StageMapping((*kept.entries, *pins), kept.renames)


def _pins(versions: list[tuple[StageLabel, StageAnswer]], note: str) -> list[MappingEntry]:
    """One entry for a stage that always meant the same, else one per version, dated."""
    versions = sorted(versions, key=lambda pair: _instant(pair[0]))
    if len({answer.canonical_stage for _, answer in versions}) == 1:
        versions = versions[-1:]
    starts = [None, *(_instant(label) for label, _ in versions[1:])]
    return [
        msgspec.structs.replace(_entry(label, answer.canonical_stage, note), valid_from=start, valid_to=end)
        for (label, answer), start, end in zip(versions, starts, [*starts[1:], None], strict=True)
        if answer.method != "mapping" and answer.canonical_stage != UNMAPPED
    ]


def _instant(label: StageLabel) -> datetime:
    """The start of the version in UTC; the first version's None is before all others."""
    if label.valid_from is None:
        return datetime.min.replace(tzinfo=UTC)
    return label.valid_from.replace(tzinfo=UTC) if label.valid_from.tzinfo is None else label.valid_from


def _stage_key(label: StageLabel) -> tuple[str | None, ...]:
    return (label.source_key, label.pipeline, label.stage_id or f"label {label.label}")


def _unique(pairs: Iterable[tuple[StageLabel, StageAnswer]]) -> list[tuple[StageLabel, StageAnswer]]:
    """One pair per stage, the last given (its latest version), in the order of the first."""
    latest: dict[tuple[str | None, ...], tuple[StageLabel, StageAnswer]] = {}
    for label, answer in pairs:
        latest[_stage_key(label)] = (label, answer)
    return list(latest.values())


def _entry(label: StageLabel, stage: str, note: str | None) -> MappingEntry:
    return MappingEntry(
        stage,
        source=label.source_key,
        pipeline=label.pipeline,
        stage=label.stage_id,
        label=None if label.stage_id else label.label,
        note=note,
    )


def _commented(label: StageLabel, answer: StageAnswer) -> str:
    stage = answer.canonical_stage
    if stage == UNMAPPED:
        stage = answer.candidates[0][0] if answer.candidates else answer.suggestion or UNMAPPED
    where = f"{_one_line(label.label)!r} in {_one_line(label.pipeline_name or label.pipeline or 'no pipeline')}"
    lines = [f"{where}: {_one_line(answer.explanation)}", *entry_text(_entry(label, stage, None)).splitlines()]
    return "".join(f"  # {line}\n" for line in lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())
