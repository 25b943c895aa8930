"""A Google of our own on 127.0.0.1: the Sheets API, its token endpoint, the public CSV export, and plain files. Not more than the connector
may lean on: ragged rows, formulas' values only, 401/403 without credentials, HTML instead of a private export, 429 when told so.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SIGN_IN = b"<!doctype html><html><head><title>Google Sheets: Sign-in</title></head><body><a href='https://accounts.google.com/'>x</a></body></html>"


class Google:
    """Sheets by id: {"title", "locale", "timeZone", "tabs": [(title, hidden, rows)], "public", "shared_with"}."""

    def __init__(self) -> None:
        self.sheets: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.api_key = "key-of-the-tests"
        self.email = "reader@project.iam.gserviceaccount.com"
        self.busy = 0
        self.retry_after_s = 1
        self.requests: list[str] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.url = ""

    def service_account(self) -> str:
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return json.dumps(
            {"client_email": self.email, "private_key": private, "token_uri": "https://oauth2.googleapis.com/token"}
        )

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        self.requests.append(f"{method} {parts.path}")
        if self.busy:
            self.busy -= 1
            return (
                429,
                {"Retry-After": str(self.retry_after_s)},
                b'{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}',
            )
        if parts.path == "/token":
            return self._token(parse_qs(body.decode()))
        if parts.path.startswith("/v4/spreadsheets/"):
            return self._api(parts.path.removeprefix("/v4/spreadsheets/"), query, headers)
        if parts.path.startswith("/spreadsheets/d/"):
            return self._export(parts.path.split("/")[3], query)
        return self.files.get(parts.path, (404, {}, b"nothing"))

    def _token(self, form: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        try:
            claims = jwt.decode(
                form["assertion"][0],
                self._key.public_key(),
                algorithms=["RS256"],
                audience=f"{self.url}/token",
                options={"verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, KeyError):
            return 400, {}, b'{"error": "invalid_grant"}'
        assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets.readonly"
        assert claims["exp"] - claims["iat"] == 3600
        return (
            200,
            {},
            json.dumps(
                {"access_token": f"token-of-{claims['iss']}", "expires_in": 3599, "token_type": "Bearer"}
            ).encode(),
        )

    def _api(self, rest: str, query: dict[str, list[str]], headers: Any) -> tuple[int, dict[str, str], bytes]:
        sheet_id, _, verb = rest.partition("/")
        sheet = self.sheets.get(sheet_id)
        if sheet is None:
            return 404, {}, b'{"error": {"code": 404}}'
        keyed = query.get("key") == [self.api_key] and sheet.get("public")
        signed = headers.get("Authorization") == f"Bearer token-of-{self.email}" and self.email in sheet.get(
            "shared_with", ()
        )
        if not keyed and not signed:
            return 403, {}, b'{"error": {"code": 403, "status": "PERMISSION_DENIED"}}'
        if not verb:
            tabs = [
                {
                    "properties": {
                        "sheetId": n,
                        "title": title,
                        "index": n,
                        "sheetType": "GRID",
                        **({"hidden": True} if hidden else {}),
                    }
                }
                for n, (title, hidden, _) in enumerate(sheet["tabs"])
            ]
            about = {"properties": {key: sheet[key] for key in ("title", "locale", "timeZone")}, "sheets": tabs}
            return 200, {}, json.dumps(about).encode()
        assert verb == "values:batchGet"
        assert query["valueRenderOption"] == ["UNFORMATTED_VALUE"]
        assert query["dateTimeRenderOption"] == ["SERIAL_NUMBER"]
        rows = {title: rows for title, _, rows in sheet["tabs"]}
        ranges = []
        for name in query["ranges"]:
            title = name.strip("'").replace("''", "'")
            ranges.append({"range": f"{name}!A1:Z99", "majorDimension": "ROWS", "values": _ragged(rows[title])})
        return 200, {}, json.dumps({"spreadsheetId": sheet_id, "valueRanges": ranges}).encode()

    def _export(self, sheet_id: str, query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        sheet = self.sheets.get(sheet_id)
        if sheet is None or not sheet.get("public"):
            return 200, {"Content-Type": "text/html"}, SIGN_IN
        assert query["format"] == ["csv"]
        tab = sheet["tabs"][int(query.get("gid", ["0"])[0])]
        out = io.StringIO()
        csv.writer(out).writerows(sheet.get("formatted") or tab[2])
        return 200, {"Content-Type": "text/csv"}, out.getvalue().encode()


def _ragged(rows: list[list[Any]]) -> list[list[Any]]:
    """As Google answers: trailing empty cells and rows left out, empty cells inside as ""."""
    found = []
    for row in rows:
        cells = ["" if cell is None else cell for cell in row]
        while cells and cells[-1] == "":
            cells.pop()
        found.append(cells)
    while found and not found[-1]:
        found.pop()
    return found


@contextmanager
def serving() -> Iterator[Google]:
    """A running fake; it ends with the block."""
    google = Google()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = google.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if int(headers.get("Content-Length", len(content))) != len(content):
                self.close_connection = True

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    google.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield google
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
