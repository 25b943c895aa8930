"""Recorded answers for tests, without secrets and without people.

    save_fixture(Path("tests/fixtures/deals.json"), response.text, secrets=[token])

writes a recorded text scrubbed; the contract check `recorded_answers_are_scrubbed` refuses files that still show a token or an e-mail address
outside the domains that RFC 2606 reserves for examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

#: What recordings are kept as.
SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".xml", ".har", ".yaml", ".yml", ".http", ".txt"})
#: What stands for a secret.
SCRUBBED = "scrubbed"
_MOST_BYTES = 20_000_000
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+(?:@|%40)((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})")
_RESERVED = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)$", re.IGNORECASE)
#: name: value or name=value of whatever lets one in; JSON, headers and forms.
_NAMED = re.compile(
    r"""((?:access|refresh|id|api|session|auth|security)[_-]?(?:token|key|id)|client[_-]?secret|password|set-cookie|x-api-key)"""
    r"""(["']?\s*[:=]\s*["']?)(?!scrubbed\b)([^\s"'&,;<>{}\[\]]{12,})""",
    re.IGNORECASE,
)
#: Tokens that show what they are wherever they stand: Bearer and Basic, JWT, Salesforce sessions, HubSpot private apps, private keys.
_SHAPES = re.compile(
    r"(?:(?<=Bearer )|(?<=Basic ))(?!scrubbed\b)[\w.~+/=!-]{12,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
    r"|\b00D[A-Za-z0-9]{12,15}![\w.]{20,}"
    r"|\bpat-[a-z]{2,3}\d?-[0-9a-f-]{30,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_IDS_NOT_SECRETS = re.compile(r"^(?:auth|api|id)[_-]?id$", re.IGNORECASE)


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with secrets replaced by `scrubbed` and e-mail addresses by `user1@example.com`, `user2@...`; the same address by the same."""
    for secret in secrets:
        text = text.replace(secret, SCRUBBED) if len(secret) >= 4 else text
    text = _SHAPES.sub(SCRUBBED, text)
    text = _NAMED.sub(lambda found: found[0] if _is_an_id(found) else f"{found[1]}{found[2]}{SCRUBBED}", text)
    known: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        if _RESERVED.search(found[1]):
            return found[0]
        return known.setdefault(found[0].lower(), f"user{len(known) + 1}@example.com")

    return _EMAIL.sub(stand_in, text)


def save_fixture(path: Path, text: str, *, secrets: Iterable[str] = ()) -> None:
    """Write a recorded text, scrubbed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scrubbed(text, secrets), encoding="utf-8")


def problems(text: str, secrets: Iterable[str] = ()) -> Iterator[str]:
    """What a recorded text should not hold, each kind once; the values themselves are not shown."""
    if any(len(secret) >= 4 and secret in text for secret in secrets):
        yield "a secret of the settings"
    if _SHAPES.search(text):
        yield "a token"
    named = next((found for found in _NAMED.finditer(text) if not _is_an_id(found)), None)
    if named is not None:
        yield f"a value of {named[1]}"
    if any(not _RESERVED.search(found[1]) for found in _EMAIL.finditer(text)):
        yield "an e-mail address outside example.com, .test and the like"


def recordings(folder: Path) -> Iterator[Path]:
    """Files below a folder that may be recorded answers, in order; hidden folders and very large files are left out."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_hidden = any(part.startswith((".", "__")) or part == "node_modules" for part in inside.parts)
        if path.suffix in SUFFIXES and not is_hidden and path.is_file() and path.stat().st_size <= _MOST_BYTES:
            yield path


def _is_an_id(found: re.Match[str]) -> bool:
    return _IDS_NOT_SECRETS.match(found[1]) is not None
