"""`muara connector new`: a plug-in of one's own, that works from the start."""

from __future__ import annotations

import argparse

from connectors.testing.skeleton import write_skeleton
from dagster_project.cli import OK, Context, Result


def new(args: argparse.Namespace, context: Context) -> Result:
    """Write the skeleton of a connector."""
    name = args.name
    folder = (context.cwd / (args.dir or f"muara-{name.replace('_', '-')}")).resolve()
    written = [str(path.relative_to(folder)) for path in write_skeleton(name, folder)]
    text = (
        f"{folder}\n"
        + "\n".join(f"  {path}" for path in written)
        + f"\n\nNext, in that folder: `pytest` runs the contract suite; it passes, and lists what the connector cannot do yet.\n"
        f"`pip install -e .` makes it known: `muara connectors {name}`. Then read docs/plugins.md in Muara's sources, and make it yours:\n"
        f"tests/fake_{name}.py speaks like the vendor, src/muara_{name}/__init__.py reads it."
    )
    return Result(OK, {"folder": folder, "written": written}, text)
