"""The user's project folder: where it is, what its YAML says. No Dagster import, no network, no secret is read here.

A project is a folder with `dg.toml` and `defs/`. Every `defs/**/defs.yaml` document of type `dagster_project.components.CrmSource`
is a source, one of type `dagster_project.components.Warehouse` sets the warehouse, one of type `dagster_project.components.Alerts` names a
webhook; other types are Dagster's or the user's own business.
"""

from __future__ import annotations

import difflib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from assets.translation import Freshness, Translation
from connectors.sdk.errors import ConfigError
from dagster_project.alerts import Receiver, check_shape
from dagster_project.yamldoc import Document, read_documents
from warehouse.landing.object_store import CACHE_BYTES, Bucket

SOURCE_TYPE = "dagster_project.components.CrmSource"
WAREHOUSE_TYPE = "dagster_project.components.Warehouse"
ALERTS_TYPE = "dagster_project.components.Alerts"

#: Keys that Dagster allows beside `type` and `attributes`.
_DOCUMENT_KEYS = {"type", "attributes", "requirements", "post_processing", "template_vars_module"}
_SOURCE_KEY = re.compile(r"[a-z][a-z0-9_]*")
_CRON_FIELDS = (5, 6)
#: Environment variables of a bucket -> obstore's settings; later ones win.
_AWS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_DEFAULT_REGION": "region",
    "AWS_REGION": "region",
    "AWS_ENDPOINT_URL": "endpoint",
    "AWS_ENDPOINT_URL_S3": "endpoint",
}
#: Those of them that must never be shown.
SECRET_OPTIONS = ("secret_access_key", "session_token")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: Names a source cannot have: asset keys, folders and tables of ours.
RESERVED_SOURCES = frozenset({"warehouse", "all", "ops", "main", "staging"})

