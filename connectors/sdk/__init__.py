"""The connector SDK: all that a connector may import of Muara. What is not in `__all__` may change without notice.

Names that bring an HTTP client with them are loaded on first use, so that a build, which calls nobody, starts without one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectors.sdk.budget import BudgetState, DailyBudget
from connectors.sdk.clock import Clock, FakeClock, SourceTime, SystemClock
from connectors.sdk.connector import (
    SDK_VERSION,
    STREAMS,
    Capabilities,
    Connector,
    Finding,
    Held,
    HeldDeal,
    PlanLine,
    ReplayContext,
    StreamDecl,
    StreamName,
    Sync,
    stream,
)
from connectors.sdk.cursor import Newest, Window, cursor_at, latest, next_cursor, open_window, without_repeats
from connectors.sdk.decoding import BAD_ROW, mapped, rejected, sound_json
from connectors.sdk.errors import ConfigError, DataError, MuaraError, QuotaError, TransientError, VendorError
from connectors.sdk.instants import from_epoch_ms, instant_text, parse_date, parse_instant, to_epoch_ms
from connectors.sdk.limiter import Limiter
from connectors.sdk.paging import (
    KeysetPages,
    LinkPages,
    OffsetPages,
    PageRequest,
    Paginator,
    TokenPages,
    dig,
    walk,
)
from connectors.sdk.records import (
    KEYS,
    Checkpoint,
    Company,
    CurrencyRate,
    Deal,
    Evidence,
    FieldChange,
    FieldDef,
    Gone,
    HistoryRead,
    Outcome,
    Owner,
    Pipeline,
    Presence,
    Raw,
    Record,
    Reject,
    Seen,
    SourceInfo,
    Stage,
    StageChange,
    SweepEnd,
    Tombstone,
    TrackedField,
    Warn,
    joined_key,
    stage_key,
)
from connectors.sdk.redaction import Redactor, redact, redactor
from connectors.sdk.settings import ConnectorSettings, Secret, secrets_of

if TYPE_CHECKING:
    from connectors.sdk.auth import Auth, Bearer, HeaderKey, OAuth, judge_token, oauth_grant, token_from
    from connectors.sdk.client import CallPolicy, CallReport, RetryRule
    from connectors.sdk.session import Request, checked_url, describe_request, is_loopback
    from connectors.sdk.standalone import MemoryHeld, StandaloneSync
    from connectors.sdk.tokens import MemoryTokens, Token, TokenStore
    from connectors.sdk.verdict import Answer, Judge, Verdict, is_cut, judge_handing_back, judge_status

_ON_FIRST_USE: dict[str, tuple[str, ...]] = {
    "auth": ("Auth", "Bearer", "HeaderKey", "OAuth", "judge_token", "oauth_grant", "token_from"),
    "client": ("CallPolicy", "CallReport", "RetryRule"),
    "session": ("Request", "checked_url", "describe_request", "is_loopback"),
    "standalone": ("MemoryHeld", "StandaloneSync"),
    "tokens": ("MemoryTokens", "Token", "TokenStore"),
    "verdict": ("Answer", "Judge", "Verdict", "is_cut", "judge_handing_back", "judge_status"),
}
_MODULE_OF = {name: module for module, names in _ON_FIRST_USE.items() for name in names}

__all__ = [
    "BAD_ROW",
    "KEYS",
    "SDK_VERSION",
    "STREAMS",
    "Answer",
    "Auth",
    "Bearer",
    "BudgetState",
    "CallPolicy",
    "CallReport",
    "Capabilities",
    "Checkpoint",
    "Clock",
    "Company",
    "ConfigError",
    "Connector",
    "ConnectorSettings",
    "CurrencyRate",
    "DailyBudget",
    "DataError",
    "Deal",
    "Evidence",
    "FakeClock",
    "FieldChange",
    "FieldDef",
    "Finding",
    "Gone",
    "HeaderKey",
    "Held",
    "HeldDeal",
    "HistoryRead",
    "Judge",
    "KeysetPages",
    "Limiter",
    "LinkPages",
    "MemoryHeld",
    "MemoryTokens",
    "MuaraError",
    "Newest",
    "OAuth",
    "OffsetPages",
    "Outcome",
    "Owner",
    "PageRequest",
    "Paginator",
    "Pipeline",
    "PlanLine",
    "Presence",
    "QuotaError",
    "Raw",
    "Record",
    "Redactor",
    "Reject",
    "ReplayContext",
    "Request",
    "RetryRule",
    "Secret",
    "Seen",
    "SourceInfo",
    "SourceTime",
    "Stage",
    "StageChange",
    "StandaloneSync",
    "StreamDecl",
    "StreamName",
    "SweepEnd",
    "Sync",
    "SystemClock",
    "Token",
    "TokenPages",
    "TokenStore",
    "Tombstone",
    "TrackedField",
    "TransientError",
    "VendorError",
    "Verdict",
    "Warn",
    "Window",
    "checked_url",
    "cursor_at",
    "describe_request",
    "dig",
    "from_epoch_ms",
    "instant_text",
    "is_cut",
    "is_loopback",
    "joined_key",
    "judge_handing_back",
    "judge_status",
    "judge_token",
    "latest",
    "mapped",
    "next_cursor",
    "oauth_grant",
    "open_window",
    "parse_date",
    "parse_instant",
    "redact",
    "redactor",
    "rejected",
    "secrets_of",
    "sound_json",
    "stage_key",
    "stream",
    "to_epoch_ms",
    "token_from",
    "walk",
    "without_repeats",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"connectors.sdk has no public name {name!r}")
    value = getattr(import_module(f"connectors.sdk.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
