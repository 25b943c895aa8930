"""Google Sheets: by API v4 with a service account or an API key, or the public CSV export when there is neither.

API       GET /v4/spreadsheets/{id}?fields=... (tabs, locale, time zone), then one values:batchGet for all tabs: two calls a sync
Values    UNFORMATTED_VALUE and SERIAL_NUMBER: numbers and days as numbers, whatever the sheet's locale; trailing empty cells are omitted
Auth      service account: the sheet must be shared with its e-mail; scope spreadsheets.readonly. API key: sheets open to anyone
Export    https://docs.google.com/spreadsheets/d/{id}/export?format=csv&gid={gid}: one tab as formatted text; a private one answers with HTML
Quota     60 reads a minute and user; 429 is waited out by the call policy
Source    developers.google.com/workspace/sheets/api (reference and limits), read 2026-11
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from connectors.sdk.auth import Grant, OAuth
from connectors.sdk.errors import ConfigError, VendorError
from connectors.spreadsheet.grid import Cell, MemoryGrid

API = "https://sheets.googleapis.com"
EXPORT = "https://docs.google.com"
TOKEN = "https://oauth2.googleapis.com/token"  # noqa: S105  (an address)
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
SUFFIX = ".gsheet"
_FIELDS = "properties(title,locale,timeZone),sheets.properties(sheetId,title,index,sheetType,hidden)"
_LINK = re.compile(r"https://docs\.google\.com/spreadsheets/d/([\w-]+)(?:/[^#?]*)?(?:[#?&].*?gid=(\d+))?.*")


def id_in_link(address: str) -> tuple[str, str | None] | None:
    """(sheet id, gid or None) of a link as the browser shows it, None for other addresses."""
    match = _LINK.fullmatch(address)
    return (match[1], match[2]) if match and "/export" not in address and "/pub" not in address else None


class ServiceAccount:
    """A service account's key: its e-mail, and fresh signed assertions for the token endpoint (RFC 7523)."""

    def __init__(self, text: str, *, where: str) -> None:
        try:
            if not text.lstrip().startswith("{"):
                text = Path(text).expanduser().read_text(encoding="utf-8")
            key = json.loads(text)
            self.email: str = key["client_email"]
            self._private: str = key["private_key"]
            self.token_url: str = key.get("token_uri") or TOKEN
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{where}: `service_account` is neither the JSON key of a service account nor the path of one."
            ) from None

    def auth(self, calls: Any, token_url: str | None) -> OAuth:
        """Credentials that fetch a token when needed."""
        fetch = _Asserting(self, calls, token_url or self.token_url)
        return OAuth(fetch, clock=calls.clock, tokens=calls.tokens)

    def assertion(self, calls: Any, audience: str) -> str:
        """A signed assertion of now, good for an hour. Raises ConfigError for a key that cannot sign."""
        import jwt  # noqa: PLC0415  (only service accounts need it; it comes with simple-salesforce)

        now = int(calls.clock.now().timestamp())
        claims = {"iss": self.email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + 3600}
        try:
            signed: str = jwt.encode(claims, self._private, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise ConfigError(
                "service_account: the private key in it cannot be used. Download a new JSON key."
            ) from None
        return signed


class _Asserting:
    """Fetches tokens, each with an assertion of its own. `identity` is what its stored tokens are known by."""

    def __init__(self, account: ServiceAccount, calls: Any, url: str) -> None:
        self._account, self._calls, self._session, self._url = account, calls, calls.session(), url
        self.identity = f"{url} {account.email}"

    def __call__(self, _: str | None) -> Any:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self._account.assertion(self._calls, self._url),
        }
        return Grant(self._calls, self._session, self._url, form=form, basic=None, identity=self._account.email)(None)


