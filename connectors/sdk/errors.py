"""Everything that may go wrong while reading a source, by who must act.

    MuaraError
    ├── ConfigError          the user: a setting, a credential, a permission, a file
    ├── TransientError       nobody yet: retried; reaches a person only when the retries are used up
    ├── QuotaError           nobody now: the source's daily budget (or ours) is used up; the sync ends as partial
    ├── VendorError          us or the vendor: the source answered in a way its documentation does not allow
    └── DataError            this record only: it goes to the rejects, the sync goes on

A bug stays a bug: nothing here catches Exception.
Messages say where, what, and what to do. They hold no record values and no secrets.
"""

from __future__ import annotations

from datetime import datetime

__all__ = ["ConfigError", "DataError", "MuaraError", "QuotaError", "TransientError", "VendorError"]


class MuaraError(Exception):
    """Base of all errors that a person is told about in one sentence."""


class ConfigError(MuaraError):
    """The user must change a setting, a credential, a permission or a file. Retrying cannot cure it."""


class TransientError(MuaraError):
    """The network or the source failed for now. `retry_after_s`: what the source asked to wait, if it said so."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QuotaError(MuaraError):
    """A daily budget is used up. What was read so far is kept; the next sync goes on from there.

    `resumes_at`: UTC instant at which calls are allowed again, None when the source does not say.
    """

    def __init__(self, message: str, *, resumes_at: datetime | None = None) -> None:
        super().__init__(message)
        self.resumes_at = resumes_at


class VendorError(MuaraError):
    """The source broke its own contract (unknown shape, endpoint gone). Report it; a newer Muara may be needed."""


class DataError(MuaraError):
    """One record cannot be understood. `key` names it where known; the record goes to the rejects with this message."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key
