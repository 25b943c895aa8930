"""Bulk API 2.0 queries: start jobs, look at all of them together, fetch their results in pieces, go on where a killed sync stopped.

    jobs.add("deals", start(api, "SELECT Id FROM Opportunity", everything=True, what="deals"))
    end = jobs.end_of("deals")
    for chunk in chunks(api, end.job, rows=end.rows, width=8):
        rows_of_csv(chunk.data, types, count=chunk.count)          # `chunk.after` is where the next one starts

Results stay seven days, so id and locator in a cursor are enough to go on. Results are asked for with the API version that made the job.
Source: vendor's Bulk API 2.0 guide, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from connectors.salesforce.api import WORKERS, Api
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.rows import decoded
from connectors.sdk import VendorError

#: Seconds between two looks at the open jobs; the last one stays.
_WAITS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
#: After this long a sync leaves a job alone; the next one finds it finished.
MOST_WAIT_S = 3 * 3600.0
#: Downloads at once; each holds a whole chunk in memory.
_DOWNLOADS = 2
_CHUNK_BYTES = 16_000_000
_MOST_ROWS = 50_000
#: About what one value takes in CSV, quotes included.
_VALUE_BYTES = 18
_DONE = frozenset({"JobComplete", "Failed", "Aborted"})
#: Refusals after which REST is used instead.
_NO_BULK = frozenset(
    {
        "INVALIDENTITY",
        "FUNCTIONALITY_NOT_ENABLED",
        "FeatureNotEnabled",
        "LIMIT_EXCEEDED",
        "API_ERROR",
        "INVALIDJOB",
        "INSUFFICIENT_ACCESS",
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "InternalServerError",
    }
)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A query job as a cursor keeps it. `locator`: where the next chunk starts, None at the beginning."""

    id: str
    version: str
    locator: str | None = None

    def path(self, below: str = "") -> str:
        """Its address, or one below it."""
        return f"/services/data/v{self.version}/jobs/query/{self.id}{below}"


class JobEnd(msgspec.Struct, frozen=True):
    """How a job ended. `said` is Salesforce's message where it failed, `is_lost` a job that is not there any more."""

    job: Job
    state: str
    rows: int = 0
    said: str = ""
    is_lost: bool = False

    @property
    def is_complete(self) -> bool:
        """Its results can be fetched."""
        return self.state == "JobComplete"


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a job's results: CSV with a header, how many rows it should hold, and the locator behind it (None: the last)."""

    data: bytes
    count: int | None
    after: str | None


def start(api: Api, soql: str, *, everything: bool, what: str) -> Job:
    """A new job. Raises RefusedError; see `means_rest`."""
    wish = {
        "operation": "queryAll" if everything else "query",
        "query": soql,
        "contentType": "CSV",
        "columnDelimiter": "COMMA",
        "lineEnding": "LF",
    }
    path = f"{api.base}/jobs/query"
    made = decoded(api.send("POST", path, what=what, accept=(200, 201), json=wish).content)
    if not isinstance(made, dict) or not isinstance(made.get("id"), str):
        raise VendorError(f"{what}: the new job has no id.")
    return Job(id=made["id"], version=api.base.rpartition("/v")[2])


def means_rest(error: RefusedError) -> bool:
    """True when the object, the user or the day's quota of jobs does not allow Bulk, so that REST must do."""
    return error.code in _NO_BULK or "bulk" in error.said.lower() or error.status in (404, 405)


