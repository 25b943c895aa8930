"""A connector that does all that a careless one could: its token is in warnings, rejects, log lines and errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from connectors.sdk.connector import Connector, Finding, Sync, stream
from connectors.sdk.errors import TransientError, VendorError
from connectors.sdk.records import Deal, Record, Reject, SourceInfo, Warn
from connectors.sdk.settings import ConnectorSettings, Secret


class LeakySettings(ConnectorSettings, frozen=True, kw_only=True):
    """`fail`: how the sync ends."""

    token: Secret
    fail: str = "no"


class Leaky(Connector):
    """Leaks wherever it can."""

    name = "leaky"
    title = "Leaky CRM"
    Settings = LeakySettings
    settings: LeakySettings

    @stream(SourceInfo, Deal)
    def deals(self, sync: Sync) -> Iterator[Record]:
        """One deal, and much talk."""
        token = self.settings.token.reveal()
        url = f"https://api.example.com/deals?api_token={token}"
        yield SourceInfo(account_id="1", name="Leaky")
        yield Warn(code="leak", message=f"slow answer of {url}")
        yield Reject(stream="deals", reason="leak", detail=f"cannot decode {url}")
        yield Deal(deal_id="1", name="Alpha")
        logging.getLogger("leaky").warning("GET %s", url)
        sync.progress(1, 2, url)
        if self.settings.fail == "vendor":
            raise VendorError(f"unexpected answer of {url}")
        if self.settings.fail == "transient":
            raise TransientError(f"no answer of {url}", retry_after_s=0)
        if self.settings.fail == "bug":
            raise ZeroDivisionError(f"in {url}")

    def check(self, sync: Sync) -> list[Finding]:
        """Leaks too."""
        raise VendorError(f"refused: Bearer {self.settings.token.reveal()}")
