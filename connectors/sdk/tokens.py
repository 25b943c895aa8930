"""Where a source's OAuth tokens are kept between syncs: one file, mode 0600, one process at a time.

Vendors that rotate refresh tokens revoke the old one with each refresh. So the newest one must be stored before it is used, and two
processes must never refresh at once: whoever comes second reads, under the lock, what the first has stored.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.sdk.locks import locked, replace_durably
from connectors.sdk.redaction import Redactor, redactor


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token endpoint gave. `expires_at` is UTC (None: the vendor does not say); `extra` holds other text fields that a connector
    needs (`instance_url`, `api_domain`). `grown_from` marks the configured refresh token that this one descends from.
    """

    access_token: str
    expires_at: datetime | None = None
    refresh_token: str | None = None
    extra: dict[str, str] = {}
    grown_from: str = ""

    def __repr__(self) -> str:
        return f"Token(***, expires_at={self.expires_at})"


class TokenSlot(Protocol):
    """The stored token, while its lock is held."""

    def read(self) -> Token | None:
        """The newest token, None when there is none."""

    def write(self, token: Token) -> None:
        """Store `token`; it survives a crash once this returns."""


class TokenStore:
    """A token in one locked file. Secrets that are read or written are learned by the redactor."""

    def __init__(self, path: Path, *, redactor: Redactor = redactor) -> None:
        self._path = path
        self._redactor = redactor

    @contextmanager
    def locked(self) -> Iterator[TokenSlot]:
        """The slot, alone among all threads and processes."""
        with locked(self._path.with_name(f"{self._path.name}.lock")):
            yield self

    def read(self) -> Token | None:
        """The newest token. Call it under `locked`. Raises ConfigError when the file is not readable."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            token = msgspec.json.decode(data, type=Token)
        except msgspec.MsgspecError:
            raise ConfigError(
                f"{self._path}: the stored token is not readable. Remove the file and set a fresh refresh token for the source."
            ) from None
        self._redactor.add(token.access_token, token.refresh_token)
        return token

    def write(self, token: Token) -> None:
        """Store `token` durably with mode 0600. Call it under `locked`."""
        self._redactor.add(token.access_token, token.refresh_token)
        replace_durably(self._path, msgspec.json.encode(token), mode=0o600)


class MemoryTokens:
    """A token kept in memory: for credentials that do not rotate, and for tests."""

    def __init__(self, *, redactor: Redactor = redactor) -> None:
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._redactor = redactor

    @contextmanager
    def locked(self) -> Iterator[TokenSlot]:
        """The slot, alone among all threads."""
        with self._lock:
            yield self

    def read(self) -> Token | None:
        """The newest token."""
        return self._token

    def write(self, token: Token) -> None:
        """Keep `token`."""
        self._redactor.add(token.access_token, token.refresh_token)
        self._token = token


def fingerprint(secret: str) -> str:
    """Tells one configured refresh token from another without keeping it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]
