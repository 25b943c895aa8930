"""The list of deliberately broken connectors: each is Acme with one thing changed, and names the check that must catch it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from connectors.testing import Check
from tests.contract.acme.connector import Acme


class Broken(msgspec.Struct, frozen=True):
    """`check` must catch it. `also`: why others catch it, too ("" = no other does)."""

    name: str
    what: str
    check: str
    also: str
    connector: type[Acme]


BROKEN: list[Broken] = []


def breaks(check: Check, also: str = "") -> Callable[[type[Acme]], type[Acme]]:
    """Enter a connector into the list; its docstring says what is wrong with it."""

    def entered(connector: type[Acme]) -> type[Acme]:
        what = " ".join((connector.__doc__ or "").split())
        BROKEN.append(Broken(connector.__name__, what, check.name, also, connector))
        return connector

    return entered
