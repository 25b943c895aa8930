"""A fake CRM with two more knobs: answers that are refused (400) and answers in which some bytes are replaced."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

_REFUSAL = b'{"error": "bad_request", "message": "the request is not understood"}'


class Tampered:
    """Stands before an app of `connectors.sandbox.server` and looks like it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._replacements: list[tuple[re.Pattern[bytes], bytes]] = []
        self._refusals: deque[list[Any]] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    def refuse(self, *, after: int, times: int | None) -> None:
        """Answer 400 to the calls after `after` others."""
        self._refusals.append([after, times])

    def replace(self, old: str, new: str) -> None:
        """Put `new` in place of the pattern `old` (a regular expression), in every answer from now on."""
        self._replacements.append((re.compile(old.encode()), new.encode()))

    @property
    def is_active(self) -> bool:
        """Something is refused or replaced."""
        return bool(self._refusals or self._replacements)

    def clear(self) -> None:
        """Refuse nothing more; replacements stay."""
        self._refusals.clear()

    def handle(self, request: Any) -> Any:
        """The app's answer, tampered with."""
        response = self._app.handle(request)
        if self._is_refused():
            response.status, response.body = 400, _REFUSAL
            return response
        for old, new in self._replacements:
            response.body = old.sub(new, response.body)
        return response

    def _is_refused(self) -> bool:
        for rule in self._refusals:
            if rule[0] > 0:
                rule[0] -= 1
            elif rule[1] is None:
                return True
            elif rule[1] > 0:
                rule[1] -= 1
                return True
        return False
