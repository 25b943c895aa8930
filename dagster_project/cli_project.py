"""`muara init`, `connectors` and `doctor`."""

from __future__ import annotations

import argparse
from typing import Any, TypedDict

from connectors.sdk import registry
from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import describe
from dagster_project.cli import FAILED, OK, Context, Result
from dagster_project.cli_output import table
from dagster_project.project import home_folder
from dagster_project.scaffold import create_project, dagster_home


def init(args: argparse.Namespace, context: Context) -> Result:
    """Make a project folder."""
    folder = (context.cwd / args.dir).resolve()
    written = create_project(folder)
    shown = [str(path.relative_to(folder)) for path in written]
    # Without its settings a plain `dg dev` would know of no pools.
    dagster = dagster_home(home_folder(folder, context.env))
    text = (
        f"{folder}\n"
        + "\n".join(f"  {name}" for name in shown)
        + "\n\nNext: describe a source in defs/<name>/defs.yaml (README.md shows how), then `muara run` in that folder."
        + f"\n`muara connectors` lists what can be read; the Dagster UI: export DAGSTER_HOME={dagster}; dg dev"
    )
    return Result(OK, {"project": folder, "written": shown, "dagster_home": dagster}, text)


def connectors(args: argparse.Namespace, context: Context) -> Result:
    """List connectors and their settings. One that does not load is listed with the reason, and the exit code is 1."""
    rows = [_connector(registered) for registered in registry.listed(load=True)]
    if args.names:
        unknown = set(args.names) - {row["name"] for row in rows}
        if unknown:
            registry.load(sorted(unknown)[0])  # raises with the nearest name
            raise ConfigError(f"connector {sorted(unknown)[0]!r} is not installed.")
        rows = [row for row in rows if row["name"] in args.names]
    code = FAILED if any(row["problem"] for row in rows) else OK
    return Result(code, rows, "\n\n".join(_details(row) for row in rows) if args.names else _overview(rows))


class _Row(TypedDict):
    """What is told of one connector. Empty `problem`: it loads."""

    name: str
    title: str
    distribution: str
    version: str
    problem: str
    settings: list[dict[str, Any]]
    cannot: dict[str, str]


def _connector(registered: registry.Registered) -> _Row:
    row: _Row = {
        "name": registered.name,
        "title": "",
        "distribution": registered.distribution,
        "version": registered.version,
        "problem": registered.problem,
        "settings": [],
        "cannot": {},
    }
    if not registered.problem:
        found = registry.load(registered.name)
        row |= {
            "title": found.title or found.name,
            "settings": describe(found.Settings),
            "cannot": found.capabilities.impossible(),
        }
    return row


def _overview(rows: list[_Row]) -> str:
    cells = [
        [row["name"], row["title"], f"{row['distribution']} {row['version']}", row["problem"] or "ready"]
        for row in rows
    ]
    return (
        table(cells, ["connector", "what", "comes from", "state"]) + "\n\n`muara connectors NAME` lists its settings."
    )


def _details(row: _Row) -> str:
    settings = [
        [item["name"], item["type"], "required" if item["required"] else item["default"], item["description"]]
        for item in row["settings"]
    ]
    parts = [f"{row['name']}: {row['problem'] or row['title']}"]
    if settings:
        parts.append(table(settings, ["setting", "type", "default", "meaning"]))
    cannot = row["cannot"]
    if cannot:
        parts.append("Cannot:\n" + "\n".join(f"  {name}: {why}" for name, why in cannot.items()))
    return "\n\n".join(parts)


def doctor(args: argparse.Namespace, context: Context) -> Result:
    """Look at the installation, and at the project where there is one."""
    from dagster_project.doctor import Finding, installation, project  # noqa: PLC0415 - loads every connector
    from dagster_project.operations import Hub  # noqa: PLC0415

    findings = list(installation())
    try:
        hub = Hub.find(args.project, context.env, context.cwd, context.clock)
    except ConfigError as error:
        # Without --project, looking at the installation alone is what was asked for.
        findings.append(Finding(level="error" if args.project else "warning", what="project", message=str(error)))
    else:
        findings += project(hub)
    failed = any(finding.level == "error" for finding in findings)
    rows = [[finding.level, finding.what, finding.message] for finding in findings]
    return Result(FAILED if failed else OK, findings, table(rows, ["", "looked at", "found"]))
