"""Hide secrets by their value, wherever they turn up: log lines, tracebacks, error texts.

A list of likely parameter names always misses one (`api_token`, `x-api-token` ...). Whoever holds a secret knows its value, so the value is
what is looked for: as it is, percent-encoded, escaped for JSON, repr or HTML, and inside base64 such as `Basic base64(user:secret)`.

There is one `redactor` per process, because logging is one per process: a secret learned for one source is hidden in the lines of all.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import traceback
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from connectors.sdk.settings import Secret

MASK = "***"

#: Shorter secrets are hidden only where they stand alone, or a password "a" would blank every line.
_SHORT = 6
#: A line of a private key is a secret by itself; its dashes and short last line are not.
_KEY_LINE = 16
#: Access tokens come and go; far more than one process ever holds at a time.
_MOST = 2_000
#: How far an exception's attributes are looked into.
_DEEPEST = 6

E = TypeVar("E", bound=BaseException)


class Redactor:
    """Knows secrets by value and takes them out of text. Safe to share between threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: dict[str, frozenset[str]] = {}
        self._every: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._factory: Any = None
        self._previous: Any = None
        self.add(*secrets)

    def add(self, *secrets: str | None) -> None:
        """Learn secrets, also in mid-sync (access tokens). Empty ones and None are ignored."""
        plain = [_plain(secret) for secret in secrets if secret]
        with self._lock:
            fresh = [secret for secret in plain if secret.strip() and secret not in self._forms]
            if not fresh:
                return
            for secret in fresh:
                self._forms[secret] = frozenset(_forms(secret))
            while len(self._forms) > _MOST:
                del self._forms[next(iter(self._forms))]
            self._every = frozenset().union(*self._forms.values())
            self._pattern = _pattern(self._every)

    def redact(self, text: str) -> str:
        """`text` with every known secret replaced by `***`."""
        pattern = self._pattern
        # Looking for each form is much faster than the pattern, and nearly all text holds none.
        if pattern is None or not any(form in text for form in self._every):
            return text
        return pattern.sub(MASK, text)

    def scrub(self, error: E) -> E:
        """Take secrets out of an exception and all that hangs on it (causes, contexts, nested arguments), in place; returns it.

        Vendor clients put whole URLs and bodies into their exceptions, and a traceback prints the causes too.
        """
        if self._pattern is not None:
            self._scrub(error, set())
        return error

    def _scrub(self, error: BaseException, seen: set[int]) -> None:
        if id(error) in seen:
            return
        seen.add(id(error))
        error.args = tuple(self._clean(arg, seen) for arg in error.args)
        for name, value in list(vars(error).items()):
            clean = self._clean(value, seen)
            if clean is not value:
                setattr(error, name, clean)
        for linked in (error.__cause__, error.__context__):
            if linked is not None:
                self._scrub(linked, seen)

    def _clean(self, value: Any, seen: set[int], depth: int = 0) -> Any:
        """The value without secrets; the same object when it holds none that can be seen from here."""
        if isinstance(value, BaseException):
            self._scrub(value, seen)
        elif isinstance(value, str):
            return self.redact(value)
        elif isinstance(value, bytes):
            text = value.decode(errors="surrogateescape")
            clean = self.redact(text)
            return value if clean == text else clean.encode(errors="surrogateescape")
        elif depth < _DEEPEST and type(value) in (tuple, list, dict):
            pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            cleaned = [(key, self._clean(item, seen, depth + 1)) for key, item in pairs]
            if any(new is not old for (_, new), (_, old) in zip(cleaned, pairs, strict=True)):
                return dict(cleaned) if isinstance(value, dict) else type(value)(item for _, item in cleaned)
        return value

    def install(self) -> None:
        """Redact every log record of this process as it is made, whatever logger or handler; calling it again does nothing.

        A filter on a logger does not see its children's records and one on a handler does not see other handlers: the record factory
        is the one door that every record of urllib3, requests, simple_salesforce and everybody else goes through.
        """
        previous = logging.getLogRecordFactory()
        if self._factory is not None and previous is self._factory:
            return

        def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = previous(*args, **kwargs)
            if self._pattern is not None:
                self.clean_record(record)
            return record

        self._factory, self._previous = make, previous
        logging.setLogRecordFactory(make)

    def uninstall(self) -> None:
        """Undo `install`, if nobody has installed a factory on top since."""
        if self._factory is not None and logging.getLogRecordFactory() is self._factory:
            logging.setLogRecordFactory(self._previous)
        self._factory = None

    def clean_record(self, record: logging.LogRecord) -> None:
        """Redact one log record in place: message, arguments and traceback."""
        try:
            message = record.getMessage()
        except Exception:
            # A wrong format string would make logging print the raw arguments to stderr.
            message = f"{record.msg!r} {record.args!r}"
            record.msg, record.args = self.redact(message), ()
        else:
            clean = self.redact(message)
            if clean != message:
                record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            clean = self.redact(text)
            if clean != text:
                record.exc_text, record.exc_info = clean, None


#: The redactor of this process.
redactor = Redactor()


def redact(text: str) -> str:
    """`text` without any secret that this process knows."""
    return redactor.redact(text)


def _plain(secret: str) -> str:
    return secret.reveal() if isinstance(secret, Secret) else str(secret)


def _forms(secret: str) -> set[str]:
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, escaped, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(escaped)[1:-1]}
    forms |= {escaped.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret)}
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        forms |= {quoted, re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), quoted)}
    forms |= _inside_base64(secret.encode())
    forms |= {line for line in map(str.strip, secret.splitlines()) if len(line) >= _KEY_LINE and "-----" not in line}
    return {form for form in forms if form}


def _inside_base64(secret: bytes) -> set[str]:
    """What the secret looks like inside base64 of any `prefix + secret + suffix`: three alignments, without the characters it shares."""
    found = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(secret)) * 8 // 6
        inside = encoded[first:last]
        if len(inside) >= _SHORT:
            found |= {inside, inside.replace("+", "-").replace("/", "_")}
    return found


def _pattern(forms: Iterable[str]) -> re.Pattern[str]:
    every = sorted(forms, key=lambda form: (-len(form), form))
    parts = [
        re.escape(form) if len(form) >= _SHORT else rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"
        for form in every
    ]
    return re.compile("|".join(parts))
