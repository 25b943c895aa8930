"""What `describe` says of an object, and which of its fields are read.

A field that the API user may not see is not in `describe` at all, so what is wanted and missing there is hidden (or never existed).
Left out on purpose: compound fields (their parts are read), binary and encrypted ones, custom formulas (they change without a trace), and the
two fields that are about the API user itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.sdk import FieldDef, VendorError

_UNREAD_TYPES = frozenset({"address", "location", "base64", "complexvalue", "encryptedstring", "anyType"})
_ABOUT_THE_READER = frozenset({"LastViewedDate", "LastReferencedDate"})
_LOSS = re.compile(
    r"\b(lost|loss|lose)|verl[ou]|perd|persa|kalah|gagal|失注|敗|проигр|потер|przegran|kaybet", re.IGNORECASE
)
_REASON = re.compile(
    r"reason|why|grund|motif|motivo|raz[oó]n|raison|raz[aã]o|alasan|理由|原因|причин|pow[oó]d|neden|reden",
    re.IGNORECASE,
)


class Field(msgspec.Struct, frozen=True, array_like=True):
    """One field, as much of it as mapping needs. Array-like: hundreds of them lie in a cursor between two describes."""

    name: str
    type: str
    label: str
    is_custom: bool = False
    is_calculated: bool = False
    is_filterable: bool = True

    @property
    def is_read(self) -> bool:
        """False for a field that is left out."""
        if self.type in _UNREAD_TYPES or self.name in _ABOUT_THE_READER:
            return False
        return not (self.is_custom and self.is_calculated)


class Fields:
    """The fields of one object that the API user sees, in the order of `describe`."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.all = tuple(fields)
        self.types = {field.name: field.type for field in self.all}
        #: Names for a SELECT.
        self.read = tuple(field.name for field in self.all if field.is_read)
        #: Custom fields that are read, with the name under which people know them.
        self.labels = _labels(self.all)

    def __contains__(self, name: object) -> bool:
        return name in self.types

    def without(self, names: Iterable[str]) -> Fields:
        """The same less some."""
        gone = set(names)
        return Fields(field for field in self.all if field.name not in gone)

    def only(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that are there, in their order."""
        return [name for name in names if name in self.types]

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that the API user does not see."""
        return [name for name in names if name not in self.types]

    def has_value(self, names: Iterable[str]) -> str:
        """The condition that one of these fields is filled in; "" where none of them can be asked for. A checkbox always is: only `true` tells."""
        chosen = [field for field in self.all if field.name in set(names) and field.is_read and field.is_filterable]
        parts = [f"{field.name} = true" if field.type == "boolean" else f"{field.name} != null" for field in chosen]
        return f"({' OR '.join(parts)})" if len(parts) > 1 else "".join(parts)

    def unread(self) -> list[str]:
        """Custom formulas: they exist and are left out."""
        return [field.name for field in self.all if field.is_custom and field.is_calculated]

    def loss_reasons(self) -> list[str]:
        """Fields that may hold the reason of a loss, the likeliest first."""
        found = []
        for field in self.all:
            if field.type not in ("picklist", "multipicklist", "string", "textarea", "combobox") or not field.is_custom:
                continue
            words = f"{field.label} {field.name.replace('_', ' ')}"
            score = 2 * bool(_LOSS.search(words)) + bool(_REASON.search(words))
            if score >= 2:
                found.append((-score, field.type != "picklist", field.name))
        return [name for _, _, name in sorted(found)]

    def dumped(self) -> list[Any]:
        """For a cursor."""
        return [msgspec.to_builtins(field) for field in self.all]


def loaded(stored: Any) -> Fields | None:
    """What `dumped` gave, also of an object without fields, which cannot be read; None when it is none."""
    try:
        return None if stored is None else Fields(msgspec.convert(stored, tuple[Field, ...]))
    except msgspec.ValidationError:
        return None


def described(body: Any, what: str) -> Fields:
    """The fields in a describe answer. Raises VendorError for another shape."""
    return Fields(field for field, _ in _pairs(body, what))


def definitions(body: Any, object_type: str, *, more: Mapping[str, Any] | None = None) -> list[FieldDef]:
    """FieldDef records of a describe answer. `more`: field name -> what its raw is to hold besides the vendor's words."""
    found = []
    for field, raw in _pairs(body, object_type):
        extra = (more or {}).get(field.name)
        found.append(
            FieldDef(
                object_type=object_type,
                code=field.name,
                label=field.label,
                field_type=field.type,
                is_custom=field.is_custom,
                is_calculated=field.is_calculated,
                is_read=field.is_read,
                raw=raw if extra is None else {**raw, **extra},
            )
        )
    return found


def _pairs(body: Any, what: str) -> list[tuple[Field, dict[str, Any]]]:
    listed = body.get("fields") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not listed:
        raise VendorError(f"{what}: describe names no fields.")
    found = []
    for raw in listed:
        if raw.get("deprecatedAndHidden"):
            continue
        name = str(raw["name"])
        field = Field(
            name=name,
            type=str(raw.get("type") or "string"),
            label=str(raw.get("label") or name),
            is_custom=bool(raw.get("custom")),
            is_calculated=bool(raw.get("calculated")),
            is_filterable=raw.get("filterable") is not False,
        )
        found.append((field, raw))
    return found


def _labels(fields: Sequence[Field]) -> dict[str, str]:
    """Name -> label of custom fields that are read; a label that several share gets ` (name)`, so that none depends on the others' order."""
    custom = [field for field in fields if field.is_custom and field.is_read]
    times: dict[str, int] = {}
    for field in custom:
        times[field.label] = times.get(field.label, 0) + 1
    # In order of names, so that a replay, which has no order of its own, writes the same text.
    return {
        field.name: field.label if times[field.label] == 1 else f"{field.label} ({field.name})"
        for field in sorted(custom, key=lambda field: field.name)
    }
