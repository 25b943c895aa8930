"""`muara stages classify`: stage names from a CSV, the same rows out with their canonical stages. Needs no project."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TextIO

from connectors.sdk.errors import ConfigError
from warehouse.stages.answers import THRESHOLD, StageAnswer, StageLabel
from warehouse.stages.mapping_file import StageMapping
from warehouse.stages.normaliser import classify

ADDED = ("canonical_stage", "confidence", "method", "explanation")
"""The columns that are added; columns of these names in the input are replaced where they stand."""

_OUTCOMES = frozenset({"open", "won", "lost"})


def classify_csv(
    in_stream: TextIO, out_stream: TextIO, mapping: StageMapping | None = None, *, threshold: float = THRESHOLD
) -> int:
    """Reads all rows, writes them with the `ADDED` columns, and returns how many there were.

    Needs a column `label`; uses `id, system, pipeline, position, pipeline_len, probability, outcome` where present, and
    keeps every other column as it is. Rows of one `system` and `pipeline` are read as one pipeline. A number or outcome that
    cannot be understood raises ConfigError with its line, as do a missing header, a row longer than the header, an open quote
    and bytes that are not UTF-8.
    """
    reader = csv.reader(in_stream, strict=True)
    try:
        header = [name.removeprefix("\ufeff") for name in next(reader, [])]
        names = [name.strip().casefold() for name in header]
        _check_header(names)
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ConfigError(
            f"line {reader.line_num}: this is not CSV ({error}). A value that begins with a quote must end with one."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"after line {reader.line_num}: this is not UTF-8 (byte 0x{error.object[error.start]:02x}). Save the file as UTF-8."
        ) from None
    answers = classify(
        [_label(dict(zip(names, row, strict=False)), line, len(names) - len(row)) for line, row in rows],
        mapping,
        threshold=threshold,
    )
    kept = [place for place, name in enumerate(names) if name not in ADDED]
    writer = csv.writer(out_stream, lineterminator="\n")
    writer.writerow([*(header[place] for place in kept), *ADDED])
    for (_, row), answer in zip(rows, answers, strict=True):
        padded = [*row, *([""] * (len(names) - len(row)))]
        writer.writerow([*(padded[place] for place in kept), *_columns(answer)])
    return len(rows)


def _check_header(names: Sequence[str]) -> None:
    if "label" not in names:
        found = ", ".join(name for name in names if name) or "none"
        other = next((mark for mark in (";", "\t", "|") if len(names) == 1 and mark in names[0]), None)
        advice = (
            f"Separate columns by commas, not by {other!r}."
            if other
            else "Name the column with the stage names `label`."
        )
        raise ConfigError(f"line 1: there is no column `label` (columns found: {found}). {advice}")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise ConfigError(f"line 1: the column {repeated[0]!r} stands twice. Rename one of them.")


def _label(row: Mapping[str, str], line: int, missing: int) -> StageLabel:
    if missing < 0:
        raise ConfigError(
            f"line {line}: the row has {-missing} value(s) more than the header. Quote values that hold commas."
        )
    values = {name: value.strip() for name, value in row.items()}
    outcome = values.get("outcome", "").casefold() or None
    if outcome is not None and outcome not in _OUTCOMES:
        raise ConfigError(f"line {line}: outcome is {values['outcome']!r}; it must be open, won, lost or empty.")
    return StageLabel(
        row.get("label", ""),
        id=values.get("id") or None,
        system=values.get("system") or None,
        pipeline=values.get("pipeline") or None,
        pipeline_name=values.get("pipeline") or None,
        stage_id=values.get("id") or None,
        position=_whole(values, "position", line),
        pipeline_len=_whole(values, "pipeline_len", line),
        probability=_probability(values, line),
        outcome=outcome,
    )


def _whole(values: Mapping[str, str], name: str, line: int) -> int | None:
    text = values.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number < 0 or number != int(number):
        raise ConfigError(f"line {line}: {name} is {text!r}; it must be a whole number such as 3, or empty.")
    return int(number)


def _probability(values: Mapping[str, str], line: int) -> float | None:
    text = values.get("probability", "")
    if not text:
        return None
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ConfigError(f"line {line}: probability is {text!r}; it must be a share such as 0.25 or 25%, or empty.")
    return number


def _columns(answer: StageAnswer) -> tuple[str, ...]:
    return (answer.canonical_stage, f"{answer.confidence:.2f}", answer.method, answer.explanation)
