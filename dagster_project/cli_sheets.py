"""`muara sheets inspect`: how a spreadsheet would be read, before it counts."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import msgspec
import yaml

from connectors.sdk.errors import ConfigError
from dagster_project.cli import FAILED, OK, Context, Result
from dagster_project.cli_output import printable


def inspect(args: argparse.Namespace, context: Context) -> Result:
    """Layout, columns, key and first deals of a file, and a source that would load it. Works without a project."""
    look = importlib.import_module("connectors.spreadsheet.inspect").inspect
    path = Path(args.file).expanduser()
    # Shown as the person wrote it, so that the proposed source carries no path of this machine.
    shown = path if path.is_absolute() else context.cwd / path
    found = look(str(shown), _settings(args.set or []), clock=context.clock)
    found = msgspec.structs.replace(found, path=args.file)
    return Result(FAILED if found.errors else OK, found, printable(found.to_text()))


def _settings(written: list[str]) -> dict[str, Any]:
    """`key=value` pairs, values as YAML. Raises ConfigError for what is no pair."""
    settings = {}
    for pair in written:
        name, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair!r}: write it as setting=value, such as locale=id_ID.")
        try:
            settings[name.strip()] = yaml.load(value, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes text only
        except yaml.YAMLError:
            raise ConfigError(f"--set {name}: {value!r} is not YAML.") from None
    return settings
