"""HubSpot's answers as typed structs; only what is used. Values of properties are text or null, whatever their type."""

from __future__ import annotations

from typing import Any

import msgspec

Properties = dict[str, str | None]


class Entry(msgspec.Struct):
    """One version of a property. A cleared value is an empty text."""

    value: str | None = None
    timestamp: str | None = None
    sourceType: str | None = None  # noqa: N815  (the vendor's names)
    sourceId: str | None = None  # noqa: N815
    updatedByUserId: int | str | None = None  # noqa: N815


class Link(msgspec.Struct):
    """An associated record in a list answer; the same company may come twice (labelled and unlabelled)."""

    id: int | str
    type: str = ""


class Links(msgspec.Struct):
    """Associated records of one kind."""

    results: list[Link] = []


class DealAnswer(msgspec.Struct):
    """One deal. `properties` and `history` stay undecoded here: the first goes into `raw` as it came."""

    id: str
    properties: msgspec.Raw
    propertiesWithHistory: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815
    associations: dict[str, Links] = {}
    createdAt: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    archived: bool = False
    archivedAt: str | None = None  # noqa: N815


class Next(msgspec.Struct):
    """Where the next page starts; opaque."""

    after: str


class Paging(msgspec.Struct):
    """The end of a page."""

    next: Next | None = None


class Page(msgspec.Struct):
    """A page of any objects, each undecoded, so that one bad object spoils only itself."""

    results: list[msgspec.Raw] = []
    paging: Paging | None = None
    total: int | None = None
    errors: list[dict[str, Any]] = []

    @property
    def after(self) -> str | None:
        """The cursor of the next page, None on the last one."""
        return self.paging.next.after if self.paging and self.paging.next else None


_PROPERTIES = msgspec.json.Decoder(Properties)
_HISTORY = msgspec.json.Decoder(dict[str, list[Entry]] | None)
_DEAL = msgspec.json.Decoder(DealAnswer)
_PAGE = msgspec.json.Decoder(Page)


def page(body: bytes) -> Page:
    """Decode a page. Raises msgspec.MsgspecError for anything else."""
    return _PAGE.decode(body)


class Read(msgspec.Struct):
    """A decoded deal, ready for mapping."""

    id: str
    properties: Properties
    history: dict[str, list[Entry]] | None
    company_id: str | None
    archived: bool
    archived_at: str | None
    raw: msgspec.Raw


def deal(body: msgspec.Raw | bytes) -> Read:
    """Decode one deal of a page. `raw` keeps everything but the history, which lands event by event."""
    found = _DEAL.decode(body)
    history = _HISTORY.decode(found.propertiesWithHistory)
    head = msgspec.json.encode(
        {"id": found.id, "createdAt": found.createdAt, "updatedAt": found.updatedAt, "archived": found.archived}
    )
    raw = msgspec.Raw(head[:-1] + b',"properties":' + bytes(found.properties) + b"}")
    return Read(
        id=found.id,
        properties=_PROPERTIES.decode(found.properties),
        history=history,
        company_id=primary_company(found.associations),
        archived=found.archived,
        archived_at=found.archivedAt,
        raw=raw,
    )


def primary_company(associations: dict[str, Links]) -> str | None:
    """The primary company: HubSpot lists it as `deal_to_company`, and again as unlabelled."""
    links = associations.get("companies", Links()).results
    primary = [link for link in links if link.type == "deal_to_company"]
    chosen = (primary or links)[:1]
    return str(chosen[0].id) if chosen else None
