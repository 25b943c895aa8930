"""What Dagster loads: `dagster_project.definitions`. It shows the project of MUARA_PROJECT, else of the current folder.

Loading reads YAML only: no secret has to be set, nothing is called over the network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dagster as dg

from connectors.sdk.errors import ConfigError
from connectors.sdk.redaction import redactor
from dagster_project.guard import require_own_packages
from dagster_project.project import find_project, is_project, read_project
from dagster_project.wiring import checked_connector, common_definitions, warehouse_definitions

_HINT = (
    "No Muara project here: start Dagster in a folder made by `muara init`, or set MUARA_PROJECT to one. "
    "`make ui` shows the demo project."
)


def load_project(root: Path) -> dg.Definitions:
    """Definitions of a project folder. Raises ConfigError naming file, line and key."""
    require_own_packages()
    redactor.install()
    project = read_project(root)
    for spec in project.sources:
        # Dagster would wrap the error into a drawing of its tree; here it is one sentence with file and line.
        checked_connector(spec)
    _make_importable(root)
    written = dg.load_from_defs_folder(path_within_project=root)
    parts = [written, common_definitions(root)]
    if not project.warehouse.is_written:
        parts.append(warehouse_definitions(root))
    return dg.Definitions.merge(*parts)


def _make_importable(root: Path) -> None:
    """Dagster imports the folder `defs` as a module; the one of another project must not answer in its place."""
    if sys.path[:1] != [str(root)]:
        sys.path[:] = [str(root), *(entry for entry in sys.path if entry != str(root))]
    for name in [name for name in sys.modules if name == "defs" or name.startswith("defs.")]:
        found = getattr(sys.modules[name], "__path__", None)
        if not found or str(root / "defs") not in [str(Path(part)) for part in list(found)[:1]]:
            del sys.modules[name]


def _nothing_here() -> dg.Definitions:
    return dg.Definitions(metadata={"hint": _HINT})


@dg.definitions
def defs() -> dg.Definitions:
    """The project's definitions, or none with a hint."""
    if not os.environ.get("MUARA_PROJECT") and not is_project(Path.cwd()):
        return _nothing_here()
    try:
        return load_project(find_project(None, os.environ, Path.cwd()))
    except ConfigError as error:
        # Dagster prints the whole chain; the sentence is what a person needs.
        raise dg.DagsterInvalidDefinitionError(str(error)) from None


__all__ = ["defs", "load_project"]
