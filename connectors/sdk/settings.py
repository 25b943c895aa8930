"""Settings models: what a source's `config:` may say, checked before anything runs.

Any value may be `{env: NAME}`; `resolve` reads it from the environment mapping that it is handed (only `dagster_project` reads the
real one), inside the step and never when definitions load.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

import msgspec

from connectors.sdk.errors import ConfigError


class Secret(str):
    """A value that never prints itself. `reveal()` gives the text; equality and truth work as for text."""

    __slots__ = ()

    def reveal(self) -> str:
        """The secret text, to be put into a request and nowhere else."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)


_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class ConnectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that every connector has. Subclass it; give each field a type, a default and a `Meta(description=...)`."""

    start_date: Annotated[str | None, msgspec.Meta(description="Only deals modified since this date (YYYY-MM-DD).")] = (
        None
    )
    overlap_minutes: Annotated[
        int,
        msgspec.Meta(ge=0, description="How far each increment reaches back before its cursor, against late commits."),
    ] = 10
    daily_call_budget: Annotated[
        _AtLeastOne | None,
        msgspec.Meta(description="Stop as partial after this many calls (or tokens) a day for the account."),
    ] = None
    quota_reserve: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=0.95,
            description="Share of the vendor's own daily quota that is left to the account's other apps: the sync stops as partial there.",
        ),
    ] = 0.1
    page_size: Annotated[
        _AtLeastOne | None, msgspec.Meta(description="Rows a page; default: the vendor's maximum.")
    ] = None
    zero_amount: Annotated[
        Literal["zero", "unknown", "unknown_if_lost"],
        msgspec.Meta(description="What an amount of 0 means: a real zero, not known, or not known for lost deals."),
    ] = "zero"


def is_env_ref(value: Any) -> bool:
    """True for `{env: NAME}`."""
    return isinstance(value, Mapping) and set(value) == {"env"} and isinstance(value["env"], str)


def env_names(config: Any) -> list[str]:
    """Names of all environment variables that a config refers to, in order."""
    if is_env_ref(config):
        return [config["env"]]
    if isinstance(config, Mapping):
        return [name for value in config.values() for name in env_names(value)]
    if isinstance(config, list | tuple):
        return [name for value in config for name in env_names(value)]
    return []


def resolve(config: Any, env: Mapping[str, str], *, where: str) -> Any:
    """Replace every `{env: NAME}` by its value. Raises ConfigError naming the missing variable (never a value)."""
    if is_env_ref(config):
        name = config["env"]
        if name not in env or env[name] == "":
            raise ConfigError(f"{where}: environment variable {name} is not set. Set it where the sync runs.")
        return env[name]
    if isinstance(config, Mapping):
        return {key: resolve(value, env, where=f"{where}.{key}") for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [resolve(value, env, where=f"{where}[{index}]") for index, value in enumerate(config)]
    return config


def _dec_hook(target: type, value: Any) -> Any:
    if target is Secret:
        if not isinstance(value, str):
            raise ValueError(f"expected text, got {type(value).__name__}: write it in quotes")
        return Secret(value)
    raise NotImplementedError(f"no conversion to {target}")


S = typing.TypeVar("S", bound=ConnectorSettings)


def load(model: type[S], config: Mapping[str, Any], *, where: str) -> S:
    """Check a resolved config against a settings model. Raises ConfigError naming the key, and the nearest known key for a typo."""
    known = model.__struct_fields__
    for key in config:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known settings: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown setting {key!r}.{hint}")
    try:
        return msgspec.convert(dict(config), model, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        message = _without_values(str(error))
    try:
        # A variable's value is always text, whatever the setting's type: `page_size: {env: PAGE_SIZE}` means the number.
        return msgspec.convert(dict(config), model, dec_hook=_dec_hook, strict=False)
    except msgspec.ValidationError:
        raise ConfigError(f"{where}: {message}") from None


def check_shape(model: type[ConnectorSettings], config: Mapping[str, Any], *, where: str) -> None:
    """Check keys, and the types of values that are not `{env: ...}`, without reading any variable: for when definitions load."""
    literal = {key: value for key, value in config.items() if not env_names(value)}
    missing = [f.name for f in msgspec.structs.fields(model) if f.required and f.name not in config]
    if missing:
        raise ConfigError(f"{where}: missing setting(s): {', '.join(missing)}.")
    for key in config:
        if key not in model.__struct_fields__:
            load(model, {key: config[key]}, where=where)
    optional_view = msgspec.defstruct(
        f"{model.__name__}Shape",
        [(f.name, f.type | None, None) for f in msgspec.structs.fields(model)],
        kw_only=True,
    )
    try:
        msgspec.convert(literal, optional_view, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_without_values(str(error))}") from None


def secrets_of(settings: ConnectorSettings) -> list[str]:
    """Every secret value in a settings object, for redaction by value. Short ones (< 6 characters) too: they are still secrets."""
    found: list[str] = []
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Secret) and value.reveal():
            found.append(value.reveal())
    return found


def describe(model: type[ConnectorSettings]) -> list[dict[str, Any]]:
    """One row per setting: name, type in words, default (secrets none), required, description. For docs and scaffolding."""
    rows = []
    for field in msgspec.structs.fields(model):
        description, kind = _meta_of(field.type)
        default = None if field.default is msgspec.NODEFAULT else field.default
        rows.append(
            {
                "name": field.name,
                "type": kind,
                "required": field.required,
                "default": default,
                "description": description,
            }
        )
    return rows


def _meta_of(kind: Any) -> tuple[str, str]:
    description = ""
    if typing.get_origin(kind) is Annotated:
        for extra in kind.__metadata__:
            description = getattr(extra, "description", None) or description
        kind = kind.__origin__
    return description, _type_words(kind)


def _type_words(kind: Any) -> str:
    if kind is Secret:
        return "secret"
    if typing.get_origin(kind) is Annotated:
        return _type_words(kind.__origin__)
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_words(arg) for arg in typing.get_args(kind) if arg is not type(None))
    if origin is Literal:
        return " | ".join(str(arg) for arg in typing.get_args(kind))
    if origin is not None:
        return str(origin.__name__)
    return {str: "text", int: "integer", float: "number", bool: "true/false"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


def _without_values(message: str) -> str:
    """Msgspec's messages name the type and the path; they quote no value except for literals, which are ours."""
    return message.replace("`$.", "`").replace("`$`", "settings")
