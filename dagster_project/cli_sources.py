"""`muara sources`: list, rename, remove."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dagster_project.cli import FAILED, OK, USAGE, Context, Result
from dagster_project.cli_output import table
from dagster_project.cli_sync import hub_of


def list_(args: argparse.Namespace, context: Context) -> Result:
    """What is configured and what is landed, a line each."""
    from dagster_project.sources import list_sources  # noqa: PLC0415 - brings duckdb

    found = list_sources(hub_of(args, context))
    rows = [
        [
            one.source,
            one.connector,
            one.account,
            one.where or "not configured",
            one.schedule,
            one.rows,
            f"{one.size_bytes / 1e6:,.1f}",
            one.last_synced_at,
            one.data_through_at,
        ]
        for one in found
    ]
    header = ["source", "connector", "account", "where", "schedule", "rows", "MB", "last sync", "complete up to"]
    notes = [f"{one.source}: {one.error}" for one in found if one.error]
    if any(one.where is None for one in found):
        notes.append(
            "Not configured: builds leave these out. `muara sources remove NAME --delete-data --yes` frees the space."
        )
    text = table(rows, header, right=(6,)) if rows else "no source is configured yet; README.md shows how to add one."
    return Result(FAILED if any(one.error for one in found) else OK, found, "\n\n".join([text, *notes]))


def rename(args: argparse.Namespace, context: Context) -> Result:
    """Another name for a source."""
    from dagster_project.sources import rename_source  # noqa: PLC0415 - brings duckdb

    done = rename_source(hub_of(args, context), args.old, args.new)
    lines = [
        f"{done.old} is now {done.new}",
        f"  landing: {done.rows:,} rows moved" if done.rows else "  landing: nothing was landed",
        f"  YAML: {done.yaml} changed" if done.yaml else "  YAML: named the new source already",
    ]
    if done.has_secrets:
        lines.append("  tokens: moved")
    lines += _told(done.old, done.mentions)
    lines.append(
        "Next: `muara build`; deal keys now begin with the new name. In Dagster reload the definitions: the assets have new keys, "
        "runs so far stay under the old ones."
    )
    return Result(OK, done, "\n".join(lines))


def remove(args: argparse.Namespace, context: Context) -> Result:
    """Take a source out; only with --yes."""
    from dagster_project.sources import remove_source  # noqa: PLC0415 - brings duckdb

    done = remove_source(hub_of(args, context), args.source, delete_data=args.delete_data, yes=args.yes)
    said = "" if done.done else "would be "
    lines = [f"{done.source} {'is removed' if done.done else 'would be removed'}"]
    lines.append(f"  YAML: {done.yaml} {said}taken out" if done.yaml else "  YAML: no document names it")
    if done.has_secrets:
        lines.append(f"  tokens: {said}deleted")
    if done.landing is None:
        lines.append("  landing: nothing was landed")
    elif args.delete_data:
        lines.append(f"  landing: {done.rows:,} rows {said}deleted, {done.freed_bytes / 1e6:,.1f} MB of {done.landing}")
    else:
        lines.append(f"  landing: {done.rows:,} rows stay in {done.landing}; --delete-data deletes them")
    lines += _told(done.source, done.mentions if done.done else ())
    if done.done:
        lines.append("Next: `muara build` takes its deals out of the published file.")
        return Result(OK, done, "\n".join(lines))
    lines.append("Nothing was done. Add --yes to do it.")
    return Result(USAGE, done, "\n".join(lines))


def _told(name: str, mentions: Sequence[str]) -> list[str]:
    return [f"  {name} is still named in: {', '.join(mentions)}"] if mentions else []