class Jobs:
    """The open jobs of one sync, by name, looked at all together with growing pauses."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._open: dict[str, Job] = {}
        self._ended: dict[str, JobEnd] = {}
        self._waited_s = 0.0
        self._looks = 0

    def __contains__(self, name: object) -> bool:
        return name in self._open or name in self._ended

    def add(self, name: str, job: Job) -> None:
        """Watch a job; the next look comes soon again."""
        self._open[name], self._looks = job, 0

    def has_ended(self, name: str) -> bool:
        """True when a look has shown its end already."""
        return name in self._ended

    def end_of(self, name: str) -> JobEnd:
        """How the job of that name ended; waits for it. One that does not end in time comes in the state it is in."""
        while name not in self._ended:
            if self._looks or self._waited_s:
                pause = _WAITS[min(self._looks, len(_WAITS)) - 1]
                self._api.calls.wait(pause)
                self._waited_s += pause
            self._looks += 1
            looked = self._api.calls.map(
                lambda entry: (entry[0], _look(self._api, entry[1], entry[0])),
                list(self._open.items()),
                workers=WORKERS,
            )
            for other, end in looked:
                if end.state in _DONE or self._waited_s >= MOST_WAIT_S:
                    self._ended[other] = end
                    del self._open[other]
        return self._ended.pop(name)


class Ahead:
    """Chunks of which the first is fetched at once, in a thread, while other chunks are worked through. Close it in any case."""

    def __init__(self, found: Generator[Chunk]) -> None:
        self._found = found
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="muara-ahead")
        self._first = self._pool.submit(next, found, None)

    def __iter__(self) -> Iterator[Chunk]:
        """All chunks, once. What went wrong with the first is raised here."""
        first = self._first.result()
        if first is not None:
            yield first
            yield from self._found

    def close(self) -> None:
        """Wait for what is under way; nothing more is fetched."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._found.close()


def _look(api: Api, job: Job, what: str) -> JobEnd:
    try:
        told = api.get(job.path(), what=what)
    except RefusedError as error:
        if error.status == 404:
            return JobEnd(job, "Aborted", said="the job is gone", is_lost=True)
        raise
    rows = told.get("numberRecordsProcessed") or 0
    return JobEnd(job, str(told.get("state")), int(rows), str(told.get("errorMessage") or ""))


def chunks(
    api: Api, job: Job, *, rows: int, width: int, what: str = "bulk", most: int | None = None
) -> Generator[Chunk]:
    """The results from the job's locator on. `rows`: how many there are; `width`: columns; `most`: rows a chunk at most.

    Many narrow rows are fetched two chunks at once, wide ones in chunks of a bounded size one after another.
    """
    fits = max(1_000, _CHUNK_BYTES // (width * _VALUE_BYTES))
    locator = job.locator
    if most is None and locator is None and rows > _MOST_ROWS and fits >= _MOST_ROWS:
        chunk = None
        for chunk in _in_parallel(api, _result_urls(api, job, what), what):
            yield chunk
        if chunk is not None and chunk.after is None:
            return
        locator = chunk.after if chunk is not None else None
    size = min(_MOST_ROWS, fits, most or _MOST_ROWS)
    while True:
        asked = {"maxRecords": str(size)} | ({} if locator is None else {"locator": locator})
        chunk = _fetch(api, f"{job.path('/results')}?{urlencode(asked)}", what)
        yield chunk
        if chunk.after is None:
            return
        if chunk.after == locator:
            raise VendorError(f"{what}: the results go in circles; reading was stopped.")
        locator = chunk.after


def _fetch(api: Api, path: str, what: str) -> Chunk:
    response = api.send("GET", path, what=what, headers={"Accept": "text/csv"})
    told = response.headers.get("Sforce-NumberOfRecords")
    after = response.headers.get("Sforce-Locator")
    count = int(told) if told is not None and told.isdigit() else None
    return Chunk(response.content, count, None if after in (None, "", "null") else after)


def _result_urls(api: Api, job: Job, what: str) -> list[str]:
    """Addresses of all chunks; none where the org does not know result pages."""
    found: list[str] = []
    path: str | None = job.path("/resultPages")
    while path:
        try:
            told: Any = api.get(_below(path), what=what)
        except RefusedError:
            if found:
                raise
            return []  # the chunks are read one behind the other
        found += [_below(str(page["resultUrl"])) for page in told.get("resultPages") or ()]
        path = None if told.get("done", True) else told.get("nextRecordsUrl")
    return found


def _in_parallel(api: Api, urls: Sequence[str], what: str) -> Iterator[Chunk]:
    """The chunks in order. The addresses say where each starts, so `after` is where the next one does."""
    starts = [parse_qs(urlsplit(url).query).get("locator", [""])[0] for url in urls]
    got = api.calls.map(lambda url: _fetch(api, url, what), urls, workers=_DOWNLOADS, look_ahead=_DOWNLOADS)
    for number, chunk in enumerate(got, start=1):
        yield chunk if number == len(urls) else Chunk(chunk.data, chunk.count, starts[number] or chunk.after)


def _below(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    return f"{path}?{parts.query}" if parts.query else path
