"""Muara's import names are everyday words (`assets`, `connectors`, ...). This tells when somebody else's folder stands in their way."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from connectors.sdk.errors import ConfigError

PACKAGES = ("connectors", "assets", "warehouse", "dagster_project")
DISTRIBUTION = "muara"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where one of the four packages was found (None: nowhere) and which distributions claim its name."""

    package: str
    folder: Path | None
    owners: tuple[str, ...]


def locate() -> tuple[Found, ...]:
    """The four packages as this Python finds them. Imports none of them."""
    owners = importlib.metadata.packages_distributions()
    return tuple(
        Found(package=name, folder=_folder(name), owners=tuple(sorted(set(owners.get(name, ()))))) for name in PACKAGES
    )


def clashes(found: Iterable[Found]) -> list[str]:
    """Sentences saying which folder or distribution is in the way; empty when all is well."""
    found = tuple(found)
    home = next((item.folder.parent for item in found if item.package == "dagster_project" and item.folder), None)
    problems = []
    for item in found:
        if item.folder is None:
            problems.append(
                f"package {item.package!r} is missing. Install Muara again: pip install --force-reinstall muara."
            )
        elif home is not None and item.folder.parent != home:
            problems.append(
                f"package {item.package!r} comes from {item.folder}, not from {home}: a folder of that name is in the way. "
                "Rename it, or start from another folder."
            )
        others = [owner for owner in item.owners if owner.lower() != DISTRIBUTION]
        if others:
            problems.append(
                f"distribution {', '.join(others)} also ships a package named {item.package!r}; "
                f"one overwrites the other. Uninstall it and reinstall {DISTRIBUTION}."
            )
    return problems


def require_own_packages() -> None:
    """Raise ConfigError when a foreign package stands where one of ours should be. Cheap: looks at folders only."""
    folders = [Found(package=name, folder=_folder(name), owners=()) for name in PACKAGES]
    problems = clashes(folders)
    if problems:
        raise ConfigError(problems[0])


def entry_points(
    read: Callable[..., Iterable[importlib.metadata.EntryPoint]] = importlib.metadata.entry_points,
) -> Mapping[str, list[str]]:
    """Connector name -> distributions that register it."""
    found: dict[str, list[str]] = {}
    for point in read(group="muara.connectors"):
        found.setdefault(point.name, []).append(point.dist.name if point.dist else "?")
    return {name: sorted(set(owners)) for name, owners in sorted(found.items())}


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).resolve().parent
    locations = list(spec.submodule_search_locations or ())
    return Path(locations[0]).resolve() if locations else None
