"""`muara stages`: what each stage name counts as, and which ones wait for a decision."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dagster_project.cli import OK, Context, Result
from dagster_project.cli_output import table
from warehouse.stages import DICTIONARY_VERSION, StageAnswer, StageLabel, StageMapping
from warehouse.stages.csv_rows import classify_csv
from warehouse.stages.review import pinned, suggestion_text

if TYPE_CHECKING:
    from dagster_project.operations import Hub

_LIST = """
select p.source_key, p.pipeline, s.stage, s.canonical_stage, s.outcome, s.stage_order, s.mapping_method, s.mapping_confidence,
       s.mapping_explanation, s.is_archived, s.stage_key
from main.stages as s inner join main.pipelines as p on p.pipeline_key = s.pipeline_key
order by p.source_key, p.pipeline, s.outcome = 'open' desc, s.stage_order nulls last, s.stage
"""
_REVIEW = """
select source_key, pipeline, stage, canonical_stage, suggested_stage, review_reason, deal_count, open_deal_count, deal_amount,
       amount_missing_count, mapping_explanation, candidates, stage_key
from ops.stage_mapping_review order by deal_count desc, source_key, pipeline, stage
"""
_DECIDE = """\
Amounts are in the reporting currency. To decide: `muara stages suggest --write` puts these stages into the mapping file, commented out;
say there what each counts as, then `muara build`."""


def list_stages(args: argparse.Namespace, context: Context) -> Result:
    """Every stage with its canonical stage and how that was decided."""
    rows = _published(args, context, _LIST)
    shown = (
        "source_key",
        "pipeline",
        "stage",
        "canonical_stage",
        "outcome",
        "mapping_method",
        "mapping_confidence",
        "mapping_explanation",
    )
    header = ("source", "pipeline", "stage", "counts as", "outcome", "decided by", "confidence", "why")
    cells = [
        [f"{row[name]:.2f}" if name == "mapping_confidence" and row[name] is not None else row[name] for name in shown]
        for row in rows
    ]
    return Result(OK, rows, table(cells, header, right=(6,)))


def unmapped(args: argparse.Namespace, context: Context) -> Result:
    """Stages that nobody could place, or that a person should look at, with the deals they hold."""
    rows = _published(args, context, _REVIEW)
    if not rows:
        return Result(OK, rows, "Every stage is placed.")
    header = ("source", "pipeline", "stage", "counts as", "perhaps", "deals", "open", "amount", "why it is here")
    cells = [
        [
            *(row[name] for name in ("source_key", "pipeline", "stage", "canonical_stage")),
            _perhaps(row),
            *(row[name] for name in ("deal_count", "open_deal_count", "deal_amount", "review_reason")),
        ]
        for row in rows
    ]
    told = [f"  {row['stage']}: {row['mapping_explanation']}" for row in rows]
    return Result(OK, rows, "\n".join([table(cells, header, right=(5, 6, 7)), "", *told, "", _DECIDE]))


def _perhaps(row: dict[str, Any]) -> str | None:
    """What the stage may be: other answers with their scores, else what its place hints at."""
    candidates = json.loads(row["candidates"] or "[]")
    return ", ".join(f"{stage} {score:.2f}" for stage, score in candidates[:2]) or row["suggested_stage"]


def classify(args: argparse.Namespace, context: Context) -> Result:
    """Stage names from a CSV on standard input, the same rows out with what they count as. Works offline and without a project."""
    mapping = StageMapping.load(Path(context.cwd / args.mapping)) if args.mapping else None
    out = io.StringIO()
    classify_csv(_utf8(context.stdin), out, mapping)
    rows = list(csv.DictReader(io.StringIO(out.getvalue()))) if args.json else []
    return Result(OK, rows, out.getvalue().removesuffix("\n"))


def suggest(args: argparse.Namespace, context: Context) -> Result:
    """A mapping file with every doubtful stage, commented out, to be edited."""
    hub, mapping, classified = _classified(args, context)
    text = suggestion_text(classified, mapping)
    return _written(args, hub, text)


def pin(args: argparse.Namespace, context: Context) -> Result:
    """A mapping file that freezes what every stage counts as now, so that a better dictionary changes no past figure."""
    hub, mapping, classified = _classified(args, context)
    today = hub.clock.now().date()
    frozen = pinned(classified, mapping, on=today, dictionary_version=DICTIONARY_VERSION)
    return _written(args, hub, frozen.dump())


def _published(args: argparse.Namespace, context: Context, sql: str) -> list[dict[str, Any]]:
    """Rows of the published file. What needs a project is imported here, so that `classify` starts at once without one."""
    from dagster_project.cli_sync import hub_of  # noqa: PLC0415
    from warehouse.published import query  # noqa: PLC0415

    return query(hub_of(args, context).home.published, sql).dicts()


def _classified(
    args: argparse.Namespace, context: Context
) -> tuple[Hub, StageMapping | None, list[tuple[StageLabel, StageAnswer]]]:
    """The project, its mapping file, and every version of every stage with its answer."""
    from dagster_project.cli_sync import hub_of  # noqa: PLC0415
    from dagster_project.operations import classified_stages, stage_mapping  # noqa: PLC0415

    hub = hub_of(args, context)
    mapping = stage_mapping(hub)
    return hub, mapping, classified_stages(hub, mapping)


def _written(args: argparse.Namespace, hub: Hub, text: str) -> Result:
    """The text itself, or the place it was written to; what stood there is kept beside it."""
    if not args.write:
        return Result(OK, {"text": text, "file": None}, text.removesuffix("\n"))
    name = hub.warehouse_settings().stage_mapping
    path = hub.root / (name or "stage_mapping.yaml")
    notes = []
    if path.exists():
        before = path.with_name(f"{path.name}.before")
        before.write_bytes(path.read_bytes())
        notes.append(f"what stood there before is in {before.name}")
    path.write_text(text, encoding="utf-8")
    if name is None:
        notes.append(
            "not in force yet: add `stage_mapping: stage_mapping.yaml` to the attributes of the Warehouse component"
        )
    return Result(OK, {"text": text, "file": path}, "\n".join([f"wrote {path}", *(f"  {note}" for note in notes)]))


def _utf8(stream: TextIO) -> TextIO:
    """Standard input as UTF-8 with its line ends untouched, whatever the terminal's encoding is."""
    buffer = getattr(stream, "buffer", None)
    return io.TextIOWrapper(buffer, encoding="utf-8", newline="") if buffer is not None else stream
