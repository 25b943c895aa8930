"""The list of the demo's asset keys: `python -m tests.dagster_project.asset_keys` writes it anew after a key was added on purpose."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import dagster as dg

from dagster_project.definitions import load_project

DEMO = Path(__file__).parents[2] / "examples" / "demo"
FILE = Path(__file__).parent / "demo_asset_keys.txt"


def keys_of(found: dg.Definitions) -> list[str]:
    """Asset keys as `a/b`, sorted."""
    return sorted(key.to_user_string() for key in found.resolve_asset_graph().get_all_asset_keys())


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(DEMO, Path(folder) / "demo"))
        FILE.write_text("\n".join(keys_of(load_project(root))) + "\n")


if __name__ == "__main__":
    main()
