"""`muara demo`, `muara report` and `muara export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dagster_project import headlines
from dagster_project.cli import OK, Context, Result
from dagster_project.cli_output import table
from dagster_project.cli_sync import hub_of
from warehouse import published


def demo(args: argparse.Namespace, context: Context) -> Result:
    """Run the sample project through Dagster and print its headline tables."""
    from dagster_project.demo import prepare, run, show_ui  # noqa: PLC0415 - brings Dagster

    folder = (context.cwd / args.dir).resolve()
    file = folder / ".muara" / "muara.duckdb"
    is_there = args.ui and file.exists()
    prepare(folder, keep=args.keep or is_there)

    def say(text: str) -> None:
        if not args.json:
            print(text, file=context.stderr, flush=True)

    if not is_there:
        run(folder, say=say)
    if args.ui:
        say(f"Dagster's UI on the demo: http://127.0.0.1:{args.port} (Ctrl+C ends it)")
        show_ui(folder, port=args.port)
        return Result(OK, None, "")
    found = headlines.read(file)
    text = f"\n{headlines.text(found)}\n\n{_where_next(file, folder, context.cwd)}"
    return Result(OK, {"published": file, **found._asdict(), "queries": dict(headlines.QUERIES)}, text)


def report(args: argparse.Namespace, context: Context) -> Result:
    """The headline tables of the project's published file."""
    file = hub_of(args, context).home.published
    found = headlines.read(file)
    return Result(OK, {"published": file, **found._asdict()}, f"{headlines.text(found)}\n\nFrom {file}")


def export(args: argparse.Namespace, context: Context) -> Result:
    """The published tables as Parquet, for tools that do not open DuckDB files."""
    folder = (context.cwd / args.dir).resolve()
    written = published.export(hub_of(args, context).home.published, folder)
    text = table([[f"{name}.parquet", rows] for name, rows in written.items()], ["file", "rows"])
    return Result(OK, {"folder": folder, "rows": written}, f"{folder}\n\n{text}")


def _where_next(file: Path, folder: Path, cwd: Path) -> str:
    def near(path: Path) -> str:
        return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)

    queries = "\n\n".join(f"-- {question}\n{sql};" for question, sql in headlines.QUERIES.items())
    return (
        f"Published: {near(file)}\n"
        "Open it with anything that opens DuckDB, for example `duckdb -readonly` or Python's duckdb module, and try:\n\n"
        f"{queries}\n\n"
        f"One deal with all its evidence:   muara show us_sales:US-001 --project {near(folder)}\n"
        "The same project in Dagster's UI: make ui (or muara demo --ui)"
    )
