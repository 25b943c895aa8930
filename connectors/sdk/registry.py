"""Which connectors there are. Each is an entry point of the group `muara.connectors`; ours come through the same door as anybody's.

    [project.entry-points."muara.connectors"]
    acme = "muara_acme:Acme"

Names are listed without importing anything; a connector is imported when it is first used. A broken one hurts only itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points

import msgspec

from connectors.sdk.connector import SDK_VERSION, Connector
from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import ConnectorSettings

GROUP = "muara.connectors"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """One registered connector, not imported. `problem` says in one sentence why it cannot be used, "" = nothing known against it."""

    name: str
    distribution: str
    version: str
    module: str
    problem: str = ""


class Registry:
    """The connectors of this environment. `find` is handed in by tests."""

    def __init__(self, find: Callable[[], Iterable[EntryPoint]] | None = None) -> None:
        self._find = find or (lambda: entry_points(group=GROUP))
        self._points: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, type[Connector]] = {}
        self._broken: dict[str, ConfigError] = {}

    def names(self) -> list[str]:
        """Names in order, without importing. Raises ConfigError when nothing at all is registered."""
        return sorted(self._known())

    def listed(self, *, load: bool = False) -> list[Registered]:
        """Every registered connector in order of its name; two of one name are two rows. `load` also imports each, to find its problem."""
        rows = []
        for name in self.names():
            if load and name not in self._loaded and name not in self._broken:
                self._try(name)
            points = self._known()[name]
            problem = _clash(name, points) if len(points) > 1 else str(self._broken.get(name, ""))
            rows += [
                Registered(
                    name=name,
                    distribution=_distribution(point),
                    version=point.dist.version if point.dist else "",
                    module=point.value,
                    problem=problem,
                )
                for point in points
            ]
        return rows

    def load(self, name: str) -> type[Connector]:
        """The connector class. Raises ConfigError that names the culprit: unknown name, two of one name, a plug-in that does not load or
        was built for another major version of the SDK. What went wrong inside the plug-in is the error's cause.
        """
        if name not in self._loaded:
            if name not in self._broken:
                self._try(name)
            if name in self._broken:
                raise self._broken[name]
        return self._loaded[name]

    def _try(self, name: str) -> None:
        try:
            self._loaded[name] = self._load(name)
        except ConfigError as error:
            self._broken[name] = error

    def _load(self, name: str) -> type[Connector]:
        known = self._known()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(known))}."
            raise ConfigError(f"connector {name!r} is not installed. {hint}")
        points = known[name]
        if len(points) > 1:
            raise ConfigError(_clash(name, points))
        point = points[0]
        try:
            found: type[Connector] = point.load()
        except (Exception, SystemExit) as error:
            # A plug-in's import may fail in any way; whatever it is, it is the plug-in's and must not stop the others.
            raise ConfigError(
                f"{_who(name, point)} does not load: {type(error).__name__}: {error}. Repair it or remove it: "
                f"pip uninstall {_distribution(point)}"
            ) from error
        _check(found, name, point)
        return found

    def _known(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            points: dict[str, dict[tuple[str, str], EntryPoint]] = {}
            for point in self._find():
                # One distribution may be seen twice (an editable install beside its wheel): that is no clash.
                points.setdefault(point.name, {})[(_distribution(point), point.value)] = point
            self._points = {name: list(found.values()) for name, found in points.items()}
        if not self._points:
            raise ConfigError("no connectors are registered. In Muara's folder run: pip install -e .")
        return self._points


def _check(found: object, name: str, point: EntryPoint) -> None:
    """Raise ConfigError unless `found` is a connector class that this SDK can run."""
    who = _who(name, point)
    if not (isinstance(found, type) and issubclass(found, Connector)):
        raise ConfigError(f"{who}: {point.value} is no subclass of connectors.sdk.Connector.")
    theirs, ours = _version(found.sdk_version), _version(SDK_VERSION)
    if theirs is None:
        raise ConfigError(f"{who}: its sdk_version {found.sdk_version!r} is no version like {SDK_VERSION!r}.")
    assert ours is not None
    if theirs[0] != ours[0]:
        what = "Update the plug-in" if theirs[0] < ours[0] else "Update muara"
        raise ConfigError(
            f"{who} was built for version {found.sdk_version} of the connector SDK; this muara has {SDK_VERSION}. {what}."
        )
    if theirs[1] > ours[1]:
        raise ConfigError(
            f"{who} needs version {found.sdk_version} of the connector SDK; this muara has {SDK_VERSION}. Update muara."
        )
    if getattr(found, "name", None) != name:
        raise ConfigError(
            f"{who}: the class calls itself {getattr(found, 'name', None)!r}; its `name` must be {name!r}."
        )
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, ConnectorSettings)):
        raise ConfigError(f"{who}: its Settings is no subclass of connectors.sdk.ConnectorSettings.")


def _version(text: object) -> tuple[int, int] | None:
    parts = str(text).split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    return int(parts[0]), int(parts[1])


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "(unknown distribution)"


def _who(name: str, point: EntryPoint) -> str:
    return f"connector {name!r} of {_distribution(point)}"


def _clash(name: str, points: list[EntryPoint]) -> str:
    owners = " and ".join(f"{_distribution(point)} ({point.value})" for point in points)
    return f"connector {name!r} is registered more than once: {owners}. Uninstall one of them."


_installed = Registry()


def names() -> list[str]:
    """Names of the connectors of this environment, without importing them (see `Registry.names`)."""
    return _installed.names()


def listed(*, load: bool = False) -> list[Registered]:
    """The connectors of this environment (see `Registry.listed`)."""
    return _installed.listed(load=load)


def load(name: str) -> type[Connector]:
    """A connector of this environment (see `Registry.load`)."""
    return _installed.load(name)
