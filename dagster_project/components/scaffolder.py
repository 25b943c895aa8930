"""`dg scaffold defs dagster_project.components.CrmSource NAME`: asks which connector, and writes a document that lacks nothing but secrets."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
import dagster as dg
from pydantic import BaseModel, Field

from connectors.sdk import registry
from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import describe
from dagster_project.project import source_spec

#: What to fill in first where no setting is required because there are several ways to sign in. Others: required settings, else the first secret.
_FIRST = {
    "hubspot": ("access_token",),
    "pipedrive": ("api_token", "company_domain"),
    "salesforce": ("domain", "consumer_key", "consumer_secret"),
    "spreadsheet": ("path",),
}


class CrmSourceParams(BaseModel):
    """What the scaffolder needs; on a terminal it asks for what is left out."""

    connector: str | None = Field(default=None, description="Installed connector; `muara connectors` lists them.")
    source: str | None = Field(
        default=None, description="Name of the source (a-z, 0-9, _); default: the folder's name."
    )
    schedule: str | None = Field(default=None, description='Cron line, such as "*/30 * * * *".')


class CrmSourceScaffolder(dg.Scaffolder[CrmSourceParams]):
    """Writes `defs.yaml` of one source from its connector's own settings."""

    @classmethod
    def get_scaffold_params(cls) -> type[CrmSourceParams]:
        """Options of the command."""
        return CrmSourceParams

    def scaffold(self, request: dg.ScaffoldRequest[CrmSourceParams]) -> None:
        """Write the file. A wrong answer is one sentence and writes nothing."""
        if request.scaffold_format != "yaml":
            raise click.ClickException(
                "A source is described in YAML: the command line reads it too. Leave out --format."
            )
        given = request.params or CrmSourceParams()
        name = given.source or re.sub(r"[^a-z0-9_]", "_", request.target_path.name.lower())
        try:
            text = source_yaml(request.type_name, _connector(given.connector), name, given.schedule)
        except ConfigError as error:
            if request.target_path.is_dir() and not any(request.target_path.iterdir()):
                request.target_path.rmdir()  # dg makes it before it asks
            raise click.ClickException(str(error)) from None
        request.target_path.mkdir(parents=True, exist_ok=True)
        path = request.target_path / "defs.yaml"
        path.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {path}\nNext: set what it names, then `muara check {name}`.")


def source_yaml(type_name: str, connector: str, source: str, schedule: str | None) -> str:
    """The document of a source: what must be filled in, then every other setting as a comment. Raises ConfigError for a wrong name."""
    found = registry.load(connector)
    rows = describe(found.Settings)
    first = _to_fill_in(connector, rows)
    shape = {"source": source, "connector": connector, "schedule": schedule}
    source_spec(shape, where=f"source {source!r}")
    lines = [f"# {found.title or connector}", f"type: {type_name}", "attributes:", f"  source: {source}"]
    lines.append(f"  connector: {connector}")
    lines.append(f'  schedule: "{schedule}"' if schedule else '  # schedule: "*/30 * * * *"')
    lines.append("  config:")
    lines += [f"    {row['name']}: {_value(row, source)}{_said(row)}" for row in rows if row["name"] in first]
    lines += [f"    # {row['name']}: {_default(row)}{_said(row)}" for row in rows if row["name"] not in first]
    return "\n".join(lines) + "\n"


def _connector(given: str | None) -> str:
    if given is not None:
        return given
    names = registry.names()
    if not sys.stdin.isatty():
        raise ConfigError(f"Name the connector: --connector NAME. Installed: {', '.join(names)}.")
    return str(click.prompt("Connector", type=click.Choice(list(names))))


def _to_fill_in(connector: str, rows: list[dict[str, Any]]) -> set[str]:
    known = {row["name"] for row in rows}
    if connector in _FIRST:
        return known & set(_FIRST[connector])
    required = {row["name"] for row in rows if row["required"]}
    secrets = [row["name"] for row in rows if row["type"] == "secret"]
    return required or set(secrets[:1])


def _value(row: dict[str, Any], source: str) -> str:
    if row["type"] == "secret":
        return f"{{env: {source.upper()}_{row['name'].upper()}}}"
    return "sheets/FILE.xlsx" if row["name"] == "path" else f"YOUR_{row['name'].upper()}"


def _default(row: dict[str, Any]) -> str:
    if row["type"] == "secret":
        return "{env: NAME}"
    default = row["default"]
    if default is None or isinstance(default, str | int | float):
        return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
    return "[]" if isinstance(default, tuple | list) else "{}"


def _said(row: dict[str, Any]) -> str:
    return f"   # {row['description']}" if row["description"] else ""
