"""Bulk API 2.0 over HTTP: create, look, fetch results and result pages, abort, delete."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.sandbox.salesforce.errors import RestError
from connectors.sandbox.salesforce.ids import make_id, to_18
from connectors.sandbox.salesforce.jobs import DELIMITERS, DONE, ENDINGS, Job, check, locator, row_of
from connectors.sandbox.salesforce.query import Answer
from connectors.sandbox.salesforce.render import csv_rows, to_json
from connectors.sandbox.salesforce.routes import Answers, Parts, json_body, pretty
from connectors.sandbox.salesforce.soql import SoqlError, parse
from connectors.sandbox.salesforce.tables import stamp
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.org import Org

RESULT_PAGES_SINCE = 58.0


@dataclass(slots=True)
class JobFailure:
    """A planned failure of jobs on an object."""

    entity: str
    message: str
    times: int


class Bulk:
    """All query jobs of an org. Knobs: `polls`, `chunk`, `refuses`, `late_errors`, `job_limit`; `fail` plans a failure."""

    def __init__(self, org: Org, options: dict[str, Any]) -> None:
        self.org = org
        self.polls: int = options.pop("bulk_polls", 1)  # looks that still say InProgress
        self.chunk: int = options.pop("bulk_chunk", 50_000)  # rows per results answer at most
        self.refuses: set[str] = set(options.pop("bulk_refuses", ()))  # objects answered with INVALIDENTITY
        self.late_errors: bool = options.pop("bulk_late_errors", False)  # bad SOQL: Failed job instead of 400
        self.job_limit: int = options.pop("bulk_job_limit", 10_000)
        self.enabled: bool = options.pop("bulk_enabled", True)
        self.jobs: dict[str, Job] = {}
        self._failures: list[JobFailure] = []
        self._created = 0
        self._lock = threading.Lock()

    def fail(self, entity: str = "", message: str = "InternalServerError: job failed", times: int = 1) -> None:
        """The next jobs on an object (any, if empty) end as Failed."""
        self._failures.append(JobFailure(entity, message, times))

    def answers(self) -> Answers:
        """Endpoint name to its function."""
        return {
            "job_create": self._create,
            "jobs": self._list,
            "job_status": self._status,
            "job_abort": self._abort,
            "job_delete": self._delete,
            "job_results": self._results,
            "job_pages": self._pages,
        }

    def _create(self, parts: Parts, request: Request) -> Response:
        if not self.enabled:
            raise RestError(403, "FUNCTIONALITY_NOT_ENABLED", "Bulk API is not enabled for this user")
        wish = json_body(request)
        operation = wish.get("operation")
        if operation not in ("query", "queryAll"):
            raise RestError(400, "INVALIDJOB", "Unsupported operation for a query job")
        delimiter, ending = wish.get("columnDelimiter", "COMMA"), wish.get("lineEnding", "LF")
        if delimiter not in DELIMITERS or ending not in ENDINGS or wish.get("contentType", "CSV") != "CSV":
            raise RestError(400, "INVALIDJOB", "Unsupported content type, delimiter or line ending")
        if self._created >= self.job_limit:
            text = f"Max bulk v2 query jobs ({self.job_limit}) per 24 hrs has been reached"
            raise RestError(400, "LIMIT_EXCEEDED", text)
        entity, answer, error = self._prepare(str(wish.get("query") or ""), operation)
        with self._lock:
            self._created += 1
            job = Job(
                id=make_id("BulkJob", self._created, self.org.table_options.pod),
                operation=operation,
                query=str(wish.get("query")),
                version=parts["version"],
                created=stamp(self.org.world.now_ms) + ".000+0000",
                created_by=self.org.sessions.user_id,
                delimiter=delimiter,
                ending=ending,
                entity=entity,
                answer=answer,
                polls_left=self.polls,
                error=error,
            )
            self.jobs[job.id] = job
        return _json(request, job.info(full=False))

    def _prepare(self, query: str, operation: str) -> tuple[str, Answer | None, str]:
        """Object, rows as of now, and the message it will fail with."""
        try:
            select = parse(query)
            entity = self.org.engine.entity(select).name
            if entity in self.refuses:
                raise RestError(400, "INVALIDENTITY", f"Entity '{entity}' is not supported by the Bulk API.")
            answer = self.org.answer(query, everything=operation == "queryAll")
            check(select, answer)
        except SoqlError as error:
            if not self.late_errors:
                raise
            return "", None, f"{error.code}: {error.message}"
        for failure in self._failures:
            if failure.times > 0 and failure.entity in ("", entity):
                failure.times -= 1
                return entity, answer, failure.message
        return entity, answer, ""

    def _job(self, parts: Parts) -> Job:
        job = self.jobs.get(to_18(parts["id"]) or "")
        if job is None:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        return job

    def _list(self, parts: Parts, request: Request) -> Response:
        found = [job.info(full=False) | {"jobType": "V2Query"} for job in self.jobs.values()]
        return _json(request, {"done": True, "records": found, "nextRecordsUrl": None})

    def _status(self, parts: Parts, request: Request) -> Response:
        job = self._job(parts)
        with self._lock:
            job.poll()
        return _json(request, job.info(full=True))

    def _abort(self, parts: Parts, request: Request) -> Response:
        job = self._job(parts)
        if json_body(request).get("state") != "Aborted":
            raise RestError(400, "INVALIDJOB", "A query job can only be set to Aborted")
        if job.state in DONE:
            raise RestError(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
        job.state = "Aborted"
        return _json(request, job.info(full=False))

    def _delete(self, parts: Parts, request: Request) -> Response:
        job = self._job(parts)
        if job.state not in DONE:
            raise RestError(400, "INVALIDJOBSTATE", "Only finished jobs can be deleted")
        del self.jobs[job.id]
        return Response(204)

    def _finished(self, parts: Parts) -> tuple[Job, Answer]:
        job = self._job(parts)
        if job.version != parts["version"]:
            raise RestError(409, "API_VERSION_MISMATCH", f"The job was created with API version {job.version}")
        if job.state != "JobComplete" or job.answer is None:
            raise RestError(400, "INVALIDJOBSTATE", f"Results are not available: the job is {job.state}")
        return job, job.answer

    def _results(self, parts: Parts, request: Request) -> Response:
        job, answer = self._finished(parts)
        start = 0
        if request.first("locator") not in (None, "", "null"):
            found = row_of(request.first("locator") or "")
            if found is None or found >= max(1, answer.size):
                raise RestError(400, "INVALID_QUERY_LOCATOR", "Invalid locator")
            start = found
        wish = request.first("maxRecords") or ""
        count = min(self.chunk, int(wish)) if wish.isdigit() and int(wish) > 0 else self.chunk
        rows = answer.rows[start : start + count]
        end = start + len(rows)
        body = csv_rows(
            answer.columns,
            rows,
            delimiter=DELIMITERS[job.delimiter],
            ending=ENDINGS[job.ending],
            labels=self.org.metadata.label,
        )
        job.downloads.append(start)
        headers = {
            "Sforce-NumberOfRecords": str(len(rows)),
            "Sforce-Locator": locator(end) if end < answer.size else "null",
        }
        return Response(200, body, "text/csv", headers)

    def _pages(self, parts: Parts, request: Request) -> Response:
        job, answer = self._finished(parts)
        if float(parts["version"]) < RESULT_PAGES_SINCE:
            raise RestError(404, "NOT_FOUND", "The requested resource does not exist")
        path = f"/services/data/v{parts['version']}/jobs/query/{job.id}"
        starts = list(range(0, max(1, answer.size), self.chunk))
        first = int(request.first("page") or 0)
        pages = [{"resultUrl": f"{path}/results?locator={locator(s)}"} for s in starts[first : first + 5]]
        done = first + 5 >= len(starts)
        further = None if done else f"{path}/resultPages?page={first + 5}"
        return _json(request, {"resultPages": pages, "nextRecordsUrl": further, "done": done})


def _json(request: Request, value: Any) -> Response:
    return Response(200, to_json(value, pretty=pretty(request)))