S = TypeVar("S", Translation, Freshness)


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One configured source. `config` may hold `{env: NAME}`; `where` tells where it was written, for messages."""

    source: str
    connector: str
    schedule: str | None = None
    config: Mapping[str, Any] = {}
    translation: Translation = Translation()
    freshness: Freshness | None = None
    where: str = ""


class WarehouseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The Warehouse document: its settings as written (checked by `warehouse.settings`), other names for its assets, where it stands."""

    attributes: Mapping[str, Any] = {}
    translation: Translation = Translation()
    where: str = "warehouse defaults"
    is_written: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project folder as read: `sources` in the order of their files."""

    root: Path
    sources: tuple[SourceSpec, ...]
    warehouse: WarehouseSpec
    alerts: tuple[Receiver, ...] = ()

    def source(self, name: str) -> SourceSpec:
        """The source of that key. Raises ConfigError naming the nearest one."""
        for spec in self.sources:
            if spec.source == name:
                return spec
        known = [spec.source for spec in self.sources]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Configured: {', '.join(known) or 'none'}."
        raise ConfigError(f"{self.root}: no source {name!r} in defs/. {hint}")

    def select(self, names: list[str]) -> tuple[SourceSpec, ...]:
        """The named sources, each once, or all of them. Raises ConfigError when the project has none."""
        if not self.sources:
            raise ConfigError(
                f"{self.root}: no source is configured. Add a document of type {SOURCE_TYPE} to "
                f"{self.root / 'defs'}/<name>/defs.yaml; `muara init` shows one."
            )
        return tuple(self.source(name) for name in dict.fromkeys(names)) if names else self.sources


def is_project(folder: Path) -> bool:
    """True when the folder looks like a project."""
    return (folder / "dg.toml").is_file() or (folder / "defs").is_dir()


def find_project(explicit: Path | None, env: Mapping[str, str], cwd: Path) -> Path:
    """The project folder: `--project`, else MUARA_PROJECT, else the current folder. Raises ConfigError when that is none."""
    if explicit is not None:
        folder, how = explicit, "--project"
    elif env.get("MUARA_PROJECT"):
        folder, how = Path(env["MUARA_PROJECT"]), "MUARA_PROJECT"
    else:
        folder, how = cwd, "the current folder"
    folder = (cwd / folder.expanduser()).resolve()
    if not is_project(folder):
        raise ConfigError(
            f"{folder} ({how}) is no Muara project: neither dg.toml nor defs/ is there. "
            "Make one with `muara init DIR`, or name one with --project DIR or MUARA_PROJECT."
        )
    return folder


def home_folder(root: Path, env: Mapping[str, str]) -> Path:
    """MUARA_HOME (relative to the project), default `<project>/.muara`."""
    return (root / Path(env.get("MUARA_HOME") or ".muara").expanduser()).resolve()


def landing_place(root: Path, env: Mapping[str, str]) -> Path | Bucket | None:
    """MUARA_LANDING: a folder (relative to the project) or `s3://bucket/prefix`; None for the default inside the home.

    A bucket's credentials come from the usual AWS_ variables; where there are none, from the machine's or the pod's role. Raises ConfigError.
    """
    value = env.get("MUARA_LANDING")
    if not value:
        return None
    if "://" not in value:
        return (root / Path(value).expanduser()).resolve()
    return Bucket(value, _bucket_options(env), cache_bytes=_cache_bytes(env))


def _bucket_options(env: Mapping[str, str]) -> dict[str, str]:
    options = {option: env[name] for name, option in _AWS.items() if env.get(name)}
    endpoint = options.get("endpoint", "")
    host = urllib.parse.urlsplit(endpoint).hostname or ""
    if endpoint.startswith("http://") and host not in _LOOPBACK and env.get("AWS_ALLOW_HTTP", "").lower() != "true":
        raise ConfigError(
            f"AWS_ENDPOINT_URL {endpoint}: plain http would send deals unencrypted. Use https, or set AWS_ALLOW_HTTP=true."
        )
    return options


def _cache_bytes(env: Mapping[str, str]) -> int:
    value = env.get("MUARA_LANDING_CACHE_GB")
    try:
        return int(float(value) * 1e9) if value else CACHE_BYTES
    except ValueError:
        raise ConfigError(f"MUARA_LANDING_CACHE_GB={value!r} is no number of gigabytes.") from None


def read_project(root: Path) -> Project:
    """Read and check every defs.yaml under `root`. Raises ConfigError naming file, document, line and key."""
    sources: dict[str, SourceSpec] = {}
    warehouse: WarehouseSpec | None = None
    alerts: list[Receiver] = []
    for document in _documents(root):
        kind = document.data.get("type")
        if kind == SOURCE_TYPE:
            spec = _source(document)
            if spec.source in sources:
                raise ConfigError(
                    f"{spec.where}: source {spec.source!r} is already configured at {sources[spec.source].where}. "
                    "Give each account its own name."
                )
            sources[spec.source] = spec
        elif kind == WAREHOUSE_TYPE:
            if warehouse is not None:
                raise ConfigError(f"{document.where()}: a second Warehouse; the first is at {warehouse.where}.")
            warehouse = _warehouse(document)
        elif kind == ALERTS_TYPE:
            alerts.append(Receiver(attributes=_attributes(document), where=document.where()))
            check_shape(alerts[-1])
    return Project(
        root=root, sources=tuple(sources.values()), warehouse=warehouse or WarehouseSpec(), alerts=tuple(alerts)
    )


def definition_files(root: Path) -> list[Path]:
    """Every defs.yaml of a project, in the order in which they are read."""
    return sorted((root / "defs").rglob("defs.yaml"))


def source_spec(attributes: Mapping[str, Any], *, where: str) -> SourceSpec:
    """Attributes of a CrmSource as a checked spec. Raises ConfigError; `where` leads its message."""
    return _checked_source(attributes, lambda *_keys: where)


def checked_name(name: str, *, where: str = "") -> str:
    """A name that a source may have. Raises ConfigError; `where` leads its message."""
    if not _SOURCE_KEY.fullmatch(name) or name in RESERVED_SOURCES:
        raise ConfigError(
            f"{where}source {name!r}: use a-z, 0-9 and _, beginning with a letter"
            + (" (this name is Muara's own)." if name in RESERVED_SOURCES else ".")
        )
    return name


def _documents(root: Path) -> Iterator[Document]:
    for path in definition_files(root):
        for document in read_documents(path, path.relative_to(root)):
            if not isinstance(document.data, Mapping):
                raise ConfigError(f"{document.where()}: expected `type:` and `attributes:`, found something else.")
            _check_type(document)
            yield document


def _check_type(document: Document) -> None:
    kind = document.data.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"{document.where()}: `type:` is missing, for example `type: {SOURCE_TYPE}`.")
    ours = {SOURCE_TYPE, WAREHOUSE_TYPE, ALERTS_TYPE}
    if kind.startswith("dagster_project.") and kind not in ours:
        near = difflib.get_close_matches(kind, ours, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(sorted(ours))}."
        raise ConfigError(f"{document.where('type')}: unknown type {kind!r}.{hint}")
    if kind in ours:
        for key in document.data:
            if key not in _DOCUMENT_KEYS:
                raise ConfigError(
                    f"{document.where(key)}: unknown key {key!r} beside `type`; settings go under `attributes:`."
                )


def _attributes(document: Document) -> Mapping[str, Any]:
    attributes = document.data.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        raise ConfigError(f"{document.where('attributes')}: `attributes:` must hold settings by name.")
    return attributes


def _warehouse(document: Document) -> WarehouseSpec:
    attributes = dict(_attributes(document))
    names = attributes.pop("translation", None)
    return WarehouseSpec(
        attributes=attributes,
        translation=_named(names, Translation, "translation", lambda *keys: document.where("attributes", *keys))
        or Translation(),
        where=document.where("attributes"),
        is_written=True,
    )


def _source(document: Document) -> SourceSpec:
    return _checked_source(_attributes(document), lambda *keys: document.where("attributes", *keys))


def _checked_source(attributes: Mapping[str, Any], where: Any) -> SourceSpec:
    known = ("source", "connector", "schedule", "freshness", "config", "translation")
    for key in attributes:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Settings of the connector go under `config:`."
            raise ConfigError(f"{where(key)}: unknown attribute {key!r}. {hint}")
    for key in ("source", "connector"):
        if not isinstance(attributes.get(key), str) or not attributes[key]:
            raise ConfigError(f"{where(key)}: `{key}:` is missing or no text.")
    name = checked_name(attributes["source"], where=f"{where('source')}: ")
    config = attributes.get("config") or {}
    if not isinstance(config, Mapping):
        raise ConfigError(f"{where('config')}: `config:` must hold settings by name.")
    _refuse_templates(config, ("config",), where)
    return SourceSpec(
        source=name,
        connector=attributes["connector"],
        schedule=_schedule(attributes.get("schedule"), where),
        config=config,
        translation=_named(attributes.get("translation"), Translation, "translation", where) or Translation(),
        freshness=_named(attributes.get("freshness"), Freshness, "freshness", where),
        where=where(),
    )


def _schedule(value: Any, where: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value.split()) not in _CRON_FIELDS:
        raise ConfigError(f'{where("schedule")}: schedule must be a cron line of five fields, such as "*/30 * * * *".')
    return value


def _named(value: Any, model: type[S], key: str, where: Any) -> S | None:
    if value is None:
        return None
    try:
        return msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        known = ", ".join(model.__struct_fields__)
        raise ConfigError(f"{where(key)}: {key}: {error}. Known keys: {known}.") from None


def _refuse_templates(value: Any, path: tuple[str | int, ...], where: Any) -> None:
    """`{{ env.X }}` would put the secret into the code server's memory, and the command line could not read it."""
    if isinstance(value, str) and "{{" in value:
        raise ConfigError(f"{where(*path)}: {{{{ … }}}} is not resolved here. Write {{env: NAME}} instead.")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_templates(inner, (*path, key), where)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_templates(inner, (*path, index), where)
