"""Paging without I/O: a paginator says what to ask next and looks at what came. The request itself stays with the connector.

    {"results": [...], "paging": {"next": {"after": "100"}}}

    for answer in walk(TokenPages("after", at=("paging", "next", "after")), ask):
        yield from map(deal, answer["results"])

where `ask(request)` sends `request.params` (or `request.url`) and returns the decoded answer. No paginator takes an empty or short page
for the end unless its rule says so, and each refuses to ask the same thing twice (VendorError), which would never end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from connectors.sdk.errors import VendorError

A = TypeVar("A")

#: Where a value stands in an answer: names from the outside in.
Path = Sequence[str | int]


class PageRequest(msgspec.Struct, frozen=True):
    """What the next request adds: query parameters, or a whole URL instead."""

    params: Mapping[str, Any] = {}
    url: str | None = None


class Paginator(Protocol):
    """`request` is what to ask next, None at the end; `saw` moves on by what was answered."""

    @property
    def request(self) -> PageRequest | None:
        """What to ask next; None when all has been read."""

    def saw(self, answer: Any, rows: Sequence[Any]) -> None:
        """Move on. `rows` are the rows of this page. Raises VendorError when the source goes in circles."""


def walk(
    pages: Paginator, ask: Callable[[PageRequest], A], rows: Callable[[A], Sequence[Any]] = lambda _: ()
) -> Iterator[A]:
    """Every page's answer in order. `rows` finds a page's rows in its answer; offset and keyset paginators need it."""
    while (request := pages.request) is not None:
        answer = ask(request)
        pages.saw(answer, rows(answer))
        yield answer


def dig(answer: Any, path: Path) -> Any:
    """The value at `path`, None when something on the way is missing."""
    for name in path:
        if isinstance(answer, Mapping):
            answer = answer.get(name)
        elif isinstance(answer, Sequence) and not isinstance(answer, str) and isinstance(name, int):
            answer = answer[name] if -len(answer) <= name < len(answer) else None
        else:
            return None
    return answer


class _Steps:
    """The request now, and the positions that were asked before."""

    def __init__(self, what: str, request: PageRequest) -> None:
        self._what = what
        self._request: PageRequest | None = request
        self._asked: set[int] = set()

    @property
    def request(self) -> PageRequest | None:
        """What to ask next; None when all has been read."""
        return self._request

    def _end(self) -> None:
        self._request = None

    def _go_to(self, position: Any, request: PageRequest) -> None:
        # Hashes keep this small over millions of pages.
        mark = hash(str(position))
        if mark in self._asked:
            raise VendorError(
                f"paging goes in circles: the source gave the same {self._what} again; reading was stopped."
            )
        self._asked.add(mark)
        self._request = request


class TokenPages(_Steps):
    """An opaque token in the answer (`at`) goes into parameter `param`; no token, null or "" is the end.

    `more`: a flag in the answer; where it is False the end has come whatever the token says. `start`: a token to resume from.
    """

    def __init__(self, param: str, *, at: Path, more: Path | None = None, start: str | None = None) -> None:
        super().__init__("page token", PageRequest({} if start is None else {param: start}))
        self._param, self._at, self._more = param, at, more
        if start is not None:
            self._asked.add(hash(str(start)))

    def saw(self, answer: Any, rows: Sequence[Any] = ()) -> None:
        """Take the token of this answer."""
        token = dig(answer, self._at)
        if token is None or token == "" or (self._more is not None and dig(answer, self._more) is False):
            self._end()
        else:
            self._go_to(str(token), PageRequest({self._param: token}))


class OffsetPages(_Steps):
    """Row numbers: `offset` counts from 0. How the end is known must be said, exactly one way:

    `more`: a flag in the answer; `total`: the number of all rows in the answer; `ends`: with the first "empty" or "short" page.
    `next_at`: where the answer gives the next offset (else offset + rows). `limit` is sent as `limit_param` where that is given.
    """

    def __init__(
        self,
        *,
        limit: int,
        offset_param: str = "offset",
        limit_param: str | None = "limit",
        more: Path | None = None,
        total: Path | None = None,
        ends: Literal["empty", "short"] | None = None,
        next_at: Path | None = None,
        start: int = 0,
    ) -> None:
        if [more, total, ends].count(None) != 2:
            raise ValueError("say in exactly one way how the end is known: more, total or ends")
        self._offset_param, self._limit_param, self._limit = offset_param, limit_param, limit
        self._more, self._total, self._ends, self._next_at = more, total, ends, next_at
        self._offset = start
        super().__init__("offset", self._page())
        self._asked.add(hash(str(start)))

    def saw(self, answer: Any, rows: Sequence[Any]) -> None:
        """Move on by the rows of this page, or to where the answer says."""
        told = dig(answer, self._next_at) if self._next_at is not None else None
        following = int(told) if told is not None else self._offset + len(rows)
        if self._is_end(answer, len(rows), following):
            self._end()
            return
        self._offset = following
        self._go_to(following, self._page())

    def _is_end(self, answer: Any, count: int, following: int) -> bool:
        if self._more is not None:
            return not dig(answer, self._more)
        if self._total is not None:
            total = dig(answer, self._total)
            if total is None:
                raise VendorError("paging: the answer does not say how many rows there are; reading was stopped.")
            return following >= int(total)
        return count == 0 or (self._ends == "short" and count < self._limit)

    def _page(self) -> PageRequest:
        params: dict[str, Any] = {self._offset_param: self._offset}
        if self._limit_param is not None:
            params[self._limit_param] = self._limit
        return PageRequest(params)


class LinkPages(_Steps):
    """The answer holds the next page's URL (`at`), whole or relative to `base`; none is the end.

    A link to another host than `base` is refused: following it would hand over the credentials.
    """

    def __init__(self, base: str, *, at: Path, start: str | None = None) -> None:
        first = None if start is None else urljoin(base, start)
        super().__init__("next link", PageRequest(url=first))
        self._base, self._at = base, at

    def saw(self, answer: Any, rows: Sequence[Any] = ()) -> None:
        """Take the link of this answer."""
        link = dig(answer, self._at)
        if not link:
            self._end()
            return
        url = urljoin(self._base, str(link))
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise VendorError("paging: the next page's link leads to another host; reading was stopped.")
        self._go_to(url, PageRequest(url=url))


class KeysetPages(_Steps):
    """Rows in order of a key: the next page starts after the last row's key. `params` makes the request from that key (None: the first).

    Ends with the first empty page, or with `more` where the answer has such a flag. A page that does not end on a new key is refused.
    """

    def __init__(
        self,
        params: Callable[[Any], Mapping[str, Any]],
        *,
        key: Callable[[Any], Any],
        more: Path | None = None,
        start: Any = None,
    ) -> None:
        super().__init__("last key", PageRequest(params(start)))
        self._params, self._key, self._more = params, key, more
        if start is not None:
            self._asked.add(hash(str(start)))

    def saw(self, answer: Any, rows: Sequence[Any]) -> None:
        """Take the last row's key."""
        if self._more is not None and not dig(answer, self._more):
            self._end()
        elif rows:
            last = self._key(rows[-1])
            self._go_to(last, PageRequest(self._params(last)))
        elif self._more is None:
            self._end()
        else:
            raise VendorError(
                "paging: the source promises more rows after an empty page, but not where; reading was stopped."
            )
