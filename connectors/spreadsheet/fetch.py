"""Bringing tables to this machine: local paths as they are, https addresses and Google Sheets into a folder that lives as long as the sync."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import requests

from connectors.sdk.clock import Clock
from connectors.sdk.errors import ConfigError, TransientError
from connectors.sdk.session import checked_url
from connectors.spreadsheet import files, google, markup, words
from connectors.spreadsheet.files import FileRef
from connectors.spreadsheet.settings import SpreadsheetSettings, Table

_BLOCK = 1 << 20


class Fetcher:
    """Fetches every table of a source. `folder` receives downloads."""

    def __init__(self, settings: SpreadsheetSettings, calls: Any, clock: Clock, folder: Path) -> None:
        self._settings, self._calls, self._clock, self._folder = settings, calls, clock, folder
        self._count = 0

    def fetch(self, tables: Sequence[Table]) -> tuple[list[Table], list[list[FileRef]]]:
        """(tables, with locale and zone that a Google Sheet states where the settings do not; their files)."""
        found: list[list[FileRef]] = []
        settled: list[Table] = []
        kept: dict[str, FileRef] = {}
        for table in tables:
            if table.google_sheet_id is None and table.path is not None and not is_address(table.path):
                settled.append(table)
                found.append(files.resolve(table.path))
                continue
            source = table.google_sheet_id or table.path or ""
            gid = None
            link = google.id_in_link(source)
            if link is not None:
                source, gid = link
            if table.google_sheet_id is None and link is None:
                settled.append(table)
                found.append([self._download(source, None)])
            elif self._has_key():
                if source not in kept:
                    kept[source] = self._google(source)
                settled.append(_as_stated(table, kept[source].path))
                found.append([kept[source]])
            else:
                sheets = table.sheets or ((gid,) if gid else ())
                address = google.export_address(source, sheets, self._settings.base_url)
                settled.append(msgspec.structs.replace(table, sheets=()))
                found.append(
                    [self._download(address, f"google-sheet-{gid or sheets[0] if sheets else 'first-tab'}.csv")]
                )
        return settled, found

    def _has_key(self) -> bool:
        return bool(self._settings.api_key or self._settings.service_account)

    def _google(self, sheet_id: str) -> FileRef:
        where = "google_sheet_id"
        account = None
        if self._settings.service_account:
            account = google.ServiceAccount(self._settings.service_account.reveal(), where=where)
        key = self._settings.api_key.reveal() if self._settings.api_key else None
        base = (
            checked_url(self._settings.base_url, where="base_url", loopback_only=True)
            if self._settings.base_url
            else None
        )
        content = google.SheetsApi(self._calls, base_url=base, api_key=key, account=account).read(sheet_id, where)
        self._within(len(content), where)
        path = self._place("sheet" + google.SUFFIX)
        path.write_bytes(content)
        return FileRef(path, "google-sheet", self._clock.now().timestamp())

    def _download(self, address: str, name: str | None) -> FileRef:
        address = checked_url(address, where="path")
        shown = name or unquote(Path(urlsplit(address).path).name) or "table.csv"
        session: requests.Session = self._calls.session()
        path = self._place(shown)
        with session.get(address, stream=True) as response:
            self._judge(response, shown)
            size = 0
            with path.open("wb") as handle:
                try:
                    for block in response.iter_content(_BLOCK):
                        size += len(block)
                        self._within(size, shown)
                        handle.write(block)
                except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
                    raise TransientError(
                        f"{shown}: the download broke off. It is tried again at the next sync."
                    ) from None
            expected = response.headers.get("Content-Length")
            if (
                expected
                and expected.isdigit()
                and not response.headers.get("Content-Encoding")
                and size < int(expected)
            ):
                raise TransientError(
                    f"{shown}: the download broke off at {size} of {expected} bytes. It is tried again at the next sync."
                )
            modified = _modified(response.headers.get("Last-Modified"), self._clock.now())
        head = path.read_bytes()[:200_000]
        if files.kind_of(head) == "markup" and b"<table" not in head.lower():
            raise ConfigError(markup.why_not(head.decode("utf-8", "replace"), shown))
        return FileRef(path, shown, modified.timestamp())

    def _judge(self, response: requests.Response, shown: str) -> None:
        status = response.status_code
        if status in (401, 403):
            raise ConfigError(
                f"{shown}: the address refuses to show the sheet ({status}). Share it, or use credentials."
            )
        if status == 404:
            raise ConfigError(f"{shown}: there is nothing at this address (404). Correct `path` or `google_sheet_id`.")
        if status >= 400:
            raise TransientError(f"{shown}: the server answered {status}. It is tried again at the next sync.")

    def _within(self, size: int, shown: str) -> None:
        limit = self._settings.size_limit_mb
        if size > limit * 1_000_000:
            raise ConfigError(f"{shown}: is over the limit of {limit} MB. Raise `size_limit_mb` or split the table.")

    def _place(self, name: str) -> Path:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return folder / name.replace("/", "_")


def is_address(path: str) -> bool:
    """True for web addresses."""
    return path.lower().startswith(("https://", "http://"))


def _modified(header: str | None, now: datetime) -> datetime:
    """When the server says the file changed, never later than now; now where it does not say."""
    if header:
        try:
            at = parsedate_to_datetime(header)
            return min(at if at.tzinfo else at.replace(tzinfo=UTC), now)
        except ValueError:
            pass
    return now


def _as_stated(table: Table, path: Path) -> Table:
    """The sheet's own locale and time zone where the settings are silent."""
    name, zone = google.properties(path)
    locale = table.locale
    if locale is None and name:
        try:
            locale = words.locale(name)
        except ConfigError:
            locale = None
    return msgspec.structs.replace(
        table, locale=locale, timezone=table.timezone if table.is_zone_set else zone or "UTC"
    )
