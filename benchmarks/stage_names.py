"""Scores the stage-name normaliser on a labelled CSV and measures its speed.

    python -m benchmarks.stage_names [CSV] [--leave-one-out] [--no-flags] [--half 0|1] [--errors]

The CSV has the columns of `stage_names_dev.csv`; only `label, lang, canonical` are needed. Without one, `stage_names_dev.csv`
of the reference data beside the repository is read. A prediction is right when it equals `canonical` or stands in `also_ok`;
only rows with `primary` = 1 (or no such column) count. Language, source and key never reach the normaliser.

`--leave-one-out` judges each repository with a dictionary from which every entry is taken that only this repository could
have given (`benchmarks/stage_names_held_out.py` has the rule). `--half` scores the repositories of one half (by a hash of
their names); `--no-flags` hides the CRM's own outcome flags.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from warehouse.stages import DICTIONARY_VERSION, StageAnswer, StageLabel, classify

DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "stage_names_dev.csv"
_CLOSED = ("won", "lost")


class Row(msgspec.Struct, frozen=True):
    """A labelled stage name."""

    label: StageLabel
    lang: str
    source: str
    canonical: str
    also_ok: frozenset[str]
    primary: bool

    def accepts(self, stage: str) -> bool:
        """True when the stage is the one judged right or a fair alternative."""
        return stage == self.canonical or stage in self.also_ok


class Score(msgspec.Struct, frozen=True):
    """Shares 0..1 over `rows`; `precision` among the rows that got a stage; `confused`: won or lost where it is wrong, or the other way round."""

    rows: int
    accuracy: float
    coverage: float
    precision: float
    confused: int

    def __str__(self) -> str:
        return (
            f"n={self.rows:5d}  accuracy {self.accuracy:.3f}  coverage {self.coverage:.3f}  "
            f"precision {self.precision:.3f}  won/lost confused {self.confused} ({self.confused / max(1, self.rows):.2%})"
        )


def read(path: Path, *, flags: bool = True) -> list[Row]:
    """The rows of the labelled file, in file order."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return [_row(row, flags) for row in csv.DictReader(stream)]


def _row(row: dict[str, str], flags: bool) -> Row:
    position, length, probability = (row.get(name) for name in ("position", "pipeline_len", "probability"))
    label = StageLabel(
        row["label"],
        id=row.get("id"),
        system=row.get("system") or None,
        source_key=row.get("source"),
        pipeline=row.get("pipeline") or None,
        position=int(position) if position else None,
        pipeline_len=int(length) if length else None,
        probability=float(probability) if probability else None,
        outcome=(row.get("outcome") or None) if flags else None,
    )
    fair = frozenset(filter(None, row.get("also_ok", "").split("|")))
    return Row(label, row["lang"], row.get("source", ""), row["canonical"], fair, row.get("primary", "1") == "1")


def repository_of(source: str) -> str:
    """The repository or page of a row's `source`, which is repository:path."""
    return source if source.startswith("http") else source.split(":", maxsplit=1)[0]


def half_of(source: str) -> int:
    """0 or 1 for a repository; all its files fall into one half."""
    return int(hashlib.sha256(source.split(":", maxsplit=1)[0].encode()).hexdigest(), 16) % 2


def score(pairs: Iterable[tuple[Row, StageAnswer]]) -> Score:
    """The README's figures for these rows."""
    pairs = list(pairs)
    right = sum(row.accepts(answer.canonical_stage) for row, answer in pairs)
    mapped = [(row, answer) for row, answer in pairs if answer.canonical_stage != "unmapped"]
    precise = sum(row.accepts(answer.canonical_stage) for row, answer in mapped)
    return Score(
        len(pairs),
        right / max(1, len(pairs)),
        len(mapped) / max(1, len(pairs)),
        precise / max(1, len(mapped)),
        sum(confused(row, answer) for row, answer in pairs),
    )


def confused(row: Row, answer: StageAnswer) -> bool:
    """A wrong answer in which won or lost stands on one side (an unmapped answer confuses nobody)."""
    wrong = answer.canonical_stage != "unmapped" and not row.accepts(answer.canonical_stage)
    return wrong and (answer.canonical_stage in _CLOSED or row.canonical in _CLOSED)


def by(pairs: list[tuple[Row, StageAnswer]], key: Callable[[Row], str]) -> list[tuple[str, Score]]:
    """Scores per value of `key`, most rows first."""
    groups: dict[str, list[tuple[Row, StageAnswer]]] = {}
    for row, answer in pairs:
        groups.setdefault(key(row), []).append((row, answer))
    return [(name, score(group)) for name, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))]


def speed(rows: list[Row], count: int = 10_000) -> float:
    """Labels per second of processor time over `count` labels made different from each other, so that no answer comes from a cache."""
    labels = [
        msgspec.structs.replace(rows[n % len(rows)].label, label=f"{rows[n % len(rows)].label.label} q{n}x")
        for n in range(count)
    ]
    began = time.process_time()
    classify(labels)
    return count / (time.process_time() - began)


def show(pairs: list[tuple[Row, StageAnswer]], *, errors: bool) -> None:
    """Prints the figures overall, by stage and by language, and what was confused."""
    print("overall      ", score(pairs))
    for title, key in (("stage", lambda row: row.canonical), ("language", lambda row: row.lang)):
        print(f"\nby {title}")
        for name, figures in by(pairs, key):
            print(f"{name:13s}", figures)
    closed = [(r.label.label, r.lang, r.canonical, a.canonical_stage) for r, a in pairs if confused(r, a)]
    print("\nwon/lost confused:", closed)
    for row, answer in pairs:
        if errors and not row.accepts(answer.canonical_stage):
            print(f"{row.lang} | {row.label.label} | {row.canonical} | {answer.explanation} {answer.candidates}")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("csv", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--no-flags", action="store_true")
    parser.add_argument("--errors", action="store_true", help="list every row that is wrong or unmapped")
    arguments = parser.parse_args()
    if not arguments.csv.is_file():
        parser.error(f"there is no file {arguments.csv}; name a CSV with the columns label, lang and canonical")
    rows = read(arguments.csv, flags=not arguments.no_flags)
    print(f"dictionary {DICTIONARY_VERSION}")
    if arguments.leave_one_out:
        from benchmarks import stage_names_held_out

        stage_names_held_out.show_all(rows, errors=arguments.errors)
        return
    answers = classify([row.label for row in rows])
    pairs = [
        (row, answer)
        for row, answer in zip(rows, answers, strict=True)
        if row.primary and arguments.half in (None, half_of(row.source))
    ]
    show(pairs, errors=arguments.errors)
    print(f"\nspeed: {speed(rows):,.0f} labels per second of processor time (10,000 different labels)")


if __name__ == "__main__":
    main()