class SheetsApi:
    """Reads a whole spreadsheet in two calls."""

    def __init__(
        self, calls: Any, *, base_url: str | None, api_key: str | None, account: ServiceAccount | None
    ) -> None:
        self._base = (base_url or API).rstrip("/")
        self._account = account
        self._key = None if account else api_key
        if self._key:
            calls.redactor.add(self._key)
        auth = account.auth(calls, f"{self._base}/token" if base_url else None) if account else None
        calls.pool("default", limit=55, interval_s=60)
        self._session: requests.Session = calls.session(auth=auth, base_url=self._base)

    def read(self, sheet_id: str, where: str) -> bytes:
        """Tabs, locale, time zone and all values of a spreadsheet, as JSON that `grids` understands."""
        about = self._get(f"/v4/spreadsheets/{quote(sheet_id)}", [("fields", _FIELDS)], where)
        tabs = [entry.get("properties", {}) for entry in about.get("sheets", [])]
        tabs = [tab for tab in tabs if tab.get("sheetType", "GRID") == "GRID" and tab.get("title")]
        tabs.sort(key=lambda tab: tab.get("index", 0))
        values: list[Any] = []
        if tabs:
            ranges = [("ranges", "'" + tab["title"].replace("'", "''") + "'") for tab in tabs]
            how = [
                ("valueRenderOption", "UNFORMATTED_VALUE"),
                ("dateTimeRenderOption", "SERIAL_NUMBER"),
                ("majorDimension", "ROWS"),
            ]
            answer = self._get(f"/v4/spreadsheets/{quote(sheet_id)}/values:batchGet", ranges + how, where)
            values = answer.get("valueRanges", [])
        if len(values) != len(tabs):
            raise VendorError(
                f"{where}: Google answered with {len(values)} ranges for {len(tabs)} tabs. Try again; report it if it stays."
            )
        content = {
            "properties": about.get("properties", {}),
            "tabs": [
                {"title": tab["title"], "hidden": bool(tab.get("hidden")), "rows": ranged.get("values", [])}
                for tab, ranged in zip(tabs, values, strict=True)
            ],
        }
        return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()

    def _get(self, path: str, query: Sequence[tuple[str, str]], where: str) -> dict[str, Any]:
        keyed = [*query, ("key", self._key)] if self._key else list(query)
        response = self._session.get(self._base + path, params=keyed)
        if response.status_code in (401, 403):
            if self._account is not None:
                raise ConfigError(
                    f"{where}: Google refuses to show the sheet ({response.status_code}). Share it with {self._account.email} (reader)."
                )
            raise ConfigError(
                f"{where}: Google refuses to show the sheet ({response.status_code}). An API key reads only sheets that anyone with the "
                "link may read; else use `service_account`."
            )
        if response.status_code == 404:
            raise ConfigError(
                f"{where}: Google knows no such sheet. Check `google_sheet_id` (the long part of its address)."
            )
        if response.status_code >= 400:
            raise VendorError(f"{where}: Google answered {response.status_code}. Try again; report it if it stays.")
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError:
            raise VendorError(f"{where}: Google's answer is not JSON. Try again; report it if it stays.") from None
        return answer if isinstance(answer, dict) else {}


def export_address(sheet_id: str, sheets: Sequence[str], base_url: str | None) -> str:
    """Where one tab of a public sheet is exported as CSV; `sheet` may give its gid. Raises ConfigError for a tab given by name."""
    gid = None
    if sheets:
        found = re.fullmatch(r"(?:gid[=: ]?)?(\d+)", sheets[0])
        if found is None or len(sheets) > 1:
            raise ConfigError(
                "google_sheet_id: without `api_key` or `service_account` only one tab can be read, named by its number: "
                "`sheet: gid=123` (the number after gid= in the address). Set a key to name tabs."
            )
        gid = found[1]
    address = f"{(base_url or EXPORT).rstrip('/')}/spreadsheets/d/{quote(sheet_id)}/export?format=csv"
    return f"{address}&gid={gid}" if gid is not None else address


def grids(path: Path, file: str) -> list[MemoryGrid]:
    """Tabs out of what `SheetsApi.read` kept."""
    content = json.loads(path.read_bytes())
    found = []
    for tab in content["tabs"]:
        rows: list[list[Cell]] = [[None if cell == "" else cell for cell in row] for row in tab["rows"]]
        grid = MemoryGrid(file, tab["title"], rows)
        grid.is_hidden = tab["hidden"]
        found.append(grid)
    return found


def properties(path: Path) -> tuple[str | None, str | None]:
    """(locale, time zone) that a kept sheet states."""
    stated = json.loads(path.read_bytes()).get("properties", {})
    return stated.get("locale"), stated.get("timeZone")
