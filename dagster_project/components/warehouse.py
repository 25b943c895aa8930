"""The YAML vocabulary of the warehouse: `type: dagster_project.components.Warehouse`. Its attributes are `warehouse.settings`' own."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any

import dagster as dg
import msgspec
from pydantic import Field, create_model

from dagster_project.components.names import AssetNames
from warehouse.settings import Thresholds, WarehouseSettings


def _fields(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Every field as pydantic wants it, None = not written; what a value may be is judged by msgspec, once, for both faces."""
    return {
        field.name: (Annotated[_plain(field.type) | None, Field(description=_description(field))], None)
        for field in msgspec.structs.fields(model)
    }


def _plain(kind: Any) -> Any:
    """The type without its constraints: a settings struct becomes a resolvable model, a tuple a list."""
    if typing.get_origin(kind) is Annotated:
        kind = kind.__origin__
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return create_model(f"{kind.__name__}Model", __base__=_Part, **_fields(kind))
    if typing.get_origin(kind) is tuple:
        return types.GenericAlias(list, typing.get_args(kind)[:1])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(kind) if arg is not type(None))
    return kind


def _description(field: msgspec.structs.FieldInfo) -> str:
    words = next((extra.description for extra in getattr(field.type, "__metadata__", ()) if extra.description), "")
    default = field.default
    if isinstance(default, msgspec.Struct) or default is msgspec.NODEFAULT:
        return words
    return f"{words} Default: {default!r}." if default not in (None, ()) else words


class _Part(dg.Model, dg.Resolvable):
    """Base of nested vocabulary."""


class _Warehouse(dg.Component, dg.Model, dg.Resolvable):
    """How the warehouse is built: reporting currency and zone, rates, stage mapping, thresholds. Everything has a default."""

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            description="How the pipeline warehouse is built and published. Optional; one per project.",
            tags=["muara", "duckdb", "warehouse"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The warehouse's assets and checks, its job and its automation."""
        from dagster_project.wiring import warehouse_definitions  # noqa: PLC0415 - `dg list components` needs no assets

        return warehouse_definitions(context.project_root)


_TRANSLATION: dict[str, Any] = {
    "translation": (Annotated[AssetNames | None, Field(description="Other names for its assets.")], None)
}
Warehouse = create_model(
    "Warehouse",
    __base__=_Warehouse,
    __module__=__name__,
    __doc__=_Warehouse.__doc__,
    **_fields(WarehouseSettings),
    **_TRANSLATION,
)

__all__ = ["Thresholds", "Warehouse"]
