"""HubSpot's answers as typed structs; only what is used. Values of properties are text or null, whatever their type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from connectors.sdk import VendorError

Properties = dict[str, str | None]


class Entry(msgspec.Struct):
    """One version of a property. A cleared value is an empty text."""

    value: str | None = None
    timestamp: str | None = None
    sourceType: str | None = None  # noqa: N815  (the vendor's names)
    sourceId: str | None = None  # noqa: N815
    updatedByUserId: int | str | None = None  # noqa: N815


History = dict[str, list[Entry]]


class Link(msgspec.Struct):
    """An associated record in a list answer; the same company may come twice (labelled and unlabelled)."""

    id: int | str
    type: str | None = None


class Links(msgspec.Struct):
    """Associated records of one kind."""

    results: list[Link] | None = None


Associations = dict[str, Links | None]


class DealAnswer(msgspec.Struct):
    """One deal. `properties` and `history` stay undecoded here: the first goes into `raw` as it came."""

    id: str | int
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    propertiesWithHistory: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815
    associations: Associations | None = None
    createdAt: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    archived: bool | None = None
    archivedAt: str | None = None  # noqa: N815


class Lean(msgspec.Struct):
    """A deal or company of a list, little more than its id."""

    id: str | int
    properties: dict[str, Any] | None = None
    associations: Associations | None = None
    updatedAt: str | None = None  # noqa: N815
    archived: bool | None = None
    archivedAt: str | None = None  # noqa: N815

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @property
    def modified(self) -> str | None:
        """When it last changed, as HubSpot writes it."""
        return text((self.properties or {}).get("hs_lastmodifieddate")) or self.updatedAt

    @property
    def company(self) -> str | None:
        """Its primary company."""
        return primary_company(self.associations)


class Next(msgspec.Struct):
    """Where the next page starts; opaque."""

    after: str | int | None = None


class Paging(msgspec.Struct):
    """The end of a page."""

    next: Next | None = None


class Page(msgspec.Struct):
    """A page of any objects, each undecoded, so that one bad object spoils only itself."""

    items: list[msgspec.Raw] | None = msgspec.field(name="results", default=None)
    paging: Paging | None = None
    total: int | None = None

    @property
    def results(self) -> list[msgspec.Raw]:
        """The objects, none for null."""
        return self.items or []

    @property
    def after(self) -> str | None:
        """The cursor of the next page, None on the last one."""
        after = self.paging.next.after if self.paging and self.paging.next else None
        return None if after is None or after == "" else str(after)


_PROPERTIES = msgspec.json.Decoder(Properties)
_HISTORY = msgspec.json.Decoder(dict[str, list[Entry]] | None)
_DEAL = msgspec.json.Decoder(DealAnswer)
_LEAN = msgspec.json.Decoder(Lean)
_PAGE = msgspec.json.Decoder(Page)
_ANY = msgspec.json.Decoder(float_hook=Decimal)


def page(body: bytes) -> Page:
    """Decode a page. Raises VendorError for anything else."""
    try:
        return _PAGE.decode(body)
    except msgspec.MsgspecError as error:
        raise VendorError(f"a page that is not of HubSpot's shape: {error}") from None


def lean(item: msgspec.Raw) -> Lean:
    """Id and little more of one object. Raises msgspec.MsgspecError."""
    return _LEAN.decode(item)


class Read(msgspec.Struct):
    """A decoded deal, ready for mapping."""

    id: str
    properties: Properties
    history: History | None
    company_id: str | None
    #: None where the answer does not say it.
    archived: bool | None
    archived_at: str | None
    raw: msgspec.Raw


def deal(body: msgspec.Raw | bytes) -> Read:
    """Decode one deal of a page. `raw` keeps everything but the history, which lands event by event. Raises msgspec.MsgspecError."""
    found = _DEAL.decode(body)
    key = str(found.id)
    properties = _properties(found.properties)
    for name, at in (("createdate", found.createdAt), ("hs_lastmodifieddate", found.updatedAt)):
        # The same instants stand beside the properties; an answer may hold them only there.
        if at and not properties.get(name):
            properties[name] = at
    head = msgspec.json.encode(
        {"id": key, "createdAt": found.createdAt, "updatedAt": found.updatedAt, "archived": bool(found.archived)}
    )
    return Read(
        id=key,
        properties=properties,
        history=_history(found.propertiesWithHistory),
        company_id=primary_company(found.associations),
        archived=found.archived,
        archived_at=found.archivedAt,
        raw=msgspec.Raw(head[:-1] + b',"properties":' + bytes(found.properties) + b"}"),
    )


def _properties(body: msgspec.Raw) -> Properties:
    try:
        return _PROPERTIES.decode(body)
    except msgspec.ValidationError:
        return {name: text(value) for name, value in (_ANY.decode(body) or {}).items()}


def _history(body: msgspec.Raw) -> History | None:
    try:
        found: History | None = _HISTORY.decode(body)
        return found
    except msgspec.ValidationError:
        return {
            name: [Entry(**{key: text(entry.get(key)) for key in Entry.__struct_fields__}) for entry in entries or ()]
            for name, entries in (_ANY.decode(body) or {}).items()
        }


def text(value: Any) -> str | None:
    """A value as HubSpot documents it, text or null, where an answer has a number, a flag or a list instead."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else msgspec.json.encode(value).decode()


def primary_company(associations: Associations | None) -> str | None:
    """The primary company: HubSpot lists it as `deal_to_company`, and again as unlabelled."""
    companies = (associations or {}).get("companies")
    links = (companies.results if companies else None) or []
    primary = [link for link in links if link.type == "deal_to_company"]
    chosen = (primary or links)[:1]
    return str(chosen[0].id) if chosen else None


class _To(msgspec.Struct):
    toObjectId: int | str  # noqa: N815
    associationTypes: list[dict[str, Any]] | None = None  # noqa: N815

    @property
    def is_primary(self) -> bool:
        return any(kind.get("label") == "Primary" for kind in self.associationTypes or ())


class _FromTo(msgspec.Struct, rename={"from_": "from"}):
    from_: Link
    to: list[_To] | None = None


class _Associated(msgspec.Struct):
    results: list[msgspec.Raw] | None = None


_ASSOCIATED = msgspec.json.Decoder(_Associated)
_FROM_TO = msgspec.json.Decoder(_FromTo)


def companies(body: bytes) -> dict[str, str]:
    """Deal id -> its primary company, else its first one; from an answer of the associations. Raises VendorError."""
    try:
        answer = _ASSOCIATED.decode(body)
    except msgspec.MsgspecError as error:
        raise VendorError(f"associations that are not of HubSpot's shape: {error}") from None
    found: dict[str, str] = {}
    for item in answer.results or ():
        try:
            result = _FROM_TO.decode(item)
        except msgspec.ValidationError:
            continue  # that deal is without a company; the others are not
        to = result.to or []
        chosen = ([company for company in to if company.is_primary] or to)[:1]
        if chosen:
            found[str(result.from_.id)] = str(chosen[0].toObjectId)
    return found
