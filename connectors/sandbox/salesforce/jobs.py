"""Bulk API 2.0 query jobs: what they found when they were made, how far they are, and their results in chunks."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from connectors.sandbox.salesforce.query import Answer
from connectors.sandbox.salesforce.soql import Select, SoqlError

DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
DONE = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass(slots=True)
class Job:
    """One query job; its rows are those of the moment it was created."""

    id: str
    operation: str
    query: str
    version: str
    created: str
    created_by: str
    delimiter: str
    ending: str
    entity: str
    answer: Answer | None
    polls_left: int
    state: str = "UploadComplete"
    error: str = ""
    polls: int = 0
    downloads: list[int] = field(default_factory=list)  # first row of each chunk handed out

    def poll(self) -> None:
        """One look at the job brings it on: so many looks until it is done."""
        self.polls += 1
        if self.state in DONE:
            return
        if self.polls_left > 0:
            self.polls_left -= 1
            self.state = "InProgress"
        else:
            self.state = "Failed" if self.error else "JobComplete"

    def info(self, *, full: bool) -> dict[str, Any]:
        """The job as JSON; `full` as a status call tells it."""
        found: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.entity,
            "createdById": self.created_by,
            "createdDate": self.created,
            "systemModstamp": self.created,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version),
            "lineEnding": self.ending,
            "columnDelimiter": self.delimiter,
        }
        if full:
            rows = self.answer.size if self.answer and self.state == "JobComplete" else 0
            found |= {"jobType": "V2Query", "retries": 0, "totalProcessingTime": 100 * self.polls}
            found |= {"numberRecordsProcessed": rows, "isPkChunkingSupported": True}
            if self.state == "Failed":
                found["errorMessage"] = self.error
        return found


def locator(row: int) -> str:
    """Opaque place in a job's results."""
    return base64.b64encode(str(row).encode()).decode().rstrip("=")


def row_of(text: str) -> int | None:
    """The row a locator stands for; None for a bad one."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:
        return None
    return int(found) if found.isdigit() else None


def check(select: Select, answer: Answer) -> None:
    """Refuse what Bulk 2.0 cannot do."""
    if select.is_aggregate or select.is_count:
        raise SoqlError("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
    if select.offset:
        raise SoqlError("API_ERROR", "OFFSET is not supported in Bulk Query")
    compound = [c for c in answer.columns if c.field.type in ("address", "location")]
    if compound:
        raise SoqlError("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")
